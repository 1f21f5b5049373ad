"""Times one task of our `uva_multiscale`.

python -m benchmarks.ours_image --what train --batch 32 --precision auto
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks import timing

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.execution.device import best_precision


class StepEnds(keras.callbacks.Callback):
    """Takes the time at the end of every step, once its loss is there."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        """See `keras.callbacks.Callback`."""
        float(logs["loss"])
        self.ends.append(time.perf_counter())
        if not batch:  # what tracing takes is not counted
            timing.forget_peak()


def train_seconds(dist: nvp.Flow, args) -> list[float]:
    """Returns the seconds of each counted step of `fit`."""
    model = nvp.FlowModel(dist)
    model.compile(
        nvp.Adam(1e-3, global_clipnorm=1.0),
        jit_compile={"on": True, "off": False, "auto": "auto"}[args.jit],
        microbatch=args.microbatch,
    )
    batches = timing.image_batches(args.batch)
    images = np.concatenate([next(batches) for _ in range(timing.POOL)])
    stream = tf.data.Dataset.from_tensor_slices(images).batch(args.batch).repeat().prefetch(2)
    steps, times = 1 + args.warmup + args.steps, StepEnds()
    model.fit(stream, steps_per_epoch=steps, verbose=0, callbacks=[times])
    return [float(d) for d in np.diff(times.ends)[args.warmup :]]


def call_seconds(dist: nvp.Flow, args) -> list[float]:
    """Returns the seconds of each counted call for likelihoods or samples, NumPy to NumPy."""
    if args.engine == "litert":
        lite = nvp.Lite(dist, num=args.batch)
        calls = {"logprob": lite.log_prob, "sample": lambda _: lite.sample()}
    elif args.jit == "on":
        log_prob = tf.function(dist.log_prob, jit_compile=True)
        sample = tf.function(lambda: dist.sample(args.batch), jit_compile=True)
        calls = {"logprob": lambda x: log_prob(x).numpy(), "sample": lambda _: sample().numpy()}
    else:
        calls = {
            "logprob": lambda x: nvp.bits_per_dim(dist, x, num_importance_samples=1),
            "sample": lambda _: nvp.sample(dist, args.batch),
        }
    return timing.timed(calls[args.what], timing.image_batches(args.batch), args)


def main(arguments: Sequence[str] | None = None) -> None:
    """Times one task."""
    parser = timing.parser(__doc__, batch=32)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="float32")
    parser.add_argument("--jit", choices=["on", "off", "auto"], default="auto")
    parser.add_argument(
        "--engine",
        choices=["litert", "tensorflow"],
        default="tensorflow",
        help="of likelihoods and samples",
    )
    parser.add_argument("--shards", type=int, default=1, help="see nvp.use_shards")
    parser.add_argument("--microbatch", type=int, help="rows of a training step at a time")
    parser.add_argument("--recompute", action="store_true", help="the memory-saving option")
    parser.add_argument("--couplings", type=int, help="time uva_simple of that many instead")
    args = parser.parse_args(arguments)
    if args.shards > 1:
        nvp.use_shards(args.shards)
    precision = best_precision() if args.precision == "auto" else args.precision
    dist = nvp.flows.build(
        "uva_simple" if args.couplings else "uva_multiscale",
        timing.IMAGE_SHAPE,
        conditioner_dtype="mixed_bfloat16" if precision == "bfloat16" else None,
        recompute=args.recompute,
        **({"couplings": args.couplings} if args.couplings else {}),
    )
    built = timing.resident_mb()
    seconds = (train_seconds if args.what == "train" else call_seconds)(dist, args)
    timing.report(
        seconds,
        args,
        parameters=sum(int(np.prod(v.shape)) for v in dist.trainable_variables),
        precision=precision,
        memory_mb=timing.peak_mb() - built,
    )


if __name__ == "__main__":
    main()
