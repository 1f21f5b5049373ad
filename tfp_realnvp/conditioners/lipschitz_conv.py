"""The convolutional network of residual flows of images."""

from __future__ import annotations

from typing import Any

from tfp_realnvp.conditioners.lipschitz import Lipschitz
from tfp_realnvp.conditioners.spectral_norm import convolution_norm
from tfp_realnvp.core import arguments


class LipschitzConv(Lipschitz):
    """Convolutions 3x3, 1x1 and 3x3 with LipSwish between them, of images; see `Lipschitz`.

    A kernel's norm is that of the convolution as a map of images, see `convolution_norm`: not that
    of the kernel as a matrix, which is another number.

    Args:
        width: hidden channels.
        outputs: output channels; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: the width is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import LipschitzConv
        >>> LipschitzConv(width=8, outputs=1)(np.ones([2, 4, 4, 1], "float32")).shape
        TensorShape([2, 4, 4, 1])
    """

    event_ndims = 3

    def __init__(self, *, width: int = 32, outputs: int | None = None, **kwargs: Any):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("LipschitzConv", "width", width)

    def _kernel_shapes(self, inputs):
        width = self.width
        return [(3, 3, inputs, width), (1, 1, width, width), (3, 3, width, self.known_outputs())]

    def _norm(self, kernel):
        return convolution_norm(kernel)

    def _linear(self, x, kernel, context):
        return context.kernels.convolve(x, kernel)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "width": self.width}
