"""Muon against Keras' own, where both take a kernel, and against its formula elsewhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_adam import assert_alike, trained

import tfp_realnvp as nvp

SETTINGS = {
    "plain": {},
    "clipped": {"global_clipnorm": 0.1},
    "averaged": {"use_ema": True, "ema_momentum": 0.8},
    "decayed": {"weight_decay": 0.1, "adam_weight_decay": 0.05},
    "without Nesterov": {"nesterov": False},
    "other constants": {"adam_beta_1": 0.5, "momentum": 0.8, "rms_rate": 0.2, "adam_lr_ratio": 0.5},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_ends_where_keras_ends(settings):
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 12)
    defaults = {"weight_decay": None, "adam_weight_decay": None, "rms_rate": 0.6}
    theirs = keras.optimizers.Muon(rate, exclude_layers=["end"], **defaults | settings)
    assert_alike(trained(nvp.Muon(rate, **settings)), trained(theirs), tolerance=5e-5)


def test_with_xla():
    one, other = (trained(nvp.Muon(1e-2), dtype="float64", jit=jit) for jit in (False, True))
    assert_alike(one, other, tolerance=1e-10)


@pytest.mark.parametrize("shape", [(3, 3, 2, 8), (1, 1, 4, 16), (6, 5)])
def test_a_step_is_orthogonal_in_the_kernel_as_a_matrix(shape):
    layer = keras.layers.Layer()
    kernel = layer.add_weight(shape=shape, initializer="zeros", name="middle.kernel")
    gradient = np.random.default_rng(0).normal(size=shape).astype("float32")
    nvp.Muon(0.1, rms_rate=0.5, ns_steps=5).apply_gradients([(tf.constant(gradient), kernel)])
    matrix = -kernel.numpy().reshape(-1, shape[-1])
    scaled = matrix / (0.1 * 0.5 * np.sqrt(max(matrix.shape)))
    assert np.all(np.abs(np.linalg.svd(scaled, compute_uv=False) - 1) < 0.35)
    u, _, vt = np.linalg.svd(gradient.reshape(matrix.shape), full_matrices=False)
    assert np.sum(scaled * (u @ vt)) > 0.9 * min(matrix.shape) ** 0.5 * np.linalg.norm(scaled)


@pytest.mark.parametrize(
    ("flow", "shape", "options"),
    [
        ("uva_multiscale", (8, 8, 1), {"widths": (4, 4, 4), "blocks": 1}),
        ("realnvp", (8, 8, 1), {"width": 4, "blocks": 1}),
        ("realnvp", (4,), {"couplings": 2}),
    ],
)
def test_hidden_kernels_learn_by_it_and_all_else_by_adam(flow, shape, options):
    model = nvp.FlowModel(nvp.flows.build(flow, shape, **options))
    model.compile(nvp.Muon(1e-3))
    velocities = model.optimizer.adam_velocities
    by_muon = [
        v
        for v, of_adam in zip(model.trainable_variables, velocities, strict=True)
        if of_adam is None
    ]
    assert by_muon and all(len(v.shape) >= 2 and "end." not in v.path for v in by_muon)
    kinds = {v.path.rsplit(".")[-1] for v in by_muon}
    assert kinds <= {"kernel", "direction"}


def test_its_configuration_comes_back():
    optimizer = nvp.Muon(2e-3, momentum=0.8, rms_rate=0.3, adam_weight_decay=0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is nvp.Muon
    assert again.get_config() == optimizer.get_config()
