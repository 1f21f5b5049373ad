"""A flow's bijectors as steps of whole numbers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp import bijectors
from tfp_realnvp.codec import maps, steps
from tfp_realnvp.codec.joining import joined
from tfp_realnvp.codec.model import Model
from tfp_realnvp.codec.tracing import traced
from tfp_realnvp.core.context import Context
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels import Kernels

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a bijector stands.

    Attributes:
        shape: of the event at its data side.
        num_classes: number of classes of the flow; None for none.
        condition: shape of what its couplings see beside their input; None for nothing.
    """

    shape: Shape
    num_classes: int | None = None
    condition: Shape | None = None

    def given(self) -> list[tf.TensorSpec]:
        """Returns what networks are given beside events: the condition, the labels."""
        specs = []
        if self.condition is not None:
            specs.append(tf.TensorSpec((None, *self.condition)))
        if self.num_classes is not None:
            specs.append(tf.TensorSpec((None,), tf.int32))
        return specs

    def context(self, given: Sequence[tf.Tensor]) -> Context:
        """Returns the context of a call with what `given` describes."""
        rest = list(given)
        condition = rest.pop(0) if self.condition is not None else None
        labels = rest.pop(0) if self.num_classes is not None else None
        # Wholes, and float32: a graph of them has the fewest operations.
        return Context(
            condition=condition, labels=labels, exact=True, kernels=Kernels(divides=False)
        )


@functools.singledispatch
def compiled(member: bijectors.FlowBijector, place: Place) -> list[steps.Step]:
    """Returns the steps of a bijector.

    Args:
        member: the bijector, built.
        place: where it stands.

    Raises:
        NotImplementedError: it has no form in whole numbers.
    """
    raise NotImplementedError(f"{type(member).__name__} bijectors")


@compiled.register(bijectors.Logit)
@compiled.register(bijectors.Rescale)
@compiled.register(bijectors.ActNorm)
@compiled.register(bijectors.BatchNorm)
@compiled.register(bijectors.Standardize)
@compiled.register(bijectors.Scale)
def _elementwise(member: Any, place: Place) -> list[steps.Step]:
    ends = (member.low, member.high) if isinstance(member, bijectors.Logit) else None
    return [
        _of_all_elements(
            place.shape, member._inverse_and_log_det, member._forward_and_log_det, domain=ends
        )
    ]


def _of_all_elements(
    shape: Shape, forward: Callable, backward: Callable, **options: Any
) -> steps.Step:
    """Returns the step of an increasing map that needs no parameters.

    Args:
        shape: of the event.
        forward: the map, with its log-determinant.
        backward: its inverse, likewise.
        **options: see `maps.Closed`.
    """
    spec, context = tf.TensorSpec((None, *shape)), Context()
    function = maps.Closed(
        traced(lambda y: forward(y, context)[0], spec),
        traced(lambda x: backward(x, context)[0], spec),
        **options,
    )
    return steps.Elements(function, shape, np.arange(math.prod(shape)).reshape(shape))


@compiled.register(bijectors.Squeeze)
@compiled.register(bijectors.Unsqueeze)
@compiled.register(bijectors.Flatten)
@compiled.register(bijectors.Permutation)
def _reordering(member: Any, place: Place) -> list[steps.Step]:
    return [steps.Reorder(_order_of(member, place))]


def _order_of(member: Any, place: Place) -> np.ndarray:
    """Returns where each element of a bijector's results comes from."""
    order = member._inverse_and_log_det(_numbered(place.shape), Context())[0]
    return order.numpy().astype(np.int64).ravel()


def _numbered(shape: Shape) -> tf.Tensor:
    """Returns an event whose elements are their places, `[1, *shape]`."""
    return tf.reshape(tf.range(math.prod(shape), dtype=tf.float64), (1, *shape))


@compiled.register(bijectors.Composition)
def _composition(member: bijectors.Composition, place: Place) -> list[steps.Step]:
    return joined(_in_turn(member.members, place))


def _in_turn(members: Sequence[bijectors.FlowBijector], place: Place) -> list[steps.Step]:
    if not members:
        return []
    first, *rest = members
    own = compiled(first, place)
    if not rest:
        return own
    beyond = dataclasses.replace(place, shape=first._latent_shape(place.shape))
    if place.condition is None or beyond.shape[:-1] == place.shape[:-1]:
        return own + _in_turn(rest, beyond)
    return [*own, _beyond(first, rest, place, beyond.shape)]


def _beyond(
    member: Any, members: Sequence[bijectors.FlowBijector], place: Place, shape: Shape
) -> steps.Step:
    """Returns the steps of members that see the condition as it is beyond another one.

    Args:
        member: the one that they stand behind, or within.
        members: the members.
        place: where that one stands.
        shape: of the events that they see.
    """

    def beyond(*given: tf.Tensor) -> tf.Tensor:
        return member._condition_beyond(given[0])

    assert place.condition is not None
    condition = tuple(beyond(tf.zeros([1, *place.condition])).shape[1:])
    return _seeing(beyond, members, place, shape, condition=condition)


def _seeing(
    function: Callable,
    members: Sequence[bijectors.FlowBijector],
    place: Place,
    shape: Shape,
    *,
    condition: Shape,
) -> steps.Step:
    """Returns the steps of members whose couplings see what a function makes of what is given.

    Args:
        function: from the condition, and labels where there are any, to what they see.
        members: the members.
        place: where the function stands.
        shape: of the events that they see.
        condition: of what the function makes.
    """
    seen = traced(function, *place.given())
    within = dataclasses.replace(place, shape=shape, condition=condition)
    return steps.Seeing(seen, joined(_in_turn(members, within)))


@compiled.register(bijectors.Squeezed)
def _squeezed(member: bijectors.Squeezed, place: Place) -> list[steps.Step]:
    there = steps.Reorder(_order_of(member._squeeze, place))
    back = steps.Reorder(np.argsort(there.order))
    shape = member._squeeze._latent_shape(place.shape)
    if place.condition is None:
        within = joined(_in_turn(member.members, dataclasses.replace(place, shape=shape)))
    else:
        within = [_beyond(member._squeeze, member.members, place, shape)]
    return [there, *within, back]


@compiled.register(bijectors.Encoded)
def _encoded(member: bijectors.Encoded, place: Place) -> list[steps.Step]:
    def network(*given: tf.Tensor) -> tf.Tensor:
        return member.network.parameters(given[0], place.context(given))

    shape = (*place.shape[:-1], member.network.known_outputs())
    return [_seeing(network, member.members, place, place.shape, condition=shape)]


@compiled.register(bijectors.FactorOut)
def _factor_out(member: bijectors.FactorOut, place: Place) -> list[steps.Step]:
    *sides, channels = place.shape
    places = np.arange(math.prod(place.shape)).reshape(place.shape)
    staying, leaving = places[..., : channels // 2], places[..., channels // 2 :]
    if place.condition is not None:
        raise NotImplementedError("a factor-out within the noise of a dequantizer")
    rest = dataclasses.replace(place, shape=(*sides, channels // 2))
    return [steps.Leave(leaving.ravel(), staying.ravel()), *compiled(member.rest, rest)]


@compiled.register(bijectors.Blockwise)
def _blockwise(member: bijectors.Blockwise, place: Place) -> list[steps.Step]:
    places = np.arange(math.prod(place.shape)).reshape(place.shape)
    parts = np.split(places, len(member.members), axis=-1)
    within = dataclasses.replace(place, shape=parts[0].shape)
    own = [compiled(block, within) for block in member.members]
    return [steps.Blocks([part.ravel() for part in parts], own)]


@compiled.register(bijectors.InvertibleConv)
def _invertible_conv(member: bijectors.InvertibleConv, place: Place) -> list[steps.Step]:
    # x = Q L (U + diag(g e^s)) y = Q L (U diag(g e^-s) + 1) g (e^s y), in these steps.
    channels = place.shape[-1]
    lower, upper = (triangle.numpy().astype(np.float64) for triangle in member._triangles())
    log_diagonal = tf.convert_to_tensor(member.log_diagonal)
    scaled = _of_all_elements(
        place.shape,
        lambda y, context: (y * tf.exp(log_diagonal), None),
        lambda x, context: (x * tf.exp(-log_diagonal), None),
    )
    mixed = steps.Mix(channels, lower, upper / np.diag(upper), member.signs.numpy())
    places = np.arange(math.prod(place.shape)).reshape(place.shape)
    return [scaled, mixed, steps.Reorder(places[..., member.rows.numpy()].ravel())]


@compiled.register(bijectors.Coupling)
def _coupling(member: bijectors.Coupling, place: Place) -> list[steps.Step]:
    partition, transformer = member.partition, member.transformer
    numbered = _numbered(place.shape)
    changed = partition.split(numbered)[1][0].numpy().astype(np.int64)
    replaced = partition.merge(
        numbered, tf.fill((1, *changed.shape), tf.constant(-1.0, tf.float64))
    )
    chosen = (replaced[0].numpy().ravel() < 0)[changed]
    if isinstance(transformer, bijectors.MixtureLogistic):
        function: Any = maps.Mixture()
    else:
        parameters = transformer.parameters_per_element * changed.shape[-1]
        specs = [
            tf.TensorSpec((None, *changed.shape)),
            tf.TensorSpec((None, *changed.shape[:-1], parameters)),
        ]
        function = maps.Closed(
            traced(lambda y, p: transformer.inverse(y, p)[0], *specs),
            traced(lambda x, p: transformer.forward(x, p)[0], *specs),
        )

    def network(y: tf.Tensor, *given: tf.Tensor) -> Any:
        seen, value = partition.split(y)
        parameters = member.conditioned(seen, place.context(given))
        if not isinstance(transformer, bijectors.MixtureLogistic):
            return parameters
        log_scale, shift, mixture = transformer.parts(value, parameters)
        log_weights, means, log_scales = (_components_first(part) for part in mixture)
        return tf.exp(log_weights), means, tf.exp(-log_scales), shift, tf.exp(log_scale)

    program = traced(network, tf.TensorSpec((None, *place.shape)), *place.given())
    mask = None if chosen.all() else chosen
    return [steps.Elements(function, place.shape, changed, program, mask)]


def _components_first(part: tf.Tensor) -> tf.Tensor:
    """Returns `[N, ..., K, C]` as `[N, K, ..., C]`."""
    *between, last = range(1, part.shape.rank - 1)
    return tf.transpose(part, [0, last, *between, part.shape.rank - 1])


@compiled.register(bijectors.Dequantization)
def _dequantization(member: bijectors.Dequantization, place: Place) -> list[steps.Step]:
    return [steps.Dequantize(None, None, place.shape)]


@compiled.register(bijectors.VariationalDequantization)
def _variational(member: bijectors.VariationalDequantization, place: Place) -> list[steps.Step]:
    to_reals, to_unit = member._to_reals, member._to_unit
    seen = traced(member.seen, tf.TensorSpec((None, *place.shape)))
    noise = [
        _of_all_elements(
            place.shape,
            to_reals._inverse_and_log_det,
            to_reals._forward_and_log_det,
            domain=(0.0, 1.0),
        ),
        *compiled(member.noise_flow, dataclasses.replace(place, condition=place.shape)),
        _of_all_elements(
            place.shape,
            to_unit._forward_and_log_det,
            to_unit._inverse_and_log_det,
            onto_unit=True,
        ),
    ]
    return [steps.Dequantize(noise, seen, place.shape)]


def model_of(dist: Flow) -> Model:
    """Returns the steps of a flow of images, with its variables' present values.

    Raises:
        ValueError: it is no flow of images, or has a part that can't be coded.
    """
    if dist.levels is None:
        raise ValueError(
            f"{dist.name} is a flow of continuous data: only images can be compressed."
        )
    if dist.condition_shape is not None:
        raise ValueError(f"{dist.name} has a condition, which an archive does not keep.")
    if dist.dtype != tf.float32:
        raise ValueError(f"{dist.name} is of {dist.dtype.name}: codecs are made of float32 flows.")
    shape = tuple(dist.event_shape)
    try:
        own = compiled(dist.bijector, Place(shape, dist.num_classes))
    except NotImplementedError as error:
        raise ValueError(
            f"{dist.name} can't be coded: there is no exact form of {error}."
        ) from error
    return Model(own, shape, dist.levels, dist.num_classes, dist.latent_sizes)
