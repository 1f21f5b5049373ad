"""Passages of the image flows' sources that are wrong: each test would fail with them."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import ActNorm, BatchNorm, Context, InvertibleConv, Logit, Scope
from tfp_realnvp.bijectors.invertible_conv import random_rotation


def lecture(shape=(4, 4, 1), **kwargs):
    return nvp.flows.build("lecture_realnvp", shape, **{"width": 2, "blocks": 1, **kwargs})


def log_normal(x, mean, scale):
    return (-0.5 * ((x - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))).sum(1)


@pytest.mark.parametrize(("shape", "count"), [((28, 28, 1), 19_552_008), ((32, 32, 3), 19_631_640)])
@pytest.mark.slow
def test_lecture_parameter_counts(shape, count):
    dist = nvp.flows.build("lecture_realnvp", shape)
    assert sum(np.prod(v.shape) for v in dist.trainable_variables) == count


@pytest.mark.parametrize(("shape", "channels"), [((28, 28, 1), 1), ((32, 32, 3), 3)])
def test_lecture_parameter_counts_of_a_narrow_one(shape, channels):
    def network(c, m, o):  # of one block, with the tanh scale's gain and direction
        block = 18 * m * m + 7 * m + m * m + 2 * m
        start = 2 * c + 18 * c * m + 2 * m + m * m + 2 * m
        return start + block + 2 * m + m * o + 2 * o + 2 * c

    c, m = channels, 4
    expected = 3 * network(c, m, 2 * c) + 7 * network(2 * c, 2 * m, 4 * c)
    dist = lecture(shape, width=m)
    assert sum(np.prod(v.shape) for v in dist.trainable_variables) == expected


def test_lecture_samples_undo_the_constraint():
    dist = lecture()
    # Undone, far latents are the darkest and the brightest pixel; left in, 0.05 and 0.95 of 256.
    dark, bright = nvp.decode(dist, np.stack([np.full(16, -20.0), np.full(16, 20.0)]))
    assert (dark == 0).all() and (bright == 255).all()


def test_lecture_rgb_works():
    dist = lecture((4, 4, 3))
    perturb_weights(dist.bijector)
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3))
    assert np.isfinite(nvp.bits_per_dim(dist, images, num_importance_samples=1)).all()
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)
    assert dist.sample(2, seed=(0, 0)).shape == (2, 4, 4, 3)


def test_lecture_samples_have_the_size_of_the_data():
    dist = lecture((8, 4, 1))
    assert nvp.sample(dist, 3, seed=0).shape == (3, 8, 4, 1)
    with pytest.raises(ValueError, match="models events of shape"):
        nvp.encode(dist, np.zeros((1, 4, 4, 1), "uint8"))


def test_lecture_weight_decay_reaches_the_gains():
    dist = lecture(l2=1e-3)
    model = nvp.FlowModel(dist)
    gains = [v for v in model.trainable_variables if v.path.endswith("gain")]
    assert len(gains) == 10 * 6
    with tf.GradientTape() as tape:
        penalty = tf.add_n(model.losses)
    for gain, gradient in zip(gains, tape.gradient(penalty, [g.value for g in gains]), strict=True):
        np.testing.assert_allclose(gradient, 2e-3 * np.asarray(gain), rtol=1e-5)


def test_lecture_likelihood_does_not_depend_on_the_batch():
    dist = lecture(scales=1)
    perturb_weights(dist.bijector)
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1))
    fixed = {"noise": "per_example", "seed": (0, 1)}
    evaluation = [
        dist.log_prob(rows, bijector_kwargs=fixed).numpy()[0] for rows in (images, images[:1])
    ]
    training = [
        dist.log_prob(rows, bijector_kwargs={**fixed, "training": True}).numpy()[0]
        for rows in (images, images[:1])
    ]
    assert evaluation[0] == pytest.approx(evaluation[1], rel=FLOAT32)
    # What the source calls the likelihood while it trains.
    assert abs(training[0] - training[1]) > 1e-2


def test_notes_act_norm_starts_right_when_log_prob_runs_first():
    x = np.random.default_rng(0).normal(3.0, 2.0, (500, 2))
    dist = nvp.Flow([ActNorm(ndims=1)], (2,), dtype="float64")
    dist.initialize(x)
    expected = log_normal(x, x.mean(0), x.std(0))
    np.testing.assert_allclose(dist.log_prob(x), expected)
    samples = dist.sample(5000, seed=(0, 1)).numpy()
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=0.15)
    np.testing.assert_allclose(samples.std(0), x.std(0), rtol=0.05)
    np.testing.assert_allclose(dist.log_prob(x), expected)


def test_notes_the_invertible_convolution_keeps_the_signs_of_the_diagonal():
    scope = Scope(path="mix", seed=1, dtype="float64")
    rotation = random_rotation(6, scope)
    mix = InvertibleConv(ndims=1)
    mix.build((6,), scope)
    # The product of the factors is what was factorized, which exp(log|diag U|) alone is not.
    np.testing.assert_allclose(mix.matrix, rotation, atol=1e-12)
    assert (np.asarray(mix.signs) < 0).any()


def test_post_equation_20_counts_the_log_det_once():
    norm = BatchNorm(ndims=1, epsilon=0.1)
    dist = nvp.Flow([norm], (2,), dtype="float64")
    running = norm.running
    running.mean.assign([1.0, -2.0])
    running.variance.assign([4.0, 0.3])
    x = np.random.default_rng(0).normal(size=(5, 2))
    scale = np.sqrt(np.array([4.1, 0.4]))
    expected = log_normal(x, np.array([1.0, -2.0]), scale)
    np.testing.assert_allclose(dist.log_prob(x), expected)


def test_post_the_logit_is_two_sided():
    logit = Logit(high=256.0, alpha=0.1, ndims=1)
    y = tf.constant([[0.0], [64.0], [192.0], [256.0]], tf.float64)
    logit.build((1,), Scope(dtype="float64"))
    x, log_det = logit.inverse_and_log_det(y, Context())
    s = 0.05 + 0.9 * y.numpy() / 256
    np.testing.assert_allclose(x, np.log(s / (1 - s)))
    np.testing.assert_allclose(x[:, 0], -x[::-1, 0])
    slope = 0.9 / 256 * (1 / s + 1 / (1 - s))
    np.testing.assert_allclose(log_det, np.log(slope[:, 0]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("glow", {"width": 4, "steps": 2}),
        ("realnvp", {"width": 2, "blocks": 1}),
        ("lecture_realnvp", {"width": 2, "blocks": 1, "normalization": "instance"}),
    ],
)
def test_conditional_image_flows_give_every_pixel_back(name, options):
    dist = nvp.flows.build(name, (4, 4, 3), levels=32, num_classes=2, **options)
    images = np.random.default_rng(0).integers(0, 32, (6, 4, 4, 3))
    labels = np.arange(6) % 2
    dist.initialize(images, labels)
    perturb_weights(dist.bijector)
    np.testing.assert_array_equal(
        nvp.decode(dist, nvp.encode(dist, images, labels), labels), images
    )
    bits = [nvp.bits_per_dim(dist, images, np.full(6, k), 1) for k in (0, 1)]
    assert (bits[0] != bits[1]).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("glow", {"width": 4, "steps": 1, "scales": 1}),
        ("realnvp", {"width": 2, "blocks": 1, "scales": 1}),
    ],
)
def test_exported_image_flows_give_every_pixel_back(name, options, tmp_path):
    dist = nvp.flows.build(name, (4, 4, 1), levels=32, num_classes=2, **options)
    images = np.random.default_rng(0).integers(0, 32, (6, 4, 4, 1)).astype("uint8")
    labels = tf.constant(np.arange(6) % 2, tf.int32)
    dist.initialize(images, labels)
    perturb_weights(dist.bijector)
    dist.log_prob(images, bijector_kwargs={"training": True, "labels": labels})
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "served"))).signatures
    latents = served["encode"](images=tf.constant(images), labels=labels)["latents"]
    again = served["decode"](latents=latents, labels=labels)["images"]
    np.testing.assert_array_equal(again, images)
    kwargs = {"noise": "per_example", "seed": (0, 0), "labels": labels}
    np.testing.assert_allclose(
        served["serving_default"](images=tf.constant(images), labels=labels)["log_prob"],
        dist.log_prob(images, bijector_kwargs=kwargs),
        rtol=FLOAT32,
    )


def test_realnvp_without_a_logit_scales_pixels_to_an_interval_of_length_1():
    dist = nvp.flows.build("realnvp", (4, 4, 1), alpha=None, width=2, blocks=1, scales=1)
    images = np.random.default_rng(0).integers(0, 256, [3, 4, 4, 1])
    scaled, log_det = dist.bijector.members[1].inverse_and_log_det(images / 1.0)
    np.testing.assert_allclose(scaled, images / 256 - 0.5, atol=1e-6)
    np.testing.assert_allclose(log_det, -16 * np.log(256), rtol=1e-6)
    assert np.isfinite(dist.log_prob(images)).all()
