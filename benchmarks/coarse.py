"""What the likelihood of coarser images, in the loss, does to bits/dim: the same steps with it.

Flows of one seed begin at the same weights and see the same images in the same batches; bits/dim
are of the test images alone, with one sample of the noise.

    python -m benchmarks.coarse --epochs 15 --seeds 2 --option width=8 --option couplings=4
    python -m benchmarks.coarse --flow uva_multiscale --dataset mnist --epochs 3 --seeds 3
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np

from tfp_realnvp.cli.named_values import add_named_values, named_values


def measured(args: Any, coarse: Sequence[float], seed: int) -> tuple[float, float]:
    """Trains a flow with some weights of coarser images; returns test bits/dim, and the seconds."""
    load = nvp.datasets.load_arrays
    train, test = (load(args.dataset, split, args.data_dir)[0] for split in ("train", "test"))
    info = nvp.datasets.info(args.dataset, args.data_dir)
    options = named_values("--option", args.options)
    dist = nvp.flows.build(
        args.flow, info.event_shape, levels=info.levels or 256, seed=seed, **options
    )
    model = nvp.FlowModel(dist, seed=seed)
    model.compile(nvp.Adam(args.learning_rate, global_clipnorm=1.0), coarse=coarse)
    order = np.random.default_rng(seed).permutation(len(train))
    start = time.perf_counter()
    model.fit(
        train[order],
        batch_size=args.batch_size,
        epochs=args.epochs,
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    bits = nvp.bits_per_dim(dist, test, num_importance_samples=1, seed=0)
    return float(np.mean(bits)), seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table in Markdown, of differences from the loss without coarser images too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", default="uva_simple")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data_dir")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--coarse", type=float, nargs="+", default=[0.5], metavar="WEIGHT")
    add_named_values(parser, "--option", "an option of the flow, such as width=8")
    args = parser.parse_args(arguments)
    kinds: list[list[float]] = [[], args.coarse]
    runs = np.array([[measured(args, k, seed) for k in kinds] for seed in range(args.seeds)])
    bits, seconds = runs[..., 0], runs[..., 1].mean(0)
    print("| coarse | test bits/dim | above no coarse | seconds |\n| --- | --- | --- | --- |")
    for number, kind in enumerate(kinds):
        above = bits[:, number] - bits[:, 0]
        error = above.std(ddof=1) / math.sqrt(len(above)) if len(above) > 1 else math.nan
        mean, took = bits[:, number].mean(), seconds[number]
        print(f"| {kind} | {mean:.3f} | {above.mean():+.3f} ± {error:.3f} | {took:.0f} |")


if __name__ == "__main__":
    main()
