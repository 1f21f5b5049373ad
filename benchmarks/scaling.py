"""How training speed scales: images/s against batch, image side and depth, with the slopes.

    python -m benchmarks.scaling --out docs/scaling.png

The flow is `uva_simple`; one of the three varies at a time. A slope is that of a straight line
through the logarithms of both axes: -1 for the depth means that time is proportional to it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

BASE = {"batch": 32, "side": 28, "depth": 2}
VALUES = {"batch": [1, 4, 16, 64, 128], "side": [8, 16, 32, 64], "depth": [1, 2, 4, 8]}
LABELS = {"batch": "batch size", "side": "image side, pixels", "depth": "couplings"}


def images_per_second(*, batch: int, side: int, depth: int, steps: int) -> float:
    """Trains for some steps; the median step counts."""
    dist = nvp.flows.build("uva_simple", (side, side, 1), couplings=depth)
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(1e-3, global_clipnorm=1.0))
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (batch, side, side, 1)), "uint8")
    step = tf.function(model.train_step)
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step(images)["loss"].numpy()
        seconds.append(time.perf_counter() - start)
    return batch / float(np.median(seconds[2:]))


def slope(values: Sequence[float], rates: Sequence[float]) -> float:
    """Returns the slope of log rate over log value, by least squares."""
    return float(np.polyfit(np.log(values), np.log(rates), 1)[0])


def plot(curves: dict[str, dict]) -> Figure:
    """Draws images/s against each of the three, on logarithmic axes."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        axis.loglog(curve["values"], curve["images_per_s"], marker="o")
        fixed = ", ".join(f"{key} {value}" for key, value in BASE.items() if key != name)
        axis.set(xlabel=LABELS[name], title=f"slope {curve['slope']:.2f}\n({fixed})")
        axis.set_xticks(curve["values"], [str(value) for value in curve["values"]])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("images/s in training")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes the picture and, beside it, the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each")
    parser.add_argument("--vary", nargs="+", choices=VALUES, default=list(VALUES))
    parser.add_argument("--most", type=int, default=128, help="leave greater values out")
    parser.add_argument("--out", default="docs/scaling.png", metavar="FILE.png")
    args = parser.parse_args(arguments)
    curves = {}
    for name in args.vary:
        values = [value for value in VALUES[name] if value <= args.most]
        rates = [images_per_second(**{**BASE, name: v}, steps=args.steps) for v in values]
        curves[name] = {"values": values, "images_per_s": rates, "slope": slope(values, rates)}
        print(f"{name}: slope {curves[name]['slope']:.2f}, {rates}", flush=True)
    out = Path(args.out)
    plot(curves).savefig(out, dpi=110)
    out.with_suffix(".json").write_text(json.dumps(curves, indent=2) + "\n")


if __name__ == "__main__":
    main()
