"""Bad input gets one clear sentence that names what came and what was expected."""

import re

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Dequantization, Halves, Logit, Squeeze
from tfp_realnvp.conditioners import MLP


@pytest.fixture(scope="module")
def images_flow():
    return nvp.flows.build("uva_simple", (4, 4, 1), width=2, couplings=1)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("uva_multiscale", (6, 8, 1), "needs height and width to be multiples of 4, got (6, 8, 1)"),
        ("uva_multiscale", (7, 7, 1), "needs height and width to be multiples of 4, got (7, 7, 1)"),
        ("uva_simple", (28, 28), "models images of shape (H, W, C), got event shape (28, 28)"),
        ("uva_simple", (0, 4, 1), "An event shape has positive whole sides, got (0, 4, 1)"),
        ("realnvp", (1,), "models vectors of at least 2 dimensions, got event shape (1,)"),
        (
            "realnvp",
            (8, 8),
            "realnvp models vectors of shape (D,) or images of shape (H, W, C), got event shape (8",
        ),
        ("glow", (1,), "models vectors of at least 2 dimensions, got event shape (1,)"),
        ("glow", (7, 7, 1), "needs height and width to be multiples of 2, got (7, 7, 1)"),
        ("flowpp", (6, 8, 1), "flowpp needs height and width to be multiples of 4, got (6, 8, 1)"),
        ("lecture_realnvp", (7, 8, 1), "height and width to be multiples of 2, got (7, 8, 1)"),
        ("uva_multscale", (8, 8, 1), "Did you mean 'uva_multiscale'?"),
        ("resnet", (8, 8, 1), "Unknown flow 'resnet'; the flows are"),
    ],
)
def test_building(name, shape, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nvp.flows.build(name, shape)


def test_unknown_option():
    with pytest.raises(TypeError, match=r"uva_simple has no option widht; its options are"):
        nvp.flows.build("uva_simple", (4, 4, 1), widht=3)


PIXELS = [
    (np.full([2, 4, 4, 1], 0.5), "must hold integers from 0 to 255, got the fraction 0.5"),
    (np.full([2, 4, 4, 1], 300), "must hold integers from 0 to 255, got values from 300 to 300"),
    (np.full([2, 4, 4, 1], -1.0), "got values from -1.0 to -1.0"),
    (np.full([2, 4, 4, 1], np.nan), "must hold integers from 0 to 255, got NaN"),
    (np.full([2, 4, 4, 1], "a"), "must hold integers from 0 to 255, got an array of dtype"),
    (np.zeros([2, 4, 4, 5], "uint8"), "of shape (4, 4, 1), got a batch of shape (2, 4, 4, 5)"),
    (np.zeros([2, 4, 6, 1], "uint8"), "of shape (4, 4, 1), got a batch of shape (2, 4, 6, 1)"),
    (np.zeros([4, 4, 1], "uint8"), "of shape (4, 4, 1), got a batch of shape (4, 4, 1)"),
]


@pytest.mark.parametrize(("images", "sentence"), PIXELS)
def test_images(images_flow, images, sentence):
    for call in (
        lambda: nvp.bits_per_dim(images_flow, images),
        lambda: nvp.encode(images_flow, images),
        lambda: nvp.FlowModel(images_flow).fit(images, verbose=0),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            call()


@pytest.mark.parametrize(("images", "sentence"), PIXELS[:4])
def test_images_in_log_prob(images_flow, images, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        images_flow.log_prob(images)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        images_flow.log_prob(tf.constant(images))


def test_shape_in_log_prob(images_flow):
    sentence = "expects events of shape (4, 4, 1), got a tensor of shape (2, 4, 4, 5)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        images_flow.log_prob(np.zeros([2, 4, 4, 5], "uint8"))


def test_data_of_fit(images_flow):
    model = nvp.FlowModel(images_flow)
    model.compile("adam")
    good = np.zeros([4, 4, 4, 1], "uint8")
    bad = tf.data.Dataset.from_tensor_slices(np.full([4, 4, 4, 1], 0.25, "float32")).batch(2)
    with pytest.raises(ValueError, match=r"got the fraction 0\.25"):
        model.fit(bad, verbose=0)
    with pytest.raises(ValueError, match=r"got the fraction 0\.25"):
        model.fit(good, validation_data=bad, verbose=0)


def test_pixels_that_go_bad_in_the_middle_of_the_data():
    def fit(images):
        dist = nvp.flows.build("uva_simple", (4, 4, 1), width=2, couplings=1)
        model = nvp.FlowModel(dist)
        model.compile("adam")
        try:
            model.fit(tf.data.Dataset.from_tensor_slices(images).batch(2), verbose=0)
        except ValueError as error:
            return dist, str(error)
        return dist, None

    images = np.zeros([8, 4, 4, 1], "float32")
    images[6] = 0.5
    broken, sentence = fit(images)
    assert sentence.startswith("images must hold integers from 0 to 255.")
    # The bad batch has changed nothing.
    good, _ = fit(images[:6])
    for a, b in zip(broken.variables, good.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_vectors():
    dist = nvp.flows.build("realnvp", (3,), couplings=1, widths=(4,))
    x = np.zeros([4, 3])
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="vectors must be finite, got 1 NaN or infinite values"):
        nvp.FlowModel(dist).fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"of shape \(3,\), got a batch of shape \(4, 2\)"):
        nvp.encode(dist, x[:, :2])


def test_labels(images_flow):
    conditional = nvp.flows.build("uva_simple", (4, 4, 1), width=2, couplings=1, num_classes=3)
    images = np.zeros([2, 4, 4, 1], "uint8")
    for labels, sentence in (
        ([0, 3], "labels must be integers from 0 to 2, got values from 0 to 3"),
        ([0, -1], "labels must be integers from 0 to 2, got values from -1 to 0"),
        ([0.5, 1.0], "labels must be integers from 0 to 2, got the fraction 0.5"),
        ([0, 1, 2], "needs one label for each of 2 examples, got labels of shape (3,)"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            nvp.bits_per_dim(conditional, images, labels)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            nvp.encode(conditional, images, labels)
    with pytest.raises(ValueError, match="batches must be"):
        model = nvp.FlowModel(conditional)
        model.compile("adam")
        model.fit(images, verbose=0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Dequantization(levels=1), "at least 2 integer levels, got 1"),
        (lambda: Logit(low=1, high=1), "needs low < high, a finite distance apart, got [1, 1]"),
        (
            lambda: Logit(alpha=1.5),
            "alpha to be a finite number of at least 0 and below 1, got 1.5",
        ),
        (lambda: Squeeze(order="snake"), "Unknown squeeze order 'snake'"),
        (
            lambda: Squeeze().build((5, 4, 1)),
            "even height and width, got events of shape (5, 4, 1)",
        ),
        (lambda: Coupling(Halves(), MLP(outputs=3)).build((4,)), "its coupling needs 4"),
        (lambda: Coupling(Halves(), MLP()).build((4, 4, 1)), "events of rank 1, got shape"),
        (lambda: nvp.Context(noise="loud"), "noise must be one of"),
        (lambda: nvp.Flow([], (2,)), "A flow needs at least one bijector"),
    ],
)
def test_members(make, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()


def test_unknown_context():
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    with pytest.raises(TypeError, match=r"Unknown context \['lables'\]: bijectors know"):
        dist.log_prob([[0.0, 0.0]], bijector_kwargs={"lables": [1]})


def test_temperatures(images_flow):
    for temperature in (-1.0, [1.0, 1.0]):
        with pytest.raises(ValueError, match="one temperature >= 0, or one for each of 1 scales"):
            nvp.sample(images_flow, 2, temperature=temperature)


def test_latents_of_another_size(images_flow):
    with pytest.raises(ValueError, match=r"shape \(16,\), got a batch of shape \(2, 15\)"):
        nvp.decode(images_flow, np.zeros([2, 15]))
