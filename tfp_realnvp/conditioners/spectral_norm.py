"""Bounds of spectral norms: by how much a linear map lengthens a vector at most."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

# By how much a bound may be too large: it is where all singular values are alike.
SLACK = 1.04
# Frequencies around the circle for each pixel of a kernel's halo, see `convolution_norm`: 4% more.
FREQUENCIES = 16


def spectral_norm(matrices: tf.Tensor) -> tf.Tensor:
    r"""Returns bounds of the largest singular values, never below these.

    By Gram iteration (arXiv:2305.16173): with `G = W W^T`, and `|.|` the Frobenius norm, the root
    of the sum of squares,

        |W|_2 = |G^p|_2^(1 / 2p) <= |G^p|^(1 / 2p),

    where `p` is a power of two, after as many squarings. Unlike power iteration, which comes from
    below, it keeps no vector between calls, so that the bound is a function of the matrix alone,
    and holds for any.

    Args:
        matrices: `[..., A, B]`.

    Returns:
        `[...]`, at most `min(A, B)^(1 / 4p)` times the norms, which is 4%.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.conditioners.spectral_norm import spectral_norm
        >>> round(float(spectral_norm(tf.constant([[3.0, 0.0], [0.0, 1.0]]))), 4)
        3.0
    """
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    gram = tf.linalg.matmul(matrices, matrices, transpose_a=not is_wide, transpose_b=is_wide)
    powers = math.log(gram.shape[-1]) / (4 * math.log(SLACK))
    sizes = [_frobenius_norm(gram)]
    for _ in range(math.ceil(math.log2(max(1, powers)))):
        # Brought to norm 1, lest its powers grow out of the numbers.
        gram /= sizes[-1][..., None, None]
        gram = tf.linalg.matmul(gram, gram)
        sizes.append(_frobenius_norm(gram))
    roots = tf.constant([0.5 ** (i + 1) for i in range(len(sizes))], matrices.dtype)
    return tf.exp(tf.reduce_sum(roots * tf.math.log(tf.stack(sizes, -1)), -1))


def convolution_norm(kernel: tf.Tensor) -> tf.Tensor:
    r"""Returns a bound of the norm of a convolution as a map of images of any size.

    A convolution with zeros beyond the edges is a part of one of the endless plane, which maps each
    frequency by itself: with `F(w) = sum_s exp(i w.s) K_s`, the sum over the pixels of the kernel,

        |conv|_2 <= max_w |F(w)|_2.

    The maximum is over a grid of `N` frequencies in each direction. `v^H F u` is a trigonometric
    polynomial whose degree is the halo `h`, which between the points of the grid is greater by at
    most `1 / cos(pi h / N)` in each direction (Riesz).

    Args:
        kernel: `[K, K, A, B]`, K odd.

    Returns:
        A scalar.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.conditioners.spectral_norm import convolution_norm
        >>> mean = tf.ones([3, 3, 1, 1]) / 9
        >>> round(float(convolution_norm(mean)), 2)  # 1, of an image that is the same everywhere
        1.06
    """
    size = kernel.shape[0]
    halo, count = size // 2, FREQUENCIES * (size // 2)
    if not halo:
        return spectral_norm(kernel[0, 0])
    # Of a real kernel, opposite frequencies have the same norm.
    across, down = np.meshgrid(np.arange(count), np.arange(count // 2 + 1))
    frequencies = 2 * np.pi / count * np.stack([down, across], -1).reshape(-1, 2)
    places = np.stack(np.meshgrid(*2 * [np.arange(size)], indexing="ij"), -1).reshape(-1, 2)
    angles = frequencies @ places.T
    pixels = tf.reshape(kernel, [size * size, *kernel.shape[2:]])
    real, imaginary = (
        tf.tensordot(tf.constant(waves, kernel.dtype), pixels, 1)
        for waves in (np.cos(angles), np.sin(angles))
    )
    # A complex matrix as a real one of the same norm.
    matrices = tf.concat([tf.concat([real, -imaginary], -1), tf.concat([imaginary, real], -1)], -2)
    return tf.reduce_max(spectral_norm(matrices)) / math.cos(math.pi * halo / count) ** 2


def _frobenius_norm(matrices: tf.Tensor) -> tf.Tensor:
    """Returns norms `[...]` of matrices `[..., A, B]`, above 0."""
    square = tf.reduce_sum(tf.square(matrices), [-2, -1])
    return tf.sqrt(square + matrices.dtype.as_numpy_dtype(1e-30))
