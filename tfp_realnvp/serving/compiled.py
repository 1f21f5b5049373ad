"""Likelihoods and samples of vectors for batches of one size, compiled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, stateless_seed
from tfp_realnvp.core.data_checks import check_data, labels_of_examples
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import temperatures


class Compiled:
    """A flow's `log_prob` and `sample` for batches of one size, compiled by XLA, on all cores.

    For vectors, whose operations are so small that starting them takes most of the time. XLA makes
    few of them, each core has its shard of the batch, and a call goes past `tf.function`'s search
    for the right graph. Compiling takes a second or two, at the first call. Weights are read anew
    in every call, so that a flow that trains on is followed; where they stay as they are, `Lite` is
    faster.

    Args:
        dist: a flow of vectors.
        num: vectors in a batch.
        shards: parts of the batch that are worked on at once; None for one per core.

    Raises:
        ValueError: a flow of images (`nvp.bits_per_dim` and `nvp.sample` are for these), or a
            number below 1.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> fast = nvp.Compiled(nvp.flows.build("realnvp", (2,)), num=64)
        >>> fast.log_prob(np.zeros([64, 2], "float32")).shape
        (64,)
        >>> fast.sample(seed=0).shape
        (64, 2)
    """

    def __init__(self, dist: Flow, *, num: int, shards: int | None = None):
        if dist.levels is not None:
            raise ValueError(f"Compiled is for flows of vectors; {dist.name} is one of images.")
        self._dist, self._num = dist, arguments.whole("Compiled", "num", num)
        shards = os.cpu_count() or 1 if shards is None else shards
        shards = min(arguments.whole("Compiled", "shards", shards), num)
        # All but the last are alike, so that XLA compiles at most two sizes.
        size = -(-num // shards)
        starts = range(0, num, size)
        self._sizes = [min(size, num - start) for start in starts]
        shape = tuple(dist.event_shape)
        labels = None if dist.num_classes is None else tf.TensorSpec([num], tf.int32)
        self._log_prob = _graph(self._log_prob_in_shards).get_concrete_function(
            tf.TensorSpec([num, *shape], dist.dtype), labels
        )
        self._sample = _graph(self._sample_in_shards).get_concrete_function(
            tf.TensorSpec([2], tf.int32), tf.TensorSpec(shape, dist.dtype), labels
        )

    def log_prob(self, data: Any, labels: Any = None) -> np.ndarray:
        """Returns log-probabilities in nats, `[num]`.

        Args:
            data: `[num, D]`.
            labels: `[num]`, or one for all, for class-conditional flows.

        Raises:
            ValueError: bad data, or another number of them.
        """
        dist, data = self._dist, np.asarray(data)
        check_data(data, tuple(dist.event_shape), None, name=dist.name, dtype=dist.dtype)
        if len(data) != self._num:
            raise ValueError(f"Compiled for batches of {self._num} vectors, got {len(data)}.")
        data = tf.convert_to_tensor(data, dist.dtype)
        return self._log_prob(data, self._labels(labels)).numpy()

    def sample(
        self,
        *,
        labels: Any = None,
        temperature: float | Sequence[float] = 1.0,
        seed: Any = None,
    ) -> np.ndarray:
        """Draws `[num, D]`, with a seed those of `nvp.sample` with the same arguments.

        Args:
            labels: `[num]`, or one for all, for class-conditional flows.
            temperature: standard deviation of the base; a sequence gives one per scale, finest
                first.
            seed: an int or a stateless int32 `[2]` seed; None draws one.

        Raises:
            ValueError: bad labels, a temperature that is negative or not finite, not one per
                scale, or another seed.
        """
        if seed is None:
            seed = np.random.default_rng().integers(2**62)
        scales = np.broadcast_to(temperatures(self._dist, temperature), self._dist.event_shape)
        return self._sample(stateless_seed(seed), tf.constant(scales), self._labels(labels)).numpy()

    def _labels(self, labels):
        dist = self._dist
        labels = labels_of_examples(labels, dist.num_classes, self._num, name=dist.name)
        # None is passed on: a concrete function that misses an argument takes milliseconds.
        return None if labels is None else tf.constant(labels, tf.int32)

    def _log_prob_in_shards(self, data, labels):
        @_compiled
        def log_prob(data, labels):
            return self._dist.log_prob_in(data, Context(labels=labels))

        parts = zip(tf.split(data, self._sizes), self._split(labels), strict=True)
        return tf.concat([log_prob(*part) for part in parts], 0)

    def _sample_in_shards(self, seed, scales, labels):
        @_compiled
        def decode(z, labels):
            return self._dist.bijector.forward_and_log_det(z, Context(labels=labels))[0]

        # Drawn at once: the number of shards changes no sample.
        z = self._dist.distribution.sample(self._num, seed=seed) * scales
        parts = zip(tf.split(z, self._sizes), self._split(labels), strict=True)
        return tf.concat([decode(*part) for part in parts], 0)

    def _split(self, labels):
        return [None] * len(self._sizes) if labels is None else tf.split(labels, self._sizes)


def _graph(function):
    return tf.function(function, autograph=False)


def _compiled(function):
    return tf.function(function, autograph=False, jit_compile=True)
