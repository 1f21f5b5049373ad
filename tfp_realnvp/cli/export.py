"""`export`: a trained flow as a SavedModel."""

from __future__ import annotations

import argparse

DESCRIPTION = "Export a run's best weights as a SavedModel that needs TensorFlow alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("run", metavar="DIR", help="run directory or .keras file")
    parser.add_argument("out", metavar="OUT", help="directory of the SavedModel")
    parser.add_argument(
        "--num_importance_samples", type=int, default=1, help="noise samples in serving_default"
    )
    parser.add_argument(
        "--batch_size", type=int, help="examples in a call, for converters; any number if not given"
    )


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments
    from tfp_realnvp.serving.saved_model import export
    from tfp_realnvp.training import saving

    arguments.whole("export.py", "--num_importance_samples", args.num_importance_samples)
    path = export(
        saving.load(args.run),
        args.out,
        num_importance_samples=args.num_importance_samples,
        batch_size=args.batch_size,
    )
    print(f"SavedModel in {path}")
