"""Images/s of `fit` from a file, of which rows are read batch by batch, beside those from memory.

    python -m benchmarks.stored

Both are fitted in turn, `--rounds` times; the median of the ratios counts. Before each round the
file is dropped from the page cache, unless `--warm` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import keras
import numpy as np

from tfp_realnvp import datasets

FLOWS: dict[str, dict[str, Any]] = {
    "uva_simple": {"couplings": 1, "width": 4, "blocks": 1},
    "uva_multiscale": {},
}
CHUNK = 10_000


class Clock(keras.callbacks.Callback):
    """Notes when steps end."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes it."""
        self.ends.append(time.perf_counter())


def write(path: Path, examples: int, side: int) -> None:
    """Writes random images, some at a time."""
    rng = np.random.default_rng(0)
    shape = (examples, side, side, 1)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for start in range(0, examples, CHUNK):
        part = images[start : start + CHUNK]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    images.flush()


def dropped(path: Path) -> None:
    """Drops a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def images_per_second(model: nvp.FlowModel, x: Any, *, batch: int, steps: int, seed: int) -> float:
    """Fits for some steps, of which the first does not count."""
    clock = Clock()
    stream = datasets.batches(x, batch_size=batch, seed=seed)
    model.fit(stream, steps_per_epoch=steps + 1, verbose=0, shuffle=False, callbacks=[clock])
    return batch * steps / (clock.ends[-1] - clock.ends[0])


def measure(flow: str, path: Path, *, rounds: int, warm: bool, **options: int) -> dict[str, Any]:
    """Returns the images/s of both, and the ratio."""
    sources: dict[str, Any] = {
        name: datasets.load_rows(path, memory=memory)[0]
        for name, memory in (("memory", float("inf")), ("file", 0.0))
    }
    model = nvp.FlowModel(nvp.flows.build(flow, sources["file"].shape[1:], **FLOWS[flow]))
    model.compile(nvp.Adam(1e-3, global_clipnorm=1.0))
    model.fit(sources["memory"][: options["batch"]], batch_size=options["batch"], verbose=0)
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(rounds):
        for name, x in sources.items():
            if not warm:
                dropped(path)
            rates[name].append(images_per_second(model, x, seed=number, **options))
    found = {f"{name}_images_per_s": float(np.median(own)) for name, own in rates.items()}
    ratio = float(np.median(np.divide(rates["file"], rates["memory"])))
    return {"flow": flow, **found, "file / memory": ratio}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints a line of JSON for each flow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS))
    parser.add_argument("--examples", type=int, default=1_000_000, help="of them, 80% are used")
    parser.add_argument("--side", type=int, default=28, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", action="store_true", help="leave the file in the page cache")
    parser.add_argument("--folder", help="where the file is written; default: a temporary folder")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "images.npy"
        write(path, args.examples, args.side)
        for flow in args.flows:
            options = {"batch": args.batch, "steps": args.steps}
            report = measure(flow, path, rounds=args.rounds, warm=args.warm, **options)
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
