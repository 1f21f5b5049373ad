"""`FlowModel`: a flow as a Keras model, trained by maximum likelihood with `fit`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.data_checks import (
    asserted_pixels,
    asserted_vectors,
    asserted_weights,
)
from tfp_realnvp.core.replicas import as_keras_takes_them, rows_before, sum_over_replicas
from tfp_realnvp.core.row_checks import condition_for_rows, labels_of_rows, spread_over_rows
from tfp_realnvp.execution import device
from tfp_realnvp.execution.choice import plan_for_training, plan_for_values
from tfp_realnvp.execution.plan import Plan
from tfp_realnvp.execution.rows import map_rows, sum_over_rows
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels.adam import Adam
from tfp_realnvp.training.coarse import checked_coarse, coarser
from tfp_realnvp.training.fit_data import batch_of
from tfp_realnvp.training.fitting import Fitting
from tfp_realnvp.training.step_logs import StepLogs, checked_logs
from tfp_realnvp.uses.likelihood import nats_per_unit


@keras.saving.register_keras_serializable("tfp_realnvp")
class FlowModel(Fitting):
    """A Keras model around a flow: the same variables, trained by `fit`.

    The loss is the mean negative log-likelihood, in bits per dimension for images and in nats for
    vectors. The noise of a training step is a function of (`seed`, step); that of validation is
    a fixed function of each image, so that two evaluations of the same weights agree.

    Batches are `x`, `(x, labels)`, `(x, labels, sample_weight)`, or dictionaries as TensorFlow
    Datasets give them (see `fit_data.KEYS`). Labels are used by class-conditional flows, and for
    class weights; sample weights make every mean, of the loss and of the likelihood, a weighted
    one. A flow with a condition takes it in the labels' place, or, with labels or without,
    `{"labels": ..., "condition": ...}` there. `fit` takes arrays, pandas and polars frames,
    `tf.data.Dataset`s, `keras.utils.PyDataset`s and generators.

    Args:
        dist: a flow; its variables become the model's.
        encoder: a Keras model that makes the flow's condition of raw observations, which batches
            have in its place; trained along. The model's `dist` is then `dist.with_encoder(...)`,
            which is given observations as `condition`; it is what is saved, and loaded again. The
            flow itself shares its variables and goes on taking conditions.
        seed: seed of the noise in training, of 32 bits.
        **kwargs: see `keras.Model`.

    Raises:
        TypeError: something else than a flow, or than a Keras model to encode with.
        ValueError: another seed, or an encoder that does not fit the flow.

    Example:
        >>> import tfp_realnvp as nvp
        >>> images, _ = nvp.datasets.load_arrays("digits")
        >>> model = nvp.FlowModel(nvp.flows.build("uva_simple", (8, 8, 1), levels=17))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(images[:64], epochs=1, verbose=0)
        >>> sorted(history.history)
        ['bits_per_dim', 'loss']
    """

    def __init__(
        self, dist: Flow, *, encoder: keras.Model | None = None, seed: int = 0, **kwargs: Any
    ):
        arguments.instance("FlowModel", "dist", dist, Flow)
        if encoder is not None:
            dist = dist.with_encoder(encoder)
        limits = {"least": tf.int32.min, "most": tf.int32.max}
        arguments.whole("FlowModel", "seed", seed, **limits)
        # The flow's dtypes are its own, whatever Keras' global policy.
        super().__init__(dtype=dist.dtype.name, autocast=False, **kwargs)
        self.dist = dist
        self.seed = seed
        self.plan = Plan()
        self.coarse: tuple[float, ...] = ()
        self.logs = StepLogs(dist)
        self._asked: dict[str, Any] = {}
        self.flow_layers = list(dist.keras_layers)
        self.unit = "nats" if dist.levels is None else "bits_per_dim"
        self._likelihood_tracker = keras.metrics.Mean(name=self.unit)
        # Counts the noise draws of training; the optimizer's own count stands still while it
        # accumulates gradients.
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.built = True

    @property
    def encoder(self) -> keras.Model | None:
        """What makes the condition of observations, or None."""
        return self.dist.encoder

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Keras' own, and what `compile` was asked to log."""
        return [*super().metrics, *self.logs.metrics]

    def compile(
        self,
        optimizer: Any = "adam",
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        *,
        jit_compile: Any = "auto",
        shards: int | None = None,
        microbatch: int | None = None,
        coarse: Sequence[float] = (),
        log: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: a Keras optimizer or its name; `"adam"` is `nvp.Adam`.
            loss: None: it is the negative log-likelihood.
            loss_weights: None, likewise.
            metrics: None: the loss and the likelihood are reported.
            weighted_metrics: None, likewise.
            jit_compile: whether to compile the step with XLA. `"auto"`: where there is a GPU. On
                the CPU TensorFlow's own convolutions are faster: where `nvp.use_shards` has been
                called, what lies between those of a gated network is compiled alone.
            shards: in how many shards, side by side, a batch is worked on; None for those of
                `nvp.use_shards`. Gradients are those of the whole batch.
            microbatch: how many rows of a batch a step works on at a time, at most; None for all.
                Gradients are those of the whole batch, memory that of a part.
            coarse: weights `w_1, w_2, ...` of a loss at several resolutions, of flows of images:
                `-log P(y) - sum_k w_k log P(y_k)`, where `y_k` is the image with each block of
                `2^k x 2^k` pixels in the place of which stands its mean, rounded. Likelihoods that
                are reported, and validation, are of the images alone.
            log: what is reported beside the likelihood: `"terms"`, its terms, in its unit (see
                `uses.terms`), and `"gradient_noise"`, the norm of the gradients before they are
                clipped and their noise scale in rows (arXiv:1812.06162), between the parts of a
                batch: two at least, so that it takes two shards by itself.
            **kwargs: see `keras.Model.compile`.

        Raises:
            ValueError: a loss or metrics; shards, a microbatch, coarse images or the noise of
                gradients, and the flow normalizes by statistics of whole batches; coarse images of
                vectors; an unknown log; the noise of gradients on several replicas.
        """
        refused = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics}
        refused["weighted_metrics"] = weighted_metrics
        for name, value in refused.items():
            if value:
                raise ValueError(
                    "A flow's loss is its negative log-likelihood, which it reports by itself: "
                    f"compile takes no {name}, got {value!r}."
                )
        log, coarse = checked_logs("A model", log), checked_coarse(self.dist, coarse)
        logs = StepLogs(self.dist, log)
        if logs.has_noise:
            replicas = self.distribute_strategy.num_replicas_in_sync
            if replicas > 1:
                raise ValueError(f"Gradient noise is measured on one replica, got {replicas}.")
            shards = max(2, device.shards_in_use() if shards is None else shards)
        by_xla = device.has_gpu() if jit_compile == "auto" else bool(jit_compile)
        self.plan = plan_for_training(
            self.dist, shards=shards, microbatch=microbatch, whole=by_xla or jit_compile is False
        )
        self._asked = {
            "jit_compile": jit_compile,
            "shards": self.plan.parts,
            "microbatch": self.plan.rows_at_once,
            "coarse": coarse,
            "log": log,
        }
        self.coarse, self.logs = coarse, logs
        if isinstance(optimizer, str) and optimizer.lower() == "adam":
            optimizer = Adam()
        super().compile(optimizer=optimizer, jit_compile=by_xla, **kwargs)
        # Variables made inside the step would have it traced twice, with a branch for each.
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was given, serializable by Keras."""
        config = super().get_compile_config()
        return {**config, **self._asked} if config else config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def call(
        self, x: Any, labels: Any = None, training: bool = False, condition: Any = None
    ) -> tf.Tensor:
        """Returns log-probabilities in nats `[N]`, with each example's own fixed noise."""
        noise = "fresh" if training else "per_example"
        context = Context(labels=labels, condition=condition, training=training, noise=noise)
        return self.dist.log_prob_in(x, context)

    def export(self, filepath: str | os.PathLike[str], **options: Any) -> Path:
        """Writes a SavedModel with the signatures of `nvp.export`, which has the options."""
        from tfp_realnvp.serving.saved_model import export

        return export(self.dist, filepath, **options)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one optimizer step on the mean negative log-likelihood."""
        x, given, weights = self._unpack(data)
        seed = tf.stack([tf.constant(self.seed, tf.int32), self.step.value])
        first_row = rows_before(tf.shape(x)[0])
        context = Context(seed=seed, first_row=first_row, training=True, **given)
        dtype, variables, shares = self.dist.dtype, self.trainable_variables, self._shares(weights)
        loss, figures, *gradients = sum_over_rows(
            self._gradients,
            [x],
            shares,
            context,
            self.plan,
            like=[tf.zeros([], dtype), tf.zeros([self.logs.size], dtype), *variables],
        )
        self.logs.track_gradients(gradients, figures, shares)
        if variables:
            self._update(gradients, variables, loss)
        self.step.assign_add(1)
        return self._track(loss, figures, weights)

    def _update(self, gradients, variables, loss):
        """Takes the step, unless the loss is not finite: it is reported, and spoils no weights."""

        def apply() -> None:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

        # Replicas meet in the update, which TensorFlow does not let them do under a condition.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        optimizer = self.optimizer
        clips = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
        if replicas > 1 and clips:
            # Keras clips what each replica has, and adds up then: it gets equal parts of the whole
            # gradients, which are clipped already. So they are added up twice.
            pairs = zip(gradients, variables, strict=True)
            gradients, variables = zip(*(p for p in pairs if p[0] is not None), strict=True)
            whole = optimizer._clip_gradients([sum_over_replicas(g) for g in gradients])
            gradients = [gradient / replicas for gradient in whole]
        if replicas > 1:
            apply()
        else:
            tf.cond(tf.math.is_finite(loss), apply, lambda: None)

    def _gradients(self, x, shares, context):
        """Returns the loss, what `StepLogs` gathers, and the loss's gradients, of some rows.

        Args:
            x: rows.
            shares: of the rows in the mean over the whole batch.
            context: of the rows.
        """
        with tf.GradientTape() as tape:
            log_probs = self.logs.log_probs(x, context)
            weighted = tf.reduce_sum(log_probs, -1)
            for weight, images in coarser(x, self.coarse, dtype=self.dist.dtype):
                weighted += weight * self.dist.log_prob_in(images, context)
            loss = self._loss(weighted, shares)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled,
            self.trainable_variables,
            # Sums need a gradient of every part.
            unconnected_gradients="zero" if self.plan.divides else "none",
        )
        return loss, self.logs.figures(log_probs, shares, gradients), *gradients

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates a batch, with each example's own fixed noise."""
        x, given, weights = self._unpack(data)
        context = Context(noise="per_example", seed=(self.seed, -1), **given)
        plan = Plan() if self.jit_compile else plan_for_values(self.dist)
        plan = dataclasses.replace(plan, kernels=self.plan.kernels)
        log_probs = map_rows(self.logs.log_probs, [x], context, plan, dtype=self.dist.dtype)
        shares = self._shares(weights)
        loss = self._loss(tf.reduce_sum(log_probs, -1), shares)
        results = self._track(loss, self.logs.means(log_probs, shares), weights)
        untouched = {metric.name for metric in self.logs.of_training}
        return {name: value for name, value in results.items() if name not in untouched}

    def predict_step(self, data: Any) -> tf.Tensor:
        """Returns the log-probabilities of a batch, in nats."""
        x, given, _ = self._unpack(data)
        return self(x, **given)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the mean negative log-likelihood plus the layers' own losses.

        Under a distribution strategy it is the replica's share of that: those of all replicas add
        up to it, as their gradients do.

        Args:
            x: unused.
            y: unused.
            y_pred: log-probabilities in nats `[N]`.
            sample_weight: `[N]`, or None for all alike.
            training: unused.
        """
        weights = tf.ones_like(y_pred) if sample_weight is None else sample_weight
        return self._loss(y_pred, self._shares(weights))

    def _shares(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns the weights of a batch's rows, those of all replicas together adding up to 1."""
        return tf.math.divide_no_nan(weights, sum_over_replicas(tf.reduce_sum(weights)))

    def _loss(self, log_prob, shares):
        loss = -tf.reduce_sum(log_prob * shares) / nats_per_unit(self.dist)
        if self.losses:
            # What belongs to the whole batch, such as a penalty, belongs to its rows by shares.
            own = tf.add_n(self.losses) * tf.cast(tf.reduce_sum(shares), self.losses[0].dtype)
            loss += tf.cast(own, loss.dtype)
        return loss

    def _track(self, loss, figures, weights):
        # Keras adds up what replicas count: each counts the whole batch's mean for its own rows.
        own = tf.reduce_sum(weights)
        likelihood = self.logs.track(sum_over_replicas(figures), own)
        self._loss_tracker.update_state(sum_over_replicas(loss), sample_weight=own)
        self._likelihood_tracker.update_state(likelihood, sample_weight=own)
        return as_keras_takes_them(self.get_metrics_result())

    def _unpack(self, data):
        """Returns a batch that the graph has checked, with a weight for each row."""
        dist, shape = self.dist, self.dist.condition_shape
        batch = self._used(batch_of(data, second=self._second))
        x, labels, weights, condition = batch.each(tf.convert_to_tensor)
        count = tf.shape(x)[0]
        self._require_given(batch)
        if labels is not None:
            labels = labels_of_rows(labels, tf.shape(x)[:1], name=dist.name)
        if shape is not None:
            rows = tf.shape(x)[:1]
            condition = condition_for_rows(condition, shape, rows, dtype=dist.dtype, name=dist.name)
            condition = asserted_vectors(condition, dist.dtype, "the condition")
            condition = spread_over_rows(condition, condition.shape.rank - len(shape), rows)
        if dist.levels is None:
            x = asserted_vectors(x, dist.dtype)
        else:
            x = asserted_pixels(x, dist.levels)
        if weights is None:
            weights = tf.ones([count], dist.dtype)
        else:
            weights = asserted_weights(weights, count, dist.dtype)
        return x, {"labels": labels, "condition": condition}, weights

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serializable by Keras."""
        return {"dist": self.dist.get_config(), "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FlowModel:
        """Makes a model of equal architecture, with fresh initial values."""
        config = dict(config)
        return cls(Flow.from_config(config.pop("dist")), **config)
