"""`fit`, `evaluate` and `predict` of all kinds of data: looked at first, errors in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core.data_checks import (
    check_data,
    check_labels,
    check_weights,
    condition_of_examples,
    failed_check,
)
from tfp_realnvp.flow import Flow
from tfp_realnvp.training.fit_data import (
    Batch,
    arrays_of,
    as_tuples,
    batches_of,
    looked_into,
    split_off,
)

# How many examples data-dependent initialization looks at: vectors at least, images at most.
INITIALIZATION_VECTORS = 4096
INITIALIZATION_IMAGES = 256


class Fitting(keras.Model):
    """The part of `FlowModel` that meets data before Keras does."""

    dist: Flow

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *args: Any,
        validation_split: float = 0.0,
        validation_data: Any = None,
        validation_batch_size: int | None = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Trains; see `keras.Model.fit`.

        The first batch of training and validation data is looked at before training starts (all
        of it, where it is in memory), and what depends on data is initialized by the first
        examples of the training data. Later batches are checked as they come, except by steps
        that XLA compiles. A `tf.distribute.DistributedDataset` is taken as it is: `start_from` is
        for what can be looked at.

        Raises:
            ValueError: bad data, or none.
        """
        validation_batch_size = validation_batch_size or batch_size
        first = arrays_of(x, y, sample_weight, second=self._second)
        if first is not None:
            self._check(first)
            if validation_split and validation_data is None:
                first, validation_data = split_off(first, validation_split)
            x = batches_of(first, batch_size=batch_size, shuffle=shuffle, class_weight=class_weight)
            if kwargs.get("steps_per_epoch") is None:
                kwargs["steps_per_epoch"] = len(x)
            # One iterator for all epochs: TensorFlow copies all graphs for each, and takes seconds
            # to drop the copies.
            x = x.repeat()
            y = sample_weight = class_weight = batch_size = None
            validation_split = 0.0
        elif not _is_distributed(x):
            x = as_tuples(x) if class_weight is not None else x
            first, x = self._looked_into(x)
        if first is not None:
            self._initialize(first)
        validation_data = self._held_out(validation_data, validation_batch_size)
        with _clear_errors("Training has stopped before this batch."):
            return super().fit(
                x,
                y,
                batch_size,
                *args,
                validation_split=validation_split,
                validation_data=validation_data,
                validation_batch_size=validation_batch_size,
                # Keras would warn that it cannot shuffle, or that it need not.
                shuffle=shuffle and isinstance(x, keras.utils.PyDataset),
                class_weight=class_weight,
                sample_weight=sample_weight,
                **kwargs,
            )

    def start_from(self, source: Any) -> None:
        """Initializes what depends on data, as `fit` does, by the first batches of a data set.

        Raises:
            ValueError: bad data, or none.
        """
        self._initialize(self._looked_into(source)[0])

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *args: Any,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluates; see `keras.Model.evaluate`, and `fit` for the data.

        Raises:
            ValueError: bad data, or none.
        """
        arrays = arrays_of(x, y, sample_weight, second=self._second)
        if arrays is not None:
            self._check(arrays)
            x = batches_of(arrays, batch_size=batch_size, shuffle=False)
            y = sample_weight = batch_size = None
        with _clear_errors("Evaluation has stopped at this batch."):
            return super().evaluate(x, y, batch_size, *args, sample_weight=sample_weight, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Returns log-probabilities in nats `[N]`; see `keras.Model.predict`, and `fit` for `x`.

        Raises:
            ValueError: bad data.
        """
        arrays = arrays_of(x, second=self._second)
        if arrays is not None:
            self._check(arrays)
            x, batch_size = batches_of(arrays, batch_size=batch_size, shuffle=False), None
        with _clear_errors("Prediction has stopped at this batch."):
            return super().predict(x, batch_size, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes a step on one batch; see `keras.Model.train_on_batch`.

        Raises:
            ValueError: bad data.
        """
        with _clear_errors("No step was taken."):
            return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch; see `keras.Model.test_on_batch`.

        Raises:
            ValueError: bad data.
        """
        with _clear_errors("The batch was not evaluated."):
            return super().test_on_batch(x, *args, **kwargs)

    def _looked_into(self, source: Any) -> tuple[Batch, Any]:
        count = self._examples_to_start_from()
        return looked_into(source, count, check=self._check, second=self._second)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing: a flow is built. Keras would take the mean of workers' images for it."""

    @property
    def _second(self) -> str:
        """What stands by itself behind the examples of a batch."""
        only_condition = self.dist.condition_shape is not None and self.dist.num_classes is None
        return "condition" if only_condition else "labels"

    def _examples_to_start_from(self) -> int:
        if not self.dist.bijector.needs_data:
            return 1
        return INITIALIZATION_VECTORS if self.dist.levels is None else INITIALIZATION_IMAGES

    def _initialize(self, first: Batch) -> None:
        if not self.dist.bijector.needs_data:
            return
        # Vectors are few bytes: all that there are.
        rows = slice(None if self.dist.levels is None else INITIALIZATION_IMAGES)
        own = self._used(first).each(lambda part: part[rows])
        with self.distribute_strategy.scope():
            self.dist.initialize(own.x, own.labels, own.condition)

    def _require_given(self, batch: Batch) -> None:
        """Checks that a batch has all that the flow is conditional on.

        Raises:
            ValueError: it has not.
        """
        classes, condition = self.dist.num_classes is not None, bool(self.dist.condition_shape)
        lacks_labels = classes and batch.labels is None
        if not lacks_labels and not (condition and batch.condition is None):
            return
        what, form = "classes", "labels"
        if condition:
            what, form = "a condition", "condition"
        if condition and classes:
            what, form = "classes and a condition", "{'labels': ..., 'condition': ...}"
        raise ValueError(f"{self.dist.name} is conditional on {what}: batches must be (x, {form}).")

    def _used(self, batch: Batch) -> Batch:
        """Returns a batch without labels or a condition that the flow does not see."""
        if self.dist.num_classes is None:
            batch = batch._replace(labels=None)
        return batch if self.dist.condition_shape else batch._replace(condition=None)

    def _held_out(self, data: Any, batch_size: int | None) -> Any:
        """Returns validation data, looked at, as batches."""
        if data is None or _is_distributed(data):
            return data
        arrays = arrays_of(data, second=self._second)
        if arrays is not None:
            self._check(arrays)
            return batches_of(arrays, batch_size=batch_size, shuffle=False)
        return looked_into(data, 1, check=self._check, second=self._second)[1]

    def _check(self, batch: Batch) -> None:
        dist, count = self.dist, len(batch.x)
        check_data(batch.x, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
        if not count:
            raise ValueError(f"{dist.name} needs at least one example, got none.")
        self._require_given(batch)
        used = self._used(batch)
        check_labels(used.labels, dist.num_classes, count, name=dist.name)
        condition_of_examples(used.condition, dist.condition_shape, count, name=dist.name)
        if batch.weights is not None:
            check_weights(batch.weights, count)


def _is_distributed(data: Any) -> bool:
    return isinstance(data, tf.distribute.DistributedDataset)


@contextlib.contextmanager
def _clear_errors(consequence: str) -> Iterator[None]:
    """Says what a check in a graph found, in one sentence and what follows from it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        sentence = failed_check(error)
        if sentence is None:
            raise
        raise ValueError(f"{sentence} {consequence}") from error
