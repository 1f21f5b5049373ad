"""Parts of a batch, one after the other: the loss and the gradients of the whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.execution.microbatches import Microbatch, sum_over_microbatches

SHAPE = (4, 4, 1)


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (5, 2), (6, 2), (3, 8)])
@pytest.mark.parametrize("jit", [False, True])
def test_sum_is_that_of_the_batch(rng, rows, size, jit):
    x = tf.constant(rng.normal(size=[rows, 3]))
    indices = []

    def part(own):
        indices.append(own.index)
        values = tf.gather(x, own.rows) * tf.cast(own.counts, tf.float64)[:, None]
        return [tf.reduce_sum(values, 0), tf.size(own.rows, tf.int64), own.share]

    @tf.function(jit_compile=jit, autograph=False)
    def sums():
        like = [x[0], tf.zeros([], tf.int64), tf.zeros([], tf.float64)]
        return sum_over_microbatches(part, like, count=tf.shape(x)[0], size=size)

    total, rows_worked_on, shares = sums()
    np.testing.assert_allclose(total, np.sum(x, 0), rtol=1e-6)
    parts = -(-rows // size)
    assert rows_worked_on == parts * -(-rows // parts)
    np.testing.assert_allclose(shares, 1)
    assert len(indices) == 1  # however many parts, the graph has one


@pytest.mark.parametrize("shards", [1, 2])
def test_fit_learns_the_same_to_rounding_where_there_is_no_noise(shards):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    labels = np.arange(64) % 4
    ends, losses = [], []
    for microbatch in (None, 7):
        dist = nvp.flows.build(
            "realnvp", (3,), couplings=1, widths=(8,), seed=0, num_classes=4, dtype="float64"
        )
        model = nvp.FlowModel(dist)
        model.compile(keras.optimizers.SGD(1e-2), shards=shards, microbatch=microbatch)
        history = model.fit(x, labels, batch_size=31, epochs=2, shuffle=False, verbose=0)
        losses.append([history.history["loss"], history.history["nats"]])
        ends.append(nvp.encode(dist, x, labels))
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_step_on_images_has_the_mean_gradient_of_parts_with_noise_of_their_own():
    dist = nvp.flows.build(
        "uva_simple", SHAPE, width=4, couplings=2, blocks=1, dtype="float64", num_classes=3
    )
    perturb_weights(dist.bijector)
    model = nvp.FlowModel(dist, seed=3)
    model.compile(keras.optimizers.SGD(1.0), microbatch=2)
    same, labels = tf.zeros([4, *SHAPE], tf.uint8), tf.constant([0, 1, 0, 1])
    losses, gradients = [], []
    for index in range(2):
        loss, _, *each = model._gradients_of_part(
            same,
            labels,
            tf.constant([3, 0]),  # the model's seed, and the first step
            tf.fill([4], tf.constant(0.5, tf.float64)),
            Microbatch(tf.constant([0, 1]), tf.ones([2]), tf.constant(index), 0.5),
        )
        losses.append(loss)
        gradients.append(each)
    assert losses[0] != losses[1]
    expected = [
        v.value - (one + other) / 2
        for v, one, other in zip(model.trainable_variables, *gradients, strict=True)
    ]
    history = model.fit(same, labels, batch_size=4, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [np.mean(losses)], rtol=1e-6)
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.value, value, rtol=1e-6, atol=1e-8)


def test_statistics_of_whole_batches_take_no_microbatch():
    model = nvp.FlowModel(nvp.flows.build("realnvp", SHAPE, width=4, blocks=1))
    with pytest.raises(ValueError, match=r"realnvp normalizes by .* takes no microbatch, got 2\."):
        model.compile(microbatch=2)


@pytest.mark.parametrize("microbatch", [0, 1.5])
def test_bad_numbers(microbatch):
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,)))
    with pytest.raises(ValueError, match=f"a whole number of at least 1, got {microbatch}"):
        model.compile(microbatch=microbatch)
