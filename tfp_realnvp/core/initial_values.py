"""Initial values of weights that are a function of a flow's seed and of the weight's place."""

from __future__ import annotations

from typing import Any

import keras

from tfp_realnvp.core.context import stable_hash


def seeded(initializer: Any, *, seed: int, path: str) -> Any:
    """Returns a Keras initializer whose values are a function of (seed, path).

    Args:
        initializer: a Keras initializer or its name.
        seed: the flow's seed.
        path: path of the weight, its name included.
    """
    made = keras.initializers.get(initializer)
    config = made.get_config()
    if "seed" not in config:
        return made
    return type(made).from_config({**config, "seed": stable_hash(f"{seed}/{path}")})
