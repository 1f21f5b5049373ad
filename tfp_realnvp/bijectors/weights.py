"""What holds a bijector's weights, so that Keras trains and saves them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core.context import Scope
from tfp_realnvp.core.initial_values import seeded

# Files know what holds the weights of a bijector by the name of its class. Those of the first
# version, which had a class for each of these, are read and written still.
_NAMES_IN_FILES = {
    "ActNorm": "_ChannelAffine",
    "BatchNorm": "_Statistics",
    "Foreign": "_Variables",
    "InvertibleConv": "_Factors",
    "Planar": "_PlanarWeights",
    "Standardize": "_Moments",
}


class Weights(keras.layers.Layer):
    """The weights that a bijector has by itself; see `FlowBijector.weight`.

    Args:
        scope: where the bijector is built.
    """

    def __init__(self, scope: Scope):
        super().__init__(dtype=scope.dtype, autocast=False, name=scope.path.replace("/", "."))
        self._scope = scope
        self._units: dict[str, float] = {}
        self.built = True

    def add(
        self, name: str, shape: tuple[int, ...], initializer: Any, *, unit: float, **options: Any
    ) -> keras.Variable:
        """Makes a weight; see `FlowBijector.weight`."""
        initial = seeded(initializer, seed=self._scope.seed, path=f"{self._scope.path}/{name}")
        name = name.replace("/", ".")
        if unit != 1:
            self._units[name] = unit
        return self.add_weight(
            shape=shape, initializer=initial, name=name, autocast=False, **options
        )

    def adopt(self, variables: Iterable[tf.Variable]) -> None:
        """Takes in variables that there are already."""
        self.adopted = [
            keras.Variable(
                variable,
                trainable=variable.trainable,
                dtype=variable.dtype.name,
                autocast=False,
                name=f"variable_{i}",
            )
            for i, variable in enumerate(variables)
        ]

    def save_own_variables(self, store: Any) -> None:
        """Stores the weights, each in its unit."""
        held: dict[str, Any] = {}
        super().save_own_variables(held)
        for key, variable in held.items():
            unit = self._units.get(variable.name)
            store[key] = variable if unit is None else variable / unit

    def load_own_variables(self, store: Any) -> None:
        """Takes what `save_own_variables` stored."""
        super().load_own_variables(store)
        for variable in self.variables:
            if variable.name in self._units:
                variable.assign(variable * self._units[variable.name])


def weights_of(bijector: type, scope: Scope) -> Weights:
    """Returns what is to hold the weights of a bijector of a class."""
    kinds = [kind.__name__ for kind in bijector.__mro__]
    name = next((_NAMES_IN_FILES[kind] for kind in kinds if kind in _NAMES_IN_FILES), "Weights")
    return type(name, (Weights,), {})(scope)
