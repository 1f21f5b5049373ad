"""Export: a flow as a SavedModel that needs TensorFlow alone."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfp_realnvp.checks import asserted_labels, asserted_pixels
from tfp_realnvp.conditioners import fused
from tfp_realnvp.context import Context
from tfp_realnvp.distribution import Flow
from tfp_realnvp.latents import EXACT, decode_graph, encode_graph, pixel_dtype, sample_graph
from tfp_realnvp.likelihood import log_prob_graph, nats_per_unit
from tfp_realnvp.sharding import has_bfloat16_convolutions

# Signatures with a graph of its own for one image; each such graph takes time to load.
ONE_APART = {"serving_default", "sample"}


def export(
    dist: Flow,
    directory: str | os.PathLike[str],
    *,
    num_importance_samples: int = 1,
    by_xla: bool = False,
) -> Path:
    """Writes a SavedModel; it loads and runs with TensorFlow alone.

    Signatures (vectors: `x` float `[N, D]` where images are named, and no `bits_per_dim`;
    class-conditional flows take `labels` int32 `[N]` as well):

    * `serving_default`: `images` uint8 `[N, H, W, C]` to `log_prob` `[N]` in nats and
      `bits_per_dim` `[N]`; deterministic, with each example's own fixed noise;
    * `log_prob`: `images`, `seed` int32 `[2]` to `log_prob`;
    * `sample`: `num_samples`, `temperature`, `seed` to `images`;
    * `encode`: `images` to `latents` `[N, D]`; `decode`: back, every pixel.

    Args:
        dist: a flow.
        directory: where to; must not exist or be empty.
        num_importance_samples: samples of the noise in `serving_default`.
        by_xla: whether XLA compiles what lies between the convolutions, for batches of more than
            one image; for flows with bfloat16 gated convolutions. Large batches take a fifth less
            time then, a handful of images takes a third more. The model needs a TensorFlow with
            XLA, compiles for a second at its first batch and at each of three more sizes of
            chunks, and wants `XLA_FLAGS=--xla_cpu_multi_thread_eigen=false` in the environment of
            the process that loads it.

    Returns:
        The directory.

    Raises:
        ValueError: the directory holds something, or `by_xla` and there are no such convolutions.
        OSError: it cannot be written; nothing half-written is left.

    Example:
        >>> import tempfile, tensorflow as tf, tfp_realnvp as nvp
        >>> path = nvp.export(nvp.flows.build("realnvp", (2,)), tempfile.mkdtemp())
        >>> sorted(tf.saved_model.load(str(path)).signatures)
        ['decode', 'encode', 'log_prob', 'sample', 'serving_default']
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(f"{directory} exists and is not empty: give another directory.")
    if by_xla and not has_bfloat16_convolutions(dist):
        raise ValueError(
            f"by_xla is for flows with bfloat16 gated convolutions; {dist.name} has none."
        )
    module = _Servable(dist, num_importance_samples, by_xla=by_xla)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory.parent))
    except OSError as error:
        raise type(error)(error.errno, f"Cannot write {directory}: {error.strerror}.") from error
    try:
        options = tf.saved_model.SaveOptions(function_aliases=None)
        tf.saved_model.save(module, str(temporary), signatures=module.signatures(), options=options)
        temporary.chmod(0o755)
        if directory.exists():
            directory.rmdir()
        os.replace(temporary, directory)
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says "{{node}} temporary file; No space left on device [Op:SaveV2]".
        reason = re.sub(r" \[Op:\w+\]", "", str(error)).rpartition("; ")[2].rstrip(".")
        raise OSError(f"Cannot write {directory}: {reason}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


class _Servable(tf.Module):
    """Holds the flow's variables, each once, and the signatures."""

    def __init__(self, dist: Flow, num_importance_samples: int, *, by_xla: bool):
        super().__init__(name="flow")
        # The flow itself stays out of sight of the saver: it would store Keras' view as well.
        self._flow = self._no_dependency(dist)
        self._samples = num_importance_samples
        self._by_xla = by_xla
        self.weights = list(dist.variables)

    def signatures(self) -> dict[str, Any]:
        dist = self._flow
        event = tuple(dist.event_shape)
        images = dist.levels is not None
        name = "images" if images else "x"
        dtype = pixel_dtype(dist) if images else dist.dtype
        latent_size = sum(dist.latent_sizes)
        data_spec = {name: tf.TensorSpec([None, *event], dtype, name=name)}
        latent_spec = {"latents": tf.TensorSpec([None, latent_size], dist.dtype, name="latents")}
        seed_spec = {"seed": tf.TensorSpec([2], tf.int32, name="seed")}
        labels_spec: dict[str, tf.TensorSpec] = {}
        if dist.num_classes is not None:
            labels_spec = {"labels": tf.TensorSpec([None], tf.int32, name="labels")}

        def check_labels(labels):
            return None if labels is None else asserted_labels(labels, dist.num_classes)

        def check(data):
            return asserted_pixels(data, dist.levels) if images else data

        def likelihood(labels=None, **data):
            rows, labels = check(data[name]), check_labels(labels)
            values = [
                log_prob_graph(dist, rows, Context(noise="per_example", seed=(0, k)), labels)
                for k in range(self._samples if images else 1)
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

        def log_prob(seed, labels=None, **data):
            rows, labels = check(data[name]), check_labels(labels)
            return {"log_prob": log_prob_graph(dist, rows, Context(seed=seed), labels)}

        def sample(num_samples, temperature, seed, labels=None):
            z = tf.random.stateless_normal(
                [num_samples, latent_size], seed=seed, dtype=dist.dtype, alg="philox"
            )
            z *= tf.cast(temperature, dist.dtype)
            if labels is not None:
                labels = tf.ensure_shape(tf.broadcast_to(labels, [num_samples]), [None])
            return {name: sample_graph(dist, z, check_labels(labels))}

        def encode(labels=None, **data):
            return {"latents": encode_graph(dist, check(data[name]), check_labels(labels))}

        def decode(latents, labels=None):
            return {name: decode_graph(dist, latents, check_labels(labels))}

        sample_spec = {
            "num_samples": tf.TensorSpec([], tf.int32, name="num_samples"),
            "temperature": tf.TensorSpec([], tf.float32, name="temperature"),
            **seed_spec,
        }
        specs: dict[str, tuple[Callable[..., dict], dict[str, tf.TensorSpec]]] = {
            "serving_default": (likelihood, data_spec),
            "log_prob": (log_prob, {**data_spec, **seed_spec}),
            "sample": (sample, sample_spec),
            "encode": (encode, data_spec),
            "decode": (decode, latent_spec),
        }
        graphs = {}
        for key, (function, spec) in specs.items():
            by_xla = self._by_xla and key not in EXACT
            call = _takes_any_count(
                function,
                counted=next(iter(spec)),
                # XLA's smallest chunk would be several times as much work as one image.
                one_apart=images and (by_xla or key in ONE_APART),
                by_xla=by_xla,
            )
            graph = tf.function(call, autograph=False)
            graphs[key] = graph.get_concrete_function(**spec, **labels_spec)
        return graphs


def _takes_any_count(
    function: Callable[..., dict], *, counted: str, one_apart: bool, by_xla: bool
) -> Callable[..., dict]:
    """Returns the function, working on no rows as well: TensorFlow's fused convolutions do not.

    An empty batch gets one row of zeros, which is left out of the results. `counted` names the
    input that has the batch, or is its size. With `one_apart`, a batch of one has a graph of its
    own, which knows its size; see `conditioners.convolution`. `by_xla` is about larger ones.
    """

    def filled(value: tf.Tensor) -> tf.Tensor:
        missing = tf.cast(tf.equal(tf.shape(value)[0], 0), tf.int32)
        return tf.concat([value, tf.zeros([missing, *value.shape[1:]], value.dtype)], 0)

    def call(**inputs):
        # A signature takes a tensor of another shape silently.
        checked = {
            k: tf.ensure_shape(v, v.shape)
            for k, v in inputs.items()
            if v.shape.rank and k != "seed"
        }
        size = {**inputs, **checked}[counted]
        count = tf.shape(size)[0] if size.shape.rank else size

        def of_one() -> dict:
            # Not `tf.reshape` or `tf.ensure_shape`: from these TensorFlow concludes that the batch
            # has one row, outside of this branch too.
            message = "One example has one label."
            single = [
                tf.debugging.assert_equal(tf.shape(v)[0], 1, message) for v in checked.values()
            ]
            with tf.control_dependencies(single):
                rows = {k: tf.gather(v, [0]) for k, v in checked.items()}
            one = {} if size.shape.rank else {counted: tf.constant(1)}
            return function(**{**inputs, **rows, **one})

        def of_many() -> dict:
            rows = {k: filled(v) for k, v in checked.items()}
            at_least_one = {} if size.shape.rank else {counted: tf.maximum(size, 1)}
            with fused.programs(when=by_xla):
                return function(**{**inputs, **rows, **at_least_one})

        results = tf.cond(tf.equal(count, 1), of_one, of_many) if one_apart else of_many()
        return {key: value[:count] for key, value in results.items()}

    return call
