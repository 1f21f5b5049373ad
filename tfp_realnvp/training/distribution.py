"""Training on several devices or machines: who takes which rows, and what cannot be had there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.training.run_config import RunConfig


def distributed(
    strategy: tf.distribute.Strategy,
    make: Callable[[tuple[int, int]], tf.data.Dataset],
    *,
    repeat: bool = False,
) -> Any:
    """Returns batches of which each replica takes its own rows.

    Args:
        strategy: of the replicas.
        make: gives what the i-th of n replicas takes, of `(i, n)`; see `datasets.batches`.
        repeat: whether replicas begin again at its end, where Keras counts the steps: it does not
            start a data set of several anew.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return make((0, 1))

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = count // context.num_input_pipelines
        first = own * context.input_pipeline_id
        parts = [make((first + i, count)).repeat(None if repeat else 1) for i in range(own)]
        # Its replicas take batches in turn.
        return tf.data.Dataset.choose_from_datasets(parts, tf.data.Dataset.range(own).repeat())

    return strategy.distribute_datasets_from_function(of_worker)


def check(config: RunConfig, count: int) -> None:
    """Checks that a run can be shared by replicas.

    Args:
        config: of the run.
        count: of the replicas.

    Raises:
        ValueError: it cannot.
    """
    if count == 1:
        return
    if config.jit == "on":
        raise ValueError(
            "A step that XLA compiles whole cannot be shared by several devices in TensorFlow: "
            "leave --jit at auto, or take --devices one."
        )
    if config.ema:
        raise ValueError(
            "Keras does not keep averaged weights right on several devices: leave --ema at 0, or "
            "take --devices one."
        )
    if config.batch_size < count:
        raise ValueError(
            f"A batch is shared by {count} devices, each of which needs a row: give a batch_size "
            f"of {count} or more, got {config.batch_size}."
        )


def number_of_chief(strategy: tf.distribute.Strategy) -> Callable[[float], float] | None:
    """Returns what gives all workers the chief's number of theirs; None where there is one process.

    All have to call it after the same step.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None

    def first(value: tf.Tensor) -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(value[None], axis=0)[0]

    gather = tf.function(
        lambda value: strategy.experimental_local_results(strategy.run(first, (value,)))[0]
    )
    return lambda value: float(gather(tf.constant(value, tf.float64)))
