"""Posteriors of the published benchmark of simulation-based inference (arXiv:2101.04653).

    pip download sbibm==1.1.0 --no-deps
    python -m benchmarks.sbi --wheel sbibm-1.1.0-py2.py3-none-any.whl --tasks two_moons

The observations and the samples of the true posteriors are read from the wheel, which is not
installed; the simulators are written down here. For each task a posterior is fitted to
simulations, and a classifier (two hidden layers of ten times D units, five folds) is to tell 10,000
of its samples from 10,000 true ones, given each of ten observations: 0.5 is perfect. The baseline
beside it is the published figure of neural posterior estimation with as many simulations. Needs
scikit-learn.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import dataclasses
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

OBSERVATIONS = 10
Simulator = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """A prior, a simulator, and the published accuracy with 10,000 simulations.

    Attributes:
        simulator: from parameters `[N, D]` and a generator to observations `[N, K]`.
        published: mean accuracy of the classifier over the observations.
        dimensions: D.
        bound: the prior is even on `[-bound, bound]^D`; None for the one of `bernoulli_glm`.
    """

    simulator: Simulator
    published: float
    dimensions: int
    bound: float | None


def two_moons(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A half circle about a point that two parameters give."""
    angle = np.pi * (rng.random(len(theta)) - 0.5)
    radius = 0.1 + 0.01 * rng.standard_normal(len(theta))
    x = radius * np.cos(angle) + 0.25 - np.abs(theta.sum(1)) / np.sqrt(2)
    y = radius * np.sin(angle) + (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.stack([x, y], 1)


def gaussian_mixture(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The parameters with noise of deviation 1 or 0.1, either with probability 1/2."""
    scale = np.where(rng.random([len(theta), 1]) < 0.5, 1.0, 0.1)
    return theta + scale * rng.standard_normal(theta.shape)


def gaussian_linear_uniform(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The parameters with noise of variance 0.1."""
    return theta + np.sqrt(0.1) * rng.standard_normal(theta.shape)


def slcp(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Four points of a normal distribution in the plane, whose five parameters are to be found."""
    s1, s2 = theta[:, 2] ** 2, theta[:, 3] ** 2
    rho = np.tanh(theta[:, 4])
    noise = rng.standard_normal([len(theta), 4, 2])
    x = theta[:, None, 0] + s1[:, None] * noise[..., 0]
    mixed = rho[:, None] * noise[..., 0] + np.sqrt(1 - rho**2)[:, None] * noise[..., 1]
    y = theta[:, None, 1] + s2[:, None] * mixed
    return np.stack([x, y], -1).reshape(len(theta), 8)


def bernoulli_glm(stimulus: np.ndarray) -> Simulator:
    """Returns the simulator of spikes that a filtered stimulus causes, and of their statistics."""
    lags = [np.concatenate([np.zeros(k), stimulus[: len(stimulus) - k]]) for k in range(9)]
    design = np.stack([np.ones(len(stimulus)), *lags], 1)

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rate = 1 / (1 + np.exp(-theta @ design.T))
        return (rng.random(rate.shape) < rate).astype(np.float64) @ design

    return simulator


def glm_prior() -> Any:
    """Returns the prior of `bernoulli_glm`: normal, the filter smooth."""
    import tensorflow_probability as tfp

    size = 9
    first = np.eye(size) - np.eye(size, k=-1)
    smooth = first @ first + np.diag(np.sqrt(np.arange(size) / size))
    precision = np.zeros([size + 1, size + 1])
    precision[0, 0], precision[1:, 1:] = 0.5, smooth.T @ smooth
    root = np.linalg.cholesky(np.linalg.inv(precision)).astype("float32")
    return tfp.distributions.MultivariateNormalTriL(np.zeros(size + 1, "float32"), root)


def tasks_of(wheel: zipfile.ZipFile) -> dict[str, Task]:
    """Returns the tasks by name."""
    raw = wheel.read("sbibm/tasks/bernoulli_glm/files/stimulus_I.pt")
    stimulus = np.frombuffer(raw[-400:], "<f4").astype(np.float64)  # the file ends in its numbers
    return {
        "two_moons": Task(two_moons, 0.606, 2, 1.0),
        "gaussian_mixture": Task(gaussian_mixture, 0.661, 2, 10.0),
        "gaussian_linear_uniform": Task(gaussian_linear_uniform, 0.553, 10, 1.0),
        "bernoulli_glm": Task(bernoulli_glm(stimulus), 0.678, 10, None),
        "slcp": Task(slcp, 0.901, 5, 3.0),
    }


def accuracy(ours: np.ndarray, true: np.ndarray) -> float:
    """Returns how often a classifier is right that tells our samples from true ones (C2ST)."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    hidden = (10 * true.shape[1],) * 2
    classifier = MLPClassifier(hidden, activation="relu", max_iter=10_000, random_state=1)
    both = (np.concatenate([true, ours]) - true.mean(0)) / true.std(0)
    which = np.repeat([0, 1], [len(true), len(ours)])
    folds = KFold(n_splits=5, shuffle=True, random_state=1)
    # A process for each fold: on matrices this small, threads wait for each other.
    return float(cross_val_score(classifier, both, which, cv=folds, n_jobs=-1).mean())


def run(name: str, task: Task, wheel: zipfile.ZipFile, args: argparse.Namespace) -> dict[str, Any]:
    """Fits a posterior and compares its samples with those of the true one."""
    import tensorflow_probability as tfp

    import tfp_realnvp as nvp

    rng = np.random.default_rng(args.seed)
    prior = glm_prior()
    if task.bound is not None:
        bounds = tfp.distributions.Uniform(-task.bound, task.bound)
        prior = tfp.distributions.Sample(bounds, task.dimensions)
    begin = time.perf_counter()
    posterior = nvp.sbi.fit(
        prior,
        lambda theta: task.simulator(theta.astype(np.float64), rng),
        num=args.simulations,
        seed=args.seed,
        **json.loads(args.options),
    )
    seconds = time.perf_counter() - begin
    scores = []
    for i in range(1, args.observations + 1):
        folder = f"sbibm/tasks/{name}/files/num_observation_{i}"
        seen = _table(wheel.read(f"{folder}/observation.csv"))[0]
        true = _table(bz2.decompress(wheel.read(f"{folder}/reference_posterior_samples.csv.bz2")))
        scores.append(accuracy(posterior.sample(len(true), seen, seed=i), true))
        print(f"{name}, observation {i}: {scores[-1]:.3f}", file=sys.stderr, flush=True)
    return {
        "task": name,
        "simulations": args.simulations,
        "seed": args.seed,
        "seconds": round(seconds, 1),
        "epochs": len(posterior.history["loss"]),
        "c2st": round(float(np.mean(scores)), 4),
        "by observation": [round(score, 3) for score in scores],
        "published": task.published,
        "ratio": round(float(np.mean(scores)) / task.published, 3),
    }


def _table(text: bytes) -> np.ndarray:
    rows = list(csv.reader(io.StringIO(text.decode())))[1:]
    return np.array(rows, np.float64)


def main() -> None:
    """Runs the tasks that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--wheel", required=True, help="the benchmark's wheel")
    parser.add_argument("--tasks", nargs="+", help="names of tasks; all if not given")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument(
        "--observations", type=int, default=OBSERVATIONS, help="how many of the ten"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", default="{}", help="of nvp.sbi.fit, as JSON")
    args = parser.parse_args()
    with zipfile.ZipFile(args.wheel) as wheel:
        tasks = tasks_of(wheel)
        for name in args.tasks or tasks:
            print(json.dumps(run(name, tasks[name], wheel, args)), flush=True)


if __name__ == "__main__":
    main()
