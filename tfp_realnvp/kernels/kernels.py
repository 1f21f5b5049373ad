"""How conditioners compute what their papers' formulas say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType

import tensorflow as tf

from tfp_realnvp.kernels import gates, gates_by_xla
from tfp_realnvp.kernels.convolution import WHOLE, Edges, convolve, parts_of


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The arithmetic of convolutional conditioners, in the way that is fast where it runs.

    All ways give the same numbers, to rounding. How activations and weights lie in between stays
    in here.

    Attributes:
        by_xla: whether what lies between two bfloat16 convolutions is a program of XLA.
        divides: whether an image alone may be worked on in parts, and a batch in chunks; other
            compilers than TensorFlow's are better left with wholes.
        edges: of the image that is worked on, where it is a part of one; see `over_images`.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.kernels import Kernels
        >>> Kernels().convolve(tf.ones([2, 4, 4, 3]), tf.ones([3, 3, 3, 8])).shape
        TensorShape([2, 4, 4, 8])
    """

    by_xla: bool = False
    divides: bool = True
    edges: Edges = WHOLE

    def over_images(
        self, network: Callable[[tf.Tensor, Kernels], tf.Tensor], x: tf.Tensor, *, reach: int | None
    ) -> tf.Tensor:
        """Returns `network(x, self)`, of one image perhaps part by part.

        Args:
            network: from images by the kernels that it is given and operations on single pixels.
            x: `[N, H, W, C]`; anything, where there is no reach.
            reach: rows over which the network reaches, the sum of its convolutions' halos; None
                where it sees more than these.
        """
        parts = parts_of(x, reach=reach) if reach is not None and self.divides else []
        if not parts:
            return network(x, self)
        results = [network(x, dataclasses.replace(self, edges=edges)) for x, edges in parts]
        return tf.concat(results, 1)

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Returns a convolution of stride 1 that keeps the sides of the image: `[N, H, W, F]`.

        Args:
            x: `[N, H, W, C]`.
            kernel: `[K, K, C, F]`, K odd.
            bias: `[F]`, or None.
        """
        return convolve(x, kernel, bias, edges=self.edges, in_bands=self.divides)

    def convolve_two_sided(
        self,
        x: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        *,
        dropout: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns `conv(elu2(x))` with the two-sided ELU `elu2(x) = concat(elu(x), elu(-x))`.

        Args:
            x: `[N, H, W, C]`; the ELU is computed in its dtype.
            kernel: `[K, K, 2C, F]`, K odd, in the dtype of the convolution.
            bias: `[F]`, likewise.
            dropout: of what the convolution takes.
        """
        parts = self._between_convolutions(kernel.dtype, x.dtype)
        sides = parts.two_sided_elu(x, kernel.dtype, wide=x.dtype)
        if dropout is not None:
            sides = dropout(sides)
        return self.convolve(sides, parts.arrange(kernel, 2), bias)

    def gate(
        self,
        x: tf.Tensor,
        hidden: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        *,
        dropout: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns `x + value * sigmoid(gate)` with `value, gate = conv(elu2(hidden))`.

        Args:
            x: `[N, H, W, C]`.
            hidden: `[N, H, W, C]`.
            kernel: `[K, K, 2C, 2C]`, K odd, in the dtype of `hidden`.
            bias: `[2C]`, likewise.
            dropout: of what the convolution takes.
        """
        hidden = tf.cast(hidden, x.dtype)
        mixed = self.convolve_two_sided(hidden, kernel, bias, dropout=dropout)
        return gates.gate(self.edges.crop(x, mixed), mixed)

    def gate_and_norm(
        self,
        x: tf.Tensor,
        hidden: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        scale: tf.Tensor,
        shift: tf.Tensor,
        *,
        two_sided: bool = True,
        dropout: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns `norm(x + value * sigmoid(gate))` with `value, gate = conv(elu2(hidden))`.

        The norm is over the channels of each pixel (layer norm). The convolution alone is in the
        dtype of `hidden`, the rest in that of `x`.

        Args:
            x: `[N, H, W, C]`.
            hidden: `[N, H, W, C]`.
            kernel: `[K, K, 2C, 2C]`, K odd, in the dtype of `hidden`.
            bias: `[2C]`, likewise.
            scale: of the norm, `[C]`, in the dtype of `x`.
            shift: of the norm, likewise.
            two_sided: whether there is an ELU at all; without, the kernel is `[K, K, C, 2C]`.
            dropout: of what the convolution takes.
        """
        parts = self._between_convolutions(hidden.dtype, x.dtype)
        if two_sided:
            hidden = parts.two_sided_elu(hidden, hidden.dtype, wide=x.dtype)
        if dropout is not None:
            hidden = dropout(hidden)
        kernel = parts.arrange(kernel, 2, 3) if two_sided else parts.arrange(kernel, 3)
        mixed = self.convolve(hidden, kernel, parts.arrange(bias, 0))
        return parts.gate_and_norm(self.edges.crop(x, mixed), mixed, scale, shift)

    def _between_convolutions(self, narrow: tf.DType, wide: tf.DType) -> ModuleType:
        # In float32 XLA's programs gain 2%, and take more memory.
        by_xla = self.by_xla and narrow == tf.bfloat16 and wide == tf.float32
        return gates_by_xla if by_xla else gates
