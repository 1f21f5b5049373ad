"""Convolutions that are fast on the CPU for a single image as well."""

from __future__ import annotations

import functools

import tensorflow as tf

BANDS = 2


def convolve(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None, *, in_bands: bool = True
) -> tf.Tensor:
    """Returns a convolution of stride 1 that keeps the sides of the image.

    On a CPU a batch that is known to be of one image is cut into bands of rows, and these are the
    batch: for batches of one TensorFlow asks oneDNN for plain kernels, which take two to three
    times as long.

    Args:
        x: `[N, H, W, C]`.
        kernel: `[K, K, C, F]`, K odd.
        bias: `[F]`, or None.
        in_bands: whether one image may be cut.

    Returns:
        `[N, H, W, F]`.
    """
    if not in_bands or not _is_one_image(x) or x.shape[1] < BANDS:
        return _biased(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
    _, height, width, _ = x.shape
    halo = kernel.shape[0] // 2
    bands = _bands(tf.reshape(x, x.shape[1:]), halo)
    padding = [[0, 0], [0, 0], [halo, halo], [0, 0]]
    # A bias follows its convolution at once, so that TensorFlow makes one operation of both.
    bands = _biased(tf.nn.conv2d(bands, kernel, 1, padding), bias)
    y = tf.reshape(bands, [1, -1, width, bands.shape[-1]])
    # The last band may be longer than the rest of the image.
    return y if y.shape[1] == height else y[:, :height]


def _biased(x, bias):
    return x if bias is None else tf.nn.bias_add(x, bias)


def _bands(image, halo):
    """Cuts an image `[H, W, C]` into bands with a halo of rows around: `[bands, rows, W, C]`."""
    height, width, channels = image.shape
    if not halo:
        return tf.reshape(image, [height, 1, width, channels])
    rows = -(-height // BANDS)

    def nothing(count):
        return [tf.zeros([count, width, channels], image.dtype)] if count > 0 else []

    parts = []
    for start in range(0, BANDS * rows, rows):
        first, last = start - halo, start + rows + halo
        parts += [*nothing(-first), image[max(0, first) : last], *nothing(last - height)]
    return tf.reshape(tf.concat(parts, 0), [BANDS, rows + 2 * halo, width, channels])


def _is_one_image(x):
    return x.shape.is_fully_defined() and x.shape[0] == 1 and not _has_gpu()


@functools.cache
def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
