"""Element-wise transformers: the invertible maps that a coupling applies to its changed part."""

from __future__ import annotations

import abc
import math
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope, described, serializable


class Transformer(keras.layers.Layer, abc.ABC):
    """An element-wise invertible map whose parameters a conditioner supplies.

    A transformer with all-zero parameters is the identity, so that zero-initialised conditioners
    make a flow start as the identity.
    """

    #: Conditioner outputs per element; they arrive as blocks along the last axis.
    parameters_per_element: int

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        serializable(cls)

    def get_build_config(self) -> None:
        """Tells Keras to leave building to the coupling."""

    def prepare(self, scope: Scope) -> None:
        """Takes the flow's dtype; call before `build`."""
        self.dtype_policy = keras.DTypePolicy(scope.dtype)

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents `[N, ..., K]` to data; returns also the element-wise log-derivative.

        Args:
            x: latents.
            parameters: `[N, ..., parameters_per_element * K]`.
        """

    @abc.abstractmethod
    def inverse(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents; returns also the element-wise log-derivative of the inverse."""

    def __repr__(self):
        return described(self, self.get_config())


def bounded(raw: tf.Tensor, bound: Any) -> tf.Tensor:
    """Returns `bound * tanh(raw / bound)`: near `raw` where that is small, never beyond it."""
    return bound * tf.tanh(raw / bound)


class Additive(Transformer):
    """A shift (NICE, arXiv:1410.8516): a coupling of it keeps volumes.

    * inverse (data to latent): `x = y + shift`; forward (latent to data): `y = x - shift`;
    * log-det: 0.
    """

    parameters_per_element = 1

    def forward(self, x, parameters):
        """See `Transformer.forward`."""
        return x - parameters, tf.zeros_like(x)

    def inverse(self, y, parameters):
        """See `Transformer.inverse`."""
        return y + parameters, tf.zeros_like(y)

    def get_config(self):
        """Returns the constructor's arguments: none."""
        return {}


class _ScaleAndShift(Transformer):
    """Affine maps, which differ in how they get their log-scale."""

    parameters_per_element = 2
    #: Whether data are shifted before they are scaled, or after.
    shift = "before"

    def forward(self, x, parameters):
        """See `Transformer.forward`."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        if self.shift == "after":
            return (x - shift) * tf.exp(-log_scale), -log_scale
        return x * tf.exp(-log_scale) - shift, -log_scale

    def inverse(self, y, parameters):
        """See `Transformer.inverse`."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        if self.shift == "after":
            return y * tf.exp(log_scale) + shift, log_scale
        return (y + shift) * tf.exp(log_scale), log_scale

    def _log_scale_and_shift(self, parameters):
        raw, shift = tf.split(parameters, 2, axis=-1)
        return self._log_scale(raw), shift

    @abc.abstractmethod
    def _log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns the log-scale that an unbounded parameter stands for."""


class Affine(_ScaleAndShift):
    """Affine map with a bounded log-scale (arXiv:1605.08803).

    With `log_scale = bound * tanh(raw / bound)`:

    * inverse (data to latent): `x = (y + shift) * exp(log_scale)`, log-det `log_scale`;
    * forward (latent to data): `y = x * exp(-log_scale) - shift`, log-det `-log_scale`.

    With the shift after the scale, as in the paper, `x = y * exp(log_scale) + shift` and
    `y = (x - shift) * exp(-log_scale)`: the scale does not multiply the shift's gradient, which
    keeps training steady where data lie on thin sets.

    The bound is a positive parameter per channel, `exp(log_bound)`, learned from 1 on unless it
    is fixed.

    Args:
        bound: a fixed positive bound, or None to learn one per channel.
        shift: whether data are shifted `"before"` they are scaled, or `"after"`.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: `bound` is not positive, or `shift` is another word.
    """

    def __init__(self, *, bound: float | None = None, shift: str = "before", **kwargs: Any):
        super().__init__(**kwargs)
        if bound is not None:
            arguments.real("Affine", "bound", bound, above=0)
        if shift not in ("before", "after"):
            raise ValueError(
                f"The shift of Affine is 'before' or 'after' its scale, got {shift!r}."
            )
        self.bound, self.shift = bound, shift

    def build(self, input_shape):
        """Creates the bound of each of the last axis' channels."""
        if self.bound is None:
            self.log_bound = self.add_weight(
                shape=(input_shape[-1],), initializer="zeros", name="log_bound"
            )
        self.built = True

    def _log_scale(self, raw):
        bound = self.bound if self.bound is not None else tf.exp(self.log_bound.value)
        return bounded(raw, bound)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"bound": self.bound, "shift": self.shift}


class SigmoidAffine(_ScaleAndShift):
    """Affine map whose scale is twice a sigmoid, between 0 and 2 (arXiv:2412.15129).

    With `log_scale = log(2 sigmoid(raw))`:

    * inverse (data to latent): `x = (y + shift) * exp(log_scale)`, log-det `log_scale`;
    * forward (latent to data): `y = x * exp(-log_scale) - shift`, log-det `-log_scale`.
    """

    def _log_scale(self, raw):
        return tf.math.log_sigmoid(raw) + math.log(2)

    def get_config(self):
        """Returns the constructor's arguments: there are none."""
        return {}


class TanhAffine(_ScaleAndShift):
    """Affine map whose log-scale is a learned multiple of a tanh (arXiv:1605.08803, section 4.1).

    With `log_scale = scale * tanh(raw)`, `scale` a parameter per channel that starts from 1:

    * inverse (data to latent): `x = (y + shift) * exp(log_scale)`, log-det `log_scale`;
    * forward (latent to data): `y = x * exp(-log_scale) - shift`, log-det `-log_scale`.

    Weight normalization of a number per channel splits it into a gain and a direction of which
    only the sign counts, `scale = gain * direction / |direction|`: the direction gets no gradient.

    Args:
        weight_norm: whether the scale is weight-normalised.
        l2: factor of a penalty on the square of the scale (its gain under weight norm), which
            Keras adds to the loss.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: `l2` is negative.
    """

    def __init__(self, *, weight_norm: bool = False, l2: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.weight_norm = arguments.instance("TanhAffine", "weight_norm", weight_norm, bool)
        self.l2 = arguments.real("TanhAffine", "l2", l2, least=0)

    def build(self, input_shape):
        """Creates the scale of each of the last axis' channels."""
        shape = (input_shape[-1],)
        penalty = keras.regularizers.L2(self.l2) if self.l2 else None
        self.scale = self.add_weight(
            shape=shape, initializer="ones", name="scale", regularizer=penalty
        )
        if self.weight_norm:
            self.direction = self.add_weight(
                shape=shape, initializer="ones", name="scale_direction"
            )
        self.built = True

    def _log_scale(self, raw):
        scale = self.scale.value
        if self.weight_norm:
            scale = scale * tf.sign(self.direction.value)
        return tf.tanh(raw) * scale

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"weight_norm": self.weight_norm, "l2": self.l2}


class SoftplusAffine(_ScaleAndShift):
    r"""Affine map with a softplus for its scale, and bounds (STARFlow, arXiv:2506.06276).

    The parameters, raw scale `a` and shift `m`, are bounded by `bound * tanh(raw / bound)`. With
    `s = log(1 + exp(a + log(e - 1)))`, which is 1 at `a = 0`:

    * inverse (data to latent): `x = (y + m) / s`, log-det `-log s`;
    * forward (latent to data): `y = x s - m`, log-det `log s`.

    A scale grows with its parameter linearly, not exponentially, and with a bound of 4 is between
    0.03 and 4.6: so deep flows train steadily.

    Args:
        bound: of both parameters, positive.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: `bound` is not positive.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors import SoftplusAffine
        >>> x, _ = SoftplusAffine().inverse(tf.constant([[2.0]]), tf.constant([[0.0, 1.0]]))
        >>> round(float(x[0, 0]), 3)
        2.98
    """

    def __init__(self, *, bound: float = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.bound = arguments.real("SoftplusAffine", "bound", bound, above=0)

    def _log_scale_and_shift(self, parameters):
        return super()._log_scale_and_shift(bounded(parameters, self.bound))

    def _log_scale(self, raw):
        return -tf.math.log(tf.math.softplus(raw + math.log(math.e - 1)))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"bound": self.bound}
