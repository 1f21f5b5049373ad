"""Likelihoods of simple models: what a flow has to beat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def histogram_bits(train: Any, test: Any, *, levels: int = 256) -> float:
    """Returns the bits per dimension of one histogram of values for every pixel.

    Each pixel of each channel has its own histogram over the training images, with one count
    added to every level, so that no value is impossible.

    Args:
        train: integer images `[N, H, W, C]`.
        test: integer images to encode.
        levels: number of integer levels.

    Example:
        >>> import numpy as np
        >>> images = np.arange(4).reshape(4, 1, 1, 1)
        >>> round(histogram_bits(images, images, levels=4), 3)
        2.0
    """
    train, test = (np.asarray(x).reshape(len(x), -1).astype(np.int64) for x in (train, test))
    return _bits_by_histograms(train, test, levels)


def left_difference_bits(train: Any, test: Any, *, levels: int = 256) -> float:
    """Returns the bits per dimension of an order-0 code of left-neighbour differences.

    A pixel is predicted by its left neighbour (in the first column by the one above, the first
    of all by 0), and the differences modulo `levels` are coded with one histogram per channel,
    with one count added to every difference.

    Args:
        train: integer images `[N, H, W, C]`, whose differences make the histograms.
        test: integer images to encode.
        levels: number of integer levels.

    Example:
        >>> import numpy as np
        >>> flat = np.full([1000, 8, 8, 1], 3)
        >>> left_difference_bits(flat, flat, levels=4) < 0.2
        True
    """
    train, test = (_left_differences(x, levels) for x in (train, test))
    return _bits_by_histograms(train, test, levels)


def gaussian_nats(train: Any, test: Any) -> float:
    """Returns the mean negative log-likelihood, in nats, of a full-covariance Gaussian.

    Args:
        train: vectors `[N, D]` that the Gaussian is fitted to by maximum likelihood.
        test: vectors to evaluate.

    Raises:
        ValueError: the covariance is singular.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]])
        >>> round(gaussian_nats(x, x), 4)
        1.4189
    """
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    mean = train.mean(0)
    covariance = np.atleast_2d(np.cov(train.T, bias=True))
    sign, log_det = np.linalg.slogdet(covariance)
    if sign <= 0:
        raise ValueError("The covariance of the training vectors is singular.")
    centred = test - mean
    squares = (centred * np.linalg.solve(covariance, centred.T).T).sum(1)
    return float(0.5 * (squares.mean() + log_det + train.shape[1] * math.log(2 * math.pi)))


def _bits_by_histograms(train: np.ndarray, test: np.ndarray, levels: int) -> float:
    """Mean bits of integers `[..., K]` by a histogram for each place of the last axis."""
    places = np.arange(train.shape[-1])
    counts = np.ones((len(places), levels))
    np.add.at(counts, (np.broadcast_to(places, train.shape), train), 1)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    return float(bits[places, test].mean())


def _left_differences(images: Any, levels: int) -> np.ndarray:
    images = np.asarray(images).astype(np.int64)
    prediction = np.zeros_like(images)
    prediction[:, :, 1:] = images[:, :, :-1]
    prediction[:, 1:, 0] = images[:, :-1, 0]
    return (images - prediction) % levels
