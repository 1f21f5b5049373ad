"""Flows for Bayesian inference: as variational posterior, and as preconditioner of HMC."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import stateless_seed
from tfp_realnvp.core.data_checks import check_event_shape, check_finite
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels.adam import Adam
from tfp_realnvp.uses.likelihood import seed_of_noise

LogProb = Callable[[tf.Tensor], tf.Tensor]

# What share of the steps the step size of HMC adapts in, at the acceptance that suits HMC.
ADAPTATION_SHARE = 0.8
TARGET_ACCEPTANCE = 0.75


def fit_posterior(
    dist: Flow,
    target_log_prob: LogProb,
    *,
    steps: int = 1000,
    sample_size: int = 64,
    learning_rate: float = 1e-3,
    seed: Any = 0,
    jit_compile: bool = False,
) -> np.ndarray:
    r"""Fits a flow q to an unnormalized density p by variational inference.

    Minimizes `E_q[log q(y) - log p(y)]`, the reverse Kullback-Leibler divergence up to the
    unknown log-normalizer of p, over reparameterized samples. It is what
    `tfp.vi.monte_carlo_variational_loss` estimates, with a Keras 3 optimizer, global gradient
    clipping and cosine decay of the learning rate.

    Args:
        dist: a flow of vectors; its variables are trained.
        target_log_prob: log p up to a constant, of `[S, D]` to `[S]`.
        steps: optimizer steps.
        sample_size: samples S in each step.
        learning_rate: Adam's at the beginning; it decays to 0.
        seed: seed of the samples, an int or a stateless int32 `[2]` seed.
        jit_compile: whether XLA compiles the step.

    Returns:
        The loss of every step, `[steps]`. Its negative estimates a lower bound of the
        log-normalizer.

    Raises:
        ValueError: a flow of images or classes, a number out of range, another seed, a target that
            is not `[S]`, or a loss that is not finite.

    Example:
        >>> import tensorflow as tf, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
        >>> loss = nvp.fit_posterior(dist, lambda y: -tf.reduce_sum(y**2, -1) / 2, steps=3)
        >>> loss.shape
        (3,)
    """
    _require_vectors(dist)
    arguments.whole("fit_posterior", "steps", steps)
    arguments.whole("fit_posterior", "sample_size", sample_size)
    arguments.real("fit_posterior", "learning_rate", learning_rate, above=0)
    seed = seed_of_noise(seed)
    _log_density(target_log_prob, tf.zeros([2, *dist.event_shape], dist.dtype))
    optimizer = Adam(
        keras.optimizers.schedules.CosineDecay(learning_rate, steps), global_clipnorm=10.0
    )
    variables = [v for layer in dist.keras_layers for v in layer.trainable_variables]
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(index):
        words = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
        with tf.GradientTape() as tape:
            loss = tfp.vi.monte_carlo_variational_loss(
                target_log_prob, dist, sample_size=sample_size, seed=words
            )
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    losses = np.zeros(steps)
    for index in range(steps):
        losses[index] = step(tf.constant(index))
        if not np.isfinite(losses[index]):
            raise ValueError(
                f"The loss of step {index} is {losses[index]}: the target must be finite wherever "
                "the flow has samples; a lower learning rate may help."
            )
    return losses


@dataclasses.dataclass(frozen=True)
class Chains:
    """What `hmc` returns.

    Attributes:
        samples: draws of the target, `[num_results, num_chains, D]`.
        acceptance: share of accepted proposals, averaged over chains and results.
        step_size: the step size that was adapted to.
        ess: effective sample size of each coordinate, of all chains together, `[D]`.
        rhat: potential scale reduction of each coordinate, `[D]`; near 1 where chains agree.
        gradients: gradients of the target that one chain took after the burn-in.
    """

    samples: np.ndarray
    acceptance: float
    step_size: float
    ess: np.ndarray
    rhat: np.ndarray
    gradients: int


def hmc(
    target_log_prob: LogProb,
    start: Any,
    *,
    preconditioner: Flow | None = None,
    num_results: int = 1000,
    num_burnin_steps: int = 500,
    num_leapfrog_steps: int = 8,
    step_size: float = 0.1,
    seed: Any = 0,
    jit_compile: bool = False,
) -> Chains:
    """Samples a density by Hamiltonian Monte Carlo, in the latent space of a flow if there is one.

    With a flow f fitted to the target (`fit_posterior`), the chain moves in z, where
    `log p(f(z)) + log|det df/dz|` is close to a standard normal, and results are `f(z)`: NeuTra
    (arXiv:1903.03704). The chain's target is exact whatever the flow, but a flow that is too
    narrow makes its tails hard to reach, and `rhat` need not show it: compare with a wider fit.
    Both ways are `tfp.mcmc.HamiltonianMonteCarlo` with dual-averaged step size.

    Args:
        target_log_prob: log p up to a constant, of `[N, D]` to `[N]`.
        start: `[N, D]` where the N chains start, in the space of the target; at least 2, as
            diagnostics compare chains.
        preconditioner: a flow of vectors, or None for plain HMC.
        num_results: results of each chain.
        num_burnin_steps: steps before the first result; the step size adapts in 80% of them.
        num_leapfrog_steps: gradients in each step.
        step_size: step size to adapt from.
        seed: seed of the chains, an int or a stateless int32 `[2]` seed.
        jit_compile: whether XLA compiles the chain.

    Returns:
        Samples and diagnostics.

    Raises:
        ValueError: a flow of images, of classes or of another dimension, starting points that are
            not `[N, D]` or not finite, a target that is not `[N]` or not finite there, a number out
            of range, or another seed.

    Example:
        >>> import tensorflow as tf, tfp_realnvp as nvp
        >>> chains = nvp.hmc(
        ...     lambda y: -tf.reduce_sum(y**2, -1) / 2,
        ...     tf.zeros([4, 2]),
        ...     num_results=20,
        ...     num_burnin_steps=10,
        ... )
        >>> chains.samples.shape
        (20, 4, 2)
    """
    for name, number, least in (
        ("num_results", num_results, 2),
        ("num_burnin_steps", num_burnin_steps, 0),
        ("num_leapfrog_steps", num_leapfrog_steps, 1),
    ):
        arguments.whole("hmc", name, number, least=least)
    arguments.real("hmc", "step_size", step_size, above=0)
    words = stateless_seed(seed)
    start = _points(start, preconditioner)
    bad = np.count_nonzero(~np.isfinite(_log_density(target_log_prob, start)))
    if bad:
        raise ValueError(
            f"Chains start where the target is finite, got {bad} of {len(start)} points elsewhere."
        )
    kernel = tfp.mcmc.HamiltonianMonteCarlo(
        target_log_prob, step_size=step_size, num_leapfrog_steps=num_leapfrog_steps
    )
    if preconditioner is not None:
        kernel = tfp.mcmc.TransformedTransitionKernel(kernel, preconditioner.bijector)
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
        kernel,
        num_adaptation_steps=int(ADAPTATION_SHARE * num_burnin_steps),
        target_accept_prob=TARGET_ACCEPTANCE,
    )

    def trace(_, results):
        inner = results.inner_results
        inner = inner.inner_results if preconditioner is not None else inner
        return inner.is_accepted, results.new_step_size

    @tf.function(jit_compile=jit_compile)
    def run(points):
        return tfp.mcmc.sample_chain(
            num_results,
            points,
            num_burnin_steps=num_burnin_steps,
            kernel=kernel,
            trace_fn=trace,
            seed=words,
        )

    samples, (accepted, sizes) = run(start)
    ess = tfp.mcmc.effective_sample_size(samples, cross_chain_dims=1)
    return Chains(
        samples=samples.numpy(),
        acceptance=float(np.mean(accepted.numpy())),
        step_size=float(np.ravel(sizes.numpy())[-1]),
        ess=ess.numpy(),
        rhat=tfp.mcmc.potential_scale_reduction(samples).numpy(),
        gradients=num_results * num_leapfrog_steps,
    )


def _points(start: Any, preconditioner: Flow | None) -> tf.Tensor:
    """Returns the points where chains start, in the dtype of the chains."""
    shape = np.shape(start)
    if len(shape) != 2 or shape[0] < 2 or not shape[1]:
        raise ValueError(
            f"Chains start at points [N, D], of which there are at least 2, got shape {shape}."
        )
    start = tf.convert_to_tensor(start)
    if preconditioner is not None:
        _require_vectors(preconditioner)
        check_event_shape(start.shape, tuple(preconditioner.event_shape), preconditioner.name)
        start = tf.cast(start, preconditioner.dtype)
    elif not start.dtype.is_floating:
        start = tf.cast(start, tf.float32)
    check_finite(start)
    return start


def _log_density(target_log_prob: LogProb, points: tf.Tensor) -> np.ndarray:
    """Returns what the target gives for points `[N, D]`, which must be `[N]`."""
    values = np.asarray(target_log_prob(points))
    if values.shape != points.shape[:1]:
        raise ValueError(
            f"The target's log-density of points {tuple(points.shape)} has shape "
            f"{tuple(points.shape[:1])}, got {values.shape}."
        )
    return values


def _require_vectors(dist: Flow) -> None:
    if dist.levels is not None:
        raise ValueError(f"A posterior is over vectors; {dist.name} models images.")
    if dist.num_classes is not None:
        raise ValueError(
            f"A posterior is one density; {dist.name} is conditional on {dist.num_classes} classes."
        )
    if dist.condition_shape is not None:
        raise ValueError(
            f"A posterior is one density; {dist.name} is conditional on a condition of shape "
            f"{dist.condition_shape}."
        )
