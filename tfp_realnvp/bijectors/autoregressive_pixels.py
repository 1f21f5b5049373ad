"""Autoregressive flow over pixels: each is transformed as those before it decide."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.transformers import SoftplusAffine, Transformer
from tfp_realnvp.conditioners.causal_transformer import CausalTransformer
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope

ORDERS = ("raster", "reverse")


class AutoregressivePixels(FlowBijector):
    r"""A block of TarFlow (arXiv:2412.06329): an autoregressive flow whose tokens are pixels.

    The T pixels of an image, all channels of one together, are tokens in a fixed order. A causal
    network `g` gives, for token `i`, the parameters of an element-wise invertible map `t` from the
    tokens before it, on the data side:

    * inverse (data to latent): `x_i = t^{-1}(y_i; g(y_1 .. y_{i-1}))`, all in one run of `g`;
    * forward: `y_i = t(x_i; g(y_1 .. y_{i-1}))`, token by token, in T - 1 steps of `g` that keep
      the keys and values of the tokens before;
    * log-det: the sum of `log |t'|`, as the Jacobian is block-triangular.

    The first token stays as it is. Behind `Squeeze` a pixel is a patch of the image.

    Args:
        conditioner: the causal network.
        order: of the tokens: `"raster"`, row by row, or `"reverse"`, from the last to the first.
        transformer: the element-wise map; None for `SoftplusAffine()`.
        name: name of the bijector.

    Raises:
        TypeError: a network that is not causal, or no transformer.
        ValueError: an unknown order; at building, fewer than 2 pixels, or a condition
            of each place.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import AutoregressivePixels
        >>> from tfp_realnvp.conditioners import CausalTransformer
        >>> block = AutoregressivePixels(CausalTransformer(width=8, depth=1, heads=2))
        >>> block.forward(np.ones([3, 2, 2, 4], "float32")).shape
        TensorShape([3, 2, 2, 4])
    """

    def __init__(
        self,
        conditioner: CausalTransformer,
        *,
        order: str = "raster",
        transformer: Transformer | None = None,
        name: str | None = None,
    ):
        super().__init__(data_ndims=3, name=name)
        if order not in ORDERS:
            raise ValueError(f"Unknown order {order!r} of pixels; the orders are {ORDERS}.")
        self.order = order
        self.conditioner = arguments.instance(
            "AutoregressivePixels", "conditioner", conditioner, CausalTransformer
        )
        self.transformer = arguments.instance(
            "AutoregressivePixels", "transformer", transformer or SoftplusAffine(), Transformer
        )

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        height, width, channels = event_shape
        if height * width < 2:
            raise ValueError(f"{scope.path} needs at least 2 pixels, got shape {event_shape}.")
        scope.refuse_condition_of_places("an autoregressive flow")
        outputs = channels * self.transformer.parameters_per_element
        self.conditioner.prepare(outputs=outputs, scope=scope.child("conditioner"))
        self.transformer.prepare(scope)
        for layer in (self.conditioner, self.transformer):
            if not layer.built:
                layer.build((None, height * width - 1, channels))
        self._track(self.conditioner)
        self._track(self.transformer)

    def _inverse_and_log_det(self, y, context):
        tokens = self._tokens(y)
        parameters = self.conditioner.parameters(tokens[:, :-1], context)
        # Those of the first token are 0: with them, a map is the identity.
        parameters = tf.pad(parameters, [[0, 0], [1, 0], [0, 0]])
        x, log_det = self.transformer.inverse(tokens, parameters)
        return self._image(x), tf.reduce_sum(log_det, [1, 2])

    def _forward_and_log_det(self, x, context):
        latents = self._tokens(x)
        last = latents.shape[1] - 1
        places = tf.range(last + 1)[:, None]
        cache, step = self.conditioner.stepwise(latents[:, :-1], context)

        def settle(i, y, log_det, cache):
            parameters, cache = step(tf.gather(y, [i], axis=1), i, cache)
            latent = tf.gather(latents, [i + 1], axis=1)
            token, change = self.transformer.forward(latent, parameters)
            y = tf.where(tf.equal(places, i + 1), token, y)
            return i + 1, y, log_det + tf.reduce_sum(change, [1, 2]), cache

        start = (tf.constant(0), latents, tf.zeros_like(latents[:, 0, 0]), cache)
        _, y, log_det, _ = tf.while_loop(
            lambda i, *_: i < last, settle, start, maximum_iterations=last
        )
        return self._image(y), log_det

    def _tokens(self, image):
        height, width, channels = image.shape[1:]
        return self._ordered(tf.reshape(image, [-1, height * width, channels]))

    def _image(self, tokens):
        return tf.reshape(self._ordered(tokens), [-1, *self.event_shape])

    def _ordered(self, tokens):
        return tf.reverse(tokens, [1]) if self.order == "reverse" else tokens

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "conditioner": self.conditioner,
            "order": self.order,
            "transformer": self.transformer,
        }
