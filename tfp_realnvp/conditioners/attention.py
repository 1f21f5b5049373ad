"""Self-attention over the pixels of a small grid."""

from __future__ import annotations

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
    size = channels // (3 * heads)
    parts = tf.reshape(projections, [-1, height * width, 3, heads, size])
    queries, keys, values = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))
    scores = tf.linalg.matmul(queries * size**-0.5, keys, transpose_b=True)
    weights = tf.cast(tf.nn.softmax(tf.cast(scores, wide)), projections.dtype)
    gathered = tf.transpose(tf.linalg.matmul(weights, values), [0, 2, 1, 3])
    return tf.reshape(gathered, [-1, height, width, heads * size])
