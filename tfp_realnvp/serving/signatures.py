"""The signatures of a SavedModel: graphs of a flow that check all that they are given.

TensorFlow takes a tensor of another shape for a signature's input silently, and broadcasts it: the
shape, count and values of every input are asserted inside the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.core.context import Context
from tfp_realnvp.core.data_checks import asserted_labels, asserted_pixels
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels import Kernels
from tfp_realnvp.uses.latents import decode_graph, encode_graph, pixel_dtype
from tfp_realnvp.uses.likelihood import log_prob_graph, nats_per_unit

# Latents that one call of `sample` draws at most: half a GB in float32.
MOST_LATENTS = 2**27
# Signatures with a graph of its own for one image; each such graph takes time to load.
ONE_APART = {"serving_default", "sample"}


def signatures(
    dist: Flow, *, num_importance_samples: int = 1, batch_size: int | None = None
) -> dict[str, Any]:
    """Traces the signatures of a flow; see `saved_model.export`.

    Conditioners compute in the dtype of their variables, whatever their dtype policy.

    Args:
        dist: a flow.
        num_importance_samples: samples of the noise in `serving_default`.
        batch_size: number of examples of every call but that of `sample`; None for any.

    Returns:
        Concrete functions by name.
    """
    levels, num_classes = dist.levels, dist.num_classes
    images = levels is not None
    name = "images" if images else "x"
    latent_size = sum(dist.latent_sizes)
    # Who fixes a batch's size compiles the graph elsewhere. The size of `sample` is never fixed.
    kernels = Kernels(divides=batch_size is None)

    def spec(key: str, shape: list[int | None], dtype: tf.DType) -> dict[str, tf.TensorSpec]:
        return {key: tf.TensorSpec(shape, dtype, name=key)}

    dtype = pixel_dtype(dist) if images else dist.dtype
    data_spec = spec(name, [batch_size, *dist.event_shape], dtype)
    latent_spec = spec("latents", [batch_size, latent_size], dist.dtype)
    seed_spec = spec("seed", [2], tf.int32)

    def over_rows(key: str, function: Callable[..., dict], rows: tf.Tensor, labels: Any) -> dict:
        if num_classes is not None:
            labels = asserted_labels(_one_each(labels, tf.shape(rows)[0]), num_classes)
        if rows.shape[0] is not None:
            return function(rows, labels)
        return _of_any_count(function, rows, labels, one_apart=images and key in ONE_APART)

    def checked(data: tf.Tensor) -> tf.Tensor:
        return _finite(data, name) if levels is None else asserted_pixels(data, levels)

    def serving_default(labels=None, **data):
        def likelihood(rows, labels):
            context = Context(noise="per_example", exact=True, kernels=kernels)
            values = [
                log_prob_graph(dist, rows, context.replace(seed=(0, k)), labels)
                for k in range(num_importance_samples if images else 1)
            ]
            log_prob = (
                tf.reduce_logsumexp(tf.stack(values), 0)
                - tf.math.log(tf.cast(len(values), dist.dtype))
                if len(values) > 1
                else values[0]
            )
            outputs = {"log_prob": log_prob}
            if images:
                outputs["bits_per_dim"] = -log_prob / nats_per_unit(dist)
            return outputs

        return over_rows("serving_default", likelihood, checked(data[name]), labels)

    def log_prob(seed, labels=None, **data):
        def likelihood(rows, labels):
            context = Context(seed=seed, exact=True, kernels=kernels)
            return {"log_prob": log_prob_graph(dist, rows, context, labels)}

        # Where there is no noise, nothing else reads the seed and its shape.
        tf.raw_ops.Assert(condition=True, data=[seed])
        return over_rows("log_prob", likelihood, checked(data[name]), labels)

    def sample(num_samples, temperature, seed, labels=None):
        most = MOST_LATENTS // latent_size
        num_samples = _asserted(
            num_samples,
            (num_samples >= 0) & (num_samples <= most),
            f"num_samples must be from 0 to {most}, got {{}}.",
        )
        temperature = _asserted(
            temperature,
            tf.math.is_finite(temperature) & (temperature >= 0),
            "temperature must be finite and at least 0, got {}.",
        )
        z = tf.random.stateless_normal(
            [num_samples, latent_size], seed=seed, dtype=dist.dtype, alg="philox"
        )
        z *= tf.cast(temperature, dist.dtype)
        return over_rows("sample", functools.partial(drawn, kernels=Kernels()), z, labels)

    def drawn(latents, labels, kernels=kernels):
        return {name: decode_graph(dist, latents, labels, kernels=kernels)}

    def encode(labels=None, **data):
        def encoded(rows, labels):
            return {"latents": encode_graph(dist, rows, labels, kernels=kernels)}

        return over_rows("encode", encoded, checked(data[name]), labels)

    def decode(latents, labels=None):
        return over_rows("decode", drawn, _finite(latents, "latents"), labels)

    draw_spec = {
        **spec("num_samples", [], tf.int32),
        **spec("temperature", [], tf.float32),
        **seed_spec,
    }
    described: list[tuple[Callable[..., dict], dict[str, tf.TensorSpec], int | None]] = [
        (serving_default, data_spec, batch_size),
        (log_prob, {**data_spec, **seed_spec}, batch_size),
        (sample, draw_spec, None),
        (encode, data_spec, batch_size),
        (decode, latent_spec, batch_size),
    ]
    graphs = {}
    for function, inputs, count in described:
        if num_classes is not None:
            inputs = {**inputs, **spec("labels", [count], tf.int32)}
        graph = tf.function(_of_shapes(function), autograph=False)
        graphs[function.__name__] = graph.get_concrete_function(**inputs)
    return graphs


def _of_shapes(function: Callable[..., dict]) -> Callable[..., dict]:
    """Returns the function, of inputs that have the shapes of their specs when it runs."""
    return lambda **inputs: function(**{k: tf.ensure_shape(v, v.shape) for k, v in inputs.items()})


def _of_any_count(
    function: Callable[..., dict], rows: tf.Tensor, labels: Any, *, one_apart: bool
) -> dict:
    """Returns what the function makes of no rows as well: TensorFlow's fused convolutions do not.

    An empty batch gets one row of zeros, which is left out of the results. With `one_apart`, a
    batch of one has a graph of its own, which knows its size; see `kernels.convolution`.
    """
    batch = [rows] if labels is None else [rows, labels]
    count = tf.shape(rows)[0]

    def filled(value: tf.Tensor) -> tf.Tensor:
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        return tf.concat([value, tf.zeros([missing, *value.shape[1:]], value.dtype)], 0)

    def call(members: list[tf.Tensor]) -> dict:
        return function(*members, *[None] * (2 - len(members)))

    def of_one() -> dict:
        # Not `tf.reshape` or `tf.ensure_shape`: from these TensorFlow concludes that the batch
        # has one row, outside of this branch too.
        return call([tf.gather(value, [0]) for value in batch])

    def of_many() -> dict:
        return call([filled(value) for value in batch])

    results = tf.cond(tf.equal(count, 1), of_one, of_many) if one_apart else of_many()
    return {key: value[:count] for key, value in results.items()}


def _one_each(labels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    given = tf.shape(labels)[0]
    sentence = "labels must be one for each of {} examples, got {}."
    return _asserted(labels, tf.equal(given, count), sentence, count, given)


def _finite(values: tf.Tensor, what: str) -> tf.Tensor:
    bad = tf.math.count_nonzero(~tf.math.is_finite(values))
    sentence = f"{what} must be finite, got {{}} NaN or infinite values."
    return _asserted(values, tf.equal(bad, 0), sentence, bad)


def _asserted(value: tf.Tensor, condition: tf.Tensor, sentence: str, *figures: tf.Tensor):
    """Returns the value, once the condition holds; else the graph fails with the sentence."""
    message = tf.strings.format(sentence, figures or (value,))
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)
