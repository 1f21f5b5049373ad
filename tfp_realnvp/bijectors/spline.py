"""Rational-quadratic spline: a monotone element-wise map of an interval, linear outside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.transformers import Transformer, bounded
from tfp_realnvp.core import arguments

# A bin is at least this part of the interval's length over the number of bins.
LEAST_BIN = 0.1
# Bound of an element's parameters: of the logarithms of the bins' sizes, and of the slopes relative
# to the bins beside them. It bounds the slope everywhere: a spline that is almost flat somewhere
# loses the digits of what it maps, and a row of them multiplies the loss from layer to layer.
PARAMETER_BOUND = 1.0


class RationalQuadraticSpline(Transformer):
    r"""Monotone rational-quadratic spline on `[-bound, bound]` (arXiv:1906.04032).

    Between knots `(y_k, x_k)` and `(y_{k+1}, x_{k+1})` with slopes `d_k`, `d_{k+1}`, with
    `s = (x_{k+1} - x_k) / (y_{k+1} - y_k)` and `r = (y - y_k) / (y_{k+1} - y_k)`:

    * inverse (data to latent):
      `x = x_k + (x_{k+1} - x_k) (s r^2 + d_k r (1-r)) / (s + (d_{k+1} + d_k - 2s) r (1-r))`;
    * forward: the root of a quadratic equation;
    * inverse log-derivative:
      `log s^2 (d_{k+1} r^2 + 2 s r (1-r) + d_k (1-r)^2) / (s + (d_{k+1} + d_k - 2s) r (1-r))^2`;
    * outside the interval, and with all parameters 0, the identity.

    The sizes of the bins are a softmax of bounded parameters, `c tanh(raw / c)`. The slope at an
    inner knot is the harmonic mean of `s` in the bins beside it times the exponential of a bounded
    parameter: so it is never far above the lesser of the two, where the spline between knots
    would have to be almost flat.

    Values are clipped to the interval before the spline sees them, so that gradients are finite
    wherever an element lies.

    Args:
        bins: number of bins K; an element takes `3K - 1` parameters: for the widths and heights
            of the bins and for the slopes at the inner knots.
        bound: half the length of the interval.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: fewer than 2 bins, or a bound that is not positive.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors import RationalQuadraticSpline
        >>> spline = RationalQuadraticSpline(bins=4, bound=3.0)
        >>> x, _ = spline.inverse(tf.constant([[2.0, 9.0]]), tf.zeros([1, 22]))
        >>> x.numpy().round(5).tolist()
        [[2.0, 9.0]]
    """

    def __init__(self, *, bins: int = 8, bound: float = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins = arguments.whole("RationalQuadraticSpline", "bins", bins, least=2)
        self.bound = arguments.real("RationalQuadraticSpline", "bound", bound, above=0)

    @property
    def parameters_per_element(self) -> int:  # type: ignore[override]
        """`3 bins - 1`."""
        return 3 * self.bins - 1

    def inverse(self, y, parameters):
        """See `Transformer.inverse`."""
        across, up, slopes = self._knots(y, parameters)
        inside = tf.abs(y) < self.bound
        y_in = tf.clip_by_value(y, -self.bound, self.bound)
        low, width, bottom, height, left, right = _bin_of(y_in, across, across, up, slopes)
        ratio = tf.clip_by_value((y_in - low) / width, 0.0, 1.0)
        mean = height / width
        x = bottom + height * _progress(ratio, mean, left, right)
        log_slope = _log_slope(ratio, mean, left, right)
        return tf.where(inside, x, y), tf.where(inside, log_slope, tf.zeros_like(y))

    def forward(self, x, parameters):
        """See `Transformer.forward`."""
        across, up, slopes = self._knots(x, parameters)
        inside = tf.abs(x) < self.bound
        x_in = tf.clip_by_value(x, -self.bound, self.bound)
        low, width, bottom, height, left, right = _bin_of(x_in, up, across, up, slopes)
        mean = height / width
        rise = tf.clip_by_value(x_in - bottom, 0.0, height)
        bend = rise * (left + right - 2 * mean)
        # a r^2 + b r + c = 0, solved in the form that loses no digits where a is small.
        a, b, c = height * (mean - left) + bend, height * left - bend, -mean * rise
        discriminant = tf.square(b) - 4 * a * c
        # It is 0 in exact arithmetic only where a slope is; rounding must not make it negative.
        least = tf.constant(discriminant.dtype.as_numpy_dtype(1e-30))
        root = tf.sqrt(tf.maximum(discriminant, least))
        ratio = tf.clip_by_value(2 * c / (-b - root), 0.0, 1.0)
        log_slope = -_log_slope(ratio, mean, left, right)
        y = low + width * ratio
        return tf.where(inside, y, x), tf.where(inside, log_slope, tf.zeros_like(x))

    def _knots(self, value, parameters):
        """Returns the knots' places on both sides and their slopes, `[N, ..., K + 1, C]`."""
        shape = tf.concat([tf.shape(value)[:-1], [self.parameters_per_element, value.shape[-1]]], 0)
        widths, heights, slopes = tf.split(
            tf.reshape(parameters, shape), [self.bins, self.bins, self.bins - 1], axis=-2
        )
        across, up = self._places(widths), self._places(heights)
        mean = _steps(up) / _steps(across)
        before, after = mean[..., :-1, :], mean[..., 1:, :]
        inner = 2 * before * after / (before + after) * tf.exp(bounded(slopes, PARAMETER_BOUND))
        ends = tf.ones_like(inner[..., :1, :])
        return across, up, tf.concat([ends, inner, ends], -2)

    def _places(self, raw):
        sizes = tf.nn.softmax(bounded(raw, PARAMETER_BOUND), axis=-2)
        shares = LEAST_BIN / self.bins + (1 - LEAST_BIN) * sizes
        inner = 2 * self.bound * tf.cumsum(shares, axis=-2)[..., :-1, :] - self.bound
        end = tf.fill(tf.shape(inner[..., :1, :]), tf.cast(self.bound, raw.dtype))
        return tf.concat([-end, inner, end], -2)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"bins": self.bins, "bound": self.bound}


def _bin_of(value, knots, across, up, slopes):
    """Returns start and size of each value's bin on both sides, and the slopes at its ends."""
    after = tf.cast(value[..., None, :] >= knots[..., 1:-1, :], value.dtype)
    one = tf.ones_like(after[..., :1, :])
    # One at the bin, zero elsewhere: the last knot that the value has passed.
    mark = tf.concat([one, after], -2) - tf.concat([after, tf.zeros_like(one)], -2)

    def pick(of):
        return tf.reduce_sum(mark * of, axis=-2)

    low, bottom = pick(across[..., :-1, :]), pick(up[..., :-1, :])
    width, height = pick(_steps(across)), pick(_steps(up))
    return low, width, bottom, height, pick(slopes[..., :-1, :]), pick(slopes[..., 1:, :])


def _steps(knots):
    """Returns the sizes of the bins between knots."""
    return knots[..., 1:, :] - knots[..., :-1, :]


def _progress(ratio, mean, left, right):
    product = ratio * (1 - ratio)
    top = mean * tf.square(ratio) + left * product
    return top / (mean + (left + right - 2 * mean) * product)


def _log_slope(ratio, mean, left, right):
    rest = 1 - ratio
    top = right * tf.square(ratio) + 2 * mean * ratio * rest + left * tf.square(rest)
    bottom = mean + (left + right - 2 * mean) * ratio * rest
    return 2 * tf.math.log(mean) + tf.math.log(top) - 2 * tf.math.log(bottom)
