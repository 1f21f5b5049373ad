"""Mixture of logistics: the element-wise map of Flow++."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.root import increasing_root
from tfp_realnvp.bijectors.transformers import Transformer, bounded
from tfp_realnvp.core import arguments

# Bounds of the log-scales, of the components and of the affine map behind them.
COMPONENT_BOUND = 4.0
AFFINE_BOUND = 2.0
# The components' parameters have gains from one to the other: equal gains would leave components
# that start alike alike for ever.
GAINS = (0.5, 1.5)


class MixtureLogistic(Transformer):
    r"""The distribution function of a mixture of logistics, a logit, an affine map.

    (Flow++, arXiv:1902.00275.) With `F(y) = sum_k pi_k sigmoid((y - m_k) exp(-a_k))`:

    * inverse (data to latent): `x = (logit(F(y)) + shift) * exp(log_scale)`;
    * forward: the root of `logit(F(y)) = x * exp(-log_scale) - shift`, found to float precision
      between the components' own roots, with the implicit function's gradients;
    * inverse log-derivative: `log f(y) - log F(y) - log(1 - F(y)) + log_scale`, with
      `f = F'`, all from logarithms.

    With all parameters 0 the components are one, and the map is the identity.

    Args:
        components: number of components K; an element takes `3K + 2` parameters: log-scale and
            shift, then logits, means and log-scales of the components. Log-scales are bounded by
            `bound * tanh(raw / bound)`.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: no components.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors import MixtureLogistic
        >>> x, _ = MixtureLogistic(components=4).inverse(tf.constant([[2.0]]), tf.zeros([1, 14]))
        >>> x.numpy().round(5).tolist()
        [[2.0]]
    """

    def __init__(self, *, components: int = 8, **kwargs: Any):
        super().__init__(**kwargs)
        self.components = arguments.whole("MixtureLogistic", "components", components)

    @property
    def parameters_per_element(self) -> int:  # type: ignore[override]
        """`3 components + 2`."""
        return 3 * self.components + 2

    def inverse(self, y, parameters):
        """See `Transformer.inverse`."""
        log_scale, shift, mixture = self.parts(y, parameters)
        logit, log_slope = _logit_and_log_slope(y, *mixture)
        return (logit + shift) * tf.exp(log_scale), log_slope + log_scale

    def forward(self, x, parameters):
        """See `Transformer.forward`."""
        log_scale, shift, mixture = self.parts(x, parameters)
        target = x * tf.exp(-log_scale) - shift
        _, means, log_scales = mixture
        roots = means + tf.exp(log_scales) * target[..., None, :]
        low, high = tf.reduce_min(roots, -2), tf.reduce_max(roots, -2)
        slack = 1e-3 * (high - low) + 1e-3 * tf.abs(low) + 1e-3

        y = increasing_root(_logit_and_slope, target, low - slack, high + slack, *mixture)
        return y, -(_logit_and_log_slope(y, *mixture)[1] + log_scale)

    def parts(self, value, parameters):
        """Returns what the parameters stand for.

        Args:
            value: what is mapped, `[N, ..., C]`.
            parameters: see `Transformer.inverse`.

        Returns:
            Log-scale and shift `[N, ..., C]`, and log-weights, means and log-scales of the
            components `[N, ..., K, C]`.
        """
        count, channels = self.components, value.shape[-1]
        shape = tf.concat([tf.shape(value)[:-1], [self.parameters_per_element, channels]], 0)
        affine, logits, means, raw = tf.split(
            tf.reshape(parameters, shape), [2, count, count, count], axis=-2
        )
        gains = np.linspace(*GAINS, count).astype(value.dtype.as_numpy_dtype)[:, None]
        log_weights = tf.nn.log_softmax(logits, axis=-2)
        log_scale = bounded(affine[..., 0, :], AFFINE_BOUND)
        mixture = log_weights, means * gains, bounded(raw * gains[::-1], COMPONENT_BOUND)
        return log_scale, affine[..., 1, :], mixture

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"components": self.components}


def _logit_and_slope(y, *mixture):
    logit, log_slope = _logit_and_log_slope(y, *mixture)
    return logit, tf.exp(log_slope)


def _logit_and_log_slope(y, log_weights, means, log_scales):
    """Returns the logit of the distribution function at `y`, and the log of its derivative."""
    z = (y[..., None, :] - means) * tf.exp(-log_scales)
    below, above = tf.math.log_sigmoid(z), tf.math.log_sigmoid(-z)
    parts = log_weights + tf.stack([below, above, below + above - log_scales])
    below, above, density = tf.unstack(tf.reduce_logsumexp(parts, -2))
    return below - above, density - below - above
