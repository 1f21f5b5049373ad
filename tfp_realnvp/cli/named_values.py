"""Arguments of the form NAME=VALUE, given once for each name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any


def add_named_values(parser: argparse._ActionsContainer, argument: str, text: str) -> None:
    """Adds an argument; what it collects is in the plural of its name."""
    parser.add_argument(
        argument,
        action="append",
        dest=argument.lstrip("-") + "s",
        default=[],
        metavar="NAME=VALUE",
        help=text,
    )


def named_values(argument: str, texts: Sequence[str]) -> dict[str, Any]:
    """Returns the values by name, as JSON has them, or as text.

    Raises:
        ValueError: no name or no value, or a name given twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise ValueError(f"An option is given as NAME=VALUE, got {text!r}.")
        if name in values:
            raise ValueError(f"{argument} {name} is given twice.")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values
