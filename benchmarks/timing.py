"""What every timed script shares: arguments, the rule of timing, one line of JSON.

The rule: batches are drawn before the clock starts; the first call (tracing, compiling) and
`--warmup` more are not counted; each of `--steps` counted calls ends when its result is there; the
median counts. Nor is the memory counted that tracing and compiling take. NumPy alone is needed, so
that the peers' interpreter can import this.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

TASKS = ("train", "logprob", "sample")
IMAGE_SHAPE = (28, 28, 1)
# Distinct batches; more would only fill memory.
POOL = 4
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def parser(doc: str | None, *, batch: int, tasks: tuple[str, ...] = TASKS) -> Any:
    """Returns a parser of the arguments that all timed scripts take."""
    made = argparse.ArgumentParser(description=doc)
    made.add_argument("--what", choices=tasks, default="train", help="the task")
    made.add_argument("--batch", type=int, default=batch)
    made.add_argument("--steps", type=int, default=5, help="timed steps")
    made.add_argument("--warmup", type=int, default=1, help="steps before, beside the first")
    return made


def image_batches(batch: int) -> Iterator[np.ndarray]:
    """Yields uint8 images `[batch, 28, 28, 1]` for ever."""
    rng = np.random.default_rng(0)
    return itertools.cycle(
        [rng.integers(0, 256, (batch, *IMAGE_SHAPE), np.uint8) for _ in range(POOL)]
    )


def vector_batches(batch: int, size: int) -> Iterator[np.ndarray]:
    """Yields float32 vectors `[batch, size]` for ever: two moons, and noise beyond 2 dimensions."""
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        angle, upper = np.pi * rng.random(batch), rng.random(batch) < 0.5
        side = np.where(upper, 1.0, -1.0)
        moons = np.stack([side * np.cos(angle) + 1 - upper, side * np.sin(angle) + 0.5], 1)
        noise = rng.standard_normal((batch, size))
        noise[:, :2] = 0.05 * noise[:, :2] + moons - 0.5
        return noise.astype(np.float32)

    return itertools.cycle([draw() for _ in range(64)])


def timed(
    call: Callable[[np.ndarray], object],
    batches: Iterator[np.ndarray],
    args: argparse.Namespace,
) -> list[float]:
    """Returns the seconds of each counted call; `call` blocks until its result is there."""
    seconds = []
    for i in range(1 + args.warmup + args.steps):
        batch = next(batches)
        if i == 1:
            forget_peak()
        start = time.perf_counter()
        call(batch)
        seconds.append(time.perf_counter() - start)
    return seconds[1 + args.warmup :]


def report(seconds: list[float], args: argparse.Namespace, **facts: Any) -> None:
    """Prints the line of JSON; `images_per_s` for image scripts, `samples_per_s` for vectors."""
    median = float(np.median(seconds))
    unit = facts.pop("unit", "images")
    print(
        json.dumps(
            {
                f"{unit}_per_s": args.batch / median,
                "step_ms_median": 1e3 * median,
                "step_ms_min": 1e3 * min(seconds),
                "step_ms_max": 1e3 * max(seconds),
                "what": args.what,
                "batch": args.batch,
                **facts,
            }
        ),
        flush=True,
    )


def resident_mb() -> float:
    """Returns the memory that the process holds, in MB of 2**20 bytes; 0 where not on Linux."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Makes `peak_mb` start anew."""
    if CLEAR.exists():
        CLEAR.write_text("5")


def peak_mb() -> float:
    """Returns the most memory that the process has held since `forget_peak`; 0 off Linux."""
    return _status("VmHWM")


def _status(key: str) -> float:
    if not STATUS.exists():
        return 0.0
    lines = STATUS.read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key))) / 2**10
