"""Flows with weights to take home."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from tfp_realnvp.flow import Flow
from tfp_realnvp.training.saving import load

_FOLDER = Path(__file__).parent
# SHA-256 of what is read, by flow and file.
_SUMS = {
    "mnist": {
        "config.json": "e55a00544ad3f0dad0c3b6821d64491d0a46f3399d979c25ac2d58d235a88836",
        "model.weights.h5": "157d70516cad5ac1eade00c0d7df69622f58a8b7fbc46fb38655a814399cbc4f",
    },
}


def pretrained_names() -> list[str]:
    """Returns the names of the flows that `pretrained` has, sorted."""
    return sorted(_SUMS)


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
    if name not in _SUMS:
        close = difflib.get_close_matches(name, _SUMS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(pretrained_names())
        raise ValueError(f"There is no pretrained flow {name!r}; there are {known}.{hint}")
    folder = _FOLDER / name
    for file, expected in _SUMS[name].items():
        if hashlib.sha256((folder / file).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{folder / file} is damaged: install the package again.")
    return load(folder)
