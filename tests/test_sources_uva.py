"""Passages of the UvA tutorial 11 that are wrong, and what is right here.

Each test computes the tutorial's version too, and would fail with it.
"""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Dequantization, Logit

ALPHA = 1e-5


@pytest.fixture(scope="module")
def multiscale():
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17, widths=(4, 4, 4), blocks=1)
    perturb_weights(dist.bijector, scale=0.05)
    return dist


@pytest.fixture(scope="module")
def images():
    return nvp.datasets.load_arrays("digits", "test")[0]


def test_the_inverse_of_dequantization_undoes_the_alpha_scaling():
    # In float64, so that nothing is left to blame on precision.
    zeros = np.zeros([200, 8, 8, 1])
    dequantization, logit = Dequantization(), Logit(high=256, alpha=ALPHA)
    logit.build((8, 8, 1), nvp.bijectors.Scope(dtype="float64"))
    noise = np.random.default_rng(0).uniform(size=zeros.shape)
    x = logit.inverse(zeros + noise)
    back = dequantization.forward(logit.forward(tf.identity(x)))
    np.testing.assert_array_equal(back, zeros)
    # The tutorial goes back by the sigmoid alone.
    theirs = np.clip(np.floor(256 / (1 + np.exp(-np.asarray(x)))), 0, 255)
    wrong = (theirs != zeros).mean()
    assert 0.0005 < wrong < 0.003  # 1.3e-3: a noise in the last 256 * alpha / 2 of its bin


def test_the_plot_of_dequantization_counts_quants_once():
    levels = 8
    prior = np.array([0.075, 0.2, 0.4, 0.2, 0.075, 0.025, 0.0125, 0.0125])
    points, step = np.linspace(-14, 14, 200_001, retstep=True)
    level, density = nvp.dequantization_density(points, prior)
    assert density.sum() * step == pytest.approx(1, abs=1e-3)
    # The tutorial's: exp(ldj) of sigmoid and of the factor `quants`, times `prior * quants`.
    sigmoid = 1 / (1 + np.exp(-points))
    theirs = sigmoid * (1 - sigmoid) * levels * (prior / prior.sum() * levels)[level]
    assert theirs.sum() * step == pytest.approx(levels, rel=1e-2)


def test_every_split_draws_latents_of_its_own(images):
    # Three scales: the tutorial's two splits would draw with one key, the second a part of the
    # first.
    from tfp_realnvp.bijectors import FactorOut, Squeeze

    flow = nvp.Flow([Squeeze(), FactorOut([Squeeze(), FactorOut([Squeeze()])])], (16, 16, 1))
    z = nvp.encode(flow, flow.sample(400, seed=(1, 2)))
    parts = nvp.split_scales(flow, z)
    assert [p.shape[1] for p in parts] == [128, 64, 64]
    first, second, third = ((p - p.mean(0)) / p.std(0) for p in parts)
    for a, b in ((first, second), (first, third), (second, third)):
        # Correlations of independent columns have a deviation of 1/20; the same draws have 1.
        assert abs(a.T @ b / 400).max() < 0.35
    # In resampling too, where the scales are drawn one by one.
    drawn = nvp.resample_scales(
        nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17, widths=(4, 4, 4), blocks=1),
        images[:1],
        scales=[0, 1],
        num=50,
        seed=0,
    )
    assert len(np.unique(drawn.reshape(50, -1), axis=0)) == 50


def test_interpolation_of_a_multiscale_flow_goes_over_all_latents(multiscale, images):
    first, last = images[0], images[1]
    path = nvp.interpolate(multiscale, first, last, steps=5)
    # Nothing is drawn: both ends are the images, and a second path is the first.
    np.testing.assert_array_equal(path[0], first)
    np.testing.assert_array_equal(path[-1], last)
    np.testing.assert_array_equal(path, nvp.interpolate(multiscale, first, last, steps=5))
    # The tutorial's keeps the coarsest latents only, and draws the others anew.
    theirs = nvp.resample_scales(multiscale, images[:1], scales=[0], num=1, seed=0)
    assert (theirs[0, 0] != first).any()


def test_mirrored_intensities_get_mirrored_logits():
    # The symmetric logit, where the RealNVP post has a one-sided one: y and 255 - y are alike.
    logit = Logit(high=256.0, alpha=0.1)
    y = np.random.default_rng(0).uniform(0, 256, (3, 4, 4, 1)).astype("float32")
    x, log_det = logit.inverse_and_log_det(y)
    mirrored, mirrored_log_det = logit.inverse_and_log_det(256 - y)
    np.testing.assert_allclose(mirrored, -x, atol=1e-4)
    np.testing.assert_allclose(mirrored_log_det, log_det, rtol=1e-5)
    one_sided = 0.05 + 0.95 * y / 256
    other = 0.05 + 0.95 * (256 - y) / 256
    gap = np.log(one_sided / (1 - one_sided)) + np.log(other / (1 - other))
    assert abs(gap).max() > 0.1
