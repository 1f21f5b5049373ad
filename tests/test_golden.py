"""Golden vectors: given weights and inputs, the numbers that other implementations compute."""

import numpy as np
import numpy_reference
import pytest
import tensorflow as tf
from reference_weights import flat_latents, load_flow
from tolerances import FLOAT32, FLOAT64, GOLDEN, GOLDEN_LOG_DET, GOLDEN_LOG_Q

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Composition

# Variables are float32 on disk; initial values and their perturbation are pinned to that.
STORED = 1e-6


@pytest.fixture(scope="module")
def own():
    return np.load(numpy_reference.GOLDEN)


@pytest.fixture(scope="module")
def own_flow(own):
    dist = numpy_reference.build()
    weights = numpy_reference.weights_of(dist)
    for name, value in weights.items():
        np.testing.assert_allclose(value, own[f"weights/{name}"], atol=STORED, err_msg=name)
    for variable, place in _places(dist):
        variable.assign(own[f"weights/{place}"])
    return dist


def test_own_golden_file(own, own_flow):
    latents, log_prob = _log_prob_with_noise(own_flow, own["images"], own["base_noise"])
    np.testing.assert_allclose(latents, own["latents"], rtol=FLOAT64, atol=FLOAT64)
    np.testing.assert_allclose(log_prob, own["log_prob"], rtol=FLOAT64)


def test_own_golden_file_in_float32(own, own_flow):
    dist = nvp.Flow.from_config({**own_flow.get_config(), "dtype": "float32"})
    for (ours, place), _ in zip(_places(dist), dist.variables, strict=True):
        ours.assign(own[f"weights/{place}"])
    latents, log_prob = _log_prob_with_noise(
        dist, own["images"], own["base_noise"].astype(np.float32)
    )
    np.testing.assert_allclose(latents, own["latents"], rtol=FLOAT32, atol=FLOAT32)
    np.testing.assert_allclose(log_prob, own["log_prob"], rtol=FLOAT32)


def test_the_stored_numbers_are_the_reference_s(own):
    weights = {
        key.removeprefix("weights/"): own[key].astype(np.float64)
        for key in own.files
        if key.startswith("weights/")
    }
    latents, log_prob = numpy_reference.log_prob(own["images"], own["base_noise"], weights)
    np.testing.assert_allclose(latents, own["latents"], rtol=FLOAT64, atol=FLOAT64)
    np.testing.assert_allclose(log_prob, own["log_prob"], rtol=FLOAT64)


@pytest.mark.parametrize("name", ["uva_simple", "uva_multiscale"])
def test_reference_flow(shared, name):
    golden = np.load(shared / "golden" / f"{name}.npz")
    dist = nvp.flows.build(name, (28, 28, 1))
    load_flow(dist, golden)
    # The golden images are past dequantization and logit.
    members = list(dist.bijector.bijectors)[2:]
    flow = Composition(members).share(dist.bijector, (28, 28, 1))
    z, log_det = flow.inverse_and_log_det(golden["__y"])
    np.testing.assert_allclose(z, flat_latents(golden), atol=GOLDEN)
    np.testing.assert_allclose(log_det, golden["__ldj"], atol=GOLDEN, rtol=1e-6)
    y, back = flow.forward_and_log_det(tf.constant(flat_latents(golden)))
    np.testing.assert_allclose(y, golden["__y"], atol=GOLDEN, rtol=GOLDEN)
    np.testing.assert_allclose(back, -golden["__ldj"], atol=GOLDEN, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reference_dequantizer(shared, dtype):
    golden = np.load(shared / "golden" / "uva_multiscale.npz")
    dist = nvp.flows.build("uva_multiscale", (28, 28, 1), dtype=dtype)
    load_flow(dist, golden)
    images = golden["__dequant_images"].astype(dtype)
    base = tf.constant(golden["__dequant_base_noise"].astype(dtype))
    u, log_q = dist.quantizer.noise_and_log_q(tf.constant(images), base, nvp.Context())
    np.testing.assert_allclose(u, golden["__dequant_u"], atol=1e-5)
    np.testing.assert_allclose(log_q, golden["__dequant_log_q"], atol=GOLDEN_LOG_Q)
    y, scaling = dist.bijector.bijectors[1].inverse_and_log_det(images + u)
    # Next to the ends of the interval the logit magnifies the rounding of its argument to float32,
    # which the golden values have suffered: half a unit in the last place times the slope there.
    p = 1 / (1 + np.exp(-golden["__dequant_y"].astype(np.float64)))
    rounding = 2.0**-24 / (p * (1 - p))
    assert (np.abs(y - golden["__dequant_y"]) <= GOLDEN + rounding).all()
    log_det = scaling - log_q
    np.testing.assert_allclose(log_det, golden["__dequant_ldj"], atol=GOLDEN_LOG_DET)


def _log_prob_with_noise(dist, images, base_noise):
    """The likelihood with the base noise given instead of drawn."""
    y = tf.cast(images, dist.dtype)
    noise, log_q = dist.quantizer.noise_and_log_q(y, tf.constant(base_noise), nvp.Context())
    z, log_det = dist.continuous.inverse_and_log_det(y + noise)
    return z, dist.distribution.log_prob(z) + log_det - log_q


def _places(dist):
    """Yields the variables with the names that the golden file has for them."""
    from reference_weights import couplings_of

    groups = {
        "noise": dist.quantizer.noise_flow.bijectors,
        "couplings": couplings_of(dist.bijector),
    }
    for group, members in groups.items():
        for i, member in enumerate(members):
            yield member.transformer.log_bound, f"{group}/{i}/log_bound"
            for variable in member.conditioner.weights:
                yield variable, f"{group}/{i}/{variable.name}"
