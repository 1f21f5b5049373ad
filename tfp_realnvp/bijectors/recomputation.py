"""Members whose backward pass runs them again instead of keeping their activations."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.core.context import Context


def is_recomputable(bijector: Any) -> bool:
    """Whether a second run of the bijector on the same input can be made equal to the first.

    A class whose second run is another, because it draws noise, says so by `recomputable = False`;
    so do those that hold a composition, whose members are recomputed one by one. Another container
    is run again as one, where all in it that has weights can be. Of conditioners from elsewhere
    nothing is known.
    """
    if not isinstance(bijector, FlowBijector) or bijector.is_surjective:
        return False
    conditioner = getattr(bijector, "conditioner", None)
    if conditioner is not None:
        moments = getattr(conditioner, "running_moments", ())
        replayed = [id(v) for running in moments for v in (running.mean, running.variance)]
        states = {id(v) for v in conditioner.non_trainable_variables}
        # What says that data have set a network does not change in a run.
        states -= {id(getattr(conditioner, "initialized", None))}
        if not isinstance(conditioner, Conditioner) or not states <= set(replayed):
            return False
    inside = [b for member in bijector.members for b in with_weights(member)]
    return getattr(bijector, "recomputable", all(map(is_recomputable, inside)))


def with_weights(bijector: FlowBijector) -> list[FlowBijector]:
    """Returns a built bijector and those in it, however deep, that have layers of their own."""
    return [b for b in bijector._all_within() if b._own_layers]


def check_recomputation(bijector: FlowBijector, *, name: str) -> None:
    """Checks that there is something to recompute in a built flow.

    Raises:
        ValueError: no member with weights can be run again.
    """
    members = with_weights(bijector)
    if not any(is_recomputable(b) and b.trainable_variables for b in members):
        kinds = sorted({type(b).__name__ for b in members})
        raise ValueError(
            f"{name} has nothing to recompute in its backward pass: recompute=True is for flows "
            f"with couplings and other members that can be run again, got {kinds}."
        )


def inverse_recomputing(
    members: Sequence[tuple[FlowBijector, Context]], y: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks members from data to latent and keeps only what goes into each for the backward pass.

    The backward pass runs each member again from its input and differentiates it alone, so that
    the activations of one conditioner are alive at a time (arXiv:1604.06174). It costs one more run
    of each. Running statistics of batches move once, and the second run takes them as the first
    found them: gradients are those of the plain walk.

    Args:
        members: members from data to latent, see `is_recomputable`; each with its context, whose
            condition and vector get gradients too.
        y: data `[N, *event]`.

    Returns:
        Latents and log|det dx/dy| in nats `[N]`, of the whole run.
    """
    names = [n for n in ("condition", "vector") if getattr(members[0][1], n) is not None]
    if members[0][1].seed is None:  # what draws noise draws it again in the second run
        seed = members[0][1].fold_in(members[0][0]._scope.path)
        members = [(member, context.replace(seed=seed)) for member, context in members]

    def run(member, context, value, *own):
        context = context.replace(**dict(zip(names, own, strict=True)))
        return member._inverse_and_log_det(value, context)

    @tf.custom_gradient
    def walk(value, *given):
        total = tf.zeros(tf.shape(value)[:1], value.dtype)
        of_members = [given[i * len(names) :][: len(names)] for i in range(len(members))]
        inputs, statistics = [], []
        for (member, context), own in zip(members, of_members, strict=True):
            inputs.append((value, *own))
            statistics.append([running.snapshot() for running in member.running_moments])
            value, log_det = run(member, context, value, *own)
            total += log_det

        def gradient(d_value, d_log_det, variables=()):
            d_variables: list[Any] = [None] * len(variables)
            d_given: list[Any] = []
            done = [d_value, d_log_det]
            for (member, context), (value, *own), before in zip(
                reversed(members), reversed(inputs), reversed(statistics), strict=True
            ):
                trained = {v.ref() for v in member.trainable_variables}
                at = [i for i, v in enumerate(variables) if v.ref() in trained]
                sources = [_after(done, value), *own, *(variables[i] for i in at)]
                with (
                    tf.GradientTape(watch_accessed_variables=False) as tape,
                    contextlib.ExitStack() as replays,
                ):
                    for running, snapshot in zip(member.running_moments, before, strict=True):
                        replays.enter_context(running.replayed(snapshot))
                    tape.watch(sources)
                    outputs = run(member, context, *sources[: 1 + len(names)])
                done = tape.gradient(
                    outputs,
                    sources,
                    output_gradients=[d_value, d_log_det],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                d_value, *rest = done
                d_given = [*rest[: len(names)], *d_given]
                for i, d in zip(at, rest[len(names) :], strict=True):
                    d_variables[i] = d
            return (d_value, *d_given), d_variables

        return (value, total), gradient

    return walk(y, *(getattr(context, name) for _, context in members for name in names))


def _after(gradients: Sequence[tf.Tensor], value: tf.Tensor) -> tf.Tensor:
    """Returns a value that is there only when gradients are.

    A member waits for all gradients of the one behind it: left to the scheduler, the activations of
    several would be alive at once.
    """
    with tf.control_dependencies(gradients):
        value = tf.identity(value)
    if tf.executing_eagerly():
        return value
    # XLA knows of data alone, and would take the second run for the first.
    first = tf.reshape(gradients[0], [-1])[:1]
    return value + tf.reduce_sum(tf.cast(tf.math.is_nan(first), value.dtype))
