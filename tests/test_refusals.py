"""What is done with a flow: numbers, seeds and values that are refused, and empty batches."""

import re

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.uses import anomaly, likelihood

NAN, INFINITE = float("nan"), float("inf")
IMAGES, VECTORS = np.zeros([2, 4, 4, 1], "uint8"), np.zeros([2, 2], "float32")
LATENTS = np.zeros([2, 16], "float32")
REAL = (NAN, INFINITE, -1.0, "1", None, True)


@pytest.fixture(scope="module")
def images():
    dist = nvp.flows.build("uva_multiscale", (4, 4, 1), widths=(2, 2, 2), blocks=1)
    perturb_weights(dist.bijector)
    return dist


@pytest.fixture(scope="module")
def vectors():
    return nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,), num_classes=3)


def refused(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


# Numbers: who takes them, under which name, the least, and a call with one.

COUNTED = [
    ("encode", "rows_at_once", 1, lambda d, v: nvp.encode(d, IMAGES, rows_at_once=v)),
    ("decode", "rows_at_once", 1, lambda d, v: nvp.decode(d, LATENTS, rows_at_once=v)),
    ("sample", "num", 0, lambda d, v: nvp.sample(d, v)),
    ("interpolate", "steps", 2, lambda d, v: nvp.interpolate(d, IMAGES[0], IMAGES[1], steps=v)),
    ("resample_scales", "num", 0, lambda d, v: nvp.resample_scales(d, IMAGES, num=v)),
    ("log_prob", "rows_at_once", 1, lambda d, v: nvp.bits_per_dim(d, IMAGES, rows_at_once=v)),
    (
        "log_prob",
        "rows_at_once",
        1,
        lambda d, v: nvp.importance_curve(d, IMAGES, rows_at_once=v),
    ),
    ("log_prob", "rows_at_once", 1, lambda d, v: nvp.anomaly_scores(d, IMAGES, rows_at_once=v)),
    (
        "A likelihood",
        "num_importance_samples",
        1,
        lambda d, v: nvp.bits_per_dim(d, IMAGES[:0], num_importance_samples=v),
    ),
    (
        "A likelihood",
        "num_importance_samples",
        1,
        lambda d, v: nvp.importance_curve(d, IMAGES, num_importance_samples=v),
    ),
    (
        "A likelihood",
        "num_importance_samples",
        1,
        lambda d, v: nvp.anomaly_scores(d, IMAGES, num_importance_samples=v),
    ),
    (
        "dequantization_noise",
        "rows_at_once",
        1,
        lambda d, v: nvp.dequantization_noise(d, IMAGES, rows_at_once=v),
    ),
    ("noise_histogram", "bins", 1, lambda d, v: nvp.noise_histogram(d, IMAGES, bins=v)),
    ("code_length", "levels", 2, lambda _, v: anomaly.code_length(IMAGES, levels=v)),
    (
        "reestimate_statistics",
        "rows_at_once",
        1,
        lambda d, v: nvp.reestimate_statistics(d, IMAGES, rows_at_once=v),
    ),
]


@pytest.mark.parametrize(
    ("owner", "name", "least", "call"), COUNTED, ids=[f"{c[0]}-{c[1]}" for c in COUNTED]
)
def test_counts_are_whole_and_large_enough(images, owner, name, least, call):
    values = [least - 1, -1, 1.5, 2.0, True, "3", NAN, [2]]
    # As many rows as is fast are None.
    has_default = name == "rows_at_once" and owner != "reestimate_statistics"
    for value in values if has_default else [*values, None]:
        sentence = f"{owner} needs {name} to be a whole number of at least {least}, got {value!r}."
        refused(lambda value=value: call(images, value), sentence)


def test_more_samples_than_an_int32_counts(images):
    refused(lambda: nvp.sample(images, 2**31), "sample needs num to be below 2^31, got 2147483648.")


# Temperatures.


@pytest.mark.parametrize("bad", [*REAL, 1e300, [], [1.0, NAN], [1.0, -1.0], [1.0] * 3, [[1.0] * 2]])
def test_temperatures_of_samples(images, bad):
    sentence = f"Needs one temperature >= 0, or one for each of 2 scales, got {bad}."
    refused(lambda: nvp.sample(images, 2, temperature=bad), sentence)
    refused(lambda: nvp.Lite(images, num=2).sample(temperature=bad), sentence)


@pytest.mark.parametrize("bad", [*REAL, [1.0, 1.0]])
def test_temperatures_of_scales(images, bad):
    refused(
        lambda: nvp.resample_scales(images, IMAGES, temperature=bad),
        f"resample_scales needs temperature to be a finite number of at least 0, got {bad!r}.",
    )


# Seeds: one rule, wherever there is one.

SEEDED = {
    "sample": lambda d, s: nvp.sample(d, 3, seed=s),
    "resample_scales": lambda d, s: nvp.resample_scales(d, IMAGES, seed=s),
    "bits_per_dim": lambda d, s: nvp.bits_per_dim(d, IMAGES, seed=s),
    "importance_curve": lambda d, s: nvp.importance_curve(
        d, IMAGES, num_importance_samples=2, seed=s
    )[1],
    "dequantization_noise": lambda d, s: nvp.dequantization_noise(d, IMAGES, seed=s),
    "anomaly_scores": lambda d, s: nvp.anomaly_scores(d, IMAGES, seed=s),
}


@pytest.mark.parametrize("call", SEEDED.values(), ids=SEEDED)
def test_seeds_are_an_int_or_two(images, call):
    for bad in (1.0, "a", True, [1], [1, 2, 3], [[1, 2]], [1.0, 2.0], 2**63, NAN):
        refused(lambda bad=bad: call(images, bad), "A seed is an int of at most 62 bits or two int")
    one = call(images, 7)
    for same in (np.int64(7), np.array(7, "uint8"), tf.constant(7)):
        np.testing.assert_array_equal(call(images, same), one)
    assert (call(images, 7 + 2**40) != one).any()
    pair = call(images, (1, 2))
    for same in ([1, 2], np.array([1, 2]), np.array([1, 2], "int64"), tf.constant([1, 2])):
        np.testing.assert_array_equal(call(images, same), pair)


def test_draws_of_noise_are_counted(images):
    def log_prob(seed, draw):
        return images.log_prob(IMAGES, bijector_kwargs={"seed": seed, "draw": draw}).numpy()

    for seed in (5, (3, 4)):
        got = likelihood.log_prob(images, IMAGES, num_importance_samples=2, seed=seed)
        expected = np.logaddexp(*(log_prob(seed, draw) for draw in range(2))) - np.log(2)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    refused(lambda: nvp.bits_per_dim(images, IMAGES, seed=None), "made from a seed, an int or two")


# Latents, directions, points.


@pytest.mark.parametrize(
    ("latents", "sentence"),
    [
        (LATENTS + NAN, "latents must be finite, got 32 NaN or infinite values."),
        (LATENTS - INFINITE, "latents must be finite, got 32 NaN or infinite values."),
        (
            LATENTS.astype("float64") + 1e300,
            "latents must be finite, got 32 NaN or infinite values.",
        ),
        (LATENTS[0], "models events of shape (16,), got a batch of shape (16,)."),
        (LATENTS[:, :3], "models events of shape (16,), got a batch of shape (2, 3)."),
        (LATENTS[None], "models events of shape (16,), got a batch of shape (1, 2, 16)."),
        ([], "models events of shape (16,), got a batch of shape (0,)."),
        (None, "models events of shape (16,), got a batch of shape ()."),
        (LATENTS.astype(str), "latents must be real numbers, got an array of dtype <U"),
        (LATENTS * 1j, "latents must be real numbers, got an array of dtype complex64."),
    ],
)
@pytest.mark.parametrize("call", [nvp.decode, nvp.split_scales])
def test_latents(images, call, latents, sentence):
    refused(lambda: call(images, latents), sentence)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda d: nvp.move(d, IMAGES, LATENTS[0], strengths=[NAN]), "finite numbers [S], got [n"),
        (lambda d: nvp.move(d, IMAGES, LATENTS[0], strengths=1.0), "finite numbers [S], got 1.0."),
        (lambda d: nvp.move(d, IMAGES, LATENTS[0] + NAN), "latents must be finite, got 160 NaN"),
        (lambda d: nvp.move(d, IMAGES, LATENTS[:1]), "has shape (16,), got (1, 16)."),
        (lambda d: nvp.attribute_direction(d, IMAGES, IMAGES[:0]), "attribute, got none."),
        (lambda d: nvp.interpolate(d, IMAGES[0], IMAGES), "got a batch of shape (1, 2, 4, 4, 1)."),
        (lambda d: nvp.resample_scales(d, IMAGES, scales=[0.0]), "finest first; got [0.0]."),
        (lambda d: nvp.resample_scales(d, IMAGES, scales="0"), "has the scales 0 to 1"),
        (lambda d: nvp.resample_scales(d, IMAGES, scales=[True]), "has the scales 0 to 1"),
        (
            lambda d: nvp.anomaly_scores(d, IMAGES, kind="typicality", reference=IMAGES[:0]),
            "needs at least one reference example, got none.",
        ),
        (lambda _: anomaly.code_length(IMAGES[0]), "images [N, H, W, C], got shape (4, 4, 1)."),
        (lambda _: anomaly.code_length(IMAGES + 0.5), "to 255, got the fraction 0.5."),
        (lambda _: anomaly.code_length(IMAGES + np.int64(300)), "got values from 300 to 300."),
        (lambda _: nvp.dequantization_density([NAN], [1, 1]), "finite points [N], got [nan]."),
        (lambda _: nvp.dequantization_density([[0.0]], [1, 1]), "finite points [N], got [[0.]]."),
        (lambda _: nvp.dequantization_density([0.0], [1, INFINITE]), "of at least 2 levels, got"),
        (lambda _: nvp.dequantization_density([0.0], [1, NAN]), "of at least 2 levels, got"),
    ],
)
def test_other_values(images, call, sentence):
    refused(lambda: call(images), sentence)


# Nothing in, nothing out.


def test_empty_batches_of_images(images):
    none, event = IMAGES[:0], (4, 4, 1)
    shapes = {
        "encode": nvp.encode(images, none),
        "decode": nvp.decode(images, LATENTS[:0]),
        "sample": nvp.sample(images, 0),
        "resample": nvp.resample_scales(images, none, num=3),
        "resample to none": nvp.resample_scales(images, IMAGES, num=0),
        "move": nvp.move(images, none, LATENTS[0], strengths=[0.0, 1.0]),
        "move nowhere": nvp.move(images, IMAGES, LATENTS[0], strengths=[]),
        "bits_per_dim": nvp.bits_per_dim(images, none),
        "importance_curve": nvp.importance_curve(images, none, num_importance_samples=2)[1],
        "noise": nvp.dequantization_noise(images, none),
        "anomaly": nvp.anomaly_scores(images, none),
        "complexity": nvp.anomaly_scores(images, none, kind="complexity"),
    }
    assert {name: result.shape for name, result in shapes.items()} == {
        "encode": (0, 16),
        "decode": (0, *event),
        "sample": (0, *event),
        "resample": (0, 3, *event),
        "resample to none": (2, 0, *event),
        "move": (0, 2, *event),
        "move nowhere": (2, 0, *event),
        "bits_per_dim": (0,),
        "importance_curve": (2, 0),
        "noise": (0, *event),
        "anomaly": (0,),
        "complexity": (0,),
    }
    assert shapes["sample"].dtype == shapes["decode"].dtype == np.uint8
    assert nvp.noise_histogram(images, none)[0].sum() == 0


def test_empty_batches_of_vectors_with_labels(vectors):
    none = VECTORS[:0]
    for labels in ([], np.zeros([0], int), 1):
        latents = nvp.encode(vectors, none, labels)
        assert latents.shape == nvp.decode(vectors, latents, labels).shape == (0, 2)
        assert nvp.sample(vectors, 0, labels=labels).shape == (0, 2)
        assert likelihood.log_prob(vectors, none, labels).shape == (0,)
    assert nvp.class_posterior(vectors, none).shape == (0, 3)


@pytest.mark.parametrize("labels", [[2, 0], [[2], [0]], tf.constant([[2], [0]])])
def test_labels_in_a_column(vectors, labels):
    x = np.array([[0.5, -1.0], [2.0, 0.0]])
    expected = vectors.log_prob(x, bijector_kwargs={"labels": [2, 0]})
    latents = nvp.encode(vectors, x, [2, 0])
    drawn = nvp.sample(vectors, 2, labels=[2, 0], seed=1)
    np.testing.assert_array_equal(nvp.encode(vectors, x, labels), latents)
    np.testing.assert_array_equal(nvp.sample(vectors, 2, labels=labels, seed=1), drawn)
    np.testing.assert_allclose(likelihood.log_prob(vectors, x, labels), expected, rtol=1e-6)
    moved = nvp.move(vectors, x, [0.0, 0.0], strengths=[0.0, 1.0], labels=labels)
    np.testing.assert_allclose(moved, np.stack([x, x], 1), atol=1e-6)
    for fast in (nvp.Compiled(vectors, num=2), nvp.Lite(vectors, num=2)):
        np.testing.assert_allclose(fast.log_prob(x, labels), expected, rtol=1e-5)
