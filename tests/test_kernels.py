"""The arithmetic of conditioners is what its formulas say, and so are its gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp.kernels import Kernels
from tfp_realnvp.kernels.bias import add_bias
from tfp_realnvp.kernels.gelu import gelu
from tfp_realnvp.kernels.layer_norm import EPSILON


def elu2(x):
    return tf.nn.elu(tf.concat([x, -x], -1))


def convolve_two_sided(x, kernel, bias):
    return tf.nn.conv2d(elu2(x), kernel, 1, "SAME") + bias


def gate(x, hidden, kernel, bias):
    value, opening = tf.split(convolve_two_sided(hidden, kernel, bias), 2, axis=-1)
    return x + value * tf.sigmoid(opening)


def gate_and_norm(x, hidden, kernel, bias, scale, shift):
    x = gate(x, hidden, kernel, bias)
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * scale + shift


X, C = (2, 5, 4, 8), 8
CASES = [
    (convolve_two_sided, [X, (3, 3, 2 * C, 4), (4,)]),
    (gate, [X, X, (3, 3, 2 * C, 2 * C), (2 * C,)]),
    (gate_and_norm, [X, X, (1, 1, 2 * C, 2 * C), (2 * C,), (C,), (C,)]),
    (gate_and_norm, [X, X, (3, 3, 2 * C, 2 * C), (2 * C,), (C,), (C,)]),
]


def value_and_gradients(function, arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        y = tf.cast(function(*arguments), tf.float64)
        loss = tf.reduce_sum(tf.tanh(y))
    return [y, *tape.gradient(loss, arguments)]


@pytest.mark.parametrize(("formula", "shapes"), CASES)
def test_formulas(rng, formula, shapes):
    arguments = [tf.constant(rng.normal(size=shape)) for shape in shapes]
    mine = value_and_gradients(getattr(Kernels(), formula.__name__), arguments)
    for one, other in zip(mine, value_and_gradients(formula, arguments), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("by_xla", [False, True])
@pytest.mark.parametrize(("formula", "shapes"), CASES)
def test_bfloat16_is_of_the_convolutions_alone(rng, formula, shapes, by_xla):
    # What enters and leaves between convolutions is float32: `x`, the norm, and the result.
    wide = {0, 4, 5}
    exact = [tf.constant(rng.normal(size=shape)) for shape in shapes]
    rounded = [tf.cast(x, tf.float32 if i in wide else tf.bfloat16) for i, x in enumerate(exact)]
    mine = value_and_gradients(getattr(Kernels(by_xla=by_xla), formula.__name__), rounded)
    expected = value_and_gradients(formula, exact)
    assert [g.dtype for g in mine[1:]] == [x.dtype for x in rounded]
    for one, other in zip(mine, expected, strict=True):
        one = np.asarray(one, "float64")
        assert np.linalg.norm(one - other) < 0.03 * np.linalg.norm(other)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_exact_in_float64(approximate):
    x = tf.constant(np.linspace(-5, 5, 101))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = gelu(x, approximate=approximate)
    v = x.numpy()
    if approximate:
        expected = v / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))
    else:
        expected = v * np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in v])
    np.testing.assert_allclose(y, expected, atol=1e-14)
    differences = (
        gelu(x + 1e-5, approximate=approximate) - gelu(x - 1e-5, approximate=approximate)
    ) / 2e-5
    np.testing.assert_allclose(tape.gradient(y, x), differences, atol=1e-9)


@pytest.mark.parametrize("jit", [False, True])
def test_the_gradient_of_a_bias_does_not_stop_growing_in_bfloat16(jit):
    @tf.function(jit_compile=jit)
    def gradient(x, bias):
        with tf.GradientTape() as tape:
            tape.watch(bias)
            y = add_bias(x, bias)
        return tape.gradient(y, bias)

    x = tf.zeros([4096, 2], tf.bfloat16)
    np.testing.assert_array_equal(tf.cast(gradient(x, x[0]), tf.float32), [4096, 4096])
