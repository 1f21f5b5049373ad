"""The files of the flows that come with the package."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from pathlib import Path

_FOLDER = Path(__file__).parent


@functools.cache
def sums() -> dict[str, dict[str, str]]:
    """Returns the SHA-256 of what is read, by flow and file."""
    return json.loads((_FOLDER / "sums.json").read_text())


def pretrained_names() -> list[str]:
    """Returns the names of the flows that `pretrained` has, sorted."""
    return sorted(sums())


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
