"""Whether a Keras model that calls a flow will train it."""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras.src.backend.common import global_state


def check_caller_holds(layers: Iterable[keras.layers.Layer], *, name: str) -> None:
    """Checks that the Keras layer or model that is being called has the variables of a flow.

    Keras finds layers that are attributes of a layer, and not those inside a distribution: it would
    neither train nor save them.

    Args:
        layers: the flow's Keras layers.
        name: name of the flow, for the message.

    Raises:
        ValueError: a layer is being called that lacks trainable variables of the flow.
    """
    context = global_state.get_global_attribute("current_call_ctx")
    caller = getattr(context, "entry_layer", None)
    if caller is None:
        return
    held = {id(variable) for variable in caller.variables}
    if all(id(variable) in held for layer in layers for variable in layer.trainable_variables):
        return
    raise ValueError(
        f"{type(caller).__name__} calls {name}, but Keras finds no variables of it there, and "
        f"would neither train nor save them: make nvp.FlowModel({name}) an attribute."
    )
