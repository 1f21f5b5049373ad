"""Settings of runs that have been tried, by name."""

from __future__ import annotations

from typing import Any

#: By name, settings of `RunConfig`; docs/likelihood_log.md says what they give.
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
