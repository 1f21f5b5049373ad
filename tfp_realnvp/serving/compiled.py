"""Likelihoods and samples of vectors for batches of one size, compiled."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, stateless_seed
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.execution import device
from tfp_realnvp.execution.plan import Plan
from tfp_realnvp.execution.rows import map_rows
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import decode_rows, temperatures


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
        shards = device.cores() if shards is None else shards
        self._plan = Plan(min(arguments.whole("Compiled", "shards", shards), num))
        shape = tuple(dist.event_shape)
        labels = None if dist.num_classes is None else tf.TensorSpec([num], tf.int32)
        condition = dist.condition_shape and tf.TensorSpec([num, *dist.condition_shape], dist.dtype)
        self._log_prob = _graph(self._log_prob_in_shards).get_concrete_function(
            tf.TensorSpec([num, *shape], dist.dtype), labels, condition
        )
        latents = tf.TensorSpec([math.prod(shape)], dist.dtype)
        self._sample = _graph(self._sample_in_shards).get_concrete_function(
            tf.TensorSpec([2], tf.int32), latents, labels, condition
        )

    def log_prob(self, data: Any, labels: Any = None, *, condition: Any = None) -> np.ndarray:
        """Returns log-probabilities in nats, `[num]`.

        Args:
            data: `[num, D]`.
            labels: `[num]`, or one for all, for class-conditional flows.
            condition: `[num, *condition_shape]`, or one for all, for flows with a condition.

        Raises:
            ValueError: bad data, or another number of them.
        """
        dist, data = self._dist, np.asarray(data)
        check_data(data, tuple(dist.event_shape), None, name=dist.name, dtype=dist.dtype)
        if len(data) != self._num:
            raise ValueError(f"Compiled for batches of {self._num} vectors, got {len(data)}.")
        data = tf.convert_to_tensor(data, dist.dtype)
        return self._log_prob(data, *self._given(labels, condition)).numpy()

    def sample(
        self,
        *,
        labels: Any = None,
        condition: Any = None,
        temperature: float | Sequence[float] = 1.0,
        seed: Any = None,
    ) -> np.ndarray:
        """Draws `[num, D]`, with a seed those of `nvp.sample` with the same arguments.

        Args:
            labels: `[num]`, or one for all, for class-conditional flows.
            condition: `[num, *condition_shape]`, or one for all, for flows with a condition.
            temperature: standard deviation of the base; a sequence gives one per scale, finest
                first.
            seed: an int or a stateless int32 `[2]` seed; None draws one.

        Raises:
            ValueError: bad labels, a temperature that is negative or not finite, not one per
                scale, or another seed.
        """
        if seed is None:
            seed = np.random.default_rng().integers(2**62)
        size = math.prod(self._dist.event_shape)
        scales = np.broadcast_to(temperatures(self._dist, temperature), size)
        given = self._given(labels, condition)
        return self._sample(stateless_seed(seed), tf.constant(scales), *given).numpy()

    def _given(self, labels, condition):
        dist = self._dist
        given = given_to_examples(dist, self._num, labels, condition)
        dtypes = {"labels": tf.int32, "condition": dist.dtype}
        # None is passed on: a concrete function that misses an argument takes milliseconds.
        return [None if v is None else tf.constant(v, dtypes[k]) for k, v in given.items()]

    def _log_prob_in_shards(self, data, labels, condition):
        return self._in_shards(self._dist.log_prob_in, data, labels, condition)

    def _sample_in_shards(self, seed, scales, labels, condition):
        # Drawn at once: the number of shards changes no sample.
        z = self._dist.distribution.sample(self._num, seed=seed) * scales
        return self._in_shards(functools.partial(decode_rows, self._dist), z, labels, condition)

    def _in_shards(self, function, rows, labels, condition):
        @tf.function(autograph=False, jit_compile=True)
        def compiled(rows, labels, condition):
            return function(rows, Context(labels=labels, condition=condition))

        return map_rows(
            lambda rows, context: compiled(rows, context.labels, context.condition),
            [rows],
            Context(labels=labels, condition=condition),
            self._plan,
            dtype=self._dist.dtype,
        )


def _graph(function):
    return tf.function(function, autograph=False)
