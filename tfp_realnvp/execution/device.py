"""Which precision of the conditioners is fast on the device found, and which is exact."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# CPU flags of bfloat16 arithmetic. Without them it is emulated, and slower than float32.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def best_precision(cpu_info: Path = CPU_INFO) -> str:
    """Returns `"bfloat16"` where the CPU computes in it and there is no GPU, else `"float32"`.

    It is for the convolutions of images: in the networks of vectors bfloat16 puts log-likelihoods
    off by nats. GPUs get float32, as nothing was measured there.

    Args:
        cpu_info: Linux' description of the processors; where there is none, float32.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU") or not cpu_info.exists():
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
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
