"""Likelihoods and samples for batches of one size, as LiteRT programs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, stateless_seed
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.execution import device
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels import Kernels
from tfp_realnvp.uses.latents import NOT_FINITE, data_dtype, draw, temperatures

# LiteRT's compiler does better with whole images.
_KERNELS = Kernels(divides=False)


class Lite:
    """A flow's `log_prob` and `sample` on the CPU, for batches of one size, by LiteRT.

    For the least time from one image, or one small batch, to its answer: LiteRT runs the whole flow
    as one program with memory laid out beforehand, where TensorFlow starts thousands of operations.
    Weights are those that the flow has when this is made, and all is computed in float32, whatever
    the conditioners' dtype policy. Converting takes seconds for vectors and up to half a minute for
    images, at the first call of each method.

    Args:
        dist: a flow in float32.
        num: examples in a batch.
        programs: programs that work side by side, each on its part of the batch; None for one per
            core. Where there are fewer than cores, a program has several of these.

    Raises:
        ValueError: a flow of another dtype, or a number below 1.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> fast = nvp.Lite(nvp.flows.build("realnvp", (2,), couplings=2), num=64)
        >>> fast.log_prob(np.zeros([64, 2], "float32")).shape
        (64,)
        >>> fast.sample(seed=0).shape
        (64, 2)
    """

    def __init__(self, dist: Flow, *, num: int = 1, programs: int | None = None):
        if dist.dtype != tf.float32:
            raise ValueError(f"Lite is for flows in float32; {dist.name} is in {dist.dtype.name}.")
        self._dist, self._num = dist, arguments.whole("Lite", "num", num)
        programs = device.cores() if programs is None else programs
        programs = min(arguments.whole("Lite", "programs", programs), num)
        self._part = -(-num // programs)
        self._programs = -(-num // self._part)
        self._random = np.random.default_rng()
        # Flags stay variables: members look at them while a graph is traced.
        variables = [v for layer in dist.keras_layers for v in layer.variables]
        self._weights = [(v, v.numpy()) for v in variables if v.dtype == "float32"]
        self._calls: dict[str, Callable[..., np.ndarray]] = {}

    def log_prob(
        self, data: Any, labels: Any = None, *, condition: Any = None, seed: Any = None
    ) -> np.ndarray:
        """Returns log-probabilities in nats, `[num]`.

        Those of images are under one draw of the noise, and with a seed those of
        `dist.log_prob(data, bijector_kwargs={"seed": seed})`.

        Args:
            data: `[num, *event]` images (integers) or vectors.
            labels: `[num]`, or one for all, for class-conditional flows.
            condition: `[num, *condition_shape]`, or one for all, for flows with a condition.
            seed: an int or a stateless int32 `[2]` seed of the noise; None draws fresh noise,
                which takes less time.

        Raises:
            ValueError: bad data, labels or seed, or another number of them.
        """
        seed = stateless_seed(seed)
        dist, data = self._dist, np.asarray(data)
        check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
        if len(data) != self._num:
            raise ValueError(f"Lite for batches of {self._num} examples, got {len(data)}.")
        inputs = {"data": data.astype("float32")}
        if dist.quantizer is not None:
            inputs["noise"] = self._noise(dist.quantizer, inputs["data"], seed)
        return self._run("log_prob", _log_prob, inputs, labels, condition)

    def sample(
        self,
        *,
        labels: Any = None,
        condition: Any = None,
        temperature: float | Sequence[float] = 1.0,
        seed: Any = None,
    ) -> np.ndarray:
        """Draws `[num, *event]`, with a seed those of `nvp.sample` with the same arguments.

        Args:
            labels: `[num]`, or one for all, for class-conditional flows.
            condition: `[num, *condition_shape]`, or one for all, for flows with a condition.
            temperature: standard deviation of the base; a sequence gives one per scale, finest
                first.
            seed: an int or a stateless int32 `[2]` seed; None draws afresh, which takes less time.

        Raises:
            ValueError: bad labels, a temperature that is negative or not finite, not one per
                scale, or another seed; pixels that are NaN.
        """
        scales = temperatures(self._dist, temperature)
        if seed is None:
            size = self._num, math.prod(self._dist.event_shape)
            latents = self._random.standard_normal(size, "float32")
        else:
            latents = draw(self._dist, "Lite.sample", self._num, seed)
        drawn = self._run("sample", _decode, {"latents": latents * scales}, labels, condition)
        if self._dist.levels is None:
            return drawn
        if not np.isfinite(drawn).all():
            raise ValueError(NOT_FINITE)
        return drawn.astype(data_dtype(self._dist).as_numpy_dtype)

    def _noise(self, quantizer, data, seed):
        # NumPy's: after a graph TensorFlow's threads stay awake for a while, in the programs' way.
        if seed is None:
            return self._random.random(data.shape, "float32")
        return quantizer.base_noise(tf.constant(data), Context(seed=seed)).numpy()

    def _run(self, name, function, inputs, labels, condition):
        given = given_to_examples(self._dist, self._num, labels, condition)
        dtypes = {"labels": "int32", "condition": "float32"}
        known = {k: v.astype(dtypes[k]) for k, v in given.items() if v is not None}
        inputs = {**inputs, **known}
        if name not in self._calls:
            self._calls[name] = self._converted(function, inputs)
        return self._calls[name](inputs)

    def _converted(self, function, inputs):
        specs = {
            name: tf.TensorSpec([self._part, *x.shape[1:]], x.dtype, name)
            for name, x in inputs.items()
        }

        @tf.function(autograph=False)
        def graph(**inputs):
            weights = [(v, tf.constant(value)) for v, value in self._weights]
            with keras.StatelessScope(weights):
                return function(self._dist, **inputs)

        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [graph.get_concrete_function(**specs)], self._dist
        )
        return _SideBySide(converter.convert(), self._programs, self._part)


class _SideBySide:
    """Copies of a program that share a batch."""

    def __init__(self, model: bytes, count: int, part: int):
        threads = max(1, device.cores() // count)
        self._programs = [_Program(model, threads) for _ in range(count)]
        self._part = part
        self._pool = ThreadPoolExecutor(count - 1) if count > 1 else None
        self._lock = threading.Lock()  # a program has one place for its inputs

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        with self._lock:
            if self._pool is None:
                return self._programs[0](inputs)
            size = len(next(iter(inputs.values())))
            # Programs take parts of one size: the last one begins within the part before.
            last = size - self._part
            starts = [min(k * self._part, last) for k in range(len(self._programs))]
            parts = [
                {name: x[start : start + self._part] for name, x in inputs.items()}
                for start in starts
            ]
            others = zip(self._programs[1:], parts[1:], strict=True)
            futures = [self._pool.submit(program, own) for program, own in others]
            results = [self._programs[0](parts[0]), *(future.result() for future in futures)]
        overlap = (len(starts) - 1) * self._part - last
        return np.concatenate([*results[:-1], results[-1][overlap:]])


class _Program:
    def __init__(self, model: bytes, threads: int):
        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs = {
            each["name"].removeprefix("serving_default_").removesuffix(":0"): each["index"]
            for each in self._interpreter.get_input_details()
        }
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, inputs):
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, inputs[name])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def _log_prob(dist, data, noise=None, **given):
    context = Context(**given, exact=True, kernels=_KERNELS)
    if noise is None:
        return dist.log_prob_in(data, context)
    inside = dist.bijector.within(context, tf.shape(data)[:1])
    noise, log_q = dist.quantizer.noise_and_log_q(data, noise, inside)
    z, log_det = dist.continuous.inverse_and_log_det(data + noise, context)
    return dist.distribution.log_prob(z) + log_det - log_q


def _decode(dist, latents, **given):
    context = Context(**given, exact=True, kernels=_KERNELS)
    return dist.bijector.forward_and_log_det(latents, context)[0]
