"""What an export says of its flow beside the signatures, for the playground."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.bijectors.factor_out import FactorOut
from tfp_realnvp.bijectors.flatten import Flatten
from tfp_realnvp.flow import Flow

FILE = Path("assets.extra") / "about.json"


def checked_reference(reference: Any) -> np.ndarray:
    """Returns likelihoods of test examples as float64 `[N]`, ascending.

    Args:
        reference: bits per dimension, or of vectors nats; None for none.

    Raises:
        ValueError: anything else than finite numbers `[N]`.
    """
    found = np.asarray([] if reference is None else reference)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iuf"):
        raise ValueError(
            f"export needs reference to be numbers [N], got an array of shape {found.shape} and "
            f"dtype {found.dtype}."
        )
    bad = np.count_nonzero(~np.isfinite(found))
    if bad:
        raise ValueError(f"export needs reference to be finite, got {bad} NaN or infinite values.")
    return np.sort(found.astype("float64"))


def write_about(
    directory: str | os.PathLike[str],
    dist: Flow,
    *,
    reference: np.ndarray,
    facts: Mapping[str, Any],
) -> None:
    """Writes `assets.extra/about.json`.

    Args:
        directory: that of the SavedModel.
        dist: the flow.
        reference: see `checked_reference`.
        facts: the rows that the card has.
    """
    about = {
        "flow": dist.name.rstrip("/"),
        "parameters": sum(int(tf.size(variable)) for variable in dist.trainable_variables),
        "levels": dist.levels,
        "num_classes": dist.num_classes,
        "latent_shapes": latent_shapes(dist),
        "reference": [round(value, 4) for value in reference.tolist()],
        "facts": {key: str(value) for key, value in facts.items()},
    }
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about) + "\n")


def read_about(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Returns what `write_about` wrote; None without the file.

    Raises:
        ValueError: the file holds something else.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text())
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise ValueError(f"{path} holds no JSON object.")
    return about


def latent_shapes(dist: Flow) -> list[tuple[int, ...]]:
    """Returns the shapes of the latents scale by scale, before they were made flat, finest first.

    Args:
        dist: a flow.

    Example:
        >>> import tfp_realnvp as nvp
        >>> latent_shapes(nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17))
        [(4, 4, 2), (2, 2, 8)]
    """
    shapes = list(_shapes(dist.bijector))
    # Where latents are put together otherwise, as of patches, only their sizes are known.
    known = [math.prod(shape) for shape in shapes] == dist.latent_sizes
    return shapes if known else [(size,) for size in dist.latent_sizes]


def _shapes(bijector: FlowBijector) -> Iterator[tuple[int, ...]]:
    if isinstance(bijector, FactorOut):
        yield bijector._leaving_shape()
    if bijector.members:
        yield from _shapes(bijector.members[-1])
    elif isinstance(bijector, Flatten):
        yield bijector.event_shape
    else:
        yield bijector._latent_shape(bijector.event_shape)
