"""What `fit` and its like are given: arrays, frames, data sets, generators; one form of batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.stored import Rows, StoredRows, gather, in_graph

# What a batch that is a dictionary calls its parts, as TensorFlow Datasets or Keras do.
KEYS = {
    "x": ("x", "image", "images"),
    "labels": ("y", "label", "labels"),
    "weights": ("sample_weight",),
    "condition": ("condition",),
}


class Batch(NamedTuple):
    """Examples with what belongs to them.

    Attributes:
        x: `[N, *event]`.
        labels: `[N]`, or None.
        weights: sample weights `[N]`, or None.
        condition: `[N, *condition_shape]`, or None.
    """

    x: Any
    labels: Any = None
    weights: Any = None
    condition: Any = None

    def each(self, change: Callable[[Any], Any]) -> Batch:
        """Returns the parts that there are, changed."""
        return Batch(*(None if part is None else change(part) for part in self))


def batch_of(data: Any, *, second: str = "labels") -> Batch:
    """Returns the parts of `x`, `(x,)`, `(x, given)`, `(x, given, weights)` or a dictionary.

    What is given is the labels, or the condition, or a dictionary of either or both. Dictionaries'
    parts have the names in `KEYS`; what else those of examples hold is left aside.

    Args:
        data: a batch, or all data.
        second: `"labels"` or `"condition"`: what is given by itself.

    Raises:
        ValueError: a longer tuple, or a dictionary without examples, or without what is given.
    """
    x, given, weights = _unpacked(data)
    if given is None and _is_parts(x) and not isinstance(x, Batch):
        x, given, weights = _unpacked(x)
    if isinstance(x, Batch):
        return x
    parts = {"x": x, "weights": weights, second: given}
    if isinstance(given, Mapping):
        parts = {"x": x, "weights": weights, **_named(given, "labels", "condition")}
        if parts["labels"] is None and parts["condition"] is None:
            raise ValueError(
                "What belongs to examples is under 'labels' and 'condition' in a dictionary, got "
                f"the keys {', '.join(map(repr, given))}."
            )
    if isinstance(x, Mapping):
        named = _named(x, *KEYS)
        if named["x"] is None:
            raise ValueError(
                f"A batch that is a dictionary has its examples under {' or '.join(KEYS['x'])}, "
                f"got the keys {', '.join(map(repr, x))}."
            )
        parts = named | {k: v for k, v in parts.items() if v is not None and k != "x"}
    return Batch(**parts)


def arrays_of(
    x: Any, given: Any = None, weights: Any = None, *, second: str = "labels"
) -> Batch | None:
    """Returns data that are in memory as arrays, or None of data sets, generators and the like.

    Args:
        x: an array, a tensor, a pandas or polars frame, nested lists of numbers; or a tuple or a
            dictionary of these as in `batch_of`.
        given: likewise.
        weights: likewise.
        second: see `batch_of`.
    """
    data = (x, given, weights) if weights is not None else (x, given)
    parts = batch_of(data, second=second)
    if parts.x is None or not _is_in_memory(parts.x):
        return None
    return parts.each(_array)


def batches_of(
    arrays: Batch, *, batch_size: int | None, shuffle: bool, class_weight: Any = None
) -> tf.data.Dataset:
    """Returns the batches of an epoch of arrays.

    Args:
        arrays: examples, and what belongs to them.
        batch_size: rows of a batch, at least 1; None for 32.
        shuffle: whether each epoch has an order of its own.
        class_weight: weights of the examples by their label, 1 for labels that it lacks; or None.

    Raises:
        ValueError: labels, conditions or weights that are not one for each example, class weights
            that are no finite numbers of at least 0 or have no labels, or another batch size.
    """
    count = len(arrays.x)
    if batch_size is not None:
        arguments.whole("fit", "batch_size", batch_size)
    for what, part in (
        ("labels", arrays.labels),
        ("conditions", arrays.condition),
        ("sample weights", arrays.weights),
    ):
        if part is not None and np.shape(part)[:1] != (count,):
            raise ValueError(
                f"There must be one of the {what} for each of {count} examples, got shape "
                f"{np.shape(part)}."
            )
    labels, weights = arrays.labels, arrays.weights
    if class_weight is not None:
        if labels is None:
            raise ValueError("class_weight needs labels, got none.")
        for label, weight in class_weight.items():
            arguments.real("class_weight", f"the weight of {label}", weight, least=0)
        by_class = [class_weight.get(int(label), 1.0) for label in np.ravel(labels)]
        weights = np.array(by_class) * (1.0 if weights is None else np.ravel(weights))
    with tf.device("CPU"):
        parts = as_tuple(arrays._replace(weights=weights).each(in_graph))
    rows = tf.data.Dataset.range(count)
    if shuffle:
        rows = rows.shuffle(count)

    def gathered(batch):
        return tf.nest.map_structure(lambda part: gather(part, batch), parts)

    return rows.batch(batch_size or 32).map(gathered).prefetch(tf.data.AUTOTUNE)


def split_off(arrays: Batch, share: float) -> tuple[Batch, Batch]:
    """Cuts the last rows off for validation.

    Raises:
        ValueError: a share that leaves either part without rows.
    """
    count = len(arrays.x)
    kept = int(count * (1 - share))
    if not 0 < kept < count:
        raise ValueError(
            f"validation_split must leave examples for training and validation, got {share} of "
            f"{count} examples."
        )
    return arrays.each(lambda part: part[:kept]), arrays.each(lambda part: part[kept:])


def looked_into(
    source: Any, count: int, *, check: Callable[[Batch], None], second: str = "labels"
) -> tuple[Batch, Any]:
    """Returns the first examples of a source, read once, and the source as if it were not.

    Args:
        source: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator, or what else gives
            batches.
        count: how many examples at least, where there are as many.
        check: looks at each batch.
        second: see `batch_of`.

    Returns:
        The examples, and what to train on.

    Raises:
        TypeError: the source is none.
        ValueError: there are no batches.
    """
    if isinstance(source, str | bytes) or not isinstance(source, Iterable | keras.utils.PyDataset):
        raise TypeError(
            f"Examples come as arrays, frames, data sets or generators, got {source!r}."
        )
    batches: list[Batch] = []
    raw: list[Any] = []
    is_iterator = hasattr(source, "__next__")
    found = 0
    for batch in _iterated(source):
        raw.append(batch)
        batches.append(batch_of(batch, second=second).each(np.asarray))
        check(batches[-1])
        found += len(batches[-1].x)
        if found >= count:
            break
    if is_iterator:
        source = _rechained(raw, iter(source))
    if not batches:
        raise ValueError(f"{type(source).__name__} gives no batches of examples.")
    parts = zip(*batches, strict=True)
    first = [None if part[0] is None else np.concatenate(part) for part in parts]
    return Batch(*first), source


def as_tuple(batch: Batch) -> Any:
    """Returns a batch as Keras has them: `x`, `(x, given)` or `(x, given, weights)`."""
    x, labels, weights, condition = batch
    given = labels
    if condition is not None:
        given = {"condition": condition} | ({} if labels is None else {"labels": labels})
    if weights is not None:
        # What is not given has a place holder.
        return x, tf.zeros(tf.shape(weights)[:1], tf.int32) if given is None else given, weights
    return x if given is None else (x, given)


def as_tuples(source: Any) -> Any:
    """Returns a `tf.data.Dataset` of dictionaries as one of tuples, for Keras' class weights."""
    if isinstance(source, tf.data.Dataset) and isinstance(source.element_spec, Mapping):
        return source.map(lambda batch: as_tuple(batch_of(batch)))
    return source


def _named(parts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: next((parts[k] for k in KEYS[name] if k in parts), None) for name in names}


def _iterated(source: Any) -> Iterator[Any]:
    if isinstance(source, keras.utils.PyDataset):
        numbers = itertools.count() if source.num_batches is None else range(source.num_batches)
        return (source[number] for number in numbers)
    return iter(source)


def _rechained(raw: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    # Keras wants tuples of generators.
    for batch in itertools.chain(raw, rest):
        yield batch if isinstance(batch, tuple) else (batch,)


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, tuple | list) and not 0 < len(data) < 4:
        raise ValueError(
            f"A batch is x, (x, labels) or (x, labels, sample_weight), got {len(data)} parts."
        )
    return keras.utils.unpack_x_y_sample_weight(data)


def _is_parts(x: Any) -> bool:
    # A list of numbers is an array; one of arrays is what Keras makes of a tuple.
    return isinstance(x, tuple) or (isinstance(x, list) and bool(x) and hasattr(x[0], "shape"))


def _is_in_memory(x: Any) -> bool:
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset) or hasattr(x, "__next__"):
        return False
    return isinstance(x, list) or hasattr(x, "__array__") or hasattr(x, "to_numpy")


def _array(part: Any) -> Rows:
    if isinstance(part, StoredRows):
        return part
    if isinstance(part, np.memmap):  # which may be larger than memory
        return StoredRows(part.__getitem__, part.shape, part.dtype)
    if hasattr(part, "to_numpy"):  # a frame, of pandas or polars
        return part.to_numpy()
    return np.asarray(part)
