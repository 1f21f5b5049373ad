"""A batch in shards that the CPU's cores work on side by side.

A convolution on small images does not fill several cores. Shards of the batch on a core each do:
each of TensorFlow's operations then runs on its share of the cores, and the shards run at once.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.conditioners.keras_layers import normalizes_batches
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.flow import Flow
from tfp_realnvp.flows.registry import is_sharded

_shards = 1


def use_shards(count: int) -> None:
    """Has this process work on `count` shards of a batch at once, each on its share of the cores.

    It sets TensorFlow's threads, and the default of `FlowModel.compile`; `encode`, `decode`,
    `sample` and `bits_per_dim` work on chunks of their images, each on its share of the cores.
    XLA's programs on the CPU stay in the thread that starts them, by the environment's `XLA_FLAGS`.
    Call it before TensorFlow's first operation, with no more shards than cores.

    Args:
        count: number of shards; the number of cores is a good one.

    Raises:
        ValueError: no positive whole number.
        RuntimeError: TensorFlow has started already.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.use_shards(2)  # doctest: +SKIP
    """
    global _shards
    arguments.whole("use_shards", "count", count)
    threads = max(1, (os.cpu_count() or 1) // count)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise RuntimeError(
            "TensorFlow has started: shards are chosen before its first operation."
        ) from error
    _shards = count
    _run_xla_in_its_callers_thread()


def _run_xla_in_its_callers_thread() -> None:
    """Has XLA's programs on the CPU stay in the shard that starts them.

    Otherwise those of all shards wait for one pool of threads. XLA reads its flags once, at its
    first use, which is after TensorFlow's start.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()


def best_shards(flow: str) -> int:
    """Returns how many shards a named flow trains with best here, and has this process use them.

    As many as there are cores, for flows that gain by it (see `flows.register`), where TensorFlow
    finds no GPU and has not started; 1 otherwise.
    """
    cores = os.cpu_count() or 1
    if cores > 1 and is_sharded(flow) and not tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):
            use_shards(cores)
            return cores
    return 1


def shards_in_use() -> int:
    """Returns how many shards this process works on at once; see `use_shards`."""
    return _shards


def gains_by_xla(dist: Flow) -> bool:
    """Returns whether XLA between the convolutions of a flow is faster here than TensorFlow.

    It is between bfloat16 gated convolutions, on a CPU, where every program stays in its shard's
    thread; see `kernels.gates_by_xla`.
    """
    if shards_in_use() == 1 or tf.config.list_logical_devices("GPU"):
        return False
    return has_bfloat16_convolutions(dist)


def has_bfloat16_convolutions(dist: Flow) -> bool:
    """Returns whether a flow has what `kernels.gates_by_xla` has programs for."""
    return any(
        isinstance(layer, GatedConv) and layer.compute_dtype == "bfloat16"
        for layer in dist.keras_layers
    )


def check_shards(dist: Flow, count: int) -> None:
    """Checks that the batches of a flow may be trained on in shards.

    Raises:
        ValueError: the flow has statistics of whole batches, or the count is no positive number.
    """
    arguments.whole(dist.name, "shards", count)
    if count > 1:
        check_rows_are_apart(dist, f"1 shard, got {count}")


def check_rows_are_apart(dist: Flow, takes: str) -> None:
    """Checks that what a flow makes of a row in training does not depend on the rows beside it.

    Args:
        dist: a flow.
        takes: what the flow takes otherwise, and what it got, for the error.

    Raises:
        ValueError: the flow has statistics of whole batches.
    """
    if dist.bijector.running_moments or any(map(normalizes_batches, dist.keras_layers)):
        raise ValueError(
            f"{dist.name} normalizes by the statistics of whole batches: it takes {takes}."
        )


def log_prob_in_shards(dist: Flow, y: Any, context: Context, *, shards: int) -> tf.Tensor:
    """Returns `dist.log_prob_in(y, context)`, computed in shards of the batch.

    The value is the same where the noise is each example's own; fresh noise is drawn shard by
    shard.

    Args:
        dist: a flow.
        y: a batch `[N, *event]`.
        context: the per-call context; its labels are `[N]`.
        shards: number of shards.

    Returns:
        Log-probabilities in nats, `[N]`.
    """
    if shards == 1:
        return dist.log_prob_in(y, context)
    y = tf.convert_to_tensor(y)
    count = tf.shape(y)[0]
    # No shard is empty: a batch of fewer rows repeats its first, and the result leaves it out.
    rows = tf.range(tf.maximum(count, shards))
    rows = tf.where(rows < count, rows, 0)
    total = tf.shape(rows)[0]
    log_probs = []
    for k in range(shards):
        part = rows[total * k // shards : total * (k + 1) // shards]
        own = context
        if context.noise == "fresh" and context.seed is not None:
            own = own.replace(seed=context.fold_in(f"shard {k}"))
        if context.labels is not None:
            own = own.replace(labels=tf.gather(context.labels, part))
        log_probs.append(dist.log_prob_in(tf.gather(y, part), own))
    return tf.concat(log_probs, 0)[:count]
