"""Times a training step of `jet` on 28x28 and plain matrix products of the same sizes, in turn.

The products are those of the dense layers, forward and backward, one after the other: what the
device gives at best for these sizes. Both in float32 and in bfloat16, in one run:

    python -m benchmarks.transformers --batch 64 --width 128
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from benchmarks import timing

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf

PRECISIONS = {"float32": None, "bfloat16": "mixed_bfloat16"}


def dense_sizes(dist: nvp.Flow) -> list[tuple[int, int]]:
    """Returns inputs and outputs of all dense layers of a flow."""
    kernels = [v for v in dist.trainable_variables if "kernel" in v.name]
    return [(int(v.shape[0]), int(v.shape[1])) for v in kernels]


def step_flops(dist: nvp.Flow, tokens: int) -> float:
    """Returns the operations on an image in a step: of dense layers and of attention."""
    dense = sum(inputs * outputs for inputs, outputs in dense_sizes(dist))
    conditioners = [layer for layer in dist.keras_layers if isinstance(layer, nvp.conditioners.ViT)]
    attention = sum(2 * tokens * layer.depth * layer.width for layer in conditioners)
    # A multiplication and an addition; forward, to the inputs and to the weights.
    return 2.0 * 3 * tokens * (dense + attention)


def training(
    dist: nvp.Flow, images: tf.Tensor, *, shards: int | None, jit: bool
) -> Callable[[], None]:
    """Returns a call of a whole training step."""
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(3e-4, global_clipnorm=1.0), shards=shards)
    step = tf.function(model.train_step, jit_compile=jit)
    return lambda: step(images)["loss"].numpy()


def products(sizes: list[tuple[int, int]], rows: int, dtype: tf.DType) -> Callable[[], None]:
    """Returns a call of the three products of each dense layer, each after the one before."""
    # As many of one size as there are would add nothing but time.
    distinct = sorted(set(sizes))
    values = [
        [tf.cast(tf.random.normal(shape), dtype) for shape in ((rows, k), (k, n), (rows, n))]
        for k, n in distinct
    ]

    @tf.function
    def run(values):
        # All are results, or TensorFlow would leave out those that are not.
        results: list[tf.Tensor] = []
        for (k, n), (x, kernel, upstream) in zip(distinct, values, strict=True):
            for _ in range(sizes.count((k, n))):
                with tf.control_dependencies(results[-1:]):
                    results.append(tf.matmul(x, kernel))
                with tf.control_dependencies(results[-1:]):
                    results.append(tf.matmul(upstream, kernel, transpose_b=True))
                with tf.control_dependencies(results[-1:]):
                    results.append(tf.matmul(x, upstream, transpose_a=True))
        return results

    return lambda: run(values)[-1].numpy()


def main() -> None:
    """Prints a line of JSON for each precision."""
    parser = timing.parser(__doc__, batch=64, tasks=("train",))
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--couplings", type=int, default=4)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--shards", type=int, help="parts of the batch side by side")
    parser.add_argument("--jit", action="store_true", help="the step under XLA")
    args = parser.parse_args()
    images = tf.constant(next(timing.image_batches(args.batch)))
    tokens = timing.IMAGE_SHAPE[0] * timing.IMAGE_SHAPE[1] // args.patch**2
    calls: dict[str, Callable[[], object]] = {}
    flops = 0.0
    for name, dtype in PRECISIONS.items():
        dist = nvp.flows.build(
            "jet",
            timing.IMAGE_SHAPE,
            conditioner_dtype=dtype,
            couplings=args.couplings,
            width=args.width,
            heads=max(1, args.width // 64),
            patch=args.patch,
        )
        flops = args.batch * step_flops(dist, tokens)
        calls[f"{name} step"] = training(dist, images, shards=args.shards, jit=args.jit)
        calls[f"{name} products"] = products(
            dense_sizes(dist), args.batch * tokens, tf.as_dtype(name)
        )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 + args.warmup + args.steps):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    kept = {name: float(np.median(each[1 + args.warmup :])) for name, each in seconds.items()}
    dense_flops = 6.0 * args.batch * tokens * sum(k * n for k, n in dense_sizes(dist))
    for name in PRECISIONS:
        ours, plain = flops / kept[f"{name} step"], dense_flops / kept[f"{name} products"]
        report = {
            "precision": name,
            "images_per_s": args.batch / kept[f"{name} step"],
            "step_gflops": ours / 1e9,
            "products_gflops": plain / 1e9,
            "share": ours / plain,
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
