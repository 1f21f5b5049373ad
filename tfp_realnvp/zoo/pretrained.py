"""Flows with weights to take home."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from pathlib import Path

import keras

from tfp_realnvp.flow import Flow
from tfp_realnvp.training.saving import load

_FOLDER = Path(__file__).parent


@functools.cache
def sums() -> dict[str, dict[str, str]]:
    """Returns the SHA-256 of what is read, by flow and file."""
    return json.loads((_FOLDER / "sums.json").read_text())


def pretrained_names() -> list[str]:
    """Returns the names of the flows that `pretrained` has, sorted."""
    return sorted(sums())


def pretrained(name: str) -> Flow:
    """Loads a trained flow that comes with the package, without a network.

    What it is, what it was trained on and how well it does stand on its card,
    `tfp_realnvp/zoo/NAME/README.md`.

    Args:
        name: one of `pretrained_names()`; or `hf://USER/MODEL`, a flow on the Hugging Face Hub,
            which is loaded as by `nvp.load`.

    Returns:
        The flow.

    Raises:
        ValueError: an unknown name, or files that are not those that came with the package.

    Example:
        >>> import tfp_realnvp as nvp
        >>> dist = nvp.pretrained("mnist")
        >>> nvp.sample(dist, 4, seed=0).shape
        (4, 28, 28, 1)
    """
    if name.startswith("hf://"):
        return load(name)
    # What a file asks for needs no bound where the file is known.
    return keras.saving.load_model(folder_of(name), compile=False).dist


def folder_of(name: str) -> Path:
    """Returns where a flow that came with the package is, its files checked.

    Args:
        name: one of `pretrained_names()`.

    Raises:
        ValueError: see `pretrained`.
    """
    if name not in sums():
        close = difflib.get_close_matches(name, sums(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(pretrained_names())
        raise ValueError(f"There is no pretrained flow {name!r}; there are {known}.{hint}")
    folder = _FOLDER / name
    for file, expected in sums()[name].items():
        if hashlib.sha256((folder / file).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{folder / file} is damaged: install the package again.")
    return folder
