"""Puts the flow of a finished run into the zoo, with its card.

    python scripts/train.py --recipe digits --test_examples 0 --out runs/digits
    python scripts/publish.py runs/digits digits --title "8x8 digits" --license CC-BY-4.0

The directory is in Keras' form, which `nvp.load` reads. Kernels (arrays of rank 2 and more) become
float16 and all else stays as it is; what that costs is measured, and stands on the card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import Parser, add_debug, guarded

ZOO = Path(__file__).resolve().parents[1] / "tfp_realnvp" / "zoo"
READ = ("config.json", "model.weights.h5")
CARD = """\
---
library_name: keras
pipeline_tag: {task}
tags: [normalizing-flow, tensorflow-probability, {flow}]
datasets: [{dataset}]
license: {license}
---

# {name}: {title}

`{flow}` with {options}, {parameters:,} parameters{classes}.

| what | figure |
| --- | --- |
{figures}

{unit}; "±" is the standard error over {things}, {examples:,} of them.

## Data

{dataset}. Trained on its split `train` alone; the weights are those of the epoch with the best
figure on `validation`, and `{split}` was not used before the figures above.

## Recipe

    python scripts/train.py {command}

| setting | value |
| --- | --- |
{settings}
| time | {minutes:.0f} minutes on {machine} |

## Files

Kernels are stored in half precision. `results.json` and `log.csv` are those of the run;
`reference.json` is what the first 1,000 examples of `{split}` cost; `codec.nvpm`, where there is
one, is the flow in whole numbers, for archives. SHA-256:

{sums}
"""


def main() -> int:
    """Publishes what the command line names."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="run directory, with its results")
    parser.add_argument("name", help="name in the zoo")
    parser.add_argument("--title", required=True, help="what the flow is of, in a few words")
    parser.add_argument("--license", required=True, help="licence of the data")
    parser.add_argument("--machine", default="two CPU cores", help="what it was trained on")
    parser.add_argument("--recipe", help="name of the recipe, where it was one")
    parser.add_argument(
        "--codec", action="store_true", help="with its codec, to write and read archives"
    )
    add_debug(parser)
    return guarded(publish, parser.parse())


def publish(args: argparse.Namespace) -> None:
    """Stores weights, card, samples and sums."""
    import numpy as np

    import tfp_realnvp as nvp
    from tfp_realnvp import datasets, pictures
    from tfp_realnvp.training.evaluation import evaluate_arrays

    run, target = Path(args.run), ZOO / args.name
    results, config = (json.loads((run / f"{n}.json").read_text()) for n in ("results", "config"))
    whole = nvp.load(run)
    target.mkdir(parents=True, exist_ok=True)
    store(whole, target)
    halved = nvp.load(target)

    x, labels = datasets.load_arrays(config["dataset"], "validation", config["data_dir"])
    labels = labels if whole.num_classes is not None else None
    some = {"examples": 1000, "num_importance_samples": 1, "seed": 0}
    key = "nats" if whole.levels is None else "bits_per_dim_1"
    before, after = (evaluate_arrays(d, x, labels, **some)[key] for d in (whole, halved))

    count = 64 if whole.levels else 2000
    classes = np.arange(count) % whole.num_classes if whole.num_classes else None
    given = halved if classes is None else nvp.given(halved, labels=classes)
    for temperature in (1.0, 0.8):
        drawn = nvp.sample(given, count if classes is None else 1, temperature=temperature, seed=0)
        drawn = drawn.reshape(-1, *whole.event_shape)
        pictures.write_samples(target / f"samples_{temperature}.png", drawn, levels=whole.levels)
    (target / "reference.json").write_text(reference(halved, config, results["split"]))
    for name in ("results.json", "log.csv"):
        shutil.copy(run / name, target / name)

    read = list(READ)
    if args.codec:
        from tfp_realnvp.codec.codec import FILE

        nvp.Codec.of(halved).save(target / FILE)
        read.append(FILE)

    sums = {n: hashlib.sha256((target / n).read_bytes()).hexdigest() for n in read}
    table = json.loads((ZOO / "sums.json").read_text()) | {args.name: sums}
    (ZOO / "sums.json").write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")
    costs = f"{after - before:+.5f} (validation, {min(1000, len(x)):,})"
    (target / "README.md").write_text(card(args, config, results, sums, costs=costs))
    print(f"{target}: half precision costs {costs}")


def card(args, config: dict, results: dict, sums: dict[str, str], *, costs: str) -> str:
    """Returns the text of a card."""
    images = "nats" not in results
    names = {
        "bits_per_dim_1": "1 sample",
        "bits_per_dim_8": "8 importance samples",
        "nats": "minus log-likelihood",
    }
    figures = [
        f"| {results['split']}, {text} | {results[n]:.4f} ± {results[f'{n}_standard_error']:.4f} |"
        for n, text in names.items()
        if n in results
    ]
    figures += [
        f"| validation in training, best epoch | {results['best_validation']:.4f} |",
        f"| half precision's cost | {costs} |",
    ]
    options = ", ".join(f"`{k}={v}`" for k, v in config["options"].items())
    shown = ("epochs", "batch_size", "optimizer", "learning_rate", "warmup", "schedule", "clip",
             "ema", "flip", "precision", "seed")  # fmt: skip
    recipe = f"--recipe {args.recipe}" if args.recipe else f"--flow {config['flow']} ..."
    return CARD.format(
        task="unconditional-image-generation" if images else "other",
        flow=config["flow"],
        dataset=config["dataset"],
        license=args.license,
        name=args.name,
        title=args.title,
        options=options or "its default options",
        parameters=results["parameters"],
        classes=", conditional on classes" if config["conditional"] else "",
        figures="\n".join(figures),
        unit="Bits per dimension" if images else "Nats, of the coordinates as they come",
        things="images" if images else "points",
        examples=results["examples"],
        split=results["split"],
        command=f"{recipe} --dataset {config['dataset']} --test_examples 0 --out RUN",
        settings="\n".join(f"| {name} | {config[name]} |" for name in shown),
        minutes=results["wall_seconds"] / 60,
        machine=args.machine,
        sums="\n".join(f"    {value}  {name}" for name, value in sums.items()),
    )


def reference(dist, config: dict, split: str) -> str:
    """Returns what the first 1,000 examples of a split cost, ascending, for the playground."""
    import numpy as np

    import tfp_realnvp as nvp

    data = nvp.datasets.load_arrays(config["dataset"], split, config["data_dir"])
    x, labels = (None if part is None else part[:1000] for part in data)
    costs = nvp.anomaly_scores(dist, x, labels if dist.num_classes is not None else None)
    return json.dumps([round(value, 4) for value in np.sort(costs).tolist()]) + "\n"


def store(dist, target: Path) -> None:
    """Writes a flow's configuration and its weights, the kernels in half precision."""
    import h5py
    import keras

    import tfp_realnvp as nvp

    with tempfile.TemporaryDirectory() as folder:
        keras.saving.save_model(nvp.FlowModel(dist), folder, zipped=False)
        for name in ("config.json", "metadata.json"):
            shutil.copy(Path(folder) / name, target / name)
        with (
            h5py.File(Path(folder) / "model.weights.h5") as source,
            h5py.File(target / "model.weights.h5", "w") as halved,
        ):
            halve(source, halved)


def halve(source, target) -> None:
    """Copies a group of an HDF5 file with all that it holds."""
    import h5py
    import numpy as np

    for key, value in source.attrs.items():
        target.attrs[key] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            halve(item, target.create_group(name))
        else:
            array = np.asarray(item)
            kernel = array.ndim >= 2 and array.dtype == np.float32
            target[name] = array.astype(np.float16) if kernel else array
            for key, value in item.attrs.items():
                target[name].attrs[key] = value


if __name__ == "__main__":
    sys.exit(main())
