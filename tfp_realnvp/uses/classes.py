"""Class-conditional flows: likelihoods by class, and the classes' posterior by Bayes' rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.likelihood import log_prob


def class_log_probs(
    dist: Flow,
    data: Any,
    *,
    condition: Any = None,
    num_importance_samples: int = 1,
    seed: int = 0,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Estimates `log p(y | class)` for every class.

    The noise of an example is the same for all classes, so that their differences have less
    variance than each of them.

    Args:
        dist: a class-conditional flow.
        data: `[N, *event]` images or vectors.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        Nats `[N, num_classes]`.

    Raises:
        ValueError: the flow is not conditional, or bad data.
    """
    if dist.num_classes is None:
        raise ValueError(f"{dist.name} is not conditional on classes.")
    columns = [
        log_prob(
            dist,
            data,
            label,
            condition=condition,
            num_importance_samples=num_importance_samples,
            seed=seed,
            rows_at_once=rows_at_once,
        )
        for label in range(dist.num_classes)
    ]
    return np.stack(columns, axis=-1)


def class_posterior(dist: Flow, data: Any, *, prior: Any = None, **options: Any) -> np.ndarray:
    """Classifies by Bayes' rule: `P(class | y)` in proportion to `P(class) p(y | class)`.

    Args:
        dist: a class-conditional flow.
        data: `[N, *event]` images or vectors.
        prior: probabilities of the classes, in any scale; None for all alike.
        **options: see `class_log_probs`.

    Returns:
        Probabilities `[N, num_classes]`.

    Raises:
        ValueError: a prior of another size or with negative values; see also `class_log_probs`.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), num_classes=2)  # knows nothing yet
        >>> nvp.class_posterior(dist, np.zeros([1, 2]), prior=[3, 1]).tolist()
        [[0.75, 0.25]]
    """
    scores = class_log_probs(dist, data, **options).astype(np.float64)
    weights = np.ones(scores.shape[1]) if prior is None else np.asarray(prior, np.float64)
    if weights.shape != scores.shape[1:] or (weights < 0).any() or not weights.any():
        raise ValueError(
            f"The prior needs {scores.shape[1]} probabilities that are not all zero, got {prior}."
        )
    # Relative to the likeliest class, so that nothing underflows.
    joint = np.exp(scores - scores.max(-1, keepdims=True)) * weights
    return joint / joint.sum(-1, keepdims=True)
