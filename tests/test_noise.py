"""The noise contract: what log_prob, encode and sample do with dequantization noise."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp

SHAPE, LEVELS = (4, 4, 1), 8
OPTIONS = {
    "uva_simple": {"width": 4, "couplings": 2, "blocks": 1},
    "uva_vardeq": {"width": 4, "couplings": 2, "blocks": 1},
    "uva_multiscale": {"widths": (4, 4, 4), "blocks": 1},
}
DTYPES = ["uint8", "int32", "float32", "float64"]


@pytest.fixture(scope="module", params=OPTIONS)
def dist(request):
    flow = nvp.flows.build(request.param, SHAPE, levels=LEVELS, **OPTIONS[request.param])
    perturb_weights(flow.bijector)
    return flow


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, LEVELS, (6, *SHAPE)).astype("uint8")


def test_fresh_noise_on_every_call(dist, images):
    first, second = dist.log_prob(images), dist.log_prob(images)
    assert (np.asarray(first) != np.asarray(second)).all()
    # The very same tensor object as well: nothing comes out of a cache.
    tensor = tf.constant(images)
    assert (np.asarray(dist.log_prob(tensor)) != np.asarray(dist.log_prob(tensor))).all()


def test_fresh_noise_follows_the_global_seed(dist, images):
    results = []
    for _ in range(2):
        tf.random.set_seed(5)
        results.append(dist.log_prob(images).numpy())
    np.testing.assert_array_equal(*results)


def test_seeded_noise_is_reproducible(dist, images):
    def seeded(seed):
        return dist.log_prob(images, bijector_kwargs={"seed": seed}).numpy()

    np.testing.assert_array_equal(seeded((1, 2)), seeded((1, 2)))
    assert (seeded((1, 2)) != seeded((1, 3))).all()
    graph = tf.function(lambda x: dist.log_prob(x, bijector_kwargs={"seed": (1, 2)}))
    np.testing.assert_allclose(graph(images), seeded((1, 2)), rtol=FLOAT32)


def test_noise_differs_between_pixels_and_images(dist):
    zeros = np.zeros([3, *SHAPE], "uint8")
    noise = dist.quantizer.inverse(zeros, seed=(1, 1)).numpy().reshape(-1)
    assert len(np.unique(noise)) == noise.size


def test_noise_has_full_support(dist):
    zeros = np.zeros([2_000, *SHAPE], "float32")
    base = dist.quantizer.base_noise(tf.constant(zeros), nvp.Context(seed=(0, 0))).numpy()
    assert base.min() >= 0 and base.max() < 1
    assert base.min() < 1e-3 and base.max() > 1 - 1e-3
    histogram = np.histogram(base, bins=20, range=(0, 1))[0]
    assert abs(histogram / base.size - 0.05).max() < 0.005


def test_value_and_log_det_share_one_noise(dist, images):
    # The likelihood, from TFP's separate methods of the bijector and of the base.
    tensor = tf.constant(images)
    z = dist.bijector.inverse(tensor, seed=(3, 4))
    log_det = dist.bijector.inverse_log_det_jacobian(tensor, 3, seed=(3, 4))
    expected = dist.log_prob(images, bijector_kwargs={"seed": (3, 4)})
    np.testing.assert_allclose(dist.distribution.log_prob(z) + log_det, expected, rtol=FLOAT32)
    # Without a seed too, through the cache, which keeps the two together.
    z = dist.bijector.inverse(tensor)
    log_det = dist.bijector.inverse_log_det_jacobian(tensor, 3)
    again, expected = dist.continuous.inverse_and_log_det(dist.continuous.forward(tf.identity(z)))
    np.testing.assert_allclose(z, again, atol=0.05)
    quantizer = log_det - expected
    if not hasattr(dist.quantizer, "noise_flow"):
        np.testing.assert_allclose(quantizer, np.zeros(6), atol=0.05)


def test_log_prob_of_samples_is_that_of_the_pixels():
    # Untrained: the density is known to be the same for the bins of every pixel of a level, and
    # the unquantized latent's would differ by nats.
    dist = nvp.flows.build("uva_multiscale", SHAPE, levels=LEVELS, widths=(4, 4, 4), blocks=1)
    perturb_weights(dist.bijector)
    kwargs = {"bijector_kwargs": {"seed": (7, 7)}}
    samples = dist.sample(200, seed=(1, 2))
    copy = samples.numpy().copy()
    np.testing.assert_array_equal(dist.log_prob(samples, **kwargs), dist.log_prob(copy, **kwargs))
    fresh = np.stack([dist.log_prob(samples), dist.log_prob(copy)])
    error = (fresh[0] - fresh[1]).std() / np.sqrt(200)
    assert abs(fresh[0].mean() - fresh[1].mean()) < 4 * error
    drawn, log_prob = dist.experimental_sample_and_log_prob(200, seed=(1, 2))
    np.testing.assert_array_equal(drawn, samples)
    assert abs(np.mean(log_prob) - fresh.mean()) < 4 * error


@pytest.mark.parametrize("dist", ["uva_simple", "uva_vardeq"], indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrap", [np.asarray, tf.constant], ids=["numpy", "tensor"])
def test_every_dtype_of_pixels(dist, images, dtype, wrap):
    seed = {"seed": (1, 2)}
    expected = dist.log_prob(images, bijector_kwargs=seed)
    pixels = wrap(images.astype(dtype))
    np.testing.assert_array_equal(dist.log_prob(pixels, bijector_kwargs=seed), expected)
    latents = dist.bijector.inverse(images, **seed)
    np.testing.assert_array_equal(dist.bijector.inverse(pixels, **seed), latents)
    assert latents.dtype == tf.float32
    graph = tf.function(lambda x: dist.log_prob(x, bijector_kwargs=seed))
    np.testing.assert_allclose(graph(pixels), expected, rtol=FLOAT32)


def test_encode_is_deterministic_and_exact(dist, images):
    latents = nvp.encode(dist, images)
    np.testing.assert_array_equal(latents, nvp.encode(dist, images))
    assert latents.shape == (6, 16) and latents.dtype == np.float32
    decoded = nvp.decode(dist, latents)
    np.testing.assert_array_equal(decoded, images)
    assert decoded.dtype == np.uint8


def test_encode_is_exact_with_bfloat16_conditioners(images):
    dist = nvp.flows.build(
        "uva_multiscale", SHAPE, levels=LEVELS, conditioner_dtype="mixed_bfloat16", widths=(4, 4, 4)
    )
    perturb_weights(dist.bijector)
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)


def test_served_noise_depends_on_its_row_alone(dist, images):
    context = nvp.Context(noise="per_example")
    whole = dist.log_prob_in(images, context).numpy()
    np.testing.assert_array_equal(whole, dist.log_prob_in(images, context))
    for rows in (slice(0, 1), slice(3, 6), slice(None, None, -1)):
        np.testing.assert_allclose(
            dist.log_prob_in(images[rows], context), whole[rows], rtol=FLOAT32
        )


def test_served_noise_is_uniform_over_images():
    dist = nvp.flows.build("uva_simple", SHAPE, levels=LEVELS, width=2, couplings=1)
    rng = np.random.default_rng(0)
    many = tf.constant(rng.integers(0, LEVELS, (4_000, *SHAPE)).astype("float32"))
    noise = dist.quantizer.base_noise(many, nvp.Context(noise="per_example")).numpy()
    assert noise.min() >= 0 and noise.max() < 1
    for pixel in noise.reshape(len(many), -1).T:
        histogram = np.histogram(pixel, bins=10, range=(0, 1))[0]
        # Chi-square with 9 degrees of freedom: 40 is beyond 1 in 100,000.
        assert ((histogram - 400) ** 2 / 400).sum() < 40


def test_batch_shapes_of_distributions(dist, images):
    single = dist.log_prob(images[0])
    assert single.shape == ()
    double = images.reshape(2, 3, *SHAPE)
    kwargs = {"bijector_kwargs": {"seed": (1, 2)}}
    np.testing.assert_allclose(
        np.reshape(dist.log_prob(double, **kwargs), 6),
        dist.log_prob(images, **kwargs),
        rtol=FLOAT32,
    )
    assert dist.sample(seed=(0, 1)).shape == SHAPE
    assert dist.sample([2, 3], seed=(0, 1)).shape == (2, 3, *SHAPE)
    samples = dist.sample(16, seed=(0, 1))
    assert samples.dtype == tf.float32
    assert set(np.unique(samples)) <= set(range(LEVELS))
    np.testing.assert_array_equal(samples, dist.sample(16, seed=(0, 1)))
