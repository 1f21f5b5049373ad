"""Times a whole training step of `uva_multiscale` and its conditioner networks alone, in turn.

The networks have the same weights, shapes and precision, and give the gradients to their weights
and inputs. They run twice: in the order of the flow, each after the one before, as the flow must
run them; and left to TensorFlow, which then runs several at once.

    python -m benchmarks.alone --batch 32
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from benchmarks import timing

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf


def networks_alone(dist: nvp.Flow, batch: int, *, in_order: bool, jit: bool) -> Callable[[], None]:
    """Returns a call that runs every conditioner forward and backward."""
    couplings = [b for b in dist.bijector.submodules if isinstance(b, nvp.bijectors.Coupling)]
    inputs = []
    for coupling in couplings:
        shape = coupling.event_shape
        channels = coupling.partition.seen_size(shape) + coupling._scope.condition_channels
        inputs.append(tf.random.normal([batch, *shape[:-1], channels]))

    @tf.function(jit_compile=jit)
    def run(inputs):
        results: list[tf.Tensor] = []
        done: list[tf.Tensor] = []
        for coupling, x in zip(couplings, inputs, strict=True):
            with tf.control_dependencies(done if in_order else []):
                x = tf.identity(x)
            sources = [x, *coupling.conditioner.trainable_variables]
            sources[1:] = [v.value for v in sources[1:]]
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = coupling.conditioner.parameters(x, nvp.Context())
            done = tape.gradient(outputs, sources)
            results.extend(done)
        return results

    return lambda: run(inputs)[-1].numpy()


def main() -> None:
    """Prints a line of JSON with the medians."""
    parser = timing.parser(__doc__, batch=32, tasks=("train",))
    parser.add_argument("--jit", action="store_true", help="both under XLA")
    args = parser.parse_args()
    dist = nvp.flows.build("uva_multiscale", timing.IMAGE_SHAPE)
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(1e-3, global_clipnorm=1.0))
    images = tf.constant(next(timing.image_batches(args.batch)))
    step = tf.function(model.train_step, jit_compile=args.jit)
    calls = {
        "step": lambda: step(images)["loss"].numpy(),
        "in_order": networks_alone(dist, args.batch, in_order=True, jit=args.jit),
        "at_once": networks_alone(dist, args.batch, in_order=False, jit=args.jit),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 + args.warmup + args.steps):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    kept = {name: float(np.median(each[1 + args.warmup :])) for name, each in seconds.items()}
    print(json.dumps({f"{name}_ms": 1e3 * value for name, value in kept.items()}))


if __name__ == "__main__":
    main()
