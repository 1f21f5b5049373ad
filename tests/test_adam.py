"""The fused Adam against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp

SETTINGS = {
    "plain": {},
    "clipped": {"global_clipnorm": 0.1},
    "averaged": {"use_ema": True, "ema_momentum": 0.8},
    "decayed": {"weight_decay": 0.1},
    "accumulated": {"gradient_accumulation_steps": 2},
    "amsgrad": {"amsgrad": True},
    "other constants": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
}


def trained(optimizer, *, dtype="float32", jit=False, steps=12):
    dist = nvp.flows.build("realnvp", (3,), couplings=2, widths=(8,), dtype=dtype)
    model = nvp.FlowModel(dist)
    model.compile(optimizer, jit_compile=jit)
    x = np.random.default_rng(0).normal(2.0, 3.0, [steps * 16, 3]).astype(dtype)
    model.fit(x, batch_size=16, epochs=1, verbose=0, shuffle=False)
    return [v.numpy() for v in dist.trainable_variables], optimizer.variables


def assert_alike(ours, keras_own, tolerance):
    for mine, theirs in zip(ours[0], keras_own[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)
    assert [v.shape for v in ours[1]] == [v.shape for v in keras_own[1]]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_ends_where_keras_ends(settings):
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 12)
    assert_alike(
        trained(nvp.Adam(rate, **settings)),
        trained(keras.optimizers.Adam(rate, **settings)),
        tolerance=2e-5,
    )


def test_in_float64_and_with_xla():
    theirs = trained(keras.optimizers.Adam(1e-2), dtype="float64")
    ours = trained(nvp.Adam(1e-2), dtype="float64")
    assert_alike(ours, theirs, tolerance=1e-5)  # Keras rounds the betas to float32
    assert_alike(trained(nvp.Adam(1e-2), dtype="float64", jit=True), ours, tolerance=1e-12)


def test_a_named_optimizer_is_the_fused_one():
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1))
    model.compile("adam")
    assert type(model.optimizer) is nvp.Adam


def test_its_configuration_comes_back():
    optimizer = nvp.Adam(2e-3, beta_1=0.8)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is nvp.Adam
    assert again.get_config() == optimizer.get_config()


def test_a_step_of_a_loop_by_hand():
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    variables, optimizer = dist.trainable_variables, nvp.Adam(1e-2)
    before = [v.numpy() for v in variables]
    optimizer.apply_gradients((tf.ones_like(v), v) for v in variables)
    for was, now in zip(before, variables, strict=True):
        np.testing.assert_allclose(was - now.numpy(), 1e-2, rtol=1e-3)


def test_two_devices_step_as_one(strategy):
    def weights(where):
        with where.scope():
            dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
            model = nvp.FlowModel(dist)
            model.compile(nvp.Adam(1e-2))
        x = np.random.default_rng(0).normal(size=[64, 2]).astype("float32")
        model.fit(x, batch_size=16, epochs=1, verbose=0, shuffle=False)
        return [v.numpy() for v in model.trainable_variables]

    one = weights(tf.distribute.get_strategy())
    two = weights(strategy)
    for alone, mirrored in zip(one, two, strict=True):
        np.testing.assert_allclose(mirrored, alone, rtol=0, atol=1e-5)
