"""The model card of an export: what it is, what it takes and gives, and which files it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.flow import Flow

_UNITS = {
    "images": "pixels, integers from 0 to {most}",
    "x": "vectors",
    "labels": "classes, from 0 to {classes}, one for each example",
    "condition": "what the data are given, or an observation that an encoder takes",
    "seed": "two numbers that the noise is drawn by",
    "row": "which row of the seed's noise, from 0",
    "num_samples": "how many",
    "temperature": "factor of the latents",
    "latents": "standard normal under the flow",
    "log_prob": "nats",
    "bits_per_dim": "bits for each value of an image",
}


def write_card(
    directory: str | os.PathLike[str],
    dist: Flow,
    graphs: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Writes README.md with front matter, as model hubs read it.

    Args:
        directory: that of the SavedModel, whose files are summed.
        dist: the flow.
        graphs: concrete functions by signature.
        facts: rows of the card's first table, such as its data and its bits/dim.
    """
    directory = Path(directory)
    images = dist.levels is not None
    parameters = sum(int(tf.size(variable)) for variable in dist.trainable_variables)
    about = {
        "flow": dist.name,
        "event": f"{list(dist.event_shape)}, {f'{dist.levels} levels' if images else 'continuous'}",
        "classes": dist.num_classes or "none",
        "parameters": f"{parameters:,}",
        **facts,
        "TensorFlow, TensorFlow Probability, Keras": ", ".join(
            (tf.__version__, tfp.__version__, keras.__version__)
        ),
    }
    signatures = [
        f"| `{name}` | {role} | `{key}` | {_type(spec)} | {_unit(key, dist)} |"
        for name, graph in graphs.items()
        for role, specs in (
            ("input", graph.structured_input_signature[1]),
            ("output", graph.structured_outputs),
        )
        for key, spec in sorted(specs.items())
    ]
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    sums = [f"| `{p.relative_to(directory).as_posix()}` | {_sha256(p)} |" for p in files]
    task = "unconditional-image-generation" if images else "other"
    lines = [
        "---",
        "library_name: tf",
        f"pipeline_tag: {task}",
        "tags: [normalizing-flow, tensorflow-probability, saved-model]",
        "---",
        "",
        f"# {dist.name}",
        "",
        "A normalizing flow as a SavedModel, for TensorFlow Serving or TensorFlow alone.",
        "",
        *_table("what", "value", [f"| {key} | {value} |" for key, value in about.items()]),
        "## Signatures",
        "",
        "| signature | | name | type | what it is |",
        "| --- | --- | --- | --- | --- |",
        *signatures,
        "",
        "## Files",
        "",
        *_table("file", "SHA-256", sums),
    ]
    (directory / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _table(first: str, second: str, rows: list[str]) -> list[str]:
    return [f"| {first} | {second} |", "| --- | --- |", *rows, ""]


def _type(spec: Any) -> str:
    sides = ", ".join("N" if side is None else str(side) for side in spec.shape)
    return f"{spec.dtype.name} `[{sides}]`"


def _unit(key: str, dist: Flow) -> str:
    return _UNITS[key].format(most=(dist.levels or 0) - 1, classes=(dist.num_classes or 0) - 1)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
