"""Compares finished runs: a table of their results, and curves of validation by examples seen.

python scripts/compare.py runs/simple runs/vardeq runs/multiscale --out compared.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import Parser, add_debug, guarded


def main() -> int:
    """Compares what the command line names."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories with results")
    parser.add_argument("--out", metavar="FILE.png", help="where to draw the curves")
    add_debug(parser)
    return guarded(compare, parser.parse())


def compare(args: argparse.Namespace) -> None:
    """Prints the table and draws the curves."""
    from tfp_realnvp import figures, runs

    print(runs.table(args.runs))
    if args.out:
        lines = runs.validations(args.runs)
        labels = {"x": "examples seen", "y": "validation, bits/dim or nats"}
        figures.curves(lines, log_x=True, **labels).savefig(args.out, dpi=150)
        print(f"\nCurves: {args.out}")


if __name__ == "__main__":
    sys.exit(main())
