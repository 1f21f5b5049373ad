"""The flow inside TensorFlow Probability: as a surrogate posterior, and as a preconditioner."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_realnvp as nvp

tfd = tfp.distributions

# x_0 ~ N(0, 1), x_1 ~ N(x_0^2, 1/2): the log-density is known, its normalizer included.
BANANA = tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), lambda x: tfd.Normal(x**2, 0.5)])


def banana_log_prob(x):
    return BANANA.log_prob([x[..., 0], x[..., 1]])


@pytest.fixture(scope="module")
def surrogate():
    dist = nvp.flows.build("realnvp", (2,), couplings=4, widths=(32, 32))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, 1000))
    optimizer.build(dist.trainable_variables)
    losses = tfp.vi.fit_surrogate_posterior(
        banana_log_prob,
        dist,
        optimizer=optimizer,
        num_steps=1000,
        sample_size=128,
        seed=(0, 1),
        jit_compile=True,
    )
    return dist, losses.numpy()


def test_a_surrogate_posterior_comes_near_a_banana(surrogate):
    dist, losses = surrogate
    # The loss is the Kullback-Leibler divergence, as the target is normalized.
    assert losses[:10].mean() > 1
    assert abs(losses[-50:].mean()) < 0.03
    x, log_q = dist.experimental_sample_and_log_prob(20_000, seed=(2, 3))
    divergence = tf.reduce_mean(log_q - banana_log_prob(x)).numpy()
    assert -0.01 < divergence < 0.03
    x = x.numpy()
    np.testing.assert_allclose(x.mean(0), [0, 1], atol=0.1)
    np.testing.assert_allclose(np.corrcoef(x[:, 0] ** 2, x[:, 1])[0, 1], 0.94, atol=0.03)


def test_a_fitted_flow_preconditions_hamiltonian_monte_carlo(surrogate):
    dist, _ = surrogate
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(banana_log_prob, step_size=0.5, num_leapfrog_steps=3),
        bijector=dist.bijector,
    )

    @tf.function(jit_compile=True)
    def chain(start):
        return tfp.mcmc.sample_chain(
            num_results=200,
            num_burnin_steps=20,
            current_state=start,
            kernel=kernel,
            trace_fn=lambda _, results: results.inner_results.is_accepted,
            seed=(4, 5),
        )

    draws, accepted = chain(dist.sample(32, seed=(6, 7)))
    assert draws.shape == (200, 32, 2)
    assert np.mean(accepted) > 0.8
    draws = draws.numpy().reshape(-1, 2)
    np.testing.assert_allclose(draws.mean(0), [0, 1], atol=0.15)
    np.testing.assert_allclose(draws[:, 0].std(), 1, atol=0.1)
