"""What a step on several workers takes, reckoned from its parts.

    python -m benchmarks.workers --parameters 1711818 --step_s 3.4

A worker computes the gradients of its rows, and then all add theirs up around a ring: each sends
and receives `2 (n - 1) / n` times the gradients' bytes, in `2 (n - 1)` messages one after another.

    step(n) = compute / n + 2 (n - 1) / n bytes / rate + 2 (n - 1) latency

`compute` is the time of one worker for the whole batch; with `--weak` each worker has a batch of
that size, and `compute / n` is `compute`. The efficiency is the speed per worker beside that of one
alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

WORKERS = (1, 2, 4, 8, 16, 64, 256)
GIGABITS = (1, 10, 100)


def step_seconds(
    workers: int, *, compute: float, size: float, rate: float, latency: float, weak: bool
) -> float:
    """Returns the time of a step.

    Args:
        workers: how many.
        compute: seconds of one worker for a batch.
        size: bytes of the gradients.
        rate: bytes a second that a worker sends, and receives.
        latency: seconds from one worker to another.
        weak: whether each worker has such a batch, rather than all together.
    """
    own = compute if weak else compute / workers
    around = 2 * (workers - 1)
    return own + around / workers * size / rate + around * latency


def table(rows: Sequence[int], **parts: float) -> list[str]:
    """Returns the lines of a table of efficiencies, in percent."""
    head = " | ".join(f"{g} Gbit/s" for g in GIGABITS)
    lines = [f"| workers | {head} |", "| ---: |" + " ---: |" * len(GIGABITS)]
    weak = bool(parts["weak"])
    for n in rows:
        shares = []
        for gigabits in GIGABITS:
            seconds = step_seconds(
                n,
                compute=parts["compute"],
                size=parts["size"],
                rate=gigabits * 1e9 / 8,
                latency=parts["latency"],
                weak=weak,
            )
            shares.append(parts["compute"] / seconds / (1 if weak else n))
        lines.append(f"| {n} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return lines


def main() -> None:
    """Prints the bytes and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=int, default=1_711_818, help="uva_multiscale's")
    parser.add_argument("--step_s", type=float, required=True, help="of one worker, for its batch")
    parser.add_argument("--latency_ms", type=float, default=0.1, help="between two machines")
    parser.add_argument("--weak", action="store_true", help="a batch for each worker")
    parser.add_argument("--clip", action="store_true", help="gradients are added up twice")
    args = parser.parse_args()
    size = 4 * args.parameters * (2 if args.clip else 1)
    print(f"Gradients: {size / 1e6:.1f} MB; two workers send {size / 1e6:.1f} MB each in a step")
    parts = {"compute": args.step_s, "size": size, "latency": args.latency_ms / 1e3}
    print("\n".join(table(WORKERS, weak=args.weak, **parts)))


if __name__ == "__main__":
    main()
