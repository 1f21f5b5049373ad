"""Compares finished runs: a table of their results, and curves of validation by examples seen.

python scripts/compare.py runs/simple runs/vardeq runs/multiscale --out compared.png
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import Parser, add_debug, guarded

HEADER = (
    "run", "flow", "parameters", "examples seen", "minutes", "validation", "test", "log_prob, ms",
    "sample, ms",
)  # fmt: skip


def main() -> int:
    """Compares what the command line names."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories with results")
    parser.add_argument("--out", metavar="FILE.png", help="where to draw the curves")
    add_debug(parser)
    return guarded(compare, parser.parse())


def compare(args: argparse.Namespace) -> None:
    """Prints the table and draws the curves."""
    runs = [_read(Path(run)) for run in args.runs]
    print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}")
    for run in runs:
        print(f"| {' | '.join(_row(run))} |")
    if args.out:
        _draw(runs, args.out)


def _read(folder: Path) -> dict[str, Any]:
    files = {name: folder / name for name in ("results.json", "data.json", "log.csv")}
    if missing := [name for name, path in files.items() if not path.exists()]:
        raise ValueError(f"{folder} is no finished run: it has no {missing[0]}.")
    return {
        "name": folder.name,
        "results": json.loads(files["results.json"].read_text()),
        "examples": json.loads(files["data.json"].read_text())["splits"]["train"]["examples"],
        "log": list(csv.DictReader(files["log.csv"].open())),
    }


def _row(run: dict[str, Any]) -> list[str]:
    results = run["results"]
    return [
        run["name"],
        f"`{results['flow']}`",
        f"{results['parameters']:,}",
        f"{run['examples'] * results['epochs']:,}",
        f"{results['wall_seconds'] / 60:.1f}",
        _figure(results.get("validation") or {}),
        _figure(results if results["split"] == "test" else {}),
        str(results.get("log_prob_ms", "-")),
        str(results.get("sample_ms", "-")),
    ]


def _figure(figures: dict[str, Any]) -> str:
    """Returns the figure with the most samples of the noise, and its standard error."""
    for name in ("bits_per_dim_8", "bits_per_dim_1", "nats"):
        if name in figures:
            return f"{figures[name]:.4f} ± {figures[f'{name}_standard_error'] or 0:.4f}"
    return "-"


def _draw(runs: list[dict[str, Any]], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for run in runs:
        rows = [row for row in run["log"] if row.get("val_loss")]
        seen = [run["examples"] * int(row["epoch"]) for row in rows]
        label = f"{run['name']} ({run['results']['flow']})"
        axis.plot(seen, [float(row["val_loss"]) for row in rows], marker=".", label=label)
    axis.set(xlabel="examples seen", ylabel="validation, bits/dim or nats", xscale="log")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=150)
    print(f"\nCurves: {path}")


if __name__ == "__main__":
    sys.exit(main())
