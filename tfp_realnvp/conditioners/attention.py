"""Multi-head self-attention, of pixels and of tokens."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def attend(projections: tf.Tensor, *, heads: int, wide: tf.DType) -> tf.Tensor:
    r"""Returns what each pixel gathers from all pixels of its image (arXiv:1706.03762).

    In each head, with queries q, keys k and values v of D channels,
    `softmax_j(q_i . k_j / sqrt(D)) v_j` summed over the pixels j. The work grows with the square of
    their number.

    Args:
        projections: queries, keys and values, one after the other, `[N, H, W, 3C]`.
        heads: number of heads, a divisor of C.
        wide: dtype of the softmax; the products are in that of the projections.

    Returns:
        `[N, H, W, C]`, the heads one after the other.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.conditioners.attention import attend
        >>> attend(tf.ones([2, 7, 7, 3 * 8]), heads=2, wide=tf.float32).shape
        TensorShape([2, 7, 7, 8])
    """
    _, height, width, channels = projections.shape
    tokens = tf.reshape(projections, [-1, height * width, channels])
    gathered = gather(*queries_keys_values(tokens, heads=heads), wide=wide)
    return tf.reshape(gathered, [-1, height, width, channels // 3])


def queries_keys_values(projections: tf.Tensor, *, heads: int) -> list[tf.Tensor]:
    """Returns the three parts of projections `[N, T, 3C]`, each `[N, heads, T, C / heads]`."""
    _, tokens, channels = projections.shape
    parts = tf.reshape(projections, [-1, tokens, 3, heads, channels // (3 * heads)])
    return tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))


def gather(
    queries: tf.Tensor,
    keys: tf.Tensor,
    values: tf.Tensor,
    *,
    wide: tf.DType,
    mask: np.ndarray | tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns what queries gather from values, `[N, T, C]`, the heads one after the other.

    The weights, T * S numbers for each head and image, are not kept for the backward pass, which
    makes them again.

    Args:
        queries: `[N, heads, T, C / heads]`.
        keys: `[N, heads, S, C / heads]`.
        values: likewise.
        wide: dtype of the softmax.
        mask: which of the S each of the T sees, boolean and broadcastable to `[T, S]`; None for
            all.
    """
    heads, tokens, size = queries.shape[1:]
    gathered = _weighted_sum(wide, mask)(queries * size**-0.5, keys, values)
    return tf.reshape(tf.transpose(gathered, [0, 2, 1, 3]), [-1, tokens, heads * size])


def _weighted_sum(wide, mask):
    def weights_of(queries, keys):
        scores = tf.cast(tf.linalg.matmul(queries, keys, transpose_b=True), wide)
        if mask is not None:
            scores = tf.where(mask, scores, scores.dtype.min)
        return tf.nn.softmax(scores)

    @tf.custom_gradient
    def weighted_sum(queries, keys, values):
        dtype = values.dtype
        result = tf.linalg.matmul(tf.cast(weights_of(queries, keys), dtype), values)

        def gradient(upstream):
            # Not before they are asked for, nor taken for those of the first time.
            with tf.control_dependencies([upstream]):
                weights = weights_of(tf.identity(queries), keys)
            of_weights = tf.cast(tf.linalg.matmul(upstream, values, transpose_b=True), wide)
            along = tf.reduce_sum(of_weights * weights, -1, keepdims=True)
            of_scores = tf.cast((of_weights - along) * weights, dtype)
            return (
                tf.linalg.matmul(of_scores, keys),
                tf.linalg.matmul(of_scores, queries, transpose_a=True),
                tf.linalg.matmul(tf.cast(weights, dtype), upstream, transpose_a=True),
            )

        return result, gradient

    return weighted_sum


def check_heads(name: str, *, width: int, heads: int) -> None:
    """Checks that the heads of attention divide its width.

    Raises:
        ValueError: they do not.
    """
    if width % heads:
        raise ValueError(
            f"{name} needs a width that its heads divide, got width={width} and heads={heads}."
        )
