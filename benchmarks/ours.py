"""Times one task of `uva_multiscale` and prints one line of JSON; see `run.py`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tfp_realnvp as nvp  # before TensorFlow, whose kernels it chooses

import keras  # isort: skip
import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

SHAPE = (28, 28, 1)


class StepTimes(keras.callbacks.Callback):
    """The seconds from the end of one training batch to the end of the next."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        """Takes the time, once the step has given its loss."""
        float(logs["loss"])
        self.ends.append(time.perf_counter())


def main() -> None:
    """Runs the task that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=["train", "logprob", "sample"], default="train")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    args = parser.parse_args()
    dist = nvp.flows.build("uva_multiscale", SHAPE, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (args.batch, *SHAPE), np.uint8)
    count = args.steps + args.warmup
    if args.what == "train":
        model = nvp.FlowModel(dist)
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        times = StepTimes()
        batches = tf.data.Dataset.from_tensors(images).repeat(count + 1)
        model.fit(batches, epochs=1, verbose=0, callbacks=[times])
        seconds = list(np.diff(times.ends)[args.warmup :])
    else:
        log_prob = tf.function(dist.log_prob)
        sample = tf.function(lambda: dist.sample(args.batch))
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            (log_prob(images) if args.what == "logprob" else sample()).numpy()
            seconds.append(time.perf_counter() - start)
        seconds = seconds[args.warmup :]
    median = float(np.median(seconds))
    print(json.dumps({"step_ms_median": 1e3 * median, "images_per_s": args.batch / median}))


if __name__ == "__main__":
    main()
