"""The device that a process runs on: what it has, and how the process is set up for it.

With `choice`, the only place that asks about cores, GPUs and bfloat16.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.flows.registry import is_sharded

CPU_INFO = Path("/proc/cpuinfo")
# CPU flags of bfloat16 arithmetic. Without them it is emulated, and slower than float32.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
DEVICES = ("auto", "all", "one")
# Has XLA's programs on the CPU stay in the thread that starts them.
_XLA_IN_ITS_CALLERS_THREAD = "--xla_cpu_multi_thread_eigen=false"


def cores() -> int:
    """Returns the number of the CPU's cores."""
    return os.cpu_count() or 1


def has_gpu() -> bool:
    """Returns whether TensorFlow finds a GPU; does not start TensorFlow."""
    return bool(tf.config.list_physical_devices("GPU"))


def replicas(devices: str = "auto") -> tf.distribute.Strategy:
    """Returns the strategy by which a model is trained on several devices of this machine.

    Args:
        devices: `"all"`: a replica on each GPU, or on each logical CPU where there is no GPU;
            `"auto"`: the same where there are several GPUs; `"one"`: none but the default device.

    Raises:
        ValueError: another word.
    """
    if devices not in DEVICES:
        raise ValueError(f"devices is {', '.join(DEVICES)}, got {devices!r}.")
    gpus = tf.config.list_logical_devices("GPU")
    if devices == "all" or (devices == "auto" and len(gpus) > 1):
        own = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in own])
    return tf.distribute.get_strategy()


def use_shards(count: int) -> None:
    """Has this process work on `count` shards of a batch at once, each on its share of the cores.

    A convolution on small images does not fill several cores. Shards of the batch on a core each
    do: each of TensorFlow's operations then runs on its share of the cores, and the shards run at
    once.

    It sets TensorFlow's threads, and the default of `FlowModel.compile`. XLA's programs on the CPU
    stay in the thread that starts them, by the environment's `XLA_FLAGS`. Call it before
    TensorFlow's first operation, with no more shards than cores.

    Args:
        count: number of shards; the number of cores is a good one.

    Raises:
        ValueError: no positive whole number.
        RuntimeError: TensorFlow has started already.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.use_shards(2)  # doctest: +SKIP
    """
    arguments.whole("use_shards", "count", count)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores() // count))
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise RuntimeError(
            "TensorFlow has started: shards are chosen before its first operation."
        ) from error
    # Otherwise those of all shards wait for one pool of threads. XLA reads its flags once, at its
    # first use, which is after TensorFlow's start.
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_XLA_IN_ITS_CALLERS_THREAD}".strip()


def use_best_shards(flow: str) -> int:
    """Has this process use the shards that a named flow trains with best here; returns how many.

    As many as there are cores, for flows that gain by it (see `flows.register`), where TensorFlow
    finds no GPU and has not started; 1 otherwise.
    """
    if cores() > 1 and is_sharded(flow) and not has_gpu():
        with contextlib.suppress(RuntimeError):
            use_shards(cores())
            return cores()
    return 1


def shards_in_use() -> int:
    """Returns how many shards this process was set up for; see `use_shards`."""
    threads = tf.config.threading
    if not threads.get_intra_op_parallelism_threads():
        return 1
    return threads.get_inter_op_parallelism_threads() or 1


def xla_stays_in_its_thread() -> bool:
    """Returns whether XLA's programs on the CPU stay in the thread that starts them."""
    return _XLA_IN_ITS_CALLERS_THREAD in os.environ.get("XLA_FLAGS", "")


def best_precision(cpu_info: Path = CPU_INFO) -> str:
    """Returns `"bfloat16"` where the CPU computes in it and there is no GPU, else `"float32"`.

    It is for the convolutions of images: in the networks of vectors bfloat16 puts log-likelihoods
    off by nats. GPUs get float32, as nothing was measured there.

    Args:
        cpu_info: Linux' description of the processors; where there is none, float32.
    """
    if has_gpu() or not cpu_info.exists():
        return "float32"
    flags = next(
        (
            line.partition(":")[2].split()
            for line in cpu_info.read_text().splitlines()
            if line.startswith("flags")
        ),
        [],
    )
    return "bfloat16" if BFLOAT16_FLAGS & set(flags) else "float32"


def use_full_float32() -> None:
    """Has this process' GPUs compute float32 in full, rather than in TensorFloat-32.

    Where a GPU has it, TensorFlow multiplies matrices and convolves in TensorFloat-32, with 10 bits
    of mantissa: the likelihood of a single image is off by up to 6e-3 bits/dim then. Without effect
    on CPUs.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
