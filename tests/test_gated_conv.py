"""Attention, positions and dropout of the gated convolutional network."""

import numpy as np
import pytest
import tensorflow as tf
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ChannelHalves,
    Coupling,
    Squeeze,
    Squeezed,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.conditioners.attention import attend
from tfp_realnvp.core.context import Context


def network(rng, **options) -> GatedConv:
    made = GatedConv(width=4, blocks=2, outputs=2, dtype="float64", **options)
    made(np.zeros([1, 6, 5, 1]))
    for weight in made.weights:
        weight.assign(rng.standard_normal(weight.shape))
    return made


def test_attention_is_that_of_the_formula(rng):
    projections = rng.standard_normal([2, 3, 4, 3 * 6])
    queries, keys, values = np.split(projections.reshape(2, 12, 18), 3, axis=-1)
    expected = []
    for head in range(2):
        q, k, v = (part[..., 3 * head : 3 * head + 3] for part in (queries, keys, values))
        weights = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(3))
        expected.append(weights / weights.sum(-1, keepdims=True) @ v)
    got = attend(tf.constant(projections), heads=2, wide=tf.float64)
    np.testing.assert_allclose(
        got, np.concatenate(expected, -1).reshape(2, 3, 4, 6), atol=FLOAT64, rtol=FLOAT64
    )


def test_the_gradient_of_attention_is_that_of_the_formula(rng):
    projections = tf.constant(rng.standard_normal([2, 3, 4, 3 * 6]))

    def formula(projections):
        parts = tf.reshape(projections, [2, 12, 3, 2, 3])
        queries, keys, values = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))
        weights = tf.nn.softmax(tf.linalg.matmul(queries, keys, transpose_b=True) / np.sqrt(3))
        gathered = tf.transpose(tf.linalg.matmul(weights, values), [0, 2, 1, 3])
        return tf.reshape(gathered, [2, 3, 4, 6])

    for graph in (lambda f: f, tf.function, tf.function(jit_compile=True)):
        both = []
        for function in (formula, lambda p: attend(p, heads=2, wide=tf.float64)):

            def gradients(p, function=function):
                with tf.GradientTape() as second:
                    second.watch(p)
                    with tf.GradientTape() as first:
                        first.watch(p)
                        loss = tf.reduce_sum(tf.sin(function(p)))
                    gradient = first.gradient(loss, p)
                    along = tf.reduce_sum(tf.cos(gradient))
                return gradient, second.gradient(along, p)

            both.append(graph(gradients)(projections))
        for want, got in zip(*both, strict=True):
            np.testing.assert_allclose(got, want, atol=FLOAT64, rtol=FLOAT64)


def test_with_attention_a_pixel_sees_the_whole_image(rng):
    """A network of two blocks without it reaches over three pixels, or four with the last."""
    image = tf.constant(rng.standard_normal([1, 6, 5, 1]))

    def seen(**options):
        with tf.GradientTape() as tape:
            tape.watch(image)
            corner = network(rng, last=1, **options)(image)[0, 0, 0, 0]
        return np.asarray(tape.gradient(corner, image))[0, ..., 0] != 0

    reached = np.zeros([6, 5], bool)
    reached[:4, :4] = True
    np.testing.assert_array_equal(seen(), reached)
    assert seen(heads=2).all()


@pytest.mark.parametrize("height", [6, 9])
def test_positions_are_those_of_the_image_alone_too(rng, height):
    made = GatedConv(width=3, blocks=1, outputs=2, positions=True, last=1, dtype="float64")
    images = tf.constant(rng.standard_normal([2, height, 5, 1]))
    made(images)
    for weight in made.weights:
        weight.assign(rng.standard_normal(weight.shape))
    both = made(images)
    for k in range(2):
        np.testing.assert_allclose(made(images[k : k + 1])[0], both[k], rtol=1e-9, atol=1e-9)
    # Two pixels that see the same content are told apart.
    flat = np.asarray(made(tf.ones([1, height, 5, 1], tf.float64)))[0]
    assert (flat[2, 2] != flat[3, 2]).all()


def test_dropout_is_for_training_alone_and_follows_the_seed(rng):
    dropping, whole = (network(np.random.default_rng(0), dropout=rate) for rate in (0.5, 0.0))
    images = tf.constant(rng.standard_normal([3, 6, 5, 1]))
    plain = whole.parameters(images, Context())
    np.testing.assert_array_equal(dropping.parameters(images, Context(seed=1)), plain)
    exact = Context(seed=1, training=True, exact=True)
    np.testing.assert_array_equal(dropping.parameters(images, exact), plain)

    def dropped(seed):
        return np.asarray(dropping.parameters(images, Context(seed=seed, training=True)))

    np.testing.assert_array_equal(dropped(1), dropped(1))
    assert (dropped(1) != dropped(2)).any() and (dropped(1) != plain.numpy()).any()


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    made = GatedConv(width=4, blocks=1, outputs=2, dropout=0.25)
    hidden = tf.ones([50, 8, 8, 8])
    dropped = made._dropped(Context(seed=0, training=True), "block_0", hidden)
    values, counts = np.unique(dropped, return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
    assert abs(counts[0] / counts.sum() - 0.25) < 0.01


def test_dropout_is_recomputed_as_it_was():
    gradients = []
    for recompute in (False, True):
        coupling = Coupling(ChannelHalves(), GatedConv(width=4, blocks=1, dropout=0.5))
        dist = nvp.Flow([coupling], (2, 2, 2), dtype="float64", recompute=recompute)
        images = np.random.default_rng(0).standard_normal([4, 2, 2, 2])
        with tf.GradientTape() as tape:
            context = Context(seed=(1, 2), training=True)
            loss = tf.reduce_sum(dist.log_prob_in(images, context))
        gradients.append(tape.gradient(loss, dist.trainable_variables))
    for plain, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(again, plain, rtol=FLOAT64, atol=FLOAT64)


def test_heads_divide_the_width_and_the_last_kernel_has_a_centre():
    with pytest.raises(ValueError, match="width that its heads divide, got width=6 and heads=4"):
        GatedConv(width=6, heads=4)
    with pytest.raises(ValueError, match="odd side of its last kernel, got last=2"):
        GatedConv(last=2)


def test_the_noise_at_half_resolution_sees_the_image_there():
    coupling = Coupling(ChannelHalves(), GatedConv(width=4, blocks=1))
    quantizer = VariationalDequantization([Squeezed([coupling])], levels=8)
    quantizer.build((4, 4, 2))
    # Half of the squeezed noise, and all of the squeezed image.
    assert coupling.conditioner.start[0].shape[2] == 4 + 8
    images = np.random.default_rng(0).integers(0, 8, [3, 4, 4, 2])
    np.testing.assert_array_equal(np.floor(quantizer.inverse(images, seed=1)), images)


def test_members_between_squeeze_and_way_back_keep_the_shape():
    with pytest.raises(ValueError, match=r"keep the shape \(2, 2, 4\) .* to \(1, 1, 16\)"):
        Squeezed([Squeeze()]).build((4, 4, 1))
