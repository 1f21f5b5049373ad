"""`evaluate`: bits per dimension or nats of a trained flow."""

from __future__ import annotations

import argparse
import json

DESCRIPTION = "Evaluate a run's best weights on its data set, with standard errors."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("run", metavar="DIR", help="run directory")
    add("--split", default="test", help="train, validation or test")
    add("--dataset", help="another data set than the run's")
    add("--data_dir", metavar="DIR", help="where data sets are kept, if not where the run says")
    add("--num_importance_samples", type=int, default=8, help="samples of the noise")
    add("--examples", type=int, default=0, help="how many examples, 0 for all")
    add("--seed", type=int, default=0, help="seed of the noise")


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp import runs, saving, sharding
    from tfp_realnvp.evaluation import evaluate
    from tfp_realnvp.precision import use_full_float32

    use_full_float32()
    config = runs.read_config(args.run)
    sharding.best_shards(config.flow)
    result = evaluate(
        saving.load(args.run),
        args.dataset or config.dataset,
        split=args.split,
        data_dir=args.data_dir or config.data_dir,
        examples=args.examples or None,
        num_importance_samples=args.num_importance_samples,
        seed=args.seed,
        verbose=True,
    )
    print(json.dumps({"flow": config.flow, **result}, indent=2))
