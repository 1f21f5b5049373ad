"""The precision that a CPU's flags suggest, and what bfloat16 conditioners do with it."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.conditioners import GatedAttention, GatedConv, ViT
from tfp_realnvp.execution.device import best_precision, use_full_float32
from tfp_realnvp.kernels.gates import two_sided_elu

# Half of the spacing of bfloat16 numbers around 1.
ROUNDING = 2**-8


def test_full_float32_is_a_matter_of_the_process(monkeypatch):
    chosen = []
    monkeypatch.setattr(tf.config.experimental, "enable_tensor_float_32_execution", chosen.append)
    use_full_float32()
    assert chosen == [False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t: fpu avx2 avx512_bf16\n", "bfloat16"),
        ("model name\t: x\nflags\t\t: fpu amx_bf16 avx2\n", "bfloat16"),
        ("flags\t: fpu avx2 avx512f\n", "float32"),
        ("", "float32"),
    ],
)
def test_follows_the_flags(tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert best_precision(path) == expected


def test_is_float32_where_the_flags_are_not_known(tmp_path):
    assert best_precision(tmp_path / "missing") == "float32"


def test_the_two_sided_elu_rounds_its_result_alone(rng):
    x = tf.constant(rng.normal(size=(2, 3, 3, 4)), tf.float32)
    values, gradients = [], []
    for dtype in (tf.float32, tf.bfloat16):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = two_sided_elu(x, dtype, wide=x.dtype)
        assert y.dtype == dtype
        values.append(tf.cast(y, tf.float32))
        gradients.append(tape.gradient(y, x))
    assert gradients[1].dtype == tf.float32
    np.testing.assert_allclose(values[1], values[0], rtol=1.01 * ROUNDING)
    np.testing.assert_allclose(*gradients, atol=4 * ROUNDING)


def distance(a, b):
    """Relative to the length of ``b``."""
    return np.linalg.norm(np.subtract(a, b)) / np.linalg.norm(b)


@pytest.mark.parametrize("network", [GatedConv, GatedAttention])
def test_gradients_of_bfloat16_convolutions_are_close_to_those_of_float32(rng, network):
    x = tf.constant(rng.normal(size=(2, 8, 8, 3)), tf.float32)
    upstream = tf.constant(rng.normal(size=(2, 8, 8, 2)), tf.float32)
    exact = network(width=8, blocks=2, outputs=2)
    rounded = network(width=8, blocks=2, outputs=2, dtype="mixed_bfloat16")
    gradients = []
    for net in (exact, rounded):
        net(x)
        for source, target in zip(exact.weights, net.weights, strict=True):
            target.assign(source + (0.1 if net is exact and "end" in source.path else 0.0))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net.parameters(x, nvp.Context()) * upstream)
        gradients.append(tape.gradient(loss, [v.value for v in net.trainable_variables]))
    # Of 60 seeds' gradients, the worst is off by 0.006 as a whole, by 0.05 in one weight.
    for one, other in zip(*gradients, strict=True):
        assert distance(other, one) < 0.08
    assert distance(*(np.concatenate([np.ravel(g) for g in side]) for side in gradients)) < 0.02


def test_gradients_of_a_bfloat16_transformer_are_close_to_those_of_float32(rng):
    x = tf.constant(rng.normal(size=(64, 4, 4, 3)), tf.float32)
    upstream = tf.constant(rng.normal(size=(64, 4, 4, 2)), tf.float32)
    options = {"width": 8, "heads": 2, "outputs": 2}
    exact, rounded = ViT(**options), ViT(**options, dtype="mixed_bfloat16")
    gradients = []
    for net in (exact, rounded):
        net(x)
        for source, target in zip(exact.weights, net.weights, strict=True):
            noise = 0.1 * rng.standard_normal(source.shape) if net is exact else 0.0
            target.assign(source + noise)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net.parameters(x, nvp.Context()) * upstream)
        gradients.append(tape.gradient(loss, [v.value for v in net.trainable_variables]))
    # Of 20 seeds' gradients, the worst is off by 0.027 as a whole, by 0.08 in one weight.
    for one, other in zip(*gradients, strict=True):
        assert distance(other, one) < 0.12
    assert distance(*(np.concatenate([np.ravel(g) for g in side]) for side in gradients)) < 0.04
    in_exact = rounded.parameters(x, nvp.Context(exact=True))
    np.testing.assert_allclose(in_exact, exact.parameters(x, nvp.Context()), rtol=1e-5, atol=1e-6)
