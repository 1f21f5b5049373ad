"""Evaluation of a flow on a data set: the figure, its standard error, and their conditions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfp_realnvp import datasets
from tfp_realnvp.core import arguments
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.core.status_line import Countdown
from tfp_realnvp.core.stored import IN_MEMORY, Rows
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import sample
from tfp_realnvp.uses.likelihood import log_prob, nats_per_unit

# What the UvA tutorial times.
SPEED_BATCH = 64


def evaluate(
    dist: Flow,
    dataset: str | os.PathLike[str],
    *,
    split: str = "test",
    data_dir: str | os.PathLike[str] | None = None,
    data_options: Mapping[str, Any] | None = None,
    examples: int | None = None,
    num_importance_samples: int = 8,
    seed: int = 0,
    verbose: bool = False,
    likelihood: Callable[..., np.ndarray] = log_prob,
) -> dict[str, Any]:
    """Evaluates a flow on the first examples of a split.

    Args:
        dist: a flow.
        dataset: name or path of the data set.
        split: `"train"`, `"validation"` or `"test"`.
        data_dir: where data sets are kept.
        data_options: options of the data set; see `datasets.load`.
        examples: how many; None for all.
        num_importance_samples: samples of the noise beside the figure with one.
        seed: seed of the noise; see `nvp.bits_per_dim`.
        verbose: whether to show progress, on the standard error: the output is the result's.
        likelihood: what computes log-probabilities as `log_prob` does, such as several workers.

    Returns:
        Data set, split, number of examples, and the mean with its standard error over examples:
        for images `bits_per_dim_1`, `bits_per_dim_8` and so on, for vectors `nats`, the mean
        negative log-likelihood. The standard error of one example is None.

    Raises:
        ValueError: the data are not what the flow models, or an argument out of range.

    Example:
        >>> import tfp_realnvp as nvp
        >>> from tfp_realnvp.training.evaluation import evaluate
        >>> flow = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
        >>> sorted(evaluate(flow, "moons", examples=10))
        ['dataset', 'examples', 'nats', 'nats_standard_error', 'split']
    """
    if examples is not None:
        arguments.whole("evaluate", "examples", examples)
    arrays = arrays_for(dist, dataset, split, data_dir, data_options)
    check_split(dist, *arrays, dataset=dataset, split=split)
    figures = evaluate_arrays(
        dist,
        *arrays,
        examples=examples,
        num_importance_samples=num_importance_samples,
        seed=seed,
        verbose=verbose,
        likelihood=likelihood,
    )
    return {"dataset": os.fspath(dataset), "split": split, **figures}


def arrays_for(
    dist: Flow,
    dataset: str | os.PathLike[str],
    split: str,
    data_dir: str | os.PathLike[str] | None = None,
    data_options: Mapping[str, Any] | None = None,
    *,
    memory: float = IN_MEMORY,
) -> tuple[Rows, np.ndarray | None, np.ndarray | None]:
    """Returns a split's examples, and the labels and conditions that a flow is conditional on.

    Args:
        dist: a flow.
        dataset: name or path of the data set.
        split: name of the split.
        data_dir: where data sets are kept.
        data_options: options of the data set; see `datasets.load`.
        memory: the most bytes of examples that are loaded; see `datasets.load_rows`.
    """
    options = data_options or {}
    x, labels = datasets.load_rows(dataset, split, data_dir, memory=memory, **options)
    condition = None
    if dist.condition_shape is not None:
        condition = datasets.load_condition(dataset, split, data_dir, **options)
    return x, labels if dist.num_classes is not None else None, condition


def evaluate_arrays(
    dist: Flow,
    x: Rows,
    labels: np.ndarray | None,
    condition: np.ndarray | None = None,
    *,
    examples: int | None = None,
    num_importance_samples: int = 8,
    seed: int = 0,
    verbose: bool = False,
    likelihood: Callable[..., np.ndarray] = log_prob,
) -> dict[str, Any]:
    """Evaluates a flow on the first of examples, with their labels and conditions; see `evaluate`.

    Returns:
        The number of examples and the figures.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.whole("evaluate", "num_importance_samples", num_importance_samples)
    x = x if examples is None else x[:examples]
    given: dict[str, Any] = {
        key: None if part is None else part[:examples]
        for key, part in (("labels", labels), ("condition", condition))
    }
    result: dict[str, Any] = {"examples": len(x)}
    counts = [1] if dist.levels is None else sorted({1, num_importance_samples})
    unit = "examples" if dist.levels is None else "images times samples"
    progress = None
    if verbose:
        total = len(x) * sum(counts)
        progress = Countdown("testing", total, unit=unit, stream=sys.stderr).advance
    for k in counts:
        options = {"num_importance_samples": k, "seed": seed, "progress": progress}
        nats = -likelihood(dist, x, **given, **options)
        figures = nats.astype(np.float64) / nats_per_unit(dist)
        name = "nats" if dist.levels is None else f"bits_per_dim_{k}"
        result[name], result[f"{name}_standard_error"] = mean_and_error(figures)
    return result


def speeds(
    dist: Flow, x: Rows, labels: np.ndarray | None, condition: np.ndarray | None = None
) -> dict[str, float]:
    """Returns the times of a likelihood and of samples, of a batch of 64, in milliseconds.

    Args:
        dist: a flow.
        x: examples `[N, *event]`, taken again and again where there are fewer.
        labels: `[N]` for class-conditional flows.
        condition: `[N, *condition_shape]` for flows with one.

    Returns:
        `log_prob_ms` and `sample_ms`, medians of three calls behind a first one.
    """
    rows = np.arange(SPEED_BATCH) % len(x)
    batch = x[rows]
    given: dict[str, Any] = {
        key: None if part is None else part[rows]
        for key, part in (("labels", labels), ("condition", condition))
    }
    calls = {
        "log_prob_ms": lambda: log_prob(dist, batch, num_importance_samples=1, **given),
        "sample_ms": lambda: sample(dist, SPEED_BATCH, seed=0, **given),
    }
    return {name: _milliseconds(call) for name, call in calls.items()}


def _milliseconds(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return round(float(np.median(times[1:])), 3)


def check_split(
    dist: Flow,
    x: Rows,
    labels: np.ndarray | None,
    condition: np.ndarray | None = None,
    *,
    dataset: str | os.PathLike[str],
    split: str,
) -> None:
    """Checks that the examples of a split are what a flow models, in a sentence that names it.

    Args:
        dist: a flow.
        x: examples `[N, *event]`.
        labels: `[N]`; None where there are none, or the flow is not conditional on them.
        condition: `[N, ...]`; likewise.
        dataset: name or path of the data set.
        split: name of the split.

    Raises:
        ValueError: no examples, others than the flow models, or labels or conditions missing or not
            what they must be.
    """
    name, place = dist.name.rstrip("/"), f"Split {split!r} of {os.fspath(dataset)}"
    if not len(x):
        raise ValueError(f"{place} has no examples.")
    if dist.num_classes is not None and labels is None:
        raise ValueError(f"{place} has no labels, and {name} is conditional on classes.")
    if dist.condition_shape is not None and condition is None:
        raise ValueError(f"{place} has no condition, and {name} is conditional on one.")
    try:
        check_data(x, tuple(dist.event_shape), dist.levels, name=name)
        given_to_examples(dist, len(x), labels, condition)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def mean_and_error(figures: np.ndarray) -> tuple[float, float | None]:
    """Returns the mean of figures `[N]` and its standard error; None where there is one figure."""
    if len(figures) < 2:
        return float(figures.mean()), None
    return float(figures.mean()), float(figures.std(ddof=1) / np.sqrt(len(figures)))
