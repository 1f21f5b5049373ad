"""Rows of the table of benchmarks, each with its bar."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Row:
    """One line.

    Attributes:
        what: what is measured.
        ours: our figure, with its unit.
        other: what it is held against, with its name; None if nothing could be measured.
        value: the number that the bar is about, usually a ratio; None if it is not known.
        bar: the bound.
        at_least: whether the value must be at least the bar; at most otherwise.
    """

    what: str
    ours: str
    other: str | None
    value: float | None
    bar: float
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where the value is not known."""
        if self.value is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def bound(self) -> str:
        """The bar in words."""
        return f"{'>=' if self.at_least else '<='} {self.bar:g}"

    def line(self) -> str:
        """Returns the row in Markdown."""
        value = "-" if self.value is None else f"{self.value:.3g}"
        met = {True: "met", False: "missed", None: "-"}[self.met]
        cells = [self.what, self.ours, self.other or "nothing to compare", value, self.bound, met]
        return f"| {' | '.join(cells)} |"


def table(rows: list[Row]) -> str:
    """Returns the rows as a Markdown table."""
    head = ["| what | ours | against | value | bar | |", "| --- " * 6 + "|"]
    return "\n".join([*head, *(row.line() for row in rows)])


def faster(what: str, ours: dict | None, others: dict[str, dict | None], bar: float, unit: str):
    """Returns the row of our rate over the best of the others.

    Args:
        what: what is measured.
        ours: the report of our script, or None if it failed.
        others: the reports of the peers by name.
        bar: the least ratio.
        unit: `"images"` or `"samples"`.
    """
    key = f"{unit}_per_s"
    rates = {name: each[key] for name, each in others.items() if each is not None}
    best = max(rates, key=rates.__getitem__, default=None)
    mine = None if ours is None else ours[key]
    return Row(
        what,
        "failed" if mine is None else f"{mine:.1f} {unit}/s",
        None if best is None else f"{best}: {rates[best]:.1f}",
        None if mine is None or best is None else mine / rates[best],
        bar,
    )
