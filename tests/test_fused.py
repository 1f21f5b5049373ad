"""XLA's programs between bfloat16 convolutions: values and gradients of TensorFlow's operations."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.kernels import Kernels
from tfp_realnvp.kernels import gates as elementwise
from tfp_realnvp.kernels import gates_by_xla as fused


def bfloat16(rng, *shape):
    return tf.cast(rng.normal(size=shape), tf.bfloat16)


def float32(rng, *shape):
    return tf.constant(rng.normal(size=shape), tf.float32)


def halves(pairs):
    """Returns pairs as elementwise has them, one half of the channels after the other."""
    pairs = np.asarray(pairs, "float64")
    return np.concatenate([pairs[..., ::2], pairs[..., 1::2]], -1)


def value_and_gradients(function, arguments, upstream):
    @tf.function(autograph=False)
    def both(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            y = function(*arguments)
        return y, tape.gradient(y, arguments, output_gradients=upstream)

    return both(*arguments)


def test_arrangement_pairs_the_halves_of_the_axes_it_is_told():
    x = tf.reshape(tf.range(2 * 4), [2, 4])
    np.testing.assert_array_equal(fused.arrange(x, 1), [[0, 2, 1, 3], [4, 6, 5, 7]])
    x = tf.reshape(tf.range(4 * 4), [4, 4])
    both = [[0, 2, 1, 3], [8, 10, 9, 11], [4, 6, 5, 7], [12, 14, 13, 15]]
    np.testing.assert_array_equal(fused.arrange(x, 0, 1), both)
    np.testing.assert_array_equal(fused.arrange(x), x)


@pytest.mark.parametrize("draw", [float32, bfloat16])
def test_two_sided_elu(rng, draw):
    x = tf.concat([draw(rng, 3, 4, 4, 6), tf.zeros([3, 4, 4, 1], draw(rng, 1).dtype)], -1)
    upstream = bfloat16(rng, 3, 4, 4, 14)
    y, (gradient,) = value_and_gradients(
        lambda x: fused.two_sided_elu(x, tf.bfloat16, wide=tf.float32), [x], upstream
    )
    assert (y.dtype, gradient.dtype) == (tf.bfloat16, x.dtype)
    known, (known_gradient,) = value_and_gradients(
        lambda x: elementwise.two_sided_elu(x, tf.bfloat16, wide=tf.float32),
        [x],
        tf.cast(halves(upstream), tf.bfloat16),
    )
    np.testing.assert_allclose(halves(y), np.asarray(known, "float64"), rtol=2**-8, atol=1e-7)
    np.testing.assert_allclose(
        *(np.asarray(g, "float64") for g in (gradient, known_gradient)), rtol=2**-6, atol=2**-6
    )


def test_two_sided_elu_rounds_to_the_nearest(rng):
    x = float32(rng, 1000, 8)
    y = halves(fused.two_sided_elu(x, tf.bfloat16, wide=tf.float32))
    rounded = tf.cast(tf.nn.elu(tf.concat([x, -x], -1)), tf.bfloat16)
    wrong = y != np.asarray(rounded, "float64")
    # The two exponentials may differ by a bit, which seldom shows.
    assert wrong.mean() < 1e-3
    nan = fused.two_sided_elu(tf.fill([1, 2], np.nan), tf.bfloat16, wide=tf.float32)
    assert np.isnan(np.asarray(nan, "float32")).all()


def test_gate_and_norm(rng):
    x, mixed = float32(rng, 3, 4, 4, 6), bfloat16(rng, 3, 4, 4, 12)
    scale, bias, upstream = float32(rng, 6), float32(rng, 6), float32(rng, 3, 4, 4, 6)
    y, gradients = value_and_gradients(fused.gate_and_norm, [x, mixed, scale, bias], upstream)
    known, expected = value_and_gradients(
        elementwise.gate_and_norm,
        [x, tf.cast(halves(mixed), tf.bfloat16), scale, bias],
        upstream,
    )
    np.testing.assert_allclose(y, known, rtol=1e-4, atol=1e-5)
    for own, other in zip(gradients, expected, strict=True):
        assert own.dtype == other.dtype
        if own.dtype == tf.bfloat16:
            tolerance = 2**-8
            own, other = halves(own), np.asarray(other, "float64")
        else:
            tolerance = 1e-4
        np.testing.assert_allclose(own, other, rtol=tolerance, atol=tolerance / 10)


def test_gradients_of_a_network_are_close_to_those_of_float32(rng):
    x, upstream = float32(rng, 2, 8, 8, 3), float32(rng, 2, 8, 8, 2)
    # Initial values are a function of the name, which Keras would count up over all tests.
    exact = GatedConv(width=8, blocks=2, outputs=2, name="exact")
    rounded = GatedConv(width=8, blocks=2, outputs=2, name="rounded", dtype="mixed_bfloat16")
    exact(x), rounded(x)
    perturb_weights(exact)
    rounded.set_weights(exact.get_weights())

    def results(net, **how):
        context = nvp.Context(kernels=Kernels(**how))

        def loss_and_gradients(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(net.parameters(x, context) * upstream)
            return loss, *tape.gradient(loss, [x, *(v.value for v in net.trainable_variables)])

        graph = tf.function(loss_and_gradients, autograph=False).get_concrete_function(x)
        kinds = {node.name.split("/")[-1] for node in graph.graph.as_graph_def().node}
        return kinds, graph(x)

    _, expected = results(exact)
    plain, _ = results(exact, by_xla=True)
    kinds, own = results(rounded, by_xla=True)
    assert "Bitcast" in kinds and "Bitcast" not in plain
    for one, other in zip(expected, own, strict=True):
        np.testing.assert_allclose(other, one, atol=0.04 * np.abs(one).max())
