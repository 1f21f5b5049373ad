"""What can be done with a flow: scales, noise, importance, anomalies, attributes, labels."""

import math

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.uses import anomaly, latents


def flow(name="uva_multiscale", shape=(8, 8, 1)):
    widths = (
        {"widths": (4, 4, 4), "blocks": 1}
        if name == "uva_multiscale"
        else {"width": 4, "couplings": 2, "blocks": 1}
    )
    options = {} if name == "realnvp" else widths
    return nvp.flows.build(name, shape, levels=17, **options)


@pytest.fixture(scope="module")
def digits():
    return nvp.datasets.load_arrays("digits", "test")


@pytest.fixture(scope="module")
def multiscale():
    dist = flow()
    perturb_weights(dist.bijector, scale=0.05)
    return dist


# Scales.


@pytest.mark.parametrize(("scales", "kept"), [([0], 1), ([-1], 0)])
def test_resampling_keeps_the_other_scales(monkeypatch, multiscale, digits, scales, kept):
    images = digits[0][:3]
    drawn = []
    original = latents.decode

    def decode(dist, z, *args, **kwargs):
        drawn.append(z)
        return original(dist, z, *args, **kwargs)

    monkeypatch.setattr(latents, "decode", decode)
    result = nvp.resample_scales(multiscale, images, scales=scales, num=4, seed=3)
    assert result.shape == (3, 4, 8, 8, 1) and result.dtype == np.uint8
    before = nvp.split_scales(multiscale, nvp.encode(multiscale, images))
    after = [p.reshape(3, 4, -1) for p in nvp.split_scales(multiscale, drawn[0])]
    np.testing.assert_array_equal(
        after[kept], np.broadcast_to(before[kept][:, None], after[kept].shape)
    )
    fresh = after[1 - kept]
    assert len(np.unique(fresh)) == fresh.size
    assert abs(fresh.std() - 1) < 0.15 and abs(fresh.mean()) < 0.15


def test_resampling_is_reproducible_and_cold_is_constant(multiscale, digits):
    images = digits[0][:2]
    kwargs = {"scales": [0], "num": 3}
    first, again, other = (
        nvp.resample_scales(multiscale, images, seed=s, **kwargs) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    cold = nvp.resample_scales(multiscale, images, temperature=0.0, **kwargs)
    np.testing.assert_array_equal(cold[:, 0], cold[:, 2])


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"scales": [2]}, "has the scales 0 to 1, finest first; got"),
        ({"scales": []}, "has the scales 0 to 1"),
        ({"temperature": -1.0}, "temperature to be a finite number of at least 0, got -1.0"),
    ],
)
def test_resampling_refuses(multiscale, digits, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        nvp.resample_scales(multiscale, digits[0][:1], **kwargs)


# Noise.


def test_the_histogram_of_uniform_noise_is_flat_and_counts_every_value_once(digits):
    counts, edges = nvp.noise_histogram(flow("uva_simple"), digits[0], bins=16)
    assert counts.sum() == digits[0].size
    np.testing.assert_allclose(edges, np.arange(17) / 16)
    expected = digits[0].size / 16
    # Chi square with 15 degrees of freedom: 44 is its 1e-4 quantile from above.
    assert ((counts - expected) ** 2 / expected).sum() < 44


def test_the_histogram_of_variational_noise_is_what_log_prob_adds(multiscale, digits):
    images = digits[0][:60]
    noise = nvp.dequantization_noise(multiscale, images, seed=5)
    y = multiscale.quantizer.inverse(images, seed=5).numpy()
    np.testing.assert_allclose(y, images + noise, atol=1e-5)
    counts, _ = nvp.noise_histogram(multiscale, images, bins=8, seed=5)
    np.testing.assert_array_equal(counts, np.histogram(noise, bins=8, range=(0, 1))[0])
    flat = images.size / 8
    assert ((counts - flat) ** 2 / flat).sum() > 40  # the perturbed noise flow is not uniform


def test_noise_in_chunks_covers_every_image(digits):
    dist = flow("uva_simple")
    assert nvp.dequantization_noise(dist, digits[0][:7], rows_at_once=3).shape == (7, 8, 8, 1)
    assert nvp.noise_histogram(dist, digits[0][:0])[0].sum() == 0


def test_vectors_have_no_dequantization_noise():
    with pytest.raises(ValueError, match="Only integer images are dequantized; realnvp"):
        nvp.noise_histogram(flow("realnvp", (2,)), np.zeros([1, 2]))
    with pytest.raises(ValueError, match="bins to be a whole number of at least 1, got 0"):
        nvp.noise_histogram(flow("uva_simple"), np.zeros([1, 8, 8, 1], "uint8"), bins=0)


def test_the_density_of_dequantized_levels_has_their_probabilities():
    prior = np.array([3.0, 1.0, 4.0, 2.0])
    points, step = np.linspace(-14, 14, 100_001, retstep=True)
    level, density = nvp.dequantization_density(points, prior)
    mass = np.bincount(level, density) * step
    np.testing.assert_allclose(mass, prior / 10, atol=1e-3)
    with pytest.raises(ValueError, match="probabilities of at least 2 levels"):
        nvp.dequantization_density(points, [1.0])


# Importance weights.


def test_the_importance_curve_never_falls_and_ends_at_bits_per_dim(multiscale, digits):
    images = digits[0][:5]
    counts, bits = nvp.importance_curve(multiscale, images, num_importance_samples=8, seed=2)
    assert counts.tolist() == [1, 2, 4, 8] and bits.dtype == np.float32
    assert (np.diff(bits, axis=0) < 0).all()
    last = nvp.bits_per_dim(multiscale, images, num_importance_samples=8, seed=2)
    np.testing.assert_allclose(bits[-1], last, rtol=1e-6)
    # Its first point is the mean over single samples.
    draws = [{"seed": 2, "draw": i} for i in range(8)]
    each = np.mean([multiscale.log_prob(images, bijector_kwargs=draw) for draw in draws], 0)
    np.testing.assert_allclose(bits[0], -each / (64 * math.log(2)), rtol=FLOAT32)
    chunked = nvp.importance_curve(multiscale, images, num_importance_samples=8, rows_at_once=2)
    assert chunked[1].shape == (4, 5)


def test_importance_curves_refuse(multiscale):
    images = np.zeros([1, 8, 8, 1], "uint8")
    with pytest.raises(ValueError, match="must be a power of two, got 6"):
        nvp.importance_curve(multiscale, images, num_importance_samples=6)
    with pytest.raises(ValueError, match="Bits per dimension are of integer images"):
        nvp.importance_curve(flow("realnvp", (2,)), np.zeros([1, 2]))


# Anomalies.


def test_auroc_is_the_share_of_ordered_pairs(rng):
    ordinary, strange = rng.integers(0, 9, 40), rng.integers(2, 12, 30)
    pairs = (strange[:, None] > ordinary) + 0.5 * (strange[:, None] == ordinary)
    assert nvp.auroc(ordinary, strange) == pytest.approx(pairs.mean(), abs=1e-12)
    assert nvp.auroc([0, 1], [2, 3]) == 1 and nvp.auroc([2, 3], [0, 1]) == 0
    with pytest.raises(ValueError, match="scores of both kinds"):
        nvp.auroc([], [1.0])
    with pytest.raises(ValueError, match="got NaN"):
        nvp.auroc([0.0], [np.nan])


def test_scores_are_what_their_formulas_say(multiscale, digits):
    images = digits[0][:6]
    bits = nvp.bits_per_dim(multiscale, images, None, 1, 4)
    np.testing.assert_allclose(nvp.anomaly_scores(multiscale, images, seed=4), bits, rtol=1e-6)
    complexity = nvp.anomaly_scores(multiscale, images, kind="complexity", seed=4)
    code = anomaly.code_length(images, levels=17)
    np.testing.assert_allclose(complexity, bits - code / 64, rtol=1e-5)
    reference = digits[0][6:20]
    typical = nvp.anomaly_scores(multiscale, images, kind="typicality", reference=reference, seed=4)
    mean = nvp.bits_per_dim(multiscale, reference, None, 1, 4).mean()
    np.testing.assert_allclose(typical, abs(bits - mean), atol=1e-5)


def test_scores_of_vectors_are_nats():
    dist = flow("realnvp", (2,))
    x = np.array([[0.0, 0.0], [3.0, 4.0]], "float32")
    scores = nvp.anomaly_scores(dist, x)
    np.testing.assert_allclose(scores, math.log(2 * math.pi) + np.array([0, 12.5]), rtol=1e-6)
    with pytest.raises(ValueError, match="Complexity is that of integer images"):
        nvp.anomaly_scores(dist, x, kind="complexity")


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"kind": "waic"}, "kind must be one of"),
        ({"kind": "typicality"}, "needs reference data"),
        ({"reference": np.zeros([1, 8, 8, 1])}, "needs reference data"),
    ],
)
def test_scores_refuse(multiscale, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        nvp.anomaly_scores(multiscale, np.zeros([1, 8, 8, 1], "uint8"), **kwargs)


def test_the_code_is_lossless_and_finds_what_is_simple():
    ramp = np.broadcast_to(np.arange(32)[:, None, None], (1, 32, 32, 3))
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3))
    assert anomaly.code_length(ramp) < 400
    # Noise cannot be coded in less than its entropy.
    assert 8 * noise.size <= anomaly.code_length(noise) < 8.2 * noise.size
    assert anomaly.code_length(noise * 4, levels=1024) > 8 * noise.size
    with pytest.raises(ValueError, match=r"at most 65,536 levels"):
        anomaly.code_length(noise, levels=2**17)


# Attributes.


def test_a_direction_leads_from_one_group_to_the_other(multiscale, digits):
    images, labels = digits
    ones, zeros = images[labels == 1], images[labels == 0]
    direction = nvp.attribute_direction(multiscale, ones, zeros)
    latents = nvp.encode(multiscale, zeros)
    moved = latents.mean(0) + direction
    np.testing.assert_allclose(moved, nvp.encode(multiscale, ones).mean(0), atol=1e-4)
    there = nvp.move(multiscale, zeros[:3], direction, strengths=[0.0, 1.0])
    assert there.shape == (3, 2, 8, 8, 1)
    np.testing.assert_array_equal(there[:, 0], zeros[:3])
    expected = nvp.decode(multiscale, latents[:3] + direction)
    np.testing.assert_array_equal(there[:, 1], expected)


def test_directions_refuse(multiscale, digits):
    with pytest.raises(ValueError, match="got none"):
        nvp.attribute_direction(multiscale, digits[0][:0], digits[0])
    with pytest.raises(ValueError, match=r"has shape \(64,\), got \(3,\)"):
        nvp.move(multiscale, digits[0][:1], np.zeros(3))


# Labels.


@pytest.fixture(scope="module")
def conditional():
    dist = nvp.flows.build("realnvp", (3,), num_classes=4, couplings=2, widths=(8,))
    perturb_weights(dist.bijector, scale=0.5)
    return dist


def test_bound_labels_are_the_labels(conditional, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    bound = nvp.given(conditional, np.arange(4))
    assert bound.batch_shape == [4] and bound.event_shape == [3]
    expected = conditional.log_prob(x, bijector_kwargs={"labels": np.arange(4)})
    np.testing.assert_allclose(bound.log_prob(x), expected, rtol=FLOAT32)
    table = bound.log_prob(x[:, None])
    assert table.shape == (4, 4)
    np.testing.assert_allclose(np.diag(table), expected, rtol=FLOAT32)
    np.testing.assert_allclose(
        table, nvp.class_log_probs(conditional, x), rtol=FLOAT32, atol=FLOAT32
    )
    assert len(bound.trainable_variables) == len(conditional.trainable_variables)


def test_samples_given_labels_are_of_their_class(conditional):
    bound = nvp.given(conditional, [2, 0])
    samples = bound.sample(5, seed=(1, 2))
    assert samples.shape == (5, 2, 3)
    labels = np.tile([2, 0], (5, 1))
    z = conditional.bijector.inverse(tf.identity(samples), labels=labels)
    base = conditional.distribution.sample([5, 2], seed=(1, 2))
    np.testing.assert_allclose(z, base, atol=1e-3)
    assert nvp.given(conditional, 1).sample(seed=(0, 1)).shape == (3,)
    cold = nvp.given(conditional, 1).sample(2, seed=(0, 1), temperature=0.0)
    np.testing.assert_array_equal(cold[0], cold[1])


def test_bound_images(digits):
    dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17, num_classes=10, width=4, couplings=2)
    images, labels = digits[0][:6], digits[1][:6]
    bound = nvp.given(dist, labels)
    seeded = {"seed": (1, 2)}
    np.testing.assert_allclose(
        bound.log_prob(images, bijector_kwargs=seeded),
        dist.log_prob(images, bijector_kwargs={**seeded, "labels": labels}),
        rtol=FLOAT32,
    )
    assert bound.sample(2).shape == (2, 6, 8, 8, 1)


def test_the_posterior_is_bayes_rule(conditional, rng):
    x = rng.normal(size=(5, 3)).astype("float32")
    likelihoods = np.exp(nvp.class_log_probs(conditional, x).astype(np.float64))
    prior = np.array([0.4, 0.1, 0.3, 0.2])
    expected = prior * likelihoods / (likelihoods @ prior)[:, None]
    got = nvp.class_posterior(conditional, x, prior=10 * prior)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    np.testing.assert_allclose(nvp.class_posterior(conditional, 1e3 * x).sum(1), 1)


def test_labels_refuse(conditional):
    x = np.zeros([1, 3], "float32")
    with pytest.raises(ValueError, match="labels must be integers from 0 to 3"):
        nvp.given(conditional, [4])
    with pytest.raises(ValueError, match="is not conditional on classes"):
        nvp.given(flow("realnvp", (3,)), [0])
    with pytest.raises(ValueError, match="is not conditional on classes"):
        nvp.class_posterior(flow("realnvp", (3,)), x)
    with pytest.raises(ValueError, match="needs 4 probabilities that are not all zero"):
        nvp.class_posterior(conditional, x, prior=[1, 1])
