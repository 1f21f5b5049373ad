"""Whatever is done with a flow is done with its condition, row by row."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import conv, perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    Channels,
    Checkerboard,
    Coupling,
    FactorOut,
    Logit,
    Squeeze,
    VariationalDequantization,
)
from tfp_realnvp.uses.likelihood import log_prob

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 8, (5, 4, 4, 1)).astype("uint8")
X = RNG.normal(size=(5, 3)).astype("float32")
LABELS = np.array([0, 1, 1, 0, 1])


def built(kind):
    if kind == "vectors":
        dist = nvp.flows.build(
            "realnvp", (3,), couplings=2, widths=(4,), num_classes=2, condition_shape=(2,)
        )
    else:
        dist = nvp.Flow(
            [
                VariationalDequantization([Coupling(Checkerboard(), conv())], levels=8),
                Logit(high=8),
                Coupling(Checkerboard(inverted=True), conv()),
                Squeeze(),
                FactorOut([Coupling(Channels(), conv())]),
            ],
            (4, 4, 1),
            num_classes=2,
            condition_shape=(2,) if kind == "images" else (4, 4, 2),
        )
    perturb_weights(dist, scale=0.3)
    data = X if kind == "vectors" else IMAGES
    condition = RNG.normal(10, 3, size=(5, *dist.condition_shape)).astype("float32")
    dist.initialize(data, LABELS, condition)
    return dist, data, condition


@pytest.fixture(scope="module", params=["vectors", "images", "pixels"])
def case(request):
    return built(request.param)


def test_likelihoods(case):
    dist, data, condition = case
    given = {"labels": LABELS, "condition": condition}

    got = log_prob(dist, data, seed=3, **given)
    expected = dist.log_prob(data, bijector_kwargs={"seed": 3, **given})
    np.testing.assert_allclose(got, expected, rtol=FLOAT32, atol=1e-3)
    few = log_prob(dist, data, seed=3, rows_at_once=2, **given)
    np.testing.assert_allclose(few, expected, rtol=FLOAT32, atol=1e-3)
    alone = log_prob(dist, data, LABELS, condition=condition[1], seed=3)
    np.testing.assert_allclose(alone[1], got[1], rtol=FLOAT32, atol=1e-3)
    assert log_prob(dist, data[:0], labels=LABELS[:0], condition=condition[:0]).shape == (0,)
    scores = nvp.anomaly_scores(
        dist,
        data,
        **given,
        kind="typicality",
        reference=data[:2],
        reference_labels=LABELS[:2],
        reference_condition=condition[:2],
    )
    assert scores.shape == (5,)
    posterior = nvp.class_posterior(dist, data, condition=condition)
    np.testing.assert_allclose(posterior.sum(1), 1)
    nvp.reestimate_statistics(dist, data, **given)
    if dist.levels is not None:
        bits = nvp.bits_per_dim(dist, data, **given, num_importance_samples=2)
        _, curve = nvp.importance_curve(dist, data, **given, num_importance_samples=2)
        np.testing.assert_allclose(curve[-1], bits, rtol=FLOAT32)


def test_latents(case):
    dist, data, condition = case
    given = {"labels": LABELS, "condition": condition}
    z = nvp.encode(dist, data, **given)
    np.testing.assert_allclose(nvp.decode(dist, z, **given), data, atol=1e-3)
    few = nvp.decode(dist, z, LABELS, condition=condition, rows_at_once=2)
    np.testing.assert_allclose(few, data, atol=1e-3)
    drawn = nvp.sample(dist, 5, seed=1, **given)
    assert drawn.shape == data.shape
    same = nvp.sample(dist, 5, seed=1, labels=LABELS, condition=condition[2])
    np.testing.assert_allclose(same[2], drawn[2], atol=1e-4)
    ends = nvp.interpolate(dist, data[0], data[1], steps=3, labels=0, condition=condition[0])
    np.testing.assert_allclose(ends[[0, -1]], data[:2], atol=1e-3)
    again = nvp.resample_scales(dist, data, scales=[0], num=2, temperature=0.0, seed=0, **given)
    assert again.shape == (5, 2, *data.shape[1:])
    direction = nvp.attribute_direction(
        dist,
        data[:2],
        data[2:],
        having_labels=LABELS[:2],
        lacking_labels=LABELS[2:],
        having_condition=condition[:2],
        lacking_condition=condition[2:],
    )
    moved = nvp.move(dist, data, direction, strengths=[0.0, 1.0], **given)
    np.testing.assert_allclose(moved[:, 0], data, atol=1e-3)
    if dist.levels is not None:
        counts, _ = nvp.noise_histogram(dist, data, **given)
        assert counts.sum() == data.size


def test_programs(case):
    dist, data, condition = case
    given = {"labels": LABELS, "condition": condition}
    expected = dist.log_prob(data, bijector_kwargs={"seed": 3, **given})
    drawn = nvp.sample(dist, 5, seed=1, **given)
    lite = nvp.Lite(dist, num=5)
    np.testing.assert_allclose(lite.log_prob(data, seed=3, **given), expected, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(lite.sample(seed=1, **given), drawn, atol=1e-3)
    if dist.levels is None:
        compiled = nvp.Compiled(dist, num=5, shards=2)
        np.testing.assert_allclose(compiled.log_prob(data, **given), expected, rtol=FLOAT32)
        np.testing.assert_allclose(compiled.sample(seed=1, **given), drawn, atol=1e-4)


def test_a_saved_model_takes_the_condition(case, tmp_path):
    dist, data, condition = case
    signatures = tf.saved_model.load(str(nvp.export(dist, tmp_path / "out"))).signatures
    name = "x" if dist.levels is None else "images"
    given = {
        "labels": tf.constant(LABELS, tf.int32),
        "condition": tf.constant(condition),
    }
    got = signatures["log_prob"](**{name: tf.constant(data)}, seed=tf.constant([0, 3]), **given)
    expected = dist.log_prob(data, bijector_kwargs={"seed": 3, **given})
    np.testing.assert_allclose(got["log_prob"], expected, rtol=1e-3, atol=1e-2)
    z = signatures["encode"](**{name: tf.constant(data)}, **given)["latents"]
    back = signatures["decode"](latents=z, **given)[name]
    np.testing.assert_allclose(back, data, atol=1e-3)
    one = {key: value[:1] for key, value in given.items()}
    default = signatures["serving_default"]
    whole = default(**{name: tf.constant(data)}, **given)["log_prob"]
    first = default(**{name: tf.constant(data[:1])}, **one)["log_prob"]
    np.testing.assert_allclose(first, whole[:1], rtol=1e-3, atol=1e-2)
    draw = {"temperature": tf.constant(1.0), "seed": tf.constant([0, 1]), **given}
    assert signatures["sample"](num_samples=tf.constant(5), **draw)[name].shape == data.shape
    for changed, sentence in (
        ({"condition": given["condition"][:2]}, "the condition must be one for each of 5"),
        ({"condition": given["condition"] * np.nan}, "the condition must be finite"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
            default(**{name: tf.constant(data)}, **(given | changed))


def test_what_does_not_fit_is_refused(case):
    dist, data, condition = case
    calls = {
        "needs a condition of shape": condition[:2],
        "is conditional on a condition": None,
        "the condition must be finite": condition * np.nan,
    }
    for sentence, wrong in calls.items():
        for call in (
            lambda wrong=wrong: nvp.encode(dist, data, LABELS, condition=wrong),
            lambda wrong=wrong: nvp.sample(dist, 5, labels=LABELS, condition=wrong),
            lambda wrong=wrong: nvp.Lite(dist, num=5).log_prob(data, LABELS, condition=wrong),
            lambda wrong=wrong: dist.initialize(data, LABELS, wrong),
        ):
            with pytest.raises(ValueError, match=sentence):
                call()
    plain = nvp.flows.build("realnvp", (3,), couplings=1, widths=(4,))
    with pytest.raises(ValueError, match="has no condition_shape, but a condition was given"):
        nvp.encode(plain, X, condition=condition)
    if dist.levels is None:
        with pytest.raises(ValueError, match="A posterior is one density"):
            nvp.fit_posterior(dist, lambda y: -tf.reduce_sum(y**2, -1))
