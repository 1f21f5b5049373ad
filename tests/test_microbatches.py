"""Parts of a batch, one after the other: the loss and the gradients of the whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.microbatches import Microbatch, mean_over_microbatches

SHAPE = (4, 4, 1)


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (5, 2), (6, 2), (3, 8)])
@pytest.mark.parametrize("jit", [False, True])
def test_mean_is_that_of_the_batch(rng, rows, size, jit):
    x = tf.constant(rng.normal(size=[rows, 3]))
    indices = []

    def part(own):
        assert not tf.executing_eagerly() or own.rows.shape[0] <= size
        indices.append(own.index)
        values = tf.gather(x, own.rows) * tf.cast(own.weight, tf.float64)[:, None]
        return [tf.reduce_mean(values, 0)]

    @tf.function(jit_compile=jit, autograph=False)
    def mean():
        return mean_over_microbatches(part, [x[0]], count=tf.shape(x)[0], size=size)[0]

    np.testing.assert_allclose(mean(), np.mean(x, 0), rtol=1e-6)
    assert len(indices) == 1  # however many parts, the graph has one


@pytest.mark.parametrize("shards", [1, 2])
def test_fit_learns_the_same_to_rounding_where_there_is_no_noise(shards):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    labels = np.arange(64) % 4
    ends, losses = [], []
    for microbatch in (None, 7):
        dist = nvp.flows.build(
            "realnvp", (3,), couplings=1, width=8, seed=0, num_classes=4, dtype="float64"
        )
        model = nvp.FlowModel(dist)
        model.compile(keras.optimizers.SGD(1e-2), shards=shards, microbatch=microbatch)
        history = model.fit(x, labels, batch_size=31, epochs=2, shuffle=False, verbose=0)
        losses.append([history.history["loss"], history.history["nats"]])
        ends.append(nvp.encode(dist, x, labels))
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_images_learn_and_every_part_has_noise_of_its_own():
    dist = nvp.flows.build("uva_simple", SHAPE, width=4, couplings=2, blocks=1)
    perturb_weights(dist.bijector)
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.SGD(0.0), microbatch=2)
    same = np.zeros([4, *SHAPE], "uint8")
    rows, weight, seed = tf.constant([0, 1]), tf.ones([2]), tf.constant([0, 1])
    parts = [
        model._gradients_of_part(
            tf.constant(same), None, seed, Microbatch(rows, weight, tf.constant(index))
        )[0]
        for index in (0, 1)
    ]
    assert parts[0] != parts[1]
    (loss,) = model.fit(same, batch_size=4, verbose=0).history["loss"]
    # The step counts from 0: these are other draws of the noise, of the same image.
    np.testing.assert_allclose(loss, np.mean(parts), rtol=0.2)


def test_statistics_of_whole_batches_take_no_microbatch():
    model = nvp.FlowModel(nvp.flows.build("realnvp", SHAPE, width=4, blocks=1))
    with pytest.raises(ValueError, match=r"realnvp normalizes by .* takes no microbatch, got 2\."):
        model.compile(microbatch=2)


@pytest.mark.parametrize("microbatch", [0, 1.5])
def test_bad_numbers(microbatch):
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, width=4))
    with pytest.raises(ValueError, match=f"a whole number of at least 1, got {microbatch}"):
        model.compile(microbatch=microbatch)
