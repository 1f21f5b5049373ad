"""The weight-normalised ResNet of RealNVP."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.normalization import (
    NORMALIZATIONS,
    BatchNormalization,
    instance_normalization,
)
from tfp_realnvp.conditioners.weight_norm import WeightNormConv, add_given
from tfp_realnvp.core import arguments
from tfp_realnvp.core.moments import RunningMoments

Normalization = Callable[..., tf.Tensor]


class ResNet(Conditioner):
    """Pre-activation residual blocks whose outputs all reach the end (arXiv:1605.08803).

    The input is normalised, doubled if so wished, made two-sided, `relu(concat(x, -x))`, and
    convolved (3x3). A block computes `x + conv3x3(relu(norm(conv3x3(relu(norm(x))))))`. A 1x1
    convolution of the start and one of each block's output are summed; normalization, ReLU and a
    1x1 convolution whose gain starts from 0 give the output. All convolutions are
    weight-normalised. Labels and the vector of a condition add what is linear in them to each
    channel behind each block's second normalization and the last: instance normalization would
    take it out in front of it.

    With instance normalization the input is not normalised: an image's own brightness and
    contrast stay visible.

    Args:
        width: hidden channels.
        blocks: number of residual blocks.
        normalization: `"batch"`, `"instance"` or `"none"`.
        double_input: whether the normalised input is multiplied by 2, as behind a checkerboard
            mask, which blanks half of it.
        l2: factor of a penalty on the squares of the weight-norm gains.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width, blocks or l2 out of range, or an unknown normalization.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import ResNet
        >>> ResNet(width=8, blocks=1, outputs=2)(np.ones([2, 4, 4, 1], "float32")).shape
        TensorShape([2, 4, 4, 2])
    """

    event_ndims = 3

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: int = 8,
        normalization: str = "batch",
        double_input: bool = False,
        l2: float = 0.0,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(outputs=outputs, **kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"Unknown normalization {normalization!r}; there are {NORMALIZATIONS}."
            )
        self.normalization = normalization
        self.width = arguments.whole("ResNet", "width", width)
        self.blocks = arguments.whole("ResNet", "blocks", blocks)
        self.double_input = arguments.instance("ResNet", "double_input", double_input, bool)
        self.l2 = arguments.real("ResNet", "l2", l2, least=0)

    def build(self, input_shape):
        """Creates kernels, biases and normalizations."""
        width = self.width
        found: list[RunningMoments] = []

        def norm(name: str, channels: int) -> Normalization:
            if self.normalization == "batch":
                made = BatchNormalization(self, f"{name}/norm", channels)
                found.append(made.running)
                return made
            at_input = name == "start"
            return instance_normalization if self._instance and not at_input else _unchanged

        def conv(name: str, size: int, channels: int, filters: int, **how: bool):
            return WeightNormConv(
                self, name, size=size, channels=channels, filters=filters, l2=self.l2, **how
            )

        self.start_norm = norm("start", input_shape[-1])
        self.start = conv("start", 3, 2 * input_shape[-1], width)
        places = itertools.chain((f"block_{i}" for i in range(self.blocks)), ["end"])
        self.of_given = (
            [self.given_kernel(f"{place}/class_bias", width) for place in places]
            if self.given_size
            else []
        )
        self.start_skip = conv("start_skip", 1, width, width)
        self.residual = [
            (
                norm(f"block_{i}/first", width),
                conv(f"block_{i}/first", 3, width, width, bias=False),
                norm(f"block_{i}/second", width),
                conv(f"block_{i}/second", 3, width, width),
                conv(f"block_{i}/skip", 1, width, width),
            )
            for i in range(self.blocks)
        ]
        self.end_norm = norm("end", width)
        self.end = conv("end", 1, width, self.known_outputs(), zero=True)
        self.running_moments = tuple(found)
        self.built = True

    @property
    def _instance(self) -> bool:
        return self.normalization == "instance"

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        of_given, kernels = iter(self.of_given), context.kernels

        def normalised(norm: Normalization, x: tf.Tensor, *, sees_given: bool = False) -> tf.Tensor:
            x = norm(x, context)
            if sees_given and given is not None:
                x = add_given(x, given, next(of_given))
            return tf.nn.relu(x)

        x = self.start_norm(inputs, context)
        if self.double_input:
            x *= 2
        x = self.start(tf.nn.relu(tf.concat([x, -x], -1)), kernels)
        total = self.start_skip(x, kernels)
        for first_norm, first, second_norm, second, skip in self.residual:
            hidden = first(normalised(first_norm, x), kernels)
            x += second(normalised(second_norm, hidden, sees_given=True), kernels)
            total += skip(x, kernels)
        return self.end(normalised(self.end_norm, total, sees_given=True), kernels)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "blocks": self.blocks,
            "normalization": self.normalization,
            "double_input": self.double_input,
            "l2": self.l2,
        }


def _unchanged(x: tf.Tensor, context: Any) -> tf.Tensor:
    return x
