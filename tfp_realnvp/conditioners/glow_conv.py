"""The convolutional network of Glow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.weight_norm import WeightNormConv, add_given
from tfp_realnvp.core import arguments

# Factor of the end's log-gain, so that it learns faster than the kernel.
LOG_GAIN_FACTOR = 3.0


class GlowConv(Conditioner):
    """A 3x3, a 1x1 and a zero-initialised 3x3 convolution (arXiv:1807.03039, appendix B).

    `conv3x3(relu(conv1x1(relu(conv3x3(x))))) * exp(3 * log_gain)`, the last convolution and its
    log-gain per channel starting from zero. Where Glow puts an ActNorm behind the first two
    convolutions, these are weight-normalised: a gain and a bias per channel likewise, and no
    second initialization from data. Labels and the vector of a condition add what is linear in
    them to each channel after the first convolution.

    Args:
        width: hidden channels.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import GlowConv
        >>> GlowConv(width=8, outputs=2)(np.ones([2, 4, 4, 1], "float32")).shape
        TensorShape([2, 4, 4, 2])
    """

    event_ndims = 3

    def __init__(self, *, width: int = 512, outputs: int | None = None, **kwargs: Any):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("GlowConv", "width", width)

    def build(self, input_shape):
        """Creates kernels and biases."""
        width, outputs = self.width, self.known_outputs()
        self.start = WeightNormConv(self, "start", size=3, channels=input_shape[-1], filters=width)
        self.of_given = self.given_kernel("class_bias", width)
        self.middle = WeightNormConv(self, "middle", size=1, channels=width, filters=width)
        self.end_kernel = self.weight("end/kernel", (3, 3, width, outputs), "zeros")
        self.end_bias = self.weight("end/bias", (outputs,), "zeros")
        self.end_log_gain = self.weight("end/log_gain", (outputs,), "zeros")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        x = self.start(inputs, context.kernels)
        if given is not None:
            x = add_given(x, given, self.of_given)
        x = tf.nn.relu(self.middle(tf.nn.relu(x), context.kernels))
        # The gain multiplies the kernel: the same product with less arithmetic.
        gain = tf.exp(LOG_GAIN_FACTOR * self.end_log_gain.value)
        kernel = tf.cast(self.end_kernel.value * gain, x.dtype)
        bias = tf.cast(self.end_bias.value * gain, x.dtype)
        return context.kernels.convolve(x, kernel, bias)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "width": self.width}
