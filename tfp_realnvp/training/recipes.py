"""Settings of runs that have been tried, by name."""

from __future__ import annotations

from typing import Any

#: By name, settings of `RunConfig`; docs/training.md has them in a table.
RECIPES: dict[str, dict[str, Any]] = {
    # On two CPU cores.
    "likelihood": {
        "flow": "mixture_multiscale",
        "options": {"couplings": [3, 2, 2, 3], "widths": [24, 64, 96]},
        "epochs": 11,
        "batch_size": 32,
        "optimizer": "muon",
        "learning_rate": 2e-3,
        "warmup": 500,
        "schedule": "cosine",
        "weight_decay": 0.7,
    },
    "digits": {
        "flow": "mixture_multiscale",
        "dataset": "digits",
        "options": {"couplings": [3, 2, 2, 3], "widths": [16, 32, 48], "dropout": 0.3},
        "epochs": 150,
        "batch_size": 32,
        "optimizer": "muon",
        "learning_rate": 3e-3,
        "warmup": 200,
        "schedule": "cosine",
    },
    "moons": {
        "flow": "nsf",
        "dataset": "moons",
        "options": {"hidden": [64, 64]},
        "epochs": 60,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "schedule": "cosine",
    },
    # From the weights of the zoo's mnist, on two CPU cores.
    "mnist-conditional": {
        "flow": "mixture_multiscale",
        "dataset": "mnist",
        "conditional": True,
        "start": "mnist",
        "epochs": 3,
        "batch_size": 64,
        "optimizer": "muon",
        "learning_rate": 5e-4,
        "warmup": 100,
        "schedule": "cosine",
    },
    # The sources' own. The tutorial's, with uva_simple and uva_vardeq as well:
    "uva": {
        "flow": "uva_multiscale",
        "dataset": "mnist",
        "epochs": 200,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "schedule": "exponential",
        "clip": 1.0,
    },
    # The lecture's only experiment; the weight decay that it names it does not use.
    "lecture": {
        "flow": "lecture_realnvp",
        "dataset": "mnist",
        "data_options": {"classes": [0, 2], "image_size": [14, 14]},
        "epochs": 10,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "clip": 100.0,
    },
    # The post's on MNIST, which says neither batch nor epochs: no logit, running statistics with
    # momentum 0.005 (here 0.995), a penalty of 1e-5 on the scales, flips, a small rate.
    "post": {
        "flow": "realnvp",
        "dataset": "mnist",
        "options": {"alpha": None, "momentum": 0.995, "penalty": "scale", "l2": 1e-5},
        "flip": True,
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 5e-4,
    },
    # On one GPU.
    "likelihood-gpu": {
        "flow": "mixture_multiscale",
        "options": {"dropout": 0.1},
        "epochs": 110,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "warmup": 500,
        "schedule": "cosine",
    },
}
# Small enough for archives of a hundred images a second, each way.
RECIPES["archive"] = RECIPES["likelihood"] | {
    "options": {"couplings": [3, 2, 2, 1], "widths": [16, 32, 48], "components": 6},
    "epochs": 12,
}
