"""`FlowModel`: a flow as a Keras model, trained by maximum likelihood with `fit`."""

from __future__ import annotations

import functools
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.checks import (
    asserted_labels,
    asserted_pixels,
    check_data,
)
from tfp_realnvp.conditioners import fused
from tfp_realnvp.context import Context
from tfp_realnvp.distribution import Flow
from tfp_realnvp.likelihood import nats_per_unit
from tfp_realnvp.microbatches import Microbatch, check_microbatch, mean_over_microbatches
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.sharding import check_shards, gains_by_xla, log_prob_in_shards, shards_in_use

# How many examples data-dependent initialization looks at: vectors at least, images at most.
INITIALIZATION_VECTORS = 4096
INITIALIZATION_IMAGES = 256


@keras.saving.register_keras_serializable("tfp_realnvp")
class FlowModel(keras.Model):
    """A Keras model around a flow: the same variables, trained by `fit`.

    The loss is the mean negative log-likelihood, in bits per dimension for images and in nats for
    vectors. The noise of a training step is a function of (`seed`, step); that of validation is
    a fixed function of each image, so that two evaluations of the same weights agree.

    Batches are `x`, or `(x, labels)`; labels are used by class-conditional flows only.

    Args:
        dist: a flow; its variables become the model's.
        seed: seed of the noise in training.
        **kwargs: see `keras.Model`.

    Example:
        >>> import tfp_realnvp as nvp
        >>> images, _ = nvp.datasets.load_arrays("digits")
        >>> model = nvp.FlowModel(nvp.flows.build("uva_simple", (8, 8, 1), levels=17))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(images[:64], epochs=1, verbose=0)
        >>> sorted(history.history)
        ['bits_per_dim', 'loss']
    """

    def __init__(self, dist: Flow, *, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.dist = dist
        self.seed = seed
        self.shards = 1
        self.microbatch: int | None = None
        self.fuses = False
        self.flow_layers = list(dist.keras_layers)
        self.unit = "nats" if dist.levels is None else "bits_per_dim"
        self._likelihood_tracker = keras.metrics.Mean(name=self.unit)
        # Counts the noise draws of training; the optimizer's own count stands still while it
        # accumulates gradients.
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.built = True

    def compile(
        self,
        optimizer: Any = "adam",
        *,
        jit_compile: Any = "auto",
        shards: int | None = None,
        microbatch: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: a Keras optimizer or its name; `"adam"` is `nvp.Adam`.
            jit_compile: whether to compile the step with XLA. `"auto"`: where there is a GPU. On
                the CPU TensorFlow's own convolutions are faster: where `nvp.use_shards` has been
                called, what lies between those of a gated network is compiled alone.
            shards: in how many shards, side by side, a batch is worked on; None for those of
                `nvp.use_shards`. Gradients are those of the whole batch.
            microbatch: how many rows of a batch a step works on at a time, at most; None for all.
                Gradients are those of the whole batch, memory that of a part.
            **kwargs: see `keras.Model.compile`; there is no loss to choose.

        Raises:
            ValueError: shards or a microbatch, and the flow normalizes by statistics of whole
                batches.
        """
        shards = shards_in_use() if shards is None else shards
        check_shards(self.dist, shards)
        check_microbatch(self.dist, microbatch)
        self.shards, self.microbatch = shards, microbatch
        self.fuses = False
        if jit_compile == "auto":
            jit_compile = bool(tf.config.list_logical_devices("GPU"))
            self.fuses = not jit_compile and shards > 1 and gains_by_xla(self.dist)
        if isinstance(optimizer, str) and optimizer.lower() == "adam":
            optimizer = Adam()
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        # Variables made inside the step would have it traced twice, with a branch for each.
        self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def call(self, x: Any, labels: Any = None, training: bool = False) -> tf.Tensor:
        """Returns log-probabilities in nats `[N]`, with each example's own fixed noise."""
        noise = "fresh" if training else "per_example"
        return self.dist.log_prob_in(x, Context(labels=labels, training=training, noise=noise))

    def fit(self, x: Any = None, *args: Any, validation_data: Any = None, **kwargs: Any) -> Any:
        """Trains; see `keras.Model.fit`.

        The first batch of training and validation data is looked at before training starts (all
        of it, where it is an array), and what depends on data is initialized by the first
        examples of the training data. Later batches are checked as they come, except by steps
        that XLA compiles.

        Raises:
            ValueError: bad data.
        """
        for source in (x, validation_data):
            self._check(source)
        if self.dist.bijector.needs_data:
            self._initialize(x, kwargs.get("y", args[0] if args else None))
        try:
            return super().fit(x, *args, validation_data=validation_data, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            sentence = _assertion(error)
            if sentence is None:
                raise
            raise ValueError(f"{sentence} Training has stopped before this batch.") from error

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one optimizer step on the mean negative log-likelihood."""
        x, labels = self._unpack(data)
        seed = tf.stack([tf.constant(self.seed, tf.int32), self.step.value])
        variables = self.trainable_variables
        count = tf.shape(x)[0]
        if self.microbatch is None:
            loss, mean, *gradients = self._gradients(x, labels, seed)
        else:
            scalar = tf.zeros([], self.dist.dtype)
            loss, mean, *gradients = mean_over_microbatches(
                functools.partial(self._gradients_of_part, x, labels, seed),
                [scalar, scalar, *variables],
                count=count,
                size=self.microbatch,
            )
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.step.assign_add(1)
        return self._track(loss, mean, count)

    def _gradients_of_part(self, x, labels, seed, part: Microbatch):
        x = tf.gather(x, part.rows)
        labels = None if labels is None else tf.gather(labels, part.rows)
        seed = tf.random.experimental.stateless_fold_in(seed, part.index, alg="philox")
        return self._gradients(x, labels, seed, weight=part.weight)

    def _gradients(self, x, labels, seed, *, weight=None):
        """Returns the loss, the mean log-probability, and the loss's gradients."""
        with tf.GradientTape() as tape, fused.programs(when=self.fuses):
            context = Context(seed=seed, training=True, labels=labels)
            log_prob = log_prob_in_shards(self.dist, x, context, shards=self.shards)
            if weight is not None:
                log_prob *= tf.cast(weight, log_prob.dtype)
            loss = self.compute_loss(x=x, y_pred=log_prob)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        return loss, tf.reduce_mean(log_prob), *gradients

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates a batch, with each example's own fixed noise."""
        x, labels = self._unpack(data)
        context = Context(noise="per_example", seed=(self.seed, -1), labels=labels)
        with fused.programs(when=self.fuses):
            log_prob = log_prob_in_shards(self.dist, x, context, shards=self.shards)
        loss = self.compute_loss(x=x, y_pred=log_prob)
        return self._track(loss, tf.reduce_mean(log_prob), tf.shape(log_prob)[0])

    def predict_step(self, data: Any) -> tf.Tensor:
        """Returns the log-probabilities of a batch, in nats."""
        x, labels = self._unpack(data)
        return self(x, labels=labels)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the mean negative log-likelihood plus the layers' own losses.

        Under a distribution strategy it is divided by the number of replicas, whose gradients are
        summed.
        """
        loss = -tf.reduce_mean(y_pred) / nats_per_unit(self.dist)
        loss = tf.add_n([loss, *self.losses]) if self.losses else loss
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The loss, and the likelihood without the layers' own losses."""
        return [*super().metrics, self._likelihood_tracker]

    def _track(self, loss, log_prob, count):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * replicas, sample_weight=count)
        self._likelihood_tracker.update_state(
            -log_prob / nats_per_unit(self.dist), sample_weight=count
        )
        return self.get_metrics_result()

    def _unpack(self, data):
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if self.dist.num_classes is None:
            labels = None
        elif labels is None:
            raise ValueError(
                f"{self.dist.name} is conditional on classes: batches must be (x, labels)."
            )
        else:
            labels = asserted_labels(labels, self.dist.num_classes)
        if self.dist.levels is not None:
            x = asserted_pixels(x, self.dist.levels)
        return x, labels

    def _initialize(self, x: Any, y: Any) -> None:
        source = (x, y) if y is not None else x
        count = INITIALIZATION_VECTORS if self.dist.levels is None else INITIALIZATION_IMAGES
        examples = _first_examples(source, count)
        labels = _first_examples(source, count, part=1) if self.dist.num_classes else None
        if examples is None or (labels is None and self.dist.num_classes):
            raise ValueError(
                f"{self.dist.name} starts from data and cannot look into {type(x).__name__}: call "
                "initialize on the flow before fit."
            )
        if self.dist.levels is not None:
            examples, labels = examples[:count], None if labels is None else labels[:count]
        with self.distribute_strategy.scope():
            self.dist.initialize(examples, labels)

    def _check(self, source: Any) -> None:
        if source is None:
            return
        examples = _first_examples(source, 1)
        if examples is not None:
            shape = tuple(self.dist.event_shape)
            check_data(examples, shape, self.dist.levels, name=self.dist.name)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serializable by Keras."""
        return {"dist": self.dist.get_config(), "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FlowModel:
        """Makes a model of equal architecture, with fresh initial values."""
        config = dict(config)
        return cls(Flow.from_config(config.pop("dist")), **config)


def _assertion(error: tf.errors.InvalidArgumentError) -> str | None:
    """Returns the sentence of a failed check of `tfp_realnvp.checks`, or None."""
    found = re.search(r"(images must hold|labels must be) integers from 0 to \d+\.", str(error))
    return found.group() if found else None


def _first_examples(source: Any, count: int, *, part: int = 0) -> np.ndarray | None:
    """Returns at least `count` examples where there are as many: arrays whole, else batches.

    Args:
        source: data as `fit` takes them.
        count: how many examples.
        part: 0 for the examples, 1 for their labels.
    """
    if isinstance(source, tuple | list) and source:
        if part >= len(source):
            return None
        source = source[part]
    elif part and not isinstance(source, tf.data.Dataset):
        return None
    if isinstance(source, np.ndarray) or tf.is_tensor(source):
        return np.asarray(source)
    if isinstance(source, tf.data.Dataset):
        batches = []
        for batch in source:
            parts = batch if isinstance(batch, tuple) else (batch,)
            if part >= len(parts):
                return None
            batches.append(np.asarray(parts[part]))
            if sum(len(b) for b in batches) >= count:
                break
        return np.concatenate(batches) if batches else None
    return None
