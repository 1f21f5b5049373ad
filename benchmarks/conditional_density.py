"""Conditional densities of which the truth is known: held-out nats beside the truth's own.

    python -m benchmarks.conditional_density --flow nsf

* linear: `y = A c + e` with correlated Gaussian `e`, y of 2 components and c of 3;
* mixture: two lines `y = +-(B c + b) + e`, of which each row takes one by the flip of a coin whose
  chance depends on c too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_realnvp as nvp

tfd = tfp.distributions

Truth = Callable[[np.ndarray], Any]


def linear(c: np.ndarray) -> Any:
    """Returns the linear-Gaussian regression, of batch shape `[N]`."""
    matrix = np.array([[1.0, -0.5], [0.3, 0.8], [-1.2, 0.4]], "float32")
    factor = np.array([[0.6, 0.0], [-0.4, 0.3]], "float32")
    return tfd.MultivariateNormalTriL(c @ matrix, factor)


def mixture(c: np.ndarray) -> Any:
    """Returns the regression on two lines, of batch shape `[N]`."""
    matrix = np.array([[0.8, 0.2], [-0.4, 0.6], [0.5, -0.7]], "float32")
    middle = c @ matrix + np.array([1.0, 0.5], "float32")
    means = np.stack([middle, -middle], 1)
    weights = tfd.Categorical(logits=np.stack([c[:, 0], -c[:, 0]], 1))
    return tfd.MixtureSameFamily(weights, tfd.MultivariateNormalDiag(means, 0.4 * np.ones(2, "f4")))


TRUTHS: dict[str, Truth] = {"linear": linear, "mixture": mixture}


def nats(truth: Truth, flow: str, *, pairs: int, epochs: int, seed: int) -> dict[str, float]:
    """Trains a flow on pairs; returns what it and the truth need for as many others, in nats."""
    rng = np.random.default_rng(seed)
    c, held_out = rng.normal(size=(2, pairs, 3)).astype("float32")
    y = truth(c).sample(seed=seed).numpy()
    test = truth(held_out).sample(seed=seed + 1).numpy()
    begin = time.perf_counter()
    model = nvp.FlowModel(nvp.flows.build(flow, (2,), condition_shape=(3,), seed=seed))
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-pairs // 256))
    model.compile(nvp.Adam(schedule, global_clipnorm=5.0))
    model.fit(y, c, batch_size=256, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - begin
    ours = -model.dist.log_prob(test, bijector_kwargs={"condition": held_out})
    gap = ours - -truth(held_out).log_prob(test)
    return {
        "nats": float(tf.reduce_mean(ours)),
        "above_truth": float(tf.reduce_mean(gap)),
        "standard_error": float(tf.math.reduce_std(gap) / pairs**0.5),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Prints a line of JSON for each density and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", default="nsf", help="a flow of vectors")
    parser.add_argument("--pairs", type=int, default=50_000, help="to train on, and held out")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    for name, truth in TRUTHS.items():
        for seed in range(args.seeds):
            figures = nats(truth, args.flow, pairs=args.pairs, epochs=args.epochs, seed=seed)
            print(json.dumps({"density": name, "flow": args.flow, "seed": seed, **figures}))


if __name__ == "__main__":
    main()
