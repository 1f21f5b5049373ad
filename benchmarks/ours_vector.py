"""Times one task of our vector `realnvp`: 8 couplings, MLPs of 2x128, Adam, through `fit`.

python -m benchmarks.ours_vector --what train --batch 256 --size 2
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks import timing

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import keras
import numpy as np
import tensorflow as tf


class EpochEnds(keras.callbacks.Callback):
    """Takes the time at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch, logs=None):
        """See `keras.callbacks.Callback`."""
        self.ends.append(time.perf_counter())


def train_seconds(dist: nvp.Flow, args) -> list[float]:
    """Returns the seconds of a step in each of some epochs of `fit`, with input and callbacks."""
    batches = timing.vector_batches(args.batch, args.size)
    data = np.concatenate([next(batches) for _ in range(64)])
    dist.initialize(data)
    model = nvp.FlowModel(dist)
    model.compile(
        nvp.Adam(1e-3),
        jit_compile=args.jit == "on",
        steps_per_execution=args.steps_per_execution,
    )
    stream = tf.data.Dataset.from_tensor_slices(data).batch(args.batch).repeat().prefetch(4)
    # Whole executions only.
    steps = -(-args.steps // args.steps_per_execution) * args.steps_per_execution
    times = EpochEnds()
    model.fit(stream, epochs=1 + args.epochs, steps_per_epoch=steps, verbose=0, callbacks=[times])
    return [float(d) / steps for d in np.diff(times.ends)]


def call_seconds(dist: nvp.Flow, args) -> list[float]:
    """Returns the seconds of each counted call for likelihoods or samples, NumPy to NumPy."""
    make = nvp.Lite if args.engine == "litert" else nvp.Compiled
    engine = make(dist, num=args.batch)
    calls = {"logprob": engine.log_prob, "sample": lambda _: engine.sample()}
    return timing.timed(calls[args.what], timing.vector_batches(args.batch, args.size), args)


def main(arguments: Sequence[str] | None = None) -> None:
    """Times one task."""
    parser = timing.parser(__doc__, batch=256)
    parser.add_argument("--size", type=int, default=2, help="dimensions of the vectors")
    parser.add_argument("--jit", choices=["on", "off"], default="on", help="XLA, in training")
    parser.add_argument(
        "--engine", choices=["litert", "xla"], default="litert", help="of likelihoods and samples"
    )
    parser.add_argument("--shards", type=int, default=1, help="in training; see nvp.use_shards")
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of training")
    parser.add_argument("--steps_per_execution", type=int, default=16, help="see Keras' compile")
    args = parser.parse_args(arguments)
    if args.shards > 1:
        nvp.use_shards(args.shards)
    dist = nvp.flows.build("realnvp", (args.size,))
    seconds = (train_seconds if args.what == "train" else call_seconds)(dist, args)
    timing.report(
        seconds,
        args,
        unit="samples",
        size=args.size,
        parameters=sum(int(np.prod(v.shape)) for v in dist.trainable_variables),
    )


if __name__ == "__main__":
    main()
