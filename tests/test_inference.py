"""Flows as variational posteriors and as preconditioners of Hamiltonian Monte Carlo."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_realnvp as nvp

# y_0 is normal of deviation 2; y_1 lies about a parabola, with deviation 0.5.
LOG_NORMALIZER = np.log(2 * np.pi * 2 * 0.5)


def banana(y):
    across = y[..., 1] - 0.5 * y[..., 0] ** 2 + 2
    return -(y[..., 0] ** 2) / 8 - across**2 / (2 * 0.5**2)


@pytest.fixture(scope="module")
def fitted():
    dist = nvp.flows.build("realnvp", (2,), couplings=6, widths=(32, 32))
    losses = nvp.fit_posterior(dist, banana, steps=1800, sample_size=128, learning_rate=5e-3)
    return dist, losses


def test_the_posterior_loss_is_that_of_tfp_vi():
    dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
    seed = tf.random.experimental.stateless_fold_in((0, 3), 0, alg="philox")
    loss = tfp.vi.monte_carlo_variational_loss(banana, dist, sample_size=16, seed=seed)
    got = nvp.fit_posterior(dist, banana, steps=1, sample_size=16, seed=3)
    np.testing.assert_allclose(got[0], loss, rtol=1e-4)


def test_a_fitted_posterior_is_close_to_its_target(fitted):
    dist, losses = fitted
    gap = losses[-50:].mean() + LOG_NORMALIZER
    # The divergence from the normalized target; the first loss is some 6 nats above it.
    assert -0.02 < gap < 0.1
    assert losses[0] + LOG_NORMALIZER > 4
    samples = nvp.sample(dist, 4000, seed=0)
    across = samples[:, 1] - 0.5 * samples[:, 0] ** 2 + 2
    assert abs(samples[:, 0].mean()) < 0.4
    assert across.std() == pytest.approx(0.5, rel=0.25)


def test_a_fit_is_reproducible():
    runs = [
        nvp.fit_posterior(
            nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,)), banana, steps=3, seed=seed
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).all()


def test_the_flow_makes_hmc_mix(fitted):
    dist, _ = fitted
    # About a quarter of the period of a standard normal: with half of it, chains only turn over.
    budget = {"num_results": 300, "num_burnin_steps": 150, "num_leapfrog_steps": 2}
    start = dist.sample(8, seed=(0, 0))
    plain = nvp.hmc(banana, start, **budget)
    flow = nvp.hmc(banana, start, preconditioner=dist, **budget)
    assert plain.samples.shape == flow.samples.shape == (300, 8, 2)
    assert plain.gradients == flow.gradients == 600
    # The same gradients of the target, many times the independent samples, and chains that agree.
    assert flow.ess.min() > 5 * plain.ess.min()
    assert flow.step_size > plain.step_size
    assert flow.acceptance > 0.5
    assert flow.rhat.max() < 1.1
    assert flow.samples[..., 0].std() == pytest.approx(2, rel=0.2)


def test_plain_hmc_is_right_where_it_is_easy():
    chains = nvp.hmc(
        lambda y: -tf.reduce_sum((y - [1.0, -2.0]) ** 2 / [2.0, 8.0], -1),
        tf.zeros([8, 2]),
        num_results=400,
        num_burnin_steps=200,
    )
    np.testing.assert_allclose(chains.samples.mean((0, 1)), [1, -2], atol=0.25)
    np.testing.assert_allclose(chains.samples.std((0, 1)), [1, 2], rtol=0.15)


def test_inference_refuses():
    images = nvp.flows.build("uva_simple", (4, 4, 1), width=2, couplings=1)
    vectors = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    with pytest.raises(ValueError, match="A posterior is over vectors; uva_simple models images"):
        nvp.fit_posterior(images, banana)
    classes = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,), num_classes=3)
    for call in (
        lambda: nvp.fit_posterior(classes, banana),
        lambda: nvp.hmc(banana, tf.zeros([2, 2]), preconditioner=classes),
    ):
        with pytest.raises(ValueError, match="realnvp is conditional on 3 classes"):
            call()
    with pytest.raises(ValueError, match="models images"):
        nvp.hmc(banana, tf.zeros([2, 2]), preconditioner=images)
    with pytest.raises(ValueError, match=r"points \[N, D\], of .* got shape \(2,\)"):
        nvp.hmc(banana, tf.zeros([2]))
    with pytest.raises(ValueError, match=r"of shape \(2,\), got a batch of shape \(2, 3\)"):
        nvp.hmc(banana, tf.zeros([2, 3]), preconditioner=vectors)
    with pytest.raises(ValueError, match="vectors must be finite, got 1 NaN or infinite values"):
        nvp.hmc(banana, [[0.0, 0.0], [np.nan, 0.0]])
    with pytest.raises(ValueError, match="where the target is finite, got 2 of 2 points elsewhere"):
        nvp.hmc(lambda y: np.nan * y[:, 0], np.zeros([2, 2]))
    for points in (np.zeros([1, 2]), np.zeros([0, 2]), np.zeros([2, 0])):
        with pytest.raises(ValueError, match="of which there are at least 2, got shape"):
            nvp.hmc(banana, points)
    for call in (
        lambda target: nvp.hmc(target, np.zeros([2, 2])),
        lambda target: nvp.fit_posterior(vectors, target),
    ):
        with pytest.raises(ValueError, match=r"of points \(2, 2\) has shape \(2,\), got \(\)"):
            call(lambda y: tf.reduce_sum(y))
        with pytest.raises(ValueError, match=r"has shape \(2,\), got \(2, 2\)"):
            call(lambda y: y)
    with pytest.raises(ValueError, match="The loss of step 0 is nan"):
        nvp.fit_posterior(vectors, lambda y: np.nan * y[:, 0], steps=2)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("num_results", [1, 2.5, True], "a whole number of at least 2"),
        ("num_burnin_steps", [-1, 0.5], "a whole number of at least 0"),
        ("num_leapfrog_steps", [0, None], "a whole number of at least 1"),
        ("step_size", [0, -1, np.nan, np.inf], "a finite number above 0"),
        ("steps", [0, 1.5, True], "a whole number of at least 1"),
        ("sample_size", [0, -1], "a whole number of at least 1"),
        ("learning_rate", [0, np.nan, "a"], "a finite number above 0"),
    ],
)
def test_numbers_out_of_range(name, values, expected):
    vectors = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    fits = name in ("steps", "sample_size", "learning_rate")
    for value in values:
        with pytest.raises(ValueError, match=f"needs {name} to be {expected}, got"):
            if fits:
                nvp.fit_posterior(vectors, banana, **{name: value})
            else:
                nvp.hmc(banana, np.zeros([2, 2]), **{name: value})


def test_seeds_are_an_int_or_two():
    def runs(seed):
        dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
        chains = nvp.hmc(banana, [[0, 0], [1, 1]], num_results=2, num_burnin_steps=0, seed=seed)
        return nvp.fit_posterior(dist, banana, steps=1, seed=seed), chains.samples

    for one, same in zip(runs((1, 2)), runs(np.array([1, 2])), strict=True):
        np.testing.assert_array_equal(one, same)
    for one, other in zip(runs(3), runs(3 + 2**40), strict=True):
        assert (one != other).any()
    with pytest.raises(ValueError, match="A seed is an int of at most 62 bits or two"):
        runs([1])
