"""Evaluation of a flow on a data set: the figure, its standard error, and their conditions."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tfp_realnvp import datasets
from tfp_realnvp.distribution import Flow
from tfp_realnvp.likelihood import log_prob, nats_per_unit
from tfp_realnvp.progress import Countdown


def evaluate(
    dist: Flow,
    dataset: str,
    *,
    split: str = "test",
    data_dir: str | os.PathLike[str] | None = None,
    examples: int | None = None,
    num_importance_samples: int = 8,
    seed: int = 0,
    verbose: bool = False,
) -> dict[str, Any]:
    """Evaluates a flow on the first examples of a split.

    Args:
        dist: a flow.
        dataset: name or path of the data set.
        split: `"train"`, `"validation"` or `"test"`.
        data_dir: where data sets are kept.
        examples: how many; None for all.
        num_importance_samples: samples of the noise beside the figure with one.
        seed: seed of the noise.
        verbose: whether to show progress, on the standard error: the output is the result's.

    Returns:
        Data set, split, number of examples, and the mean with its standard error over examples:
        for images `bits_per_dim_1`, `bits_per_dim_8` and so on, for vectors `nats`, the mean
        negative log-likelihood.

    Raises:
        ValueError: the data are not what the flow models.
    """
    x, labels = datasets.load_arrays(dataset, split, data_dir)
    x = x[:examples]
    labels = labels[:examples] if labels is not None and dist.num_classes is not None else None
    if dist.num_classes is not None and labels is None:
        raise ValueError(f"{dist.name} is conditional on classes, and {dataset} has no labels.")
    result: dict[str, Any] = {"dataset": str(dataset), "split": split, "examples": len(x)}
    counts = [1] if dist.levels is None else sorted({1, num_importance_samples})
    unit = "examples" if dist.levels is None else "images times samples"
    progress = None
    if verbose:
        total = len(x) * sum(counts)
        progress = Countdown("testing", total, unit=unit, stream=sys.stderr).advance
    for k in counts:
        nats = -log_prob(dist, x, labels, num_importance_samples=k, seed=seed, progress=progress)
        figures = nats.astype(np.float64) / nats_per_unit(dist)
        name = "nats" if dist.levels is None else f"bits_per_dim_{k}"
        result[name], result[f"{name}_standard_error"] = mean_and_error(figures)
    return result


def mean_and_error(figures: np.ndarray) -> tuple[float, float]:
    """Returns the mean of figures `[N]` and its standard error (NaN for one figure)."""
    if len(figures) < 2:
        return float(figures.mean()), float("nan")
    return float(figures.mean()), float(figures.std(ddof=1) / np.sqrt(len(figures)))
