"""Convolutions that start from data: they are scaled, as they come, by what they make of these."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core.moments import mean_and_log_std
from tfp_realnvp.kernels import Kernels


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaledByData(Kernels):
    """Kernels by which a network, run once, sets its convolutions (arXiv:1602.07868, section 3).

    What each makes of the data is brought to mean 0 and to a standard deviation per channel: with
    `y = conv(x; kernel)`, `kernel <- kernel * scale / std(y)` and `bias <- -mean(y) * scale /
    std(y)`. The deviation of a channel that never varies counts as 1. Eager only.

    Attributes:
        convolutions: kernel, bias and scale of each, in the order in which the network runs them.
    """

    convolutions: Iterator[tuple[Any, Any, float]]

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """See `Kernels.convolve`."""
        own_kernel, own_bias, scale = next(self.convolutions)
        y = super().convolve(x, kernel)
        mean, log_std = mean_and_log_std(y.numpy())
        factor = scale * np.exp(-log_std)
        own_kernel.assign(kernel * factor)
        own_bias.assign(-mean * factor)
        return y * factor - mean * factor
