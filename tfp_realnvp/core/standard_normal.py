"""The base distribution of the flows."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp


class _Coordinate(tfp.distributions.Normal):
    """A standard normal that draws by Philox.

    TFP leaves the algorithm to TensorFlow, which under XLA on the CPU takes one that is several
    times slower, and draws other numbers there than elsewhere.
    """

    def _sample_n(self, n, seed=None):
        seed = tfp.random.sanitize_seed(seed)
        return tf.random.stateless_normal([n], seed, dtype=self.dtype, alg="philox")


def standard_normal(size: int, dtype: str) -> tfp.distributions.Distribution:
    """Returns the standard normal of vectors.

    Args:
        size: number of coordinates.
        dtype: of the samples.
    """
    coordinate = _Coordinate(tf.zeros([], dtype), tf.ones([], dtype), name="Normal")
    return tfp.distributions.Sample(coordinate, sample_shape=[size])
