"""Times `uva_multiscale` here and in other libraries, in turn, and prints the ratios.

A peer is a script that takes `--what train|logprob|sample --batch N --steps N --warmup N` and
prints a line of JSON with `images_per_s`. Each task is a process of its own, and ours and every
peer run one after the other for each row. Ratios mean something on an idle machine only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

TASKS = [
    ("train", 32),
    ("train", 128),
    ("logprob", 1),
    ("logprob", 64),
    ("logprob", 128),
    ("sample", 1),
    ("sample", 64),
]
SHORT = [("train", 8), ("logprob", 8), ("sample", 8)]


def measure(command: list[str], seconds: float) -> float | None:
    """Returns the images per second that a command reports, or None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
        return float(json.loads(done.stdout.strip().splitlines()[-1])["images_per_s"])
    except (OSError, subprocess.SubprocessError, LookupError, ValueError):
        return None


def table(rows: list[dict]) -> str:
    """Returns the rows as a Markdown table; the ratio is ours over the best peer."""
    lines = ["| task | batch | ours, images/s | best peer | ratio |", "| --- " * 5 + "|"]
    for row in rows:
        measured = {name: rate for name, rate in row["peers"].items() if rate is not None}
        best = max(measured, key=measured.__getitem__, default=None)
        ours = "failed" if row["ours"] is None else f"{row['ours']:.1f}"
        peer = "none" if best is None else f"{best}: {measured[best]:.1f}"
        known = row["ours"] is not None and best is not None
        ratio = f"{row['ours'] / measured[best]:.2f}" if known else "-"
        lines.append(f"| {row['task']} | {row['batch']} | {ours} | {peer} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    """Runs all tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--peer_python", default=sys.executable, metavar="PATH", help="interpreter of the peers")
    add("--peer", action="append", default=[], metavar="SCRIPT", help="a peer; may be repeated")
    add("--short", action="store_true", help="few steps of small batches, to see that it runs")
    add("--out", default="runs/bench.json", metavar="FILE.json")
    args = parser.parse_args()
    here = Path(__file__).resolve().parent
    peers = {}
    for text in args.peer:
        script, *options = text.split()
        if Path(script).exists():
            peers[" ".join([Path(script).stem, *options])] = [args.peer_python, script, *options]
        else:
            print(f"{script} is skipped: there is no such file.")
    steps, seconds = (2, 300.0) if args.short else (7, 600.0)
    rows = []
    for task, batch in SHORT if args.short else TASKS:
        options = ["--what", task, "--batch", str(batch)]
        options += ["--steps", str(steps), "--warmup", "1"]
        ours = measure([sys.executable, str(here / "ours.py"), *options], seconds)
        rates = {name: measure([*command, *options], seconds) for name, command in peers.items()}
        for name in (name for name, rate in rates.items() if rate is None):
            print(f"{name} failed or ran out of time: {task}, batch {batch}.")
        rows.append({"task": task, "batch": batch, "ours": ours, "peers": rates})
    print(table(rows))
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
