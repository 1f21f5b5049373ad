"""Flows of point sets: the order of the points does not matter."""

import re

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, PointHalves
from tfp_realnvp.conditioners import MLP, DeepSet

SHAPE = (5, 3)


def small(shape=SHAPE, **options):
    dist = nvp.flows.build("sets", shape, couplings=3, widths=(8, 8), **options)
    perturb_weights(dist.bijector, scale=0.3)
    return dist


@pytest.mark.parametrize("num_classes", [None, 2])
def test_points_in_another_order_have_the_same_density(num_classes, rng):
    dist = small(dtype="float64", num_classes=num_classes)
    context = nvp.Context(labels=None if num_classes is None else [0, 1, 1, 0])
    points, order = rng.normal(size=(4, *SHAPE)), np.array([3, 0, 4, 1, 2])
    z, log_det = dist.encode_and_log_det(points, context)
    z = tf.reshape(z, points.shape)
    other, other_log_det = dist.encode_and_log_det(points[:, order], context)
    np.testing.assert_allclose(tf.reshape(other, points.shape), z.numpy()[:, order], atol=FLOAT64)
    np.testing.assert_allclose(other_log_det, log_det, atol=FLOAT64)
    # The other way too, so that samples are exchangeable.
    latents = rng.normal(size=(4, *SHAPE))
    drawn, again = (
        dist.bijector.forward_and_log_det(tf.reshape(v, [4, -1]), context)[0]
        for v in (latents, latents[:, order])
    )
    np.testing.assert_allclose(again, drawn.numpy()[:, order], atol=FLOAT64)


def test_points_see_each_other(rng):
    dist = small(dtype="float64")
    points = rng.normal(size=(2, *SHAPE))
    moved = points.copy()
    moved[:, 0] += 1
    z, other = (nvp.encode(dist, v).reshape(points.shape) for v in (points, moved))
    assert (np.abs(z - other)[:, 1:, 1:] > 1e-4).all()


def test_one_point_is_a_vector(rng):
    dist = small((1, 2))
    assert dist.log_prob(rng.normal(size=(3, 1, 2))).shape == (3,)


def test_learns_what_points_have_in_common(rng):
    # Points around a centre of their own set: exchangeable, normal, and far from independent.
    def draw(count):
        centres = 2 * rng.normal(size=(count, 1, 2))
        return (centres + 0.5 * rng.normal(size=(count, 4, 2))).astype("float32")

    test = draw(2000)
    dist = nvp.flows.build("sets", (4, 2), couplings=4, widths=(32,))
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(5e-3))
    model.fit(draw(16_000), batch_size=256, epochs=6, verbose=0)
    covariance = 4 * np.ones([4, 4]) + 0.25 * np.eye(4)
    entropy = 2 * 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    apart = 8 * 0.5 * np.log(2 * np.pi * np.e * 4.25)
    nats = -dist.log_prob(test).numpy().mean()
    assert nats < entropy + 0.3 < apart - 5


def test_goes_where_other_flows_go(tmp_path, rng):
    dist = nvp.flows.build("sets", SHAPE, couplings=3, widths=(8, 8), num_classes=2)
    perturb_weights(dist.bijector)
    points, labels = rng.normal(size=(4, *SHAPE)).astype("float32"), np.array([0, 1, 1, 0])
    expected = dist.log_prob(points, bijector_kwargs={"labels": labels})
    loaded = nvp.load(nvp.save(dist, tmp_path / "sets.keras"))
    again = loaded.log_prob(points, bijector_kwargs={"labels": labels})
    np.testing.assert_array_equal(again, expected)
    z = nvp.encode(dist, points, labels)
    assert z.shape == (4, 15)
    np.testing.assert_allclose(nvp.decode(dist, z, labels), points, atol=1e-5)
    assert nvp.sample(dist, 3, labels=0, seed=0).shape == (3, *SHAPE)
    assert nvp.interpolate(dist, points[0], points[1], steps=3, labels=0).shape == (3, *SHAPE)
    assert "PointHalves, inverted, DeepSet (8, 8)" in nvp.summary(dist)
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "served"))).signatures
    got = served["serving_default"](x=tf.constant(points), labels=tf.constant(labels, tf.int32))
    np.testing.assert_allclose(got["log_prob"], expected, atol=1e-4)
    labels = tf.zeros([2], tf.int32)
    drawn = served["sample"](
        num_samples=tf.constant(2),
        temperature=tf.constant(1.0),
        seed=tf.constant([0, 1]),
        labels=labels,
    )
    assert drawn["x"].shape == (2, *SHAPE)
    fast = nvp.Compiled(dist, num=4)
    np.testing.assert_allclose(fast.log_prob(points, [0, 1, 1, 0]), expected, atol=1e-4)
    lite = nvp.Lite(dist, num=4)
    np.testing.assert_allclose(lite.log_prob(points, [0, 1, 1, 0]), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: nvp.flows.build("sets", (3,)),
            "sets models point sets of shape (P, D), got event shape (3,).",
        ),
        (
            lambda: nvp.flows.build("sets", (4, 1)),
            "A coupling needs points of at least 2 coordinates, got shape (4, 1).",
        ),
        (
            lambda: nvp.flows.build("maf", (4, 2)),
            "maf models vectors of shape (D,), got event shape (4, 2).",
        ),
        (
            lambda: Coupling(PointHalves(), DeepSet()).build((4, 4, 1)),
            "Coupling takes events of rank 2, got shape (4, 4, 1).",
        ),
        (
            lambda: Coupling(nvp.bijectors.Halves(), DeepSet()).build((4,)),
            "sees events of rank 2, got shape (4,).",
        ),
        (lambda: small().log_prob(np.zeros([2, 4, 3])), "expects events of shape (5, 3), got a"),
    ],
)
def test_what_is_refused(make, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()


def test_a_network_without_the_other_points_makes_them_independent(rng):
    # An MLP sees one point at a time: the mean is what lets points see each other.
    couplings = [Coupling(PointHalves(inverted=i == 1), MLP(widths=(8,))) for i in range(2)]
    dist = nvp.Flow(couplings, (4, 2), dtype="float64")
    perturb_weights(dist.bijector)
    points = rng.normal(size=(3, 4, 2))
    moved = points.copy()
    moved[:, 0] += 1
    z, other = (nvp.encode(dist, v).reshape(points.shape) for v in (points, moved))
    np.testing.assert_allclose(z[:, 1:], other[:, 1:], atol=FLOAT64)
