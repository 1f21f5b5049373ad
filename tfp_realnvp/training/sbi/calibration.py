"""Whether posteriors say what they know: expected coverage and simulation-based ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfp_realnvp.core import arguments
from tfp_realnvp.training.sbi.posterior import Posterior


def ranks(
    posterior: Posterior, parameters: Any, observations: Any, *, num: int = 100, seed: int = 0
) -> np.ndarray:
    """Returns where true parameters stand among samples of their posteriors.

    For pairs of the joint distribution and the true posterior, ranks are even on `0 .. num` in each
    coordinate (arXiv:1804.06788). Too many in the middle: the posterior is too wide; at the ends:
    too narrow; at one end: off to the other side.

    Args:
        posterior: what is tested.
        parameters: `[N, D]`, pairs that it was not fitted to.
        observations: `[N, ...]`.
        num: samples of each posterior.
        seed: of the samples.

    Returns:
        `[N, D]` whole numbers in `0 .. num`.
    """
    samples = _samples(posterior, observations, num, seed)
    return (samples < np.asarray(parameters)[:, None]).sum(1)


def coverage(
    posterior: Posterior, parameters: Any, observations: Any, *, num: int = 100, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns how often regions of highest density hold true parameters (arXiv:2110.06581).

    Args:
        posterior: what is tested.
        parameters: `[N, D]`, pairs that it was not fitted to.
        observations: `[N, ...]`.
        num: samples of each posterior.
        seed: of the samples.

    Returns:
        Levels `[num + 1]` from 0 to 1, and the part of the N pairs whose parameters are in the
        region of that level. Below the level, the posterior is overconfident.
    """
    samples = _samples(posterior, observations, num, seed)
    x = np.asarray(observations)
    count, _, dimensions = samples.shape
    at_samples = posterior.log_prob(samples.reshape(-1, dimensions), np.repeat(x, num, axis=0))
    denser = (at_samples.reshape(count, num) > posterior.log_prob(parameters, x)[:, None]).mean(1)
    levels = np.linspace(0, 1, num + 1)
    return levels, (denser[None] <= levels[:, None]).mean(1)


def _samples(posterior: Posterior, observations: Any, num: int, seed: int) -> np.ndarray:
    """Returns `[N, num, D]`."""
    arguments.whole("calibration", "num", num)
    x = np.asarray(observations)
    drawn = posterior.sample(num * len(x), np.repeat(x, num, axis=0), seed=seed)
    return drawn.reshape(len(x), num, -1)
