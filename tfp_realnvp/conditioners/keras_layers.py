"""Plain Keras layers as conditioners: built whole, and refused where Keras would not train all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


def built_output_shape(layer: keras.layers.Layer, input_shape: tuple) -> tuple:
    """Builds a layer, with all that it holds, and returns the shape of its output.

    A layer that has no `compute_output_shape`, or no `build`, is called with a symbolic input, as
    a Keras model would: what it holds is built by being called.

    Args:
        layer: a Keras layer or model.
        input_shape: `(None, ...)`.

    Raises:
        ValueError: the layer holds a `tf.Variable`, which Keras neither trains nor saves.
    """
    own_build = type(layer).build is not keras.layers.Layer.build
    own_shape = type(layer).compute_output_shape is not keras.layers.Layer.compute_output_shape
    if own_build and own_shape and not isinstance(layer, keras.Model):
        if not layer.built:
            layer.build(input_shape)
        shape = layer.compute_output_shape(input_shape)
    else:
        shape = layer(keras.KerasTensor(input_shape, dtype=layer.compute_dtype)).shape
    for part in layers_within(layer):
        hidden = [name for name, value in vars(part).items() if _holds_variable(value)]
        if hidden:
            raise ValueError(
                f"{type(part).__name__} holds a tf.Variable in {hidden[0]}, which Keras neither "
                "trains nor saves: make it with add_weight."
            )
    return tuple(shape)


def layers_within(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yields a layer and all layers that it holds, at any depth."""
    yield from layer._flatten_layers()


def normalizes_batches(layer: keras.layers.Layer) -> bool:
    """Whether a layer, or one that it holds, is Keras' batch normalization."""
    return any(isinstance(x, keras.layers.BatchNormalization) for x in layers_within(layer))


def _holds_variable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_variable(item) for item in value)
    if isinstance(value, dict):
        return any(_holds_variable(item) for item in value.values())
    if isinstance(value, tf.Module):
        return bool(value.variables)
    return isinstance(value, tf.Variable)
