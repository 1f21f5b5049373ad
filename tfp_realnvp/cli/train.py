"""`train`: trains a flow in a run directory."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from tfp_realnvp.cli.named_values import add_named_values, named_values
from tfp_realnvp.training.recipes import RECIPES

Group = argparse._ArgumentGroup

DESCRIPTION = "Train a flow by maximum likelihood; everything goes into one run directory."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--recipe",
        action=Recipe,
        choices=tuple(RECIPES),
        help="settings that were tried, by name, for all that is not given here: likelihood, for "
        "images on two CPU cores; likelihood-gpu; archive; mnist-conditional; digits; moons; and "
        "the sources' own, uva, lecture and post",
    )
    _add_flow(parser.add_argument_group("flow"))
    _add_data(parser.add_argument_group("data"))
    _add_training(parser.add_argument_group("training"))
    _add_run(parser.add_argument_group("run directory"))
    _add_machine(parser.add_argument_group("machine"))
    _add_machines(parser.add_argument_group("several machines"))


def _add_flow(group: Group) -> None:
    add = group.add_argument
    add("--flow", help="name of the flow, such as uva_multiscale or realnvp")
    add_named_values(
        group, "--option", "an option of the flow, such as couplings=4 or widths=[16,24,32]"
    )
    add("--conditional", action="store_true", help="make the flow conditional on the labels")
    add(
        "--start",
        metavar="FLOW",
        help="begin with the weights of a flow: a .keras file, a run directory, a name of the zoo",
    )


def _add_data(group: Group) -> None:
    add = group.add_argument
    add("--dataset", default="digits", help="name of a data set, or path of images or arrays")
    add("--data_dir", metavar="DIR", help="where data sets are kept, or the raw idx.gz files")
    add_named_values(
        group,
        "--data_option",
        "an option of the data, such as classes=[0,2] or image_size=[14,14]",
    )
    add("--flip", action="store_true", help="mirror images at random")


def _add_training(group: Group) -> None:
    add = group.add_argument
    add("--epochs", type=int, default=10, help="passes over the training data")
    add("--batch_size", type=int, default=128, help="examples in a step")
    add("--optimizer", default="adam", help="adam or muon")
    add("--learning_rate", type=float, default=1e-3, help="learning rate of the optimizer")
    add("--schedule", default="constant", help="constant, exponential or cosine")
    add("--warmup", type=int, default=0, help="steps over which a cosine schedule begins")
    add("--weight_decay", type=float, default=0.0, help="decay of kernels, times the rate")
    add("--clip", type=float, default=1.0, help="bound of the global gradient norm, 0 for none")
    add(
        "--coarse",
        type=float,
        nargs="+",
        default=[],
        metavar="WEIGHT",
        help="weights, in the loss, of the likelihood of the images at half of the resolution, at "
        "a quarter, and so on",
    )
    add("--ema", type=float, default=0.0, help="momentum of averaged weights, 0 for none")
    add(
        "--patience",
        type=int,
        default=0,
        help="epochs without a better validation after which training ends, 0 for never",
    )
    add("--validate_every", type=int, default=1, help="epochs from one validation to the next")
    add(
        "--log",
        nargs="+",
        default=[],
        metavar="WHAT",
        help="what is logged as well: terms (of the likelihood) and gradient_noise",
    )
    add("--seed", type=int, default=0, help="seed of initial values, data order and noise")


def _add_run(group: Group) -> None:
    add = group.add_argument
    add("--out", required=True, metavar="DIR", help="run directory")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--checkpoint_seconds", type=float, default=60.0, help="time between checkpoints")
    add("--test_examples", type=int, default=2000, help="test examples for results.json, 0 for all")


def _add_machine(group: Group) -> None:
    add = group.add_argument
    add(
        "--precision",
        default="auto",
        help="float32, bfloat16 for the convolutions of images, or auto: bfloat16 for images on a "
        "CPU that has it",
    )
    add(
        "--jit",
        default="auto",
        help="XLA: auto (on a GPU; between bfloat16 convolutions of shards), on or off",
    )
    add(
        "--shards",
        default="auto",
        help="shards of a batch that are worked on at once, each on its share of the CPU's cores; "
        "auto: as many as cores for uva_simple, uva_vardeq, uva_multiscale, flowpp "
        "and mixture_multiscale, else 1",
    )
    add(
        "--microbatch",
        type=int,
        help="examples that a step works on at a time, at most, for memory; default: all",
    )
    add(
        "--devices",
        default="auto",
        help="share each batch among devices: all GPUs (or logical CPUs), one, or auto: all where "
        "there are several GPUs",
    )
    add(
        "--memory",
        type=float,
        default=2.0,
        metavar="GB",
        help="most memory for the data; what is larger is read from disk batch by batch",
    )


def _add_machines(group: Group) -> None:
    add = group.add_argument
    add("--workers", type=int, default=1, help="processes that share each batch, by Ray")
    add("--ray", metavar="ADDRESS", help="Ray cluster that they run on; default: this machine")
    add(
        "--max_failures",
        type=int,
        default=3,
        help="how often they are started again, from the last checkpoint, when one is lost",
    )


class Recipe(argparse.Action):
    """Makes a recipe's settings the defaults of the arguments, for the next time they are read."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Is called where the argument stands."""
        settings = {k: v for k, v in RECIPES[values].items() if not k.endswith("options")}
        parser.set_defaults(**settings)
        setattr(namespace, self.dest, values)


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments
    from tfp_realnvp.training import gang, runs
    from tfp_realnvp.zoo.files import folder_of, pretrained_names

    arguments.whole("train.py", "--test_examples", args.test_examples, least=0)
    if args.flow is None:
        raise ValueError("train.py needs a --flow or a --recipe.")
    settings = {field.name: getattr(args, field.name) for field in fields(runs.RunConfig)}
    settings["options"] = _options(args)
    settings["data_options"] = _data_options(args)
    if args.start in pretrained_names():
        settings["start"] = str(folder_of(args.start))
    config = runs.RunConfig(**settings | _device_settings(args))
    alone = args.workers == 1 and args.ray is None
    if not alone and args.devices != "auto":
        raise ValueError("Workers use all of their GPUs: leave --devices out.")
    options = {
        "resume": args.resume,
        "checkpoint_seconds": args.checkpoint_seconds,
        "result_examples": args.test_examples or None,
        "memory": 1e9 * args.memory,
    }
    if alone:
        results = runs.train(config, args.out, devices=args.devices, **options)
    else:
        results = gang.train(
            config,
            args.out,
            workers=args.workers,
            address=args.ray,
            max_failures=args.max_failures,
            **options,
        )
    print(json.dumps(results, indent=2))


def _device_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Returns what the device decides unless the command line does; a resumed run has decided."""
    from tfp_realnvp import datasets
    from tfp_realnvp.core import arguments
    from tfp_realnvp.execution import device
    from tfp_realnvp.training import runs

    asked = {"precision": args.precision, "shards": args.shards}
    begun = args.resume and (Path(args.out) / runs.CONFIG).exists()
    if begun:
        config = runs.read_config(args.out)
        asked = {k: getattr(config, k) if v == "auto" else v for k, v in asked.items()}
    if asked["shards"] == "auto":
        # Workers may share this machine's cores, or have others.
        asked["shards"] = 1 if args.workers > 1 else device.use_best_shards(args.flow)
    else:
        try:
            asked["shards"] = int(asked["shards"])
        except ValueError:
            raise ValueError(
                f"--shards is a whole number or auto, got {asked['shards']!r}."
            ) from None
        # A run goes on in the shards that it was begun in, on as many cores or fewer.
        most = None if begun else device.cores()
        arguments.whole("train.py", "--shards", asked["shards"], most=most)
        if asked["shards"] > 1:
            device.use_shards(asked["shards"])
    if asked["precision"] == "auto":
        options = _data_options(args)
        vectors = datasets.info(args.dataset, args.data_dir, **options).levels is None
        asked["precision"] = "float32" if vectors else device.best_precision()
    return asked


def _options(args: argparse.Namespace) -> dict[str, Any]:
    recipe = RECIPES.get(args.recipe, {})
    tried = recipe.get("options", {}) if args.flow == recipe.get("flow") else {}
    return tried | named_values("--option", args.options)


def _data_options(args: argparse.Namespace) -> dict[str, Any]:
    recipe = RECIPES.get(args.recipe, {})
    tried = recipe.get("data_options", {}) if args.dataset == recipe.get("dataset") else {}
    return tried | named_values("--data_option", args.data_options)
