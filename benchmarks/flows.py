"""Parameters of every flow at its default sizes, and the times of a likelihood and of samples.

Times are milliseconds for a batch of 64, as `evaluate.py --times` takes them: medians of three
calls behind a first one. Figures mean something on an idle machine only.

    python -m benchmarks.flows --event 2
    python -m benchmarks.flows --event 28 28 1 --flows uva_simple uva_multiscale
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np

from tfp_realnvp.training.evaluation import SPEED_BATCH, speeds


def flows_of(event: Sequence[int]) -> Iterator[str]:
    """Yields the names of the flows that take events of a shape.

    Args:
        event: the shape.
    """
    for name in nvp.flows.names():
        try:
            nvp.flows.options(name, event)
        except ValueError:
            continue
        yield name


def measured(name: str, event: Sequence[int], dtype: str | None) -> dict[str, Any]:
    """Returns the number of parameters of a flow, and its times in milliseconds.

    Args:
        name: of the flow.
        event: shape of its events.
        dtype: dtype policy of its conditioners, or None.
    """
    rng, shape = np.random.default_rng(0), (SPEED_BATCH, *event)
    x = rng.integers(0, 256, shape) if len(event) == 3 else rng.normal(size=shape)
    x = x.astype("uint8" if len(event) == 3 else "float32")
    dist = nvp.flows.build(name, event, conditioner_dtype=dtype)
    dist.initialize(x)
    count = sum(int(np.prod(v.shape)) for v in dist.trainable_variables)
    return {"parameters": count, **speeds(dist, x, None)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table in Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--event", type=int, nargs="+", default=[2], help="shape of an example")
    parser.add_argument("--flows", nargs="+", help="names; all that take such events by default")
    parser.add_argument("--dtype", help="dtype policy of the conditioners, such as mixed_bfloat16")
    args = parser.parse_args(arguments)
    print("| flow | parameters | `log_prob`, ms | `sample`, ms |\n| --- | --- | --- | --- |")
    for name in args.flows or flows_of(args.event):
        row = measured(name, args.event, args.dtype)
        times = f"{row['log_prob_ms']:.1f} | {row['sample_ms']:.1f}"
        print(f"| `{name}` | {row['parameters']:,} | {times} |", flush=True)


if __name__ == "__main__":
    main()
