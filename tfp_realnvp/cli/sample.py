"""`sample`: a picture of samples of a trained flow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = "Draw samples from a run's best weights as a PNG picture."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("run", metavar="DIR", help="run directory or .keras file")
    add("--num", type=int, default=64, help="number of samples")
    add("--temperature", type=float, nargs="+", default=[1.0], help="one, or one per scale")
    add("--out", default="samples.png", metavar="FILE.png", help="the picture")
    add("--seed", type=int, default=0, help="seed of the latents")
    add("--label", type=int, help="class of the samples; all in turn if not given")
    add(
        "--condition",
        metavar="FILE.npy",
        help="conditions of the samples in turn, or one for all; those of the run's validation (or "
        "training) data if not given",
    )


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    import numpy as np

    from tfp_realnvp.core import arguments
    from tfp_realnvp.plots import pictures
    from tfp_realnvp.training import runs, saving
    from tfp_realnvp.uses import latents

    arguments.whole("sample.py", "--num", args.num, most=2**31 - 1)
    for temperature in args.temperature:
        arguments.real("sample.py", "--temperature", temperature, least=0)
    dist = saving.load(args.run)
    labels = None
    if dist.num_classes is not None:
        labels = np.arange(args.num) % dist.num_classes if args.label is None else args.label
    elif args.label is not None:
        raise ValueError("The flow is not conditional on classes: leave --label out.")
    condition = None
    if dist.condition_shape is not None:
        condition = _condition(args)
        if condition.ndim > len(dist.condition_shape):
            condition = condition[np.arange(args.num) % len(condition)]
    elif args.condition is not None:
        raise ValueError("The flow has no condition: leave --condition out.")
    samples = latents.sample(
        dist,
        args.num,
        temperature=args.temperature,
        labels=labels,
        condition=condition,
        seed=args.seed,
    )
    columns = runs.read_columns(args.run)
    pictures.write_samples(args.out, samples, levels=dist.levels, columns=columns)
    print(f"{args.num} samples in {args.out}")


def _condition(args: argparse.Namespace) -> Any:
    """Returns the conditions that were given, or else those of the run's data."""
    import numpy as np

    from tfp_realnvp import datasets
    from tfp_realnvp.training import runs

    if args.condition is not None:
        return np.load(args.condition, allow_pickle=False)
    if not Path(args.run).is_dir():
        raise ValueError("The flow is conditional on a condition: give some by --condition.")
    config = runs.read_config(args.run)
    options = config.data_options
    there = datasets.splits(config.dataset, config.data_dir, **options)
    split = "validation" if "validation" in there else "train"
    return datasets.load_condition(config.dataset, split, config.data_dir, **options)
