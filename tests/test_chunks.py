"""Batches in chunks: every row's result is that of the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.execution.chunks import map_chunks, rows_of_chunk
from tfp_realnvp.kernels import Kernels
from tfp_realnvp.uses.likelihood import log_prob_graph


@pytest.mark.parametrize("filled", [False, True], ids=["as they are", "filled up for XLA"])
@pytest.mark.parametrize("count", [1, 3, 8, 9, 17, 64, 65])
def test_rows_come_back_in_order(count, filled):
    sizes = []

    @tf.function(autograph=False)
    def mapped(x, labels):
        def of_chunk(index, rows, chunk_labels, nothing):
            assert nothing is None
            size = tf.numpy_function(lambda n: sizes.append(n) or n, [tf.shape(rows)[0]], tf.int32)
            with tf.control_dependencies([size]):
                return tf.stack([rows[:, 0], tf.cast(chunk_labels, rows.dtype)], 1)

        kernels = Kernels(by_xla=filled)
        return map_chunks(of_chunk, [x, labels, None], rows=8, dtype=tf.float64, kernels=kernels)

    x, labels = np.arange(2.0 * count).reshape(count, 2), np.arange(count)
    np.testing.assert_array_equal(mapped(x, labels), np.stack([x[:, 0], labels], 1))
    assert max(sizes) <= 8
    if filled and count > 1:
        assert len(set(sizes)) == 1 and sizes[0] % 2 == 0  # a quarter of 8
    else:
        assert sum(sizes) < count + len(sizes)


def test_xla_compiles_for_four_sizes_at_most():
    sizes = set()

    @tf.function(autograph=False, reduce_retracing=True)
    def mapped(x):
        def of_chunk(_, rows):
            size = tf.numpy_function(
                lambda n: sizes.add(int(n)) or n, [tf.shape(rows)[0]], tf.int32
            )
            with tf.control_dependencies([size]):
                return tf.identity(rows)

        return map_chunks(of_chunk, [x], rows=49, dtype=tf.int32, kernels=Kernels(by_xla=True))

    for count in range(2, 400):
        np.testing.assert_array_equal(mapped(tf.range(count)), np.arange(count))
    assert sizes == {13, 26, 39, 49}


def test_vectors_are_not_cut():
    assert rows_of_chunk((43,)) is None
    assert rows_of_chunk((32, 32, 3)) <= rows_of_chunk((28, 28, 1)) < rows_of_chunk((8, 8, 1))


def test_likelihoods_of_cut_batches(rng):
    dist = nvp.flows.build(
        "uva_vardeq", (28, 28, 1), width=4, couplings=2, num_classes=3, dtype="float64"
    )
    images = rng.integers(0, 256, (37, 28, 28, 1)).astype("uint8")
    labels = rng.integers(0, 3, 37)
    context = nvp.Context(noise="per_example", seed=(0, 1))
    cut = tf.function(lambda x, y: log_prob_graph(dist, x, context, y))(
        tf.constant(images), tf.constant(labels)
    )
    whole = dist.log_prob_in(images, context.replace(labels=labels))
    np.testing.assert_allclose(cut, whole, rtol=1e-12)


def test_every_chunk_has_noise_of_its_own():
    dist = nvp.flows.build("uva_simple", (28, 28, 1), width=4, couplings=2)
    same = np.zeros([40, 28, 28, 1], "uint8")
    bits = nvp.bits_per_dim(dist, same, num_importance_samples=1)
    assert len(set(bits.tolist())) == 40
    np.testing.assert_array_equal(bits, nvp.bits_per_dim(dist, same, num_importance_samples=1))


def test_images_of_cut_batches_come_back(rng):
    dist = nvp.flows.build("uva_simple", (28, 28, 1), width=4, couplings=2)
    images = rng.integers(0, 256, (37, 28, 28, 1)).astype("uint8")
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)
