"""Flows by name."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

from tfp_realnvp.bijectors import FlowBijector
from tfp_realnvp.core import arguments
from tfp_realnvp.flow import Flow

Definition = Callable[..., list]

#: What events of a rank are called, and what their shape looks like.
RANKS = {1: ("vectors", "(D,)"), 2: ("point sets", "(P, D)"), 3: ("images", "(H, W, C)")}

# By name, and there by the rank of the events; None for any.
_DEFINITIONS: dict[str, dict[int | None, Definition]] = {}
_SHARDED: set[str] = set()


def register(
    name: str, *, ndims: int | None = None, sharded: bool = False
) -> Callable[[Definition], Definition]:
    """Returns a decorator that makes a definition a named flow.

    A definition takes the event shape, `levels` by keyword if the data are images, and its
    options by keyword, and returns a list of bijectors from data to latent. Options are checked by
    their annotations, before the definition sees them: see `arguments.annotated`. A flow of both
    vectors and images has a definition for each, whose options are its own.

    Args:
        name: name of the flow.
        ndims: rank of the events that the definition is for, 1 for vectors, 2 for point sets and 3
            for images; None for all, which the definition then tells apart itself.
        sharded: whether `scripts/train.py` works on a shard of the batch on each core unless told
            otherwise; see `nvp.use_shards`.

    Raises:
        TypeError: the name is no text, or `sharded` no flag.
        ValueError: the name is taken or none that TensorFlow takes, `ndims` is another number, or
            a definition has an option that is an argument of `build`.

    Example:
        >>> import tfp_realnvp as nvp
        >>> @nvp.flows.register("linear", ndims=1)  # doctest: +SKIP
        ... def linear(event_shape, *, layers: int = 2) -> list:
        ...     return [nvp.bijectors.InvertibleConv(ndims=1) for _ in range(layers)]
        >>> dist = nvp.flows.build("linear", (3,), layers=1)  # doctest: +SKIP
    """
    arguments.scope_name("register", name)
    arguments.instance("register", "sharded", sharded, bool)
    if ndims is not None and (isinstance(ndims, bool) or ndims not in RANKS):
        raise ValueError(
            f"A flow is of events of rank {', '.join(map(str, RANKS))}, or None for any, got "
            f"ndims={ndims!r}."
        )

    def decorate(definition: Definition) -> Definition:
        known = _DEFINITIONS.get(name, {})
        # One for any rank would be in the way of the others.
        taken = ndims in known or (bool(known) and None in (ndims, *known))
        if taken and known.get(ndims) is not definition:
            raise ValueError(f"A flow named {name!r} is registered already.")
        if reserved := sorted(set(_options(definition)) & _RESERVED):
            raise ValueError(
                f"{name} cannot have the options {', '.join(reserved)}: they are arguments of "
                "flows.build."
            )
        _DEFINITIONS.setdefault(name, {})[ndims] = definition
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


def options(name: str, event_shape: Sequence[int] | None = None) -> dict[str, Any]:
    """Returns the options of a named flow with their defaults.

    Args:
        name: one of `names()`.
        event_shape: `(D,)`, `(P, D)` or `(H, W, C)` for the options that a flow has there; None
            for all, those of vectors first.

    Raises:
        ValueError: an unknown name, or a shape that the flow does not take.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.flows.options("realnvp", (2,))
        {'couplings': 8, 'widths': (128, 128)}
    """
    if event_shape is not None:
        return _options(_definition(name, arguments.event_shape(event_shape)))
    found: dict[str, Any] = {}
    for _, definition in sorted(_definitions(name).items(), key=str):
        found |= {key: default for key, default in _options(definition).items() if key not in found}
    return found


def build(
    flow: str,
    /,
    event_shape: Sequence[int],
    *,
    seed: int = 0,
    dtype: str = "float32",
    levels: int = 256,
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    conditioner_dtype: str | None = None,
    recompute: bool = False,
    name: str | None = None,
    **options: Any,
) -> Flow:
    """Builds a named flow.

    Args:
        flow: one of `names()`.
        event_shape: `(H, W, C)` for images, `(D,)` for vectors, `(P, D)` for sets of P points.
        seed: seed of the initial values.
        dtype: dtype of the flow's arithmetic, `"float32"` or `"float64"`.
        levels: number of integer levels of images, at least 2; other data have none.
        num_classes: makes the flow conditional on this many classes.
        condition_shape: makes it conditional on vectors `(K,)`, or of images also on features
            `(H, W, K)` of each pixel; see `nvp.Flow`.
        conditioner_dtype: Keras dtype policy of the conditioners, such as `"mixed_bfloat16"`.
        recompute: saves memory in training; see `nvp.Flow`.
        name: name of the distribution, such as in a joint one of two flows; None for the flow's.
        **options: options of that flow; see `options(flow, event_shape)`.

    Returns:
        A `tfd.TransformedDistribution`.

    Raises:
        ValueError: an unknown name, a shape that the flow does not take, an argument or option out
            of range, or `recompute` of a flow of which nothing can be recomputed.
        TypeError: an option that the flow does not have for such events.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.flows.build("uva_simple", (8, 8, 1), levels=17).event_shape
        TensorShape([8, 8, 1])
    """
    if name is not None:
        arguments.scope_name(flow, name)
    return Flow(
        members(flow, event_shape, levels=levels, **options),
        event_shape,
        seed=seed,
        dtype=dtype,
        conditioner_dtype=conditioner_dtype,
        num_classes=num_classes,
        condition_shape=condition_shape,
        recompute=recompute,
        name=flow if name is None else name,
    )


def members(
    flow: str, /, event_shape: Sequence[int], *, levels: int = 256, **options: Any
) -> list[FlowBijector]:
    """Returns the bijectors of a named flow, to put others beside them.

    Args:
        flow: one of `names()`.
        event_shape: `(H, W, C)` for images, `(D,)` for vectors.
        levels: number of integer levels of images, at least 2; vectors have none.
        **options: options of that flow; see `options(flow, event_shape)`.

    Returns:
        Bijectors from data to latent that are not built yet, for `nvp.Flow`.

    Raises:
        ValueError: see `build`.
        TypeError: an option that the flow does not have for such events.

    Example:
        >>> import tensorflow_probability as tfp, tfp_realnvp as nvp
        >>> bounded = [tfp.bijectors.Sigmoid(-1.0, 1.0), *nvp.flows.members("realnvp", (2,))]
        >>> float(abs(nvp.Flow(bounded, (2,)).sample(50)).numpy().max()) < 1
        True
    """
    shape = arguments.event_shape(event_shape)
    definition = _definition(flow, shape)
    arguments.whole(flow, "levels", levels, least=2)
    known = _options(definition)
    if unknown := sorted(set(options) - set(known)):
        where = f" for {RANKS[len(shape)][0]}" if len(_definitions(flow)) > 1 else ""
        raise TypeError(
            f"{flow} has no option {', '.join(unknown)}{where}; its options are {sorted(known)}."
        )
    hints = typing.get_type_hints(definition)
    options = {
        key: arguments.annotated(flow, key, value, hints.get(key)) for key, value in options.items()
    }
    if "levels" in inspect.signature(definition).parameters:
        options["levels"] = levels
    return definition(shape, **options)


# What a definition cannot have as an option.
_RESERVED = {
    p.name for p in inspect.signature(build).parameters.values() if p.kind is p.KEYWORD_ONLY
} - {"levels"}


def _definitions(name: str) -> dict[int | None, Definition]:
    if not isinstance(name, str) or name not in _DEFINITIONS:
        close = difflib.get_close_matches(str(name), _DEFINITIONS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Unknown flow {name!r}; the flows are {', '.join(names())}.{hint}")
    return _DEFINITIONS[name]


def _definition(name: str, shape: tuple[int, ...]) -> Definition:
    known = _definitions(name)
    definition = known.get(None) or known.get(len(shape))
    if definition is None:
        kinds = [
            f"{kind} of shape {looks}" for rank, (kind, looks) in RANKS.items() if rank in known
        ]
        raise ValueError(f"{name} models {' or '.join(kinds)}, got event shape {shape}.")
    return definition


def _options(definition: Definition) -> dict[str, Any]:
    parameters = list(inspect.signature(definition).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.name != "levels"}


def require_sides(name: str, shape: tuple[int, ...], *, divisor: int) -> None:
    """Checks that the sides of an image are multiples of `divisor`.

    Raises:
        ValueError: they are not.
    """
    if shape[0] % divisor or shape[1] % divisor:
        raise ValueError(
            f"{name} needs height and width to be multiples of {divisor}, got {shape}."
        )


def require_dimensions(name: str, shape: tuple[int, ...], *, least: int) -> None:
    """Checks that a vector has at least `least` dimensions.

    Raises:
        ValueError: it has not.
    """
    if shape[0] < least:
        raise ValueError(
            f"{name} models vectors of at least {least} dimensions, got event shape {shape}."
        )
