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
    parser.add_argument(
        "--reference",
        type=int,
        default=0,
        metavar="N",
        help="test examples whose likelihoods go with it, for the playground to compare with",
    )


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments
    from tfp_realnvp.serving.saved_model import export
    from tfp_realnvp.training import saving

    arguments.whole("export.py", "--num_importance_samples", args.num_importance_samples)
    arguments.whole("export.py", "--reference", args.reference, least=0)
    if args.keep is not None:
        arguments.whole("export.py", "--keep", args.keep)
    dist = saving.load(args.run)
    path = export(
        dist,
        args.out,
        num_importance_samples=args.num_importance_samples,
        batch_size=args.batch_size,
        version=args.version,
        keep=args.keep,
        facts=_facts(Path(args.run)),
        reference=_reference(dist, args) if args.reference else None,
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


def _reference(dist: Any, args: argparse.Namespace) -> Any:
    """Returns what the first examples of the run's test split cost, or of its validation split."""
    from tfp_realnvp import datasets
    from tfp_realnvp.training import runs
    from tfp_realnvp.training.evaluation import arrays_for
    from tfp_realnvp.uses.anomaly import anomaly_scores

    config = runs.read_config(args.run)
    where = (config.dataset, config.data_dir)
    there = datasets.splits(*where, **config.data_options)
    split = "test" if "test" in there else "validation"
    arrays = arrays_for(dist, where[0], split, where[1], config.data_options)
    x, labels, condition = (None if part is None else part[: args.reference] for part in arrays)
    count = args.num_importance_samples if dist.levels is not None else 1
    return anomaly_scores(dist, x, labels, condition=condition, num_importance_samples=count)
