"""Pictures: grids of images as PNG, and scatter plots of 2-D samples."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grid(images: Any, *, levels: int = 256, columns: int | None = None) -> np.ndarray:
    """Arranges images in a grid with a border of one pixel.

    Args:
        images: `[N, H, W, C]` integers in `0 .. levels - 1`, C of 1 or 3 (others: the first).
        levels: number of levels; stretched to 0..255.
        columns: images in a row; None for about as many as rows.

    Returns:
        uint8 `[rows * (H + 1) + 1, columns * (W + 1) + 1, C]`.
    """
    images = np.asarray(images)
    count, height, width, channels = images.shape
    if channels not in (1, 3):
        images, channels = images[..., :1], 1
    pixels = np.round(images.astype(np.float64) * 255 / (levels - 1)).astype(np.uint8)
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full([rows * (height + 1) + 1, columns * (width + 1) + 1, channels], 128, np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    return canvas


def write_png(path: str | os.PathLike[str], image: np.ndarray, *, scale: int = 1) -> None:
    """Writes a uint8 image `[H, W, C]`, each pixel `scale` times as large.

    Raises:
        OSError: the file cannot be written; nothing half-written is left.
    """
    enlarged = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
    encoded = tf.io.encode_png(enlarged).numpy()
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def write_samples(
    path: str | os.PathLike[str],
    samples: np.ndarray,
    *,
    levels: int | None,
    data: np.ndarray | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Writes a picture of samples: a grid of images, or a plot of the first two coordinates.

    Vectors of one coordinate are drawn as a histogram.

    Args:
        path: a PNG file.
        samples: `[N, H, W, C]` or `[N, D]`.
        levels: number of levels of images; None for vectors.
        data: `[N, D]` vectors to plot beside the samples.
        columns: names of the D coordinates, for the axes.

    Raises:
        OSError: the file cannot be written; nothing half-written is left.
    """
    if levels is not None:
        canvas = grid(samples, levels=levels)
        write_png(path, canvas, scale=max(1, 512 // canvas.shape[0]))
        return
    panels = [("samples", samples), *([("data", data)] if data is not None else [])]
    figure = _figure(width=4 * len(panels))
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (title, points) in zip(axes, panels, strict=True):
        if points.shape[1] == 1:
            axis.hist(points[:, 0], bins=50, density=True)
        else:
            axis.scatter(points[:, 0], points[:, 1], s=2, alpha=0.5)
            # Columns of a table have units of their own.
            axis.set_aspect("equal" if columns is None else "auto")
        axis.set_title(title)
        label_axes(axis, columns)
    _write_figure(path, figure)


def label_axes(axis: Any, columns: Sequence[str] | None) -> None:
    """Labels a Matplotlib axis with the names of the first coordinates, where there are any."""
    for label, name in zip((axis.set_xlabel, axis.set_ylabel), columns or (), strict=False):
        label(name)


def write_curves(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, float]], *, unit: str
) -> None:
    """Writes a picture of the training and validation likelihood by epoch.

    Args:
        path: a PNG file.
        rows: one per epoch, with the keys `epoch`, `unit` and `val_` + `unit`.
        unit: `"bits_per_dim"` or `"nats"`.
    """
    figure = _figure(width=6)
    axis = figure.subplots()
    for key, label in ((unit, "training"), (f"val_{unit}", "validation")):
        points = [(row["epoch"], row[key]) for row in rows if key in row]
        if points:
            axis.plot(*zip(*points, strict=True), marker=".", label=label)
    axis.set(xlabel="epoch", ylabel=unit.replace("_per_", "/"))
    axis.grid(alpha=0.3)
    axis.legend()
    _write_figure(path, figure)


def _figure(*, width: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 4), layout="constrained")


def _write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
