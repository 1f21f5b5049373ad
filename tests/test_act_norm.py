"""ActNorm starts from data, once, and says so before; invertible convolutions keep their signs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    Composition,
    Context,
    FactorOut,
    InvertibleConv,
    Scope,
    VariationalDequantization,
)

UNINITIALIZED = r"act_norm\S* starts from data and has seen none: call initialize\(data\)"


def glow(**kwargs):
    return nvp.flows.build("glow", (4, 4, 1), **{"levels": 8, "width": 4, "steps": 2, **kwargs})


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 8, (64, 4, 4, 1)).astype("uint8")


def test_uninitialized_use_is_refused_both_ways_eagerly_and_in_graphs(images):
    dist = glow()
    for use in (
        lambda: dist.log_prob(images),
        lambda: dist.sample(2, seed=(0, 0)),
        lambda: nvp.encode(dist, images),
        lambda: nvp.sample(dist, 2),
        tf.function(lambda: dist.log_prob(images)),
        tf.function(lambda: dist.sample(2)),
    ):
        with pytest.raises(ValueError, match=UNINITIALIZED):
            use()


def test_refusal_costs_nothing_once_initialized(images, monkeypatch):
    norm = ActNorm(ndims=1)
    norm.initialize(np.array([[1.0], [3.0]]))
    assert not norm.needs_data
    monkeypatch.setattr(norm._affine, "initialized", None)  # never read again
    norm.inverse([[2.0]])
    again = tf.function(lambda x: norm.inverse(x))(tf.constant([[2.0]]))
    np.testing.assert_allclose(again, [[0.0]], atol=1e-6)


@pytest.mark.parametrize("ndims", [1, 3])
def test_the_latent_side_starts_with_mean_0_and_variance_1(rng, ndims):
    norm = ActNorm(ndims=ndims)
    y = rng.normal(5.0, 7.0, (50, 3) if ndims == 1 else (50, 4, 2, 3))
    norm.build(y.shape[1:], Scope(dtype="float64"))
    norm.initialize(y)
    x = np.reshape(norm.inverse(y), (-1, 3))
    np.testing.assert_allclose(x.mean(0), 0, atol=FLOAT64)
    np.testing.assert_allclose(x.var(0), 1, atol=FLOAT64)
    # Once only: other data change nothing.
    norm.initialize(y * 3)
    np.testing.assert_allclose(np.reshape(norm.inverse(y), (-1, 3)), x)


def test_nested_members_start_from_what_reaches_them(rng):
    inner, outer = ActNorm(), ActNorm()
    flow = Composition([Composition([outer, InvertibleConv()]), FactorOut([inner])])
    flow.build((2, 2, 4), Scope(dtype="float64"))
    y = rng.normal(5.0, 7.0, (50, 2, 2, 4))
    flow.initialize(y)
    latents = flow.inverse(y).numpy()[:, 8:].reshape(-1, 2)
    np.testing.assert_allclose(latents.mean(0), 0, atol=FLOAT64)
    np.testing.assert_allclose(latents.std(0), 1, atol=FLOAT64)


def test_a_noise_flow_starts_from_its_noise(images):
    dequantization = VariationalDequantization([ActNorm()], levels=8)
    dist = nvp.Flow([dequantization], (4, 4, 1))
    assert dist.bijector.needs_data
    dist.initialize(images)
    assert not dist.bijector.needs_data
    assert np.isfinite(dist.log_prob(images)).all()


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_fit_initializes_from_its_first_examples(images, kind):
    dist, expected = glow(), glow()
    expected.initialize(images)
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.SGD(0.0))
    data = images if kind == "array" else tf.data.Dataset.from_tensor_slices(images).batch(16)
    model.fit(data, verbose=0)
    for a, b in zip(dist.variables, expected.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_labels_reach_the_walk(images):
    labels = np.arange(64) % 3
    dist, other = glow(num_classes=3), glow(num_classes=3)
    for d in (dist, other):
        for v in d.trainable_variables:
            v.assign_add(0.3 * tf.random.stateless_normal(v.shape, (1, 2), dtype=v.dtype))
    dist.initialize(images, labels)
    other.initialize(images, labels * 0)
    pairs = zip(dist.variables, other.variables, strict=True)
    assert any((a.numpy() != b.numpy()).any() for a, b in pairs)
    with pytest.raises(ValueError, match="conditional on 3 classes: give labels"):
        glow(num_classes=3).initialize(images)
    model = nvp.FlowModel(glow(num_classes=3))
    model.compile("adam")
    assert np.isfinite(model.fit(images, labels, verbose=0).history["loss"][0])


def test_data_that_cannot_be_looked_into(images):
    model = nvp.FlowModel(glow())
    model.compile("adam")
    with pytest.raises(ValueError, match="cannot look into generator: call initialize"):
        model.fit((images for _ in range(2)), verbose=0)


def test_replicas_start_from_the_same_data(images, strategy):
    with strategy.scope():
        model = nvp.FlowModel(glow(steps=1))
        model.compile("adam")
    history = model.fit(tf.data.Dataset.from_tensor_slices(images).batch(32), verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_a_saved_flow_comes_back_initialized(images, tmp_path):
    dist = glow()
    dist.initialize(images)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    assert not loaded.bijector.needs_data
    np.testing.assert_array_equal(loaded.sample(2, seed=(0, 1)), dist.sample(2, seed=(0, 1)))
    fresh = nvp.load(nvp.save(glow(), tmp_path / "fresh.keras"))
    with pytest.raises(ValueError, match=UNINITIALIZED):
        fresh.sample(2)


@pytest.mark.parametrize("ndims", [1, 3])
def test_the_matrix_is_a_rotation_whose_factors_keep_its_signs(ndims):
    mix = InvertibleConv(ndims=ndims)
    mix.build((8,) if ndims == 1 else (2, 3, 8), Scope(dtype="float64", seed=3))
    weight = mix.weight.numpy()
    np.testing.assert_allclose(weight @ weight.T, np.eye(8), atol=FLOAT64)
    assert (np.asarray(mix._factors.signs) < 0).any()
    perturb_weights(mix)
    log_det = mix.inverse_and_log_det(np.ones((1, *mix.event_shape)))[1]
    pixels = 1 if ndims == 1 else 6
    expected = pixels * np.linalg.slogdet(mix.weight.numpy())[1]
    np.testing.assert_allclose(log_det, [expected], atol=FLOAT64)


def test_vectors_of_a_glow_at_scale_1000():
    x = np.random.default_rng(0).normal(5e3, 1e3, (256, 3))
    dist = nvp.flows.build("glow", (3,), steps=2, width=8)
    dist.initialize(x)
    z = dist.bijector.inverse_and_log_det(x, Context())[0].numpy()
    assert np.abs(z.mean(0)).max() < 0.1 and np.abs(z.std(0) - 1).max() < 0.5
    np.testing.assert_allclose(nvp.decode(dist, nvp.encode(dist, x)), x, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 2 channels, got shape"):
        InvertibleConv(ndims=1).build((1,))
