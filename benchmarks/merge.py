"""Prints one table of several runs of the benchmarks.

    python -m benchmarks.merge runs/first.json runs/second.json

Figures of ours and of the best peer are those of the first run that has the row; the values follow
run by run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row


def merged(runs: Sequence[Sequence[Row]]) -> str:
    """Returns the runs as one Markdown table, rows in the order in which they first come."""
    found: dict[tuple[str, bool], list[Row]] = {}
    for run in runs:
        for row in run:
            # Two rows about the SavedModel have the same words, and other bars.
            found.setdefault((row.what, row.at_least), []).append(row)
    head = ["| what | ours | against | value, run by run | bar | |", "| --- " * 6 + "|"]
    return "\n".join([*head, *map(_line, found.values())])


def _line(rows: list[Row]) -> str:
    first = rows[0]
    known = [row for row in rows if row.met is not None]
    met = sum(bool(row.met) for row in known)
    words = {0: "missed", len(known): "met"}.get(met, f"met in {met} of {len(known)}")
    values = ", ".join(f"{row.value:.3g}" for row in known) or "-"
    other = first.other or "nothing to compare"
    cells = [first.what, first.ours, other, values, first.bound, words if known else "-"]
    return f"| {' | '.join(cells)} |"


def rows_of(path: Path) -> list[Row]:
    """Reads the rows that `benchmarks.run` has written."""
    rows = json.loads(path.read_text())["rows"]
    return [Row(**{key: value for key, value in row.items() if key != "met"}) for row in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="FILE.json")
    args = parser.parse_args(arguments)
    print(merged([rows_of(path) for path in args.runs]))


if __name__ == "__main__":
    main()
