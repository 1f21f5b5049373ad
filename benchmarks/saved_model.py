"""Times the likelihood in process and through a SavedModel, in turn in one process.

Both in float32: a SavedModel computes in the flow's own dtype.

python -m benchmarks.saved_model --steps 20 --shards 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks import timing

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf

from tfp_realnvp.execution.choice import plan_for_values
from tfp_realnvp.execution.rows import map_rows

BATCHES = (1, 64, 128)


def main() -> None:
    """Prints a line of JSON: images per second by batch, each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10, help="timed calls of each kind")
    parser.add_argument("--shards", type=int, default=1, help="see nvp.use_shards")
    args = parser.parse_args()
    if args.shards > 1:
        nvp.use_shards(args.shards)
    dist = nvp.flows.build("uva_multiscale", timing.IMAGE_SHAPE)
    # The signature's own task: deterministic, with each example's own noise.
    context = nvp.Context(noise="per_example", seed=(0, 0))
    plan = plan_for_values(dist)
    in_process = tf.function(
        lambda x: map_rows(dist.log_prob_in, [x], context, plan, dtype=dist.dtype)
    )
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        path = nvp.export(dist, Path(directory) / "model")
        loaded = tf.saved_model.load(str(path))
        served = loaded.signatures["serving_default"]
        for batch in BATCHES:
            images = tf.constant(next(timing.image_batches(batch)))
            calls = {
                "in_process": lambda images=images: in_process(images).numpy(),
                "saved": lambda images=images: served(images=images)["log_prob"].numpy(),
            }
            seconds: dict[str, list[float]] = {name: [] for name in calls}
            steps = args.steps * (3 if batch == 1 else 1)
            for _ in range(2 + steps):
                for name, call in calls.items():
                    start = time.perf_counter()
                    call()
                    seconds[name].append(time.perf_counter() - start)
            results[str(batch)] = {
                name: {"step_ms_median": 1e3 * float(np.median(each[2:]))}
                for name, each in seconds.items()
            }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
