"""Inference from simulations: the posterior of parameters, learned from pairs of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp import flows
from tfp_realnvp.core import arguments
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels.adam import Adam
from tfp_realnvp.training.model import FlowModel
from tfp_realnvp.uses.given import given
from tfp_realnvp.uses.latents import sample


@dataclasses.dataclass(frozen=True)
class Posterior:
    """What has been learned of parameters given observations, `p(theta | x)`.

    Attributes:
        dist: the flow of the parameters, whose condition is an observation; `nvp.save` and
            `nvp.export` take it.
        history: the losses by epoch, in nats, as `keras.Model.fit` gives them.
    """

    dist: Flow
    history: dict[str, list[float]]

    def given(self, observation: Any) -> tfp.distributions.Distribution:
        """Returns the posterior of observations `[*batch, *observation]`, a distribution."""
        return given(self.dist, condition=observation)

    def sample(self, num: int, observation: Any, *, seed: Any = None) -> np.ndarray:
        """Draws parameters given one observation, `[num, D]`."""
        return sample(self.dist, num, condition=observation, seed=seed)

    def log_prob(self, parameters: Any, observation: Any) -> np.ndarray:
        """Returns log-densities in nats `[N]` of parameters `[N, D]`, given one or `[N]`."""
        context = {"condition": observation}
        return self.dist.log_prob(parameters, bijector_kwargs=context).numpy()


def simulate(
    prior: tfp.distributions.Distribution,
    simulator: Callable[[np.ndarray], Any],
    num: int,
    *,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws parameters from a prior, and an observation for each from a simulator.

    Args:
        prior: a distribution of events `[D]`.
        simulator: takes parameters `[N, D]` and returns observations `[N, ...]`.
        num: number of pairs.
        seed: seed of the prior's draw; the simulator's is its own.

    Returns:
        Parameters `[num, D]` and observations `[num, ...]`.

    Raises:
        ValueError: a prior of other events, or observations of another number.
    """
    if len(prior.event_shape) != 1 or prior.batch_shape.rank:
        raise ValueError(
            f"A prior has events (D,) and no batch, got events {tuple(prior.event_shape)} and "
            f"batch {tuple(prior.batch_shape)}."
        )
    arguments.whole("simulate", "num", num)
    parameters = prior.sample(num, seed=tfp.random.sanitize_seed((0, seed))).numpy()
    observations = np.asarray(simulator(parameters))
    if observations.shape[:1] != (num,) or observations.ndim < 2:
        raise ValueError(
            f"A simulator makes an observation of each of {num} rows of parameters, got an array "
            f"of shape {observations.shape}."
        )
    return parameters, observations


def fit(
    prior: tfp.distributions.Distribution,
    simulator: Callable[[np.ndarray], Any],
    *,
    num: int = 10_000,
    seed: int = 0,
    **options: Any,
) -> Posterior:
    """Simulates, and fits a posterior to the pairs; see `simulate` and `fit_pairs`.

    Args:
        prior: a distribution of events `[D]`; the posterior has its support.
        simulator: takes parameters `[N, D]` and returns observations `[N, ...]`.
        num: number of simulations.
        seed: seed of the prior's draw and of training.
        **options: see `fit_pairs`.

    Raises:
        ValueError: see `simulate` and `fit_pairs`.

    Example:
        >>> import numpy as np, tensorflow_probability as tfp, tfp_realnvp as nvp
        >>> prior = tfp.distributions.Sample(tfp.distributions.Uniform(-1.0, 1.0), 2)
        >>> def simulator(theta):
        ...     return theta + 0.1 * np.random.default_rng(0).standard_normal(theta.shape)
        >>> posterior = nvp.sbi.fit(prior, simulator, num=200, epochs=2, couplings=2)
        >>> posterior.sample(5, [0.3, 0.9], seed=0).shape
        (5, 2)
    """
    parameters, observations = simulate(prior, simulator, num, seed=seed)
    support = _support(prior)
    if support is not None:  # one draw in some millions is on the very edge
        inside = _inside(support, parameters)
        parameters, observations = parameters[inside], observations[inside]
    return fit_pairs(parameters, observations, support=support, seed=seed, **options)


def fit_pairs(
    parameters: Any,
    observations: Any,
    *,
    support: tfp.bijectors.Bijector | None = None,
    flow: str = "nsf",
    encoder: keras.Model | None = None,
    epochs: int = 500,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    patience: int = 20,
    held_out: float = 0.1,
    seed: int = 0,
    verbose: int = 0,
    **options: Any,
) -> Posterior:
    """Fits `p(theta | x)` to pairs, by the likelihood of a conditional flow (NPE).

    Training ends when pairs that are held out have not become likelier for `patience` epochs, and
    the weights are those of the best epoch. With a support, its bijector is the outermost: no
    density is lost beyond a prior's bounds.

    Source: arXiv:1605.06376, 1905.07488.

    Args:
        parameters: `[N, D]`, D at least 2.
        observations: `[N, K]`; with an encoder, `[N, ...]` as that takes them.
        support: a bijector from all reals to the prior's support, on vectors or element-wise; None
            where that is all reals.
        flow: name of a flow of vectors.
        encoder: a Keras model that makes the flow's condition of observations.
        epochs: passes over the pairs, at most.
        batch_size: pairs in a step.
        learning_rate: Adam's, at first; it is halved where half of the patience passes.
        patience: epochs.
        held_out: part of the pairs, in (0, 1).
        seed: seed of the initial values, and of which pairs are held out.
        verbose: see `keras.Model.fit`.
        **options: options of the flow.

    Raises:
        ValueError: pairs that do not match or are not finite, or parameters outside of the
            support.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> theta = np.random.default_rng(0).standard_normal([200, 2])
        >>> posterior = nvp.sbi.fit_pairs(theta, theta[:, :1], epochs=2, couplings=2)
        >>> posterior.log_prob(theta[:3], theta[:3, :1]).shape
        (3,)
    """
    theta, x = np.asarray(parameters, np.float32), np.asarray(observations, np.float32)
    if theta.ndim != 2 or len(theta) != len(x) or x.ndim < 2:
        raise ValueError(
            f"Pairs are parameters [N, D] and observations [N, ...], got shapes {theta.shape} and "
            f"{x.shape}."
        )
    arguments.real("fit_pairs", "held_out", held_out, above=0, below=1)
    count = max(1, round(held_out * len(theta)))
    if len(theta) - count < 2:
        raise ValueError(f"A posterior is fitted to three pairs at least, got {len(theta)}.")
    if support is not None:
        _check_support(support, theta)
    shape = x.shape[1:] if encoder is None else encoder.output_shape[1:]
    members = flows.members(flow, theta.shape[1:], **options)
    if support is not None:
        members = [support, *members]
    dist = Flow(members, theta.shape[1:], condition_shape=shape, seed=seed, name=flow)
    model = FlowModel(dist, encoder=encoder, seed=seed)
    model.compile(Adam(learning_rate, global_clipnorm=5.0))
    order = np.random.default_rng(seed).permutation(len(theta))
    held, kept = order[:count], order[count:]
    history = model.fit(
        theta[kept],
        x[kept],
        batch_size=min(batch_size, len(kept)),
        epochs=epochs,
        validation_data=(theta[held], x[held]),
        validation_batch_size=1024,
        verbose=verbose,
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 2)),
            keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True),
        ],
    )
    return Posterior(model.dist, history.history)


def _support(prior: tfp.distributions.Distribution) -> tfp.bijectors.Bijector | None:
    """Returns the bijector to a prior's support, of one element where all have the same."""
    while isinstance(prior, tfp.distributions.Sample) and not prior.distribution.batch_shape.rank:
        prior = prior.distribution
    support = prior.experimental_default_event_space_bijector()
    return None if isinstance(support, tfp.bijectors.Identity) else support


def _inside(support: tfp.bijectors.Bijector, theta: np.ndarray) -> np.ndarray:
    """Returns which rows of parameters are inside of the support, and not on its edge."""
    return np.isfinite(support.inverse(tf.constant(theta)).numpy()).all(axis=-1)


def _check_support(support: tfp.bijectors.Bijector, theta: np.ndarray) -> None:
    outside = ~_inside(support, theta)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"{int(outside.sum())} of {len(theta)} rows of parameters are not inside of the "
            f"support, the first is number {row}: {theta[row].tolist()}."
        )
