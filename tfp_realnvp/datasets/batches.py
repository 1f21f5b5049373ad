"""Batches whose content is a function of the seed and the step, so that a run can resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_realnvp.core.stored import Rows, gather, in_graph
from tfp_realnvp.datasets.base import DatasetError, check_integer

if TYPE_CHECKING:
    import tensorflow as tf

# Keeps the draws for flips apart from others made with the same seed.
_FLIP_STREAM = 0x666C6970


def batches(
    x: Rows,
    labels: np.ndarray | None = None,
    condition: np.ndarray | None = None,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_steps: int | None = None,
    shuffle: bool = True,
    drop_remainder: bool = True,
    flip: bool = False,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Cuts arrays into batches that depend on `(seed, step)` alone.

    An epoch has `N // batch_size` steps (rounded up without `drop_remainder`), and its order
    is a permutation drawn from `(seed, step // steps_per_epoch)`. A stream that starts at
    step k gives what an unbroken one gives from step k on.

    Args:
        x: Examples [N, ...]; they keep their type. Of `StoredRows`, those of a batch are read
            when its turn comes.
        labels: Labels [N], or None.
        condition: What each example is given with, [N, ...], or None.
        batch_size: Examples in a batch.
        seed: Any integer.
        start_step: Step of the first batch, counted from the beginning of the run.
        num_steps: Number of batches. None: without end if shuffled, else to the end of the
            epoch that `start_step` lies in.
        shuffle: Draw a new order for every epoch; False keeps the order of `x`.
        drop_remainder: Leave out an epoch's last batch if it is smaller than the others.
        flip: Mirror each image left to right with probability 1/2, and with it a condition of
            each of its pixels.
        part: `(i, n)`: what the i-th of n workers takes of each batch, of which each has a run of
            rows, and the first ones one more where they cannot be shared equally.

    Returns:
        A dataset of x [B, ...] or (x [B, ...], labels [B]); with conditions of
        (x, {"condition": ..., "labels": ...}), the latter if there are any.

    Raises:
        DatasetError: The sizes do not fit together, or `flip` is asked for of vectors.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp import datasets
        >>> x = np.arange(6)[:, None]
        >>> first = datasets.batches(x, batch_size=2, seed=0, num_steps=5)
        >>> later = datasets.batches(x, batch_size=2, seed=0, num_steps=2, start_step=3)
        >>> expected = [batch.tolist() for batch in first.as_numpy_iterator()][3:]
        >>> [batch.tolist() for batch in later.as_numpy_iterator()] == expected
        True
    """
    import tensorflow as tf

    check_integer(batch_size, "batch_size")
    check_integer(seed, "seed")
    check_integer(start_step, "start_step")
    if num_steps is not None:
        check_integer(num_steps, "num_steps")
    own, parts = part
    if not 0 <= own < parts:
        raise DatasetError(f"part must be (i, n) with 0 <= i < n; got {part}.")
    if batch_size < 1 or start_step < 0 or (num_steps is not None and num_steps < 0):
        raise DatasetError(
            f"Batches need batch_size >= 1, start_step >= 0 and num_steps >= 0; got {batch_size}, "
            f"{start_step} and {num_steps}."
        )
    if labels is not None and len(labels) != len(x):
        raise DatasetError(f"There are {len(labels)} labels for {len(x)} examples.")
    if condition is not None and len(condition) != len(x):
        raise DatasetError(f"There are {len(condition)} conditions for {len(x)} examples.")
    if flip and x.ndim != 4:
        raise DatasetError(
            f"Only images [N, H, W, C] can be flipped; these examples have shape {list(x.shape)}."
        )
    count = len(x)
    steps_per_epoch = count // batch_size if drop_remainder else -(-count // batch_size)
    if not steps_per_epoch:
        raise DatasetError(
            f"Batches of {batch_size} cannot be made of {count} examples: not one is full."
        )
    with tf.device("CPU"):
        source = tf.nest.map_structure(in_graph, as_elements(x, labels, condition))
    key = seed % 2**63

    def batch(step: tf.Tensor) -> Any:
        epoch, place = step // steps_per_epoch, step % steps_per_epoch
        start = place * batch_size
        stop = tf.minimum(start + batch_size, count)
        first, last = (start + (stop - start) * k // parts for k in (own, own + 1))
        rows = tf.range(first, last)
        if drop_remainder:
            share = batch_size * (own + 1) // parts - batch_size * own // parts
            rows = tf.ensure_shape(rows, [share])
        if shuffle:
            rows = tf.random.experimental.index_shuffle(
                rows, seed=tf.stack([key, epoch]), max_index=tf.constant(count - 1, tf.int64)
            )

        def chosen(values: Any) -> tf.Tensor:
            values = gather(values, rows)
            if flip and len(values.shape) == 4:  # alike for an image and its condition
                heads = _heads(stop - start, seed=tf.stack([key ^ _FLIP_STREAM, step]))
                heads = heads[first - start : last - start, None, None, None]
                values = tf.where(heads, tf.reverse(values, axis=[2]), values)
            return values

        return tf.nest.map_structure(chosen, source)

    endless = num_steps is None and shuffle
    if num_steps is None:
        epoch_end = (start_step // steps_per_epoch + 1) * steps_per_epoch
        stop = 2**63 - 1 if endless else epoch_end
    else:
        stop = start_step + num_steps
    dataset = tf.data.Dataset.range(start_step, stop)
    dataset = dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if endless:
        # Keras counts the steps of an epoch itself when it is told that there is no end.
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )
    options = tf.data.Options()
    options.deterministic = True
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def as_elements(x: Any, labels: Any, condition: Any) -> Any:
    """Examples with what belongs to them, in the form that Keras takes."""
    if condition is not None:
        return x, {"condition": condition} | ({} if labels is None else {"labels": labels})
    return x if labels is None else (x, labels)


def _heads(count: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    # Named, for "auto_select" may draw other numbers on other devices.
    return tf.random.stateless_uniform([count], seed=seed, alg="philox") < 0.5
