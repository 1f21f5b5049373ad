"""The terms of a log-likelihood, row by row."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.bijectors.rows_inside import of_any_count
from tfp_realnvp.core.context import Context
from tfp_realnvp.flow import Flow


def term_names(dist: Flow) -> tuple[str, ...]:
    """Returns the names of the terms of a flow's log-probability, in the order of `log_prob_terms`.

    Args:
        dist: a flow.
    """
    return ("base", "log_det") if dist.quantizer is None else ("base", "log_det", "dequantization")


def log_prob_terms(dist: Flow, y: tf.Tensor, context: Context) -> tf.Tensor:
    r"""Returns what `log p(y)` is the sum of, in one walk through the flow.

    `log p(y) = log N(z; 0, I) + log|det dz/dx| - log q(u | y)` with `x = y + u`: the log-density of
    the latents, the log-determinants of the continuous flow and, of flows of images, the
    dequantization's term, which is 0 for uniform noise. For vectors `x = y`, and there are two.

    Args:
        dist: a flow.
        y: `[N, *event]`.
        context: the per-call context.

    Returns:
        `[N, T]` in nats, the terms of `term_names`.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> from tfp_realnvp.uses.terms import log_prob_terms
        >>> dist = nvp.flows.build("uva_vardeq", (4, 4, 1), couplings=1, width=4, blocks=1)
        >>> images, context = np.zeros([3, 4, 4, 1], "uint8"), nvp.Context(seed=0)
        >>> terms = log_prob_terms(dist, images, context)
        >>> bool(np.allclose(tf.reduce_sum(terms, -1), dist.log_prob_in(images, context)))
        True
    """
    quantizer = dist.quantizer
    if quantizer is None:
        z, log_det = dist.encode_and_log_det(y, context)
        return tf.stack([dist.distribution.log_prob(z), log_det], -1)
    rows = tf.cast(y, dist.dtype)

    def walk(rows, context):
        x, log_noise = quantizer._inverse_and_log_det(rows, context)
        z, log_det = dist.continuous._inverse_and_log_det(x, context)
        return z, tf.stack([log_det, log_noise], -1)

    context = dist.bijector.within(context, tf.shape(rows)[:1])
    z, log_dets = of_any_count(walk, rows, context, convolves=True)
    return tf.concat([dist.distribution.log_prob(z)[:, None], log_dets], -1)
