"""What the replicas of a `tf.distribute` strategy know of each other's shares of a batch."""

from __future__ import annotations

import tensorflow as tf


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a value over all replicas of a distribution strategy.

    Their shares of a batch may differ, and one may have no rows at all.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def as_keras_takes_them(results: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns what a step of Keras returns, which has to have an axis where there are workers.

    Under `MultiWorkerMirroredStrategy` Keras 3 takes the mean of it over the first axis, and
    numbers have none (keras#20585).
    """
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: value[None] for name, value in results.items()}
    return results


def rows_before(count: tf.Tensor) -> tf.Tensor:
    """Returns how many rows of the whole batch come before those of this replica.

    Args:
        count: rows of this replica, int32.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return tf.zeros([], tf.int32)
    counts = replica.all_gather(count[None], axis=0)
    return tf.reduce_sum(counts[: replica.replica_id_in_sync_group])
