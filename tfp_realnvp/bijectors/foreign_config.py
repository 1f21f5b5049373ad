"""TFP's bijectors as text: by their class in `tfp.bijectors` and their arguments."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfb = tfp.bijectors


def described_bijector(bijector: tfp.bijectors.Bijector) -> dict[str, Any]:
    """Returns a bijector's class and arguments, as JSON can hold them.

    Args:
        bijector: of a class in `tfp.bijectors`, or registered with Keras and with a `get_config`.

    Raises:
        ValueError: its class or an argument cannot be found again, such as a Python function.
    """
    if hasattr(bijector, "get_config"):
        return {"registered": keras.saving.serialize_keras_object(bijector)}
    name = type(bijector).__name__.removeprefix("_")
    if not isinstance(bijector, getattr(tfb, name, ())) and not _is_variant(bijector, name):
        raise ValueError(
            f"{bijector.name} cannot be saved: {type(bijector).__name__} is no class of "
            "tfp.bijectors. Give it get_config and register it with Keras."
        )
    arguments = {
        key: _encoded(value, f"{key} of {bijector.name}")
        for key, value in bijector.parameters.items()
    }
    return {"class": name, "arguments": arguments}


def made_bijector(config: dict[str, Any]) -> tfp.bijectors.Bijector:
    """Makes a bijector from `described_bijector`'s result."""
    if "registered" in config:
        return config["registered"]  # Keras has made it on its way here
    arguments = {key: _decoded(value) for key, value in config["arguments"].items()}
    return getattr(tfb, config["class"])(**arguments)


def _is_variant(bijector: tfp.bijectors.Bijector, name: str) -> bool:
    # Of some classes TFP makes instances of a base with the same name, such as `_Invert`.
    public = getattr(tfb, name, None)
    return isinstance(public, type) and type(bijector) in public.__mro__


def _encoded(value: Any, what: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tfb.Bijector):
        return {"bijector": described_bijector(value)}
    if isinstance(value, list | tuple):
        return {"list": [_encoded(item, what) for item in value]}
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    if isinstance(value, tf.Variable):
        return {"variable": _encoded(value.numpy(), what), "trainable": value.trainable}
    if tf.is_tensor(value) or isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return {"array": array.tolist(), "dtype": array.dtype.name}
    raise ValueError(
        f"The argument {what} cannot be saved: a {type(value).__name__} cannot be made again from "
        "a file."
    )


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "bijector" in value:
        return made_bijector(value["bijector"])
    if "list" in value:
        return [_decoded(item) for item in value["list"]]
    if "variable" in value:
        return tf.Variable(_decoded(value["variable"]), trainable=value["trainable"])
    if "array" in value:
        return np.array(value["array"], value["dtype"])
    return tf.as_dtype(value["dtype"])
