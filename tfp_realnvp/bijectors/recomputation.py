"""Couplings whose backward pass recomputes activations instead of keeping them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.coupling import Coupling
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.context import Context


def is_recomputable(bijector: tfp.bijectors.Bijector) -> bool:
    """Whether a second run of the bijector equals the first: a coupling without state."""
    return (
        isinstance(bijector, Coupling)
        and isinstance(bijector.conditioner, Conditioner)
        and not bijector.conditioner.non_trainable_variables
    )


def inverse_recomputing(
    couplings: Sequence[Coupling], y: tf.Tensor, context: Context
) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks couplings from data to latent and keeps only the result for the backward pass.

    The backward pass inverts each coupling from its output and differentiates it alone, so that
    the activations of one conditioner are alive at a time (arXiv:1707.04585). It costs one more
    run of each conditioner. Gradients are those of the plain walk, up to the rounding of the
    inversion.

    Args:
        couplings: members from data to latent; see `is_recomputable`.
        y: data `[N, *event]`.
        context: the per-call context; its condition gets gradients too.

    Returns:
        Latents and log|det dx/dy| in nats `[N]`, of the whole run.
    """
    conditions = [] if context.condition is None else [context.condition]

    def within(condition):
        return context.replace(condition=condition[0]) if condition else context

    @tf.custom_gradient
    def walk(value, *condition):
        total = tf.zeros(tf.shape(value)[:1], value.dtype)
        for coupling in couplings:
            value, log_det = coupling._inverse_and_log_det(value, within(condition))
            total += log_det
        latent = value

        def gradient(d_value, d_log_det, variables=()):
            d_variables = [tf.zeros_like(v) for v in variables]
            d_condition = [tf.zeros_like(c) for c in condition]
            value, done = latent, [d_value, d_log_det]
            for coupling in reversed(couplings):
                # A coupling waits for all gradients of the one before: left to the scheduler, the
                # activations of several would be alive at once.
                with tf.control_dependencies(done):
                    value = tf.identity(value)
                own = {v.ref() for v in coupling.trainable_variables}
                at = [i for i, v in enumerate(variables) if v.ref() in own]
                own_variables = [variables[i] for i in at]
                value, (d_value, *rest) = _step_back(
                    coupling, value, within, condition, own_variables, [d_value, d_log_det]
                )
                done = [d_value, *rest]
                d_condition = [
                    a + b for a, b in zip(d_condition, rest[: len(condition)], strict=True)
                ]
                for i, d in zip(at, rest[len(condition) :], strict=True):
                    d_variables[i] = d
            return (d_value, *d_condition), d_variables

        return (value, total), gradient

    return walk(y, *conditions)


def _step_back(coupling, latent, within, condition, variables, upstream):
    """Returns a coupling's input, from its output, and the gradients to it and to what it reads.

    The conditioner runs once: it sees the part that the coupling leaves as it is, which is the same
    before and after.
    """
    partition, transformer = coupling.partition, coupling.transformer
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([latent, *condition, *variables])
        seen, changed = partition.split(latent)
        parameters = coupling.conditioned(seen, within(condition))
        with tape.stop_recording():
            value = partition.merge(latent, transformer.forward(changed, parameters)[0])
        tape.watch(value)
        changed, log_det = transformer.inverse(partition.split(value)[1], parameters)
        outputs = partition.merge(value, changed), partition.total(log_det)
    # The latent stands for the value in what the conditioner sees.
    through_seen, through_changed, *rest = tape.gradient(
        outputs,
        [latent, value, *condition, *variables],
        output_gradients=upstream,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return value, [through_seen + through_changed, *rest]
