"""Whether a Keras model that calls a flow will train it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras.src.backend.common import global_state

if TYPE_CHECKING:
    from tfp_realnvp.flow import Flow


def check_caller_holds(dist: Flow) -> None:
    """Checks that the Keras layer or model that is being called has the variables of a flow.

    Keras finds layers that are attributes of a layer, and not those inside a distribution: it would
    neither train nor save them.

    Args:
        dist: the flow.

    Raises:
        ValueError: a layer is being called that lacks trainable variables of the flow.
    """
    context = global_state.get_global_attribute("current_call_ctx")
    caller = getattr(context, "entry_layer", None)
    if caller is None:
        return
    held = {id(variable) for variable in caller.variables}
    if all(
        id(variable) in held
        for layer in dist.keras_layers
        for variable in layer.trainable_variables
    ):
        return
    name = dist.name
    raise ValueError(
        f"{type(caller).__name__} calls {name}, but Keras finds no variables of it there, and "
        f"would neither train nor save them: make nvp.FlowModel({name}) an attribute."
    )
