"""Convolutions of one image are those of a batch, and so are their gradients."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.kernels import Kernels, convolution
from tfp_realnvp.kernels.convolution import Edges

convolve = Kernels().convolve


@pytest.fixture(params=[True, False], ids=["AVX512", "no AVX512"], autouse=True)
def has_avx512(request, monkeypatch):
    """Has convolutions of one image be cut or not, whatever the CPU."""
    monkeypatch.setattr(convolution, "_has_avx512", lambda: request.param)
    return request.param


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("sides", [(2, 1), (2, 5), (3, 3), (7, 4), (8, 6)])
def test_one_image(rng, sides, size):
    x = tf.constant(rng.standard_normal([1, *sides, 3]))
    kernel = tf.constant(rng.standard_normal([size, size, 3, 4]))
    bias = tf.constant(rng.standard_normal([4]))
    weights = rng.standard_normal([1, *sides, 4])

    def plain(x, kernel, bias):
        return tf.nn.conv2d(x, kernel, 1, "SAME") + bias

    results = []
    for function in (convolve, plain):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, bias])
            y = function(x, kernel, bias)
            total = tf.reduce_sum(y * weights)
        results.append([y, *tape.gradient(total, [x, kernel, bias])])
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("edges", [Edges(bottom=False), Edges(top=False)])
def test_a_part_of_an_image(rng, edges, size, count):
    halo = size // 2
    x = tf.constant(rng.standard_normal([count, 9, 4, 3]))
    kernel = tf.constant(rng.standard_normal([size, size, 3, 2]))
    start, stop = (0 if edges.top else 2), (9 if edges.bottom else 7)
    whole = tf.nn.conv2d(x, kernel, 1, "SAME")
    rows = slice(start + (not edges.top) * halo, stop - (not edges.bottom) * halo)
    result = Kernels(edges=edges).convolve(x[:, start:stop], kernel)
    np.testing.assert_allclose(result, whole[:, rows], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(edges.crop(x[:, start:stop], result), x[:, rows])


@pytest.mark.parametrize("height", [1, 6, 8, 9, 14])
def test_a_network_of_one_image_is_that_of_a_batch(rng, height):
    network = GatedConv(width=3, blocks=2, outputs=2, dtype="float64")
    network.num_classes = 2
    images = rng.standard_normal([2, height, 5, 1])
    labels = tf.constant([0, 1])
    network(images, labels=labels)
    for weight in network.weights:
        weight.assign(rng.standard_normal(weight.shape))

    def results(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = network(images, labels=labels)
        return y, tape.gradient(y, images)

    images = tf.constant(images)
    both = results(images, labels)
    for k in range(2):
        alone = results(images[k : k + 1], labels[k : k + 1])
        for mine, expected in zip(alone, both, strict=True):
            np.testing.assert_allclose(mine[0], expected[k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "divides"), [(6, True), (8, True), (14, False)])
def test_a_network_works_on_halves_of_one_image_that_has_the_rows(height, divides):
    network = GatedConv(width=3, blocks=2, outputs=2)
    graph = tf.function(lambda x: network.parameters(x, context))
    context = nvp.Context(kernels=Kernels(divides=divides))
    spec = tf.TensorSpec([1, height, 5, 1])
    network.build(spec.shape)
    operations = graph.get_concrete_function(spec).graph.get_operations()
    count = sum(operation.type == "Conv2D" for operation in operations)
    assert count == (12 if divides and height >= 8 else 6)


@pytest.mark.parametrize("divides", [True, False])
def test_one_image_is_a_batch_of_two_bands_where_that_gains(rng, divides, has_avx512):
    x = rng.standard_normal([1, 7, 7, 3]).astype("float32")
    kernel = tf.constant(rng.standard_normal([3, 3, 3, 4]), tf.float32)
    graph = tf.function(Kernels(divides=divides).convolve)
    graph = graph.get_concrete_function(tf.constant(x), kernel).graph
    (operation,) = [each for each in graph.get_operations() if each.type == "Conv2D"]
    assert operation.inputs[0].shape[0] == (2 if divides and not has_avx512 else 1)


def test_batches_of_unknown_size_and_images_of_one_row_stay_whole(rng):
    kernel = tf.constant(rng.standard_normal([3, 3, 1, 2]))
    for shape in ([None, 4, 4, 1], [1, None, 4, 1], [1, 1, 4, 1]):
        graph = tf.function(convolve).get_concrete_function(
            tf.TensorSpec(shape, tf.float64), kernel
        )
        assert not [op for op in graph.graph.get_operations() if op.type.startswith("Concat")]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("glow", {"steps": 1, "width": 8}),
        ("realnvp", {"width": 4, "blocks": 1}),
        ("uva_simple", {"width": 4, "couplings": 2}),
    ],
)
def test_an_image_alone_is_as_likely_as_in_a_batch(rng, name, options):
    images = rng.integers(0, 256, (3, 8, 8, 3)).astype("uint8")
    dist = nvp.flows.build(name, (8, 8, 3), dtype="float64", **options)
    dist.initialize(images)
    latents = nvp.encode(dist, images)
    for k in range(3):
        np.testing.assert_allclose(nvp.encode(dist, images[k : k + 1])[0], latents[k], rtol=1e-9)
        np.testing.assert_array_equal(nvp.decode(dist, latents[k : k + 1])[0], images[k])
