"""The signatures of a SavedModel: graphs of a flow that check all that they are given.

TensorFlow takes a tensor of another shape for a signature's input silently, and broadcasts it: the
shape, count and values of every input are asserted inside the graph.

What has one seed for the call can't be merged with another call. So `log_prob` and `sample` have
forms with a seed and a number for each row, `log_prob_rows` and `sample_rows`: rows of several
calls go through these together, and each gets what it would get in its own call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.core.context import Context
from tfp_realnvp.core.data_checks import asserted_pixels
from tfp_realnvp.core.noise import normal_rows
from tfp_realnvp.execution.choice import plan_for_export
from tfp_realnvp.execution.rows import map_rows
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import EXACT, as_data, data_dtype, decode_rows, encode_rows
from tfp_realnvp.uses.likelihood import nats_per_unit

RowFunction = Callable[[tf.Tensor, Context], tf.Tensor]

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
        Concrete functions by name; without those by rows where a batch's size is fixed.
    """
    levels = dist.levels
    images = levels is not None
    name = "images" if images else "x"
    latent_size = sum(dist.latent_sizes)
    # Who fixes a batch's size compiles the graph elsewhere. The size of `sample` is never fixed.

    def spec(key: str, shape: list[int | None], dtype: tf.DType) -> dict[str, tf.TensorSpec]:
        return {key: tf.TensorSpec(shape, dtype, name=key)}

    dtype = data_dtype(dist)
    data_spec = spec(name, [batch_size, *dist.event_shape], dtype)
    latent_spec = spec("latents", [batch_size, latent_size], dist.dtype)
    seed_spec = spec("seed", [2], tf.int32)
    origin_spec = {**spec("seed", [None, 2], tf.int32), **spec("row", [None], tf.int32)}
    most = MOST_LATENTS // latent_size

    def over_rows(
        key: str, function: RowFunction, rows: Any, given: dict[str, tf.Tensor], context: Context
    ) -> tf.Tensor:
        own = {what: _one_each(what, part, tf.shape(rows)[0]) for what, part in given.items()}
        if "condition" in own:  # the flow asserts the values of labels
            own["condition"] = _finite(own["condition"], "the condition")
        context = context.replace(**own, exact=True)
        plan = plan_for_export(dist, batch_size=rows.shape[0])

        def of_any() -> tf.Tensor:
            return map_rows(function, [rows], context, plan, dtype=dist.dtype)

        if rows.shape[0] is None and images and key in ONE_APART:
            return _one_apart(function, rows, context, of_any)
        return of_any()

    def parted(inputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        return inputs[name], {key: value for key, value in inputs.items() if key != name}

    def checked(data: tf.Tensor) -> tf.Tensor:
        return _finite(data, name) if levels is None else asserted_pixels(data, levels)

    def serving_default(**inputs):
        data, given = parted(inputs)
        count = num_importance_samples if images else 1

        def likelihood(rows, context):
            draws = [dist.log_prob_in(rows, context.replace(draw=k)) for k in range(count)]
            if count == 1:
                return draws[0]
            mean = tf.math.log(tf.cast(count, dist.dtype))
            return tf.reduce_logsumexp(tf.stack(draws), 0) - mean

        context = Context(noise="per_example")
        log_prob = over_rows("serving_default", likelihood, checked(data), given, context)
        if not images:
            return {"log_prob": log_prob}
        return {"log_prob": log_prob, "bits_per_dim": -log_prob / nats_per_unit(dist)}

    def log_prob(seed, **inputs):
        # Where there is no noise, nothing else reads the seed and its shape.
        tf.raw_ops.Assert(condition=True, data=[seed])
        data, given = parted(inputs)
        rows, context = checked(data), Context(seed=seed)
        return {"log_prob": over_rows("log_prob", dist.log_prob_in, rows, given, context)}

    def log_prob_rows(seed, row, **inputs):
        data, given = parted(inputs)
        given["origins"] = _origins(seed, row)
        rows = checked(data)
        return {"log_prob": over_rows("log_prob_rows", dist.log_prob_in, rows, given, Context())}

    def sample(num_samples, temperature, seed, **given):
        num_samples = _asserted(
            num_samples,
            (num_samples >= 0) & (num_samples <= most),
            f"num_samples must be from 0 to {most}, got {{}}.",
        )
        temperature = _at_least_0(temperature)
        z = tf.random.stateless_normal(
            [num_samples, latent_size], seed=seed, dtype=dist.dtype, alg="philox"
        )
        z *= tf.cast(temperature, dist.dtype)
        return {name: as_data(dist, over_rows("sample", decoded, z, given, EXACT))}

    def sample_rows(temperature, seed, row, **given):
        count = tf.shape(seed)[0]
        seed = _asserted(seed, count <= most, f"seed has at most {most} rows, got {{}}.", count)
        temperature = _at_least_0(_one_each("temperature", temperature, count))
        z = normal_rows(_origins(seed, row), latent_size, dist.dtype)
        z *= tf.cast(temperature, dist.dtype)[:, None]
        return {name: as_data(dist, over_rows("sample_rows", decoded, z, given, EXACT))}

    def encode(**inputs):
        data, given = parted(inputs)
        encoded = functools.partial(encode_rows, dist)
        return {"latents": over_rows("encode", encoded, checked(data), given, EXACT)}

    def decode(latents, **given):
        rows = _finite(latents, "latents")
        return {name: as_data(dist, over_rows("decode", decoded, rows, given, EXACT))}

    decoded = functools.partial(decode_rows, dist)
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
    if batch_size is None:
        described += [
            (log_prob_rows, {**data_spec, **origin_spec}, None),
            (sample_rows, {**spec("temperature", [None], tf.float32), **origin_spec}, None),
        ]
    graphs = {}
    for function, inputs, count in described:
        if dist.num_classes is not None:
            inputs = {**inputs, **spec("labels", [count], tf.int32)}
        if dist.condition_shape is not None:
            shape = [count, *dist.condition_shape]
            inputs = {**inputs, **spec("condition", shape, dist.dtype)}
        graph = tf.function(_of_shapes(function), autograph=False)
        graphs[function.__name__] = graph.get_concrete_function(**inputs)
    return graphs


def _of_shapes(function: Callable[..., dict]) -> Callable[..., dict]:
    """Returns the function, of inputs that have the shapes of their specs when it runs."""
    return lambda **inputs: function(**{k: tf.ensure_shape(v, v.shape) for k, v in inputs.items()})


def _one_apart(
    function: RowFunction, rows: tf.Tensor, context: Context, of_any: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """Has a batch of one go through a graph that knows its size; see `kernels.convolution`."""

    def of_one() -> tf.Tensor:
        # Not `tf.reshape` or `tf.ensure_shape`: from these TensorFlow concludes that the batch
        # has one row, outside of this branch too.
        def first(values: Any) -> Any:
            return None if values is None else tf.gather(values, [0])

        own = context.replace(labels=first(context.labels), condition=first(context.condition))
        return function(first(rows), own)

    return tf.cond(tf.equal(tf.shape(rows)[0], 1), of_one, of_any)


def _one_each(what: str, values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    given = tf.shape(values)[0]
    name = {"condition": "the condition", "origins": "seed"}.get(what, what)
    sentence = f"{name} must be one for each of {{}} examples, got {{}}."
    return _asserted(values, tf.equal(given, count), sentence, count, given)


def _origins(seed: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Returns `Context.origins`, of one number of a row for each seed."""
    return tf.concat([seed, _one_each("row", row, tf.shape(seed)[0])[:, None]], 1)


def _at_least_0(temperature: tf.Tensor) -> tf.Tensor:
    fits = tf.reduce_all(tf.math.is_finite(temperature) & (temperature >= 0))
    return _asserted(temperature, fits, "temperature must be finite and at least 0, got {}.")


def _finite(values: tf.Tensor, what: str) -> tf.Tensor:
    bad = tf.math.count_nonzero(~tf.math.is_finite(values))
    sentence = f"{what} must be finite, got {{}} NaN or infinite values."
    return _asserted(values, tf.equal(bad, 0), sentence, bad)


def _asserted(value: tf.Tensor, condition: tf.Tensor, sentence: str, *figures: tf.Tensor):
    """Returns the value, once the condition holds; else the graph fails with the sentence."""
    message = tf.strings.format(sentence, figures or (value,))
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)
