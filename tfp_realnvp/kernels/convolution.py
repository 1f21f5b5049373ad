"""Convolutions that are fast on the CPU for a single image as well."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

BANDS = 2
CPU_INFO = Path("/proc/cpuinfo")


class Edges(NamedTuple):
    """Which of its first and last rows a part of an image shares with the whole.

    Beyond an edge of the image there are zeros. Where the part was cut, rows that a convolution
    cannot know are missing from its output.
    """

    top: bool = True
    bottom: bool = True

    def lost(self, halo: int) -> tuple[int, int]:
        """Returns how many rows a convolution that reaches over `halo` rows loses on each side."""
        return (0 if self.top else halo), (0 if self.bottom else halo)

    def crop(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Returns the rows of `x` that convolutions have kept in `y`, both `[N, H, W, C]`."""
        if self == WHOLE:
            return x
        return x[:, : y.shape[1]] if self.top else x[:, -y.shape[1] :]


WHOLE = Edges()


def parts_of(x: tf.Tensor, *, reach: int) -> list[tuple[tf.Tensor, Edges]]:
    """Returns the halves of one image on a CPU, with the `reach` rows around; else nothing.

    A core each works on a half; TensorFlow divides a convolution of one image badly among cores.
    """
    # With less than `reach` rows in a half most of the work would be done twice.
    middle = x.shape[1] // 2 if _is_one_image(x) else 0
    if middle < reach:
        return []
    upper, lower = x[:, : middle + reach], x[:, middle - reach :]
    return [(upper, Edges(bottom=False)), (lower, Edges(top=False))]


def convolve(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None, *, edges: Edges, in_bands: bool
) -> tf.Tensor:
    """Returns a convolution, with `K // 2` rows less at each side that is no edge.

    `in_bands`, a batch that is known to be of one image is cut into bands of rows, and these are
    the batch: for batches of one TensorFlow asks oneDNN for plain kernels, which take two to three
    times as long on CPUs without AVX512.
    """
    halo = kernel.shape[0] // 2
    lost = sum(edges.lost(halo))
    in_bands = in_bands and _is_one_image(x) and not _has_avx512()
    if not in_bands or x.shape[1] - lost < BANDS:
        rows = [0 if cut else halo for cut in edges.lost(halo)]
        padding = [[0, 0], rows, [halo, halo], [0, 0]] if lost else "SAME"
        return _biased(tf.nn.conv2d(x, kernel, 1, padding), bias)
    _, height, width, _ = x.shape
    bands = _bands(tf.reshape(x, x.shape[1:]), halo=halo, edges=edges)
    padding = [[0, 0], [0, 0], [halo, halo], [0, 0]]
    # A bias follows its convolution at once, so that TensorFlow makes one operation of both.
    bands = _biased(tf.nn.conv2d(bands, kernel, 1, padding), bias)
    y = tf.reshape(bands, [1, -1, width, bands.shape[-1]])
    # The last band may be longer than the rest of the image.
    return y if y.shape[1] == height - lost else y[:, : height - lost]


def _biased(x, bias):
    if bias is None:
        return x
    # TensorFlow would make one operation of a convolution, its bias and a sum behind them, which
    # crashes on CPUs where two parts of a batch run it at a time: a check of the shape is between.
    return tf.ensure_shape(tf.nn.bias_add(x, bias), x.shape)


def _bands(image, *, halo, edges):
    """Cuts an image `[H, W, C]` into bands with a halo of rows around: `[bands, rows, W, C]`."""
    height, width, channels = image.shape
    if not halo:
        return tf.reshape(image, [height, 1, width, channels])
    top, bottom = edges.lost(halo)
    rows = -(-(height - top - bottom) // BANDS)

    def nothing(count):
        return [tf.zeros([count, width, channels], image.dtype)] if count > 0 else []

    parts = []
    for start in range(top, top + BANDS * rows, rows):
        first, last = start - halo, start + rows + halo
        parts += [*nothing(-first), image[max(0, first) : last], *nothing(last - height)]
    return tf.reshape(tf.concat(parts, 0), [BANDS, rows + 2 * halo, width, channels])


def _is_one_image(x):
    return x.shape.is_fully_defined() and x.shape[0] == 1 and not _has_gpu()


@functools.cache
def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


@functools.cache
def _has_avx512() -> bool:
    return CPU_INFO.exists() and " avx512f " in CPU_INFO.read_text()
