"""Flows by name."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

from tfp_realnvp import arguments
from tfp_realnvp.distribution import Flow

Definition = Callable[..., list]

_DEFINITIONS: dict[str, Definition] = {}
_SHARDED: set[str] = set()


def register(name: str, *, sharded: bool = False) -> Callable[[Definition], Definition]:
    """Returns a decorator that makes a definition a named flow.

    A definition takes the event shape, `levels` by keyword if the data are images, and its
    options by keyword, and returns a list of bijectors from data to latent. Options are checked by
    their annotations, before the definition sees them: see `arguments.annotated`.

    Args:
        name: name of the flow.
        sharded: whether `scripts/train.py` works on a shard of the batch on each core unless told
            otherwise; see `nvp.use_shards`.

    Raises:
        ValueError: the name is taken.
    """

    def decorate(definition: Definition) -> Definition:
        if name in _DEFINITIONS and _DEFINITIONS[name] is not definition:
            raise ValueError(f"A flow named {name!r} is registered already.")
        _DEFINITIONS[name] = definition
        if sharded:
            _SHARDED.add(name)
        return definition

    return decorate


def names() -> list[str]:
    """Returns the names of all flows, sorted.

    Example:
        >>> import tfp_realnvp as nvp
        >>> "uva_multiscale" in nvp.flows.names()
        True
    """
    return sorted(_DEFINITIONS)


def is_sharded(name: str) -> bool:
    """Returns whether a flow trains in shards unless told otherwise; see `register`."""
    return name in _SHARDED


def options(name: str) -> dict[str, Any]:
    """Returns the options of a named flow with their defaults.

    Raises:
        ValueError: an unknown name.
    """
    parameters = inspect.signature(_definition(name)).parameters.values()
    return {
        p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "levels"
    }


def build(
    name: str,
    event_shape: Sequence[int],
    *,
    seed: int = 0,
    dtype: str = "float32",
    levels: int = 256,
    num_classes: int | None = None,
    conditioner_dtype: str | None = None,
    recompute: bool = False,
    **options: Any,
) -> Flow:
    """Builds a named flow.

    Args:
        name: one of `names()`.
        event_shape: `(H, W, C)` for images, `(D,)` for vectors.
        seed: seed of the initial values.
        dtype: dtype of the flow's arithmetic, `"float32"` or `"float64"`.
        levels: number of integer levels of images; vectors ignore it.
        num_classes: makes the flow conditional on this many classes.
        conditioner_dtype: Keras dtype policy of the conditioners, such as `"mixed_bfloat16"`.
        recompute: saves memory in training; see `nvp.Flow`.
        **options: options of that flow; see `options(name)`.

    Returns:
        A `tfd.TransformedDistribution`.

    Raises:
        ValueError: an unknown name, a shape that the flow does not take, or an option out of range.
        TypeError: an unknown option.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.flows.build("uva_simple", (8, 8, 1), levels=17).event_shape
        TensorShape([8, 8, 1])
    """
    definition = _definition(name)
    shape = arguments.event_shape(event_shape)
    known = inspect.signature(definition).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        choices = sorted(set(known) - {"event_shape", "levels"})
        raise TypeError(f"{name} has no option {', '.join(unknown)}; its options are {choices}.")
    hints = typing.get_type_hints(definition)
    options = {
        key: arguments.annotated(name, key, value, hints.get(key)) for key, value in options.items()
    }
    if "levels" in known:
        options["levels"] = levels
    return Flow(
        definition(shape, **options),
        shape,
        seed=seed,
        dtype=dtype,
        conditioner_dtype=conditioner_dtype,
        num_classes=num_classes,
        recompute=recompute,
        name=name,
    )


def _definition(name: str) -> Definition:
    if name not in _DEFINITIONS:
        close = difflib.get_close_matches(str(name), _DEFINITIONS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Unknown flow {name!r}; the flows are {', '.join(names())}.{hint}")
    return _DEFINITIONS[name]


def require_image(name: str, shape: tuple[int, ...], *, divisor: int = 1) -> None:
    """Checks that an event is an image whose sides are multiples of `divisor`.

    Raises:
        ValueError: it is not.
    """
    if len(shape) != 3:
        raise ValueError(f"{name} models images of shape (H, W, C), got event shape {shape}.")
    if shape[0] % divisor or shape[1] % divisor:
        raise ValueError(
            f"{name} needs height and width to be multiples of {divisor}, got {shape}."
        )


def require_vector(name: str, shape: tuple[int, ...], *, least: int = 2) -> None:
    """Checks that an event is a vector of at least `least` dimensions.

    Raises:
        ValueError: it is not.
    """
    if len(shape) != 1 or shape[0] < least:
        size = "1 dimension" if least == 1 else f"{least} dimensions"
        raise ValueError(f"{name} models vectors of at least {size}, got event shape {shape}.")
