"""`export`: a trained flow as a SavedModel."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = "Export a run's best weights as a SavedModel that needs TensorFlow alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("run", metavar="DIR", help="run directory or .keras file")
    parser.add_argument(
        "out", metavar="OUT", help="directory of the SavedModel, or of its versions"
    )
    parser.add_argument(
        "--num_importance_samples", type=int, default=1, help="noise samples in serving_default"
    )
    parser.add_argument(
        "--batch_size", type=int, help="examples in a call, for converters; any number if not given"
    )
    parser.add_argument(
        "--version",
        type=_version,
        help="publish OUT/VERSION: a number, or next for one more than the highest there",
    )
    parser.add_argument("--keep", type=int, help="versions that stay; all if not given")


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments
    from tfp_realnvp.serving.saved_model import export
    from tfp_realnvp.training import saving

    arguments.whole("export.py", "--num_importance_samples", args.num_importance_samples)
    if args.keep is not None:
        arguments.whole("export.py", "--keep", args.keep)
    path = export(
        saving.load(args.run),
        args.out,
        num_importance_samples=args.num_importance_samples,
        batch_size=args.batch_size,
        version=args.version,
        keep=args.keep,
        facts=_facts(Path(args.run)),
    )
    print(f"SavedModel in {path}")


def _version(text: str) -> int | str:
    return text if text == "next" else int(text)


def _facts(run: Path) -> dict[str, Any]:
    """Returns what a finished run's results say of its flow, for the card."""
    path = run / "results.json"
    if not path.is_file():
        return {}
    results = json.loads(path.read_text())
    facts = {"architecture": f"`{results['flow']}`", "data": results["dataset"]}
    for name, unit in (("bits_per_dim", "bits/dim"), ("nats", "nats")):
        if name in results:
            split = f"{results['split']}, {results['examples']:,} examples"
            facts[f"{unit}, {split}"] = f"{results[name]:.4f}"
    return facts
