"""The likelihood is normalised, and its pieces agree: nats, bits, importance samples, chunks."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import perturb_weights
from tolerances import QUADRATURE

import tfp_realnvp as nvp
from tfp_realnvp.uses import likelihood

# The standard normal of the base.
NORMAL = tfp.distributions.Normal(np.float64(0), np.float64(1))

# Two pixels of four levels: all 16 images there are.
TOY, LEVELS = (1, 2, 1), 4
IMAGES = np.stack(np.meshgrid(range(LEVELS), range(LEVELS)), -1).reshape(-1, *TOY).astype("uint8")


def toy(name: str, dtype: str = "float64", couplings: int = 4, blocks: int = 3) -> nvp.Flow:
    options = {"width": 6, "couplings": couplings, "blocks": blocks}
    dist = nvp.flows.build(name, TOY, levels=LEVELS, dtype=dtype, **options)
    perturb_weights(dist.bijector, scale=0.05)
    return dist


@pytest.mark.parametrize("name", ["uva_simple", "uva_vardeq"])
def test_probabilities_of_all_images_sum_to_one(name):
    dist = toy(name)
    samples = 10_000
    weights = np.stack(
        [
            np.exp(
                dist.log_prob(np.repeat(image[None], samples, 0), bijector_kwargs={"seed": (i, 0)})
            )
            for i, image in enumerate(IMAGES)
        ]
    )
    probabilities = weights.mean(1)
    errors = weights.std(1, ddof=1) / math.sqrt(samples)
    assert errors.max() <= 0.005
    assert abs(probabilities.sum() - 1) <= 3 * np.linalg.norm(errors)
    # They are not all alike: the weights were perturbed enough for the sum to say something.
    assert probabilities.max() > 3 * probabilities.min()


@pytest.mark.parametrize("name", ["uva_simple", "uva_vardeq"])
def test_probabilities_are_the_frequencies_of_samples(name):
    dist = toy(name, "float32")
    count = 20_000
    drawn = dist.sample(count, seed=(1, 2)).numpy().reshape(count, 2).astype(int)
    frequencies = np.bincount(drawn @ [1, LEVELS], minlength=16) / count
    index = IMAGES.reshape(16, 2).astype(int) @ [1, LEVELS]
    repeated = np.repeat(IMAGES, 2_000, 0)
    weights = np.exp(dist.log_prob(repeated, bijector_kwargs={"seed": (0, 0)})).reshape(16, -1)
    expected = weights.mean(1)
    error = np.sqrt(weights.var(1) / weights.shape[1] + expected * (1 - expected) / count)
    assert (np.abs(frequencies[index] - expected) < 4.5 * error).all()


def test_continuous_density_integrates_to_one():
    dist = toy("uva_simple")
    # Midpoints in the logit of each pixel, where the density is smooth.
    v, step = np.linspace(-14, 14, 700, retstep=True)
    x = LEVELS / (1 + np.exp(-v))
    slope = x * (1 - x / LEVELS)
    grid = np.stack(np.meshgrid(x, x), -1).reshape(-1, *TOY)
    volume = np.outer(slope, slope).reshape(-1) * step**2
    z, log_det = dist.continuous.inverse_and_log_det(grid)
    density = np.exp(dist.distribution.log_prob(z) + log_det)
    assert density @ volume == pytest.approx(1, abs=QUADRATURE)


def test_vector_density_integrates_to_one():
    dist = nvp.flows.build("realnvp", (2,), dtype="float64", couplings=4, widths=(16,))
    perturb_weights(dist.bijector)
    # Some mass lies far out: conditioners grow without bound. Steps grow with the distance.
    v, step = np.linspace(-7, 7, 900, retstep=True)
    grid = np.stack(np.meshgrid(np.sinh(v), np.sinh(v)), -1).reshape(-1, 2)
    volume = np.outer(np.cosh(v), np.cosh(v)).reshape(-1) * step**2
    assert np.exp(dist.log_prob(grid)) @ volume == pytest.approx(1, abs=QUADRATURE)


def test_untrained_vector_flow_is_a_standard_normal():
    dist = nvp.flows.build("realnvp", (3,), dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(dist.log_prob(x), NORMAL.log_prob(x).numpy().sum(1))


def test_uniform_dequantization_of_a_uniform_density():
    # Sigmoid of a logistic is uniform; a normal base through these two bijectors is known exactly.
    dist = nvp.flows.build("uva_simple", (1, 2, 1), levels=4, couplings=1, width=2, dtype="float64")
    shrunk = np.arange(5) / 4 * (1 - 1e-5) + 5e-6
    per_pixel = np.diff(NORMAL.cdf(np.log(shrunk) - np.log1p(-shrunk)))
    rows = np.repeat(IMAGES, 4_000, 0)
    weights = np.exp(dist.log_prob(rows, bijector_kwargs={"seed": (3, 4)})).reshape(16, -1)
    error = weights.std(1) / math.sqrt(weights.shape[1])
    expected = per_pixel[IMAGES.reshape(16, 2)].prod(1)
    assert (np.abs(weights.mean(1) - expected) < 4.5 * error).all()
    assert (error < 0.03 * expected).all()


def test_bits_per_dim_is_log_prob_in_other_units():
    dist = toy("uva_vardeq", "float32")
    bits = nvp.bits_per_dim(dist, IMAGES, num_importance_samples=1, seed=3)
    assert bits.dtype == np.float32
    nats = likelihood.log_prob(dist, IMAGES, num_importance_samples=1, seed=3)
    np.testing.assert_allclose(bits, -nats / (2 * math.log(2)), rtol=1e-6)
    np.testing.assert_array_equal(bits, nvp.bits_per_dim(dist, IMAGES, None, 1, 3))
    assert (bits != nvp.bits_per_dim(dist, IMAGES, num_importance_samples=1, seed=4)).any()


def test_more_importance_samples_tighten_the_bound():
    dist = toy("uva_simple")
    images = np.repeat(IMAGES, 20, 0)
    few = nvp.bits_per_dim(dist, images, num_importance_samples=1)
    many = nvp.bits_per_dim(dist, images, num_importance_samples=64)
    assert many.mean() < few.mean()
    rows = np.repeat(IMAGES, 5_000, 0)
    weights = np.exp(dist.log_prob(rows, bijector_kwargs={"seed": (0, 1)})).reshape(16, -1)
    truth = -np.log2(weights.mean(1)) / 2
    np.testing.assert_allclose(many.reshape(16, 20).mean(1), truth, rtol=0.04)


def test_importance_samples_average_in_probability_space():
    dist = toy("uva_vardeq")
    k, seed = 5, 9
    got = likelihood.log_prob(dist, IMAGES, num_importance_samples=k, seed=seed)
    draws = [{"seed": seed, "draw": i} for i in range(k)]
    each = [dist.log_prob(IMAGES, bijector_kwargs=draw).numpy() for draw in draws]
    np.testing.assert_allclose(got, np.logaddexp.reduce(each, axis=0) - math.log(k), rtol=1e-9)


def test_chunks_bound_memory_and_cover_everything():
    dist = nvp.flows.build("realnvp", (2,))
    x = np.random.default_rng(0).normal(size=(23, 2)).astype("float32")
    whole = likelihood.log_prob(dist, x)
    np.testing.assert_allclose(likelihood.log_prob(dist, x, rows_at_once=5), whole, rtol=1e-6)
    assert likelihood.log_prob(dist, x[:0]).shape == (0,)


def test_bits_per_dim_of_vectors_is_refused():
    with pytest.raises(ValueError, match="Bits per dimension are of integer images; realnvp"):
        nvp.bits_per_dim(nvp.flows.build("realnvp", (2,)), np.zeros([1, 2]))


def test_gradient_of_the_likelihood_by_finite_differences():
    dist = toy("uva_vardeq", couplings=1, blocks=1)
    kwargs = {"bijector_kwargs": {"seed": (1, 1)}}
    variables = dist.trainable_variables
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(dist.log_prob(IMAGES, **kwargs))
    gradients = tape.gradient(value, variables)
    rng = np.random.default_rng(0)
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        small, change = 1e-6, []
        for sign in (1, -1):
            variable.assign_add(sign * small * direction)
            change.append(sign * float(tf.reduce_sum(dist.log_prob(IMAGES, **kwargs))))
            variable.assign_sub(sign * small * direction)
        slope = sum(change) / (2 * small)
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(
            slope, rel=1e-4, abs=1e-5
        )


def test_a_part_of_the_rows_has_the_noise_of_the_whole():
    dist = toy("uva_vardeq", couplings=1, blocks=1)
    whole = likelihood.log_prob(dist, IMAGES, num_importance_samples=3, seed=1)
    part = likelihood.log_prob(dist, IMAGES[5:], num_importance_samples=3, seed=1, first_row=5)
    np.testing.assert_allclose(part, whole[5:], rtol=1e-12)
    assert not np.allclose(likelihood.log_prob(dist, IMAGES[5:], seed=1), part)
