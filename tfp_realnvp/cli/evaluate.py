"""`evaluate`: bits per dimension or nats of a trained flow."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from tfp_realnvp.cli.named_values import add_named_values, named_values

DESCRIPTION = "Evaluate a run's best weights on its data set, with standard errors."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("run", metavar="DIR", help="run directory")
    add(
        "--split",
        help="train, validation or test; if not given, test, or validation where there is no test "
        "split",
    )
    add("--dataset", help="another data set than the run's")
    add("--data_dir", metavar="DIR", help="where data sets are kept, if not where the run says")
    add_named_values(parser, "--data_option", "an option of the data, such as classes=[0,2]")
    add("--num_importance_samples", type=int, default=8, help="samples of the noise")
    add("--examples", type=int, default=0, help="how many examples, 0 for all")
    add("--seed", type=int, default=0, help="seed of the noise")
    add("--times", action="store_true", help="time likelihood and samples of a batch of 64, in ms")
    add("--workers", type=int, default=1, help="processes that share the data, by Ray")
    add("--ray", metavar="ADDRESS", help="Ray cluster that they run on; default: this machine")


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments
    from tfp_realnvp.execution import device
    from tfp_realnvp.training import runs, saving
    from tfp_realnvp.training.evaluation import arrays_for, evaluate, speeds
    from tfp_realnvp.training.run_directory import json_text
    from tfp_realnvp.training.sharing import shared_log_prob
    from tfp_realnvp.uses.likelihood import log_prob

    arguments.whole("evaluate.py", "--examples", args.examples, least=0)
    arguments.whole("evaluate.py", "--num_importance_samples", args.num_importance_samples)
    device.use_full_float32()
    config = runs.read_config(args.run)
    dataset, data_dir = args.dataset or config.dataset, args.data_dir or config.data_dir
    options = named_values("--data_option", args.data_options)
    if args.dataset is None:
        options = config.data_options | options
    split = args.split or _split(dataset, data_dir, options)
    device.use_best_shards(config.flow)
    dist = saving.load(args.run)
    shared: Any = contextlib.nullcontext(log_prob)
    if args.workers != 1 or args.ray:
        shared = shared_log_prob(args.run, workers=args.workers, address=args.ray)
    with shared as likelihood:
        result = evaluate(
            dist,
            dataset,
            split=split,
            data_dir=data_dir,
            data_options=options,
            examples=args.examples or None,
            num_importance_samples=args.num_importance_samples,
            seed=args.seed,
            verbose=True,
            likelihood=likelihood,
        )
    if args.times:
        result |= speeds(dist, *arrays_for(dist, dataset, split, data_dir, options))
    print(json_text({"flow": config.flow, **result}))


def _split(dataset: str, data_dir: str | None, options: dict[str, Any]) -> str:
    from tfp_realnvp import datasets

    there = datasets.splits(dataset, data_dir, **options)
    if "test" in there:
        return "test"
    if "validation" not in there:
        raise ValueError(f"{dataset} has no split but train: evaluate that with --split train.")
    print(f"{dataset} has no test split: this is its validation split.", file=sys.stderr)
    return "validation"
