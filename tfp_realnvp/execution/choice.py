"""Which plan is best for a flow on the device found."""

from __future__ import annotations

from typing import Any

from tfp_realnvp.conditioners import CausalTransformer
from tfp_realnvp.conditioners.gated import Gated
from tfp_realnvp.conditioners.keras_layers import normalizes_batches
from tfp_realnvp.core import arguments
from tfp_realnvp.execution import device
from tfp_realnvp.execution.plan import Plan
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels import Kernels

# Images of 28x28 pixels in a part: the activations of a conditioner for them fill a few MB, which
# a core's cache holds.
ROWS, PIXELS = 16, 28 * 28
# At least, of flows that sample in steps: the operations of a step are small, and few rows cost
# almost as much as many.
IN_STEPS = 128
# Vectors at once, and images on a GPU: enough to keep it busy, and little memory.
VECTORS, ON_GPU = 4096, 512
# Parts of a SavedModel's batches: whoever runs it may have more cores than the machine here.
EXPORTED_PARTS = 8
# Full parts of a batch from which XLA's programs are worth a second of compiling.
FULL_PARTS = 2


def plan_for_values(
    dist: Flow, *, rows: int = 0, rows_at_once: int | None = None, exact: bool = False
) -> Plan:
    """Chooses how likelihoods, latents and samples are computed on this machine.

    Args:
        dist: a flow.
        rows: how many rows are to be worked on.
        rows_at_once: bounds what the choice would be; None for no other bound.
        exact: whether conditioners compute in the dtype of their variables; see `Context.exact`.
    """
    part, parts = _part(dist), device.cores()
    if any(isinstance(layer, CausalTransformer) for layer in dist.keras_layers):
        part = max(part, IN_STEPS)
    if len(dist.event_shape) < 3:  # too small to be worth parts
        part, parts = VECTORS, 1
    elif device.has_gpu():
        part, parts = ON_GPU, 1
    elif not _can_run_twice_at_a_time(dist):
        parts = 1
    most = parts * part if rows_at_once is None else min(rows_at_once, parts * part)
    by_xla = not exact and rows >= FULL_PARTS * part and gains_by_xla(dist)
    return Plan(parts, most, Kernels(by_xla=by_xla))


def plan_for_training(
    dist: Flow, *, shards: int | None = None, microbatch: int | None = None, whole: bool = False
) -> Plan:
    """Chooses how training steps are computed on this machine.

    Args:
        dist: a flow.
        shards: parts side by side; None for those that the process was set up for, if the flow
            can be trained in parts.
        microbatch: the most rows at once; None for all.
        whole: whether XLA compiles the whole step, rather than what lies between convolutions.

    Raises:
        ValueError: no positive number; parts, and the flow has statistics of whole batches; both
            kinds of parts, and the flow has networks that cannot run twice at a time.
    """
    apart = rows_are_apart(dist)
    # Without rounds, parts side by side are operations of their own.
    alone = microbatch is not None and not _can_run_twice_at_a_time(dist)
    if shards is None:
        shards = device.shards_in_use() if apart and not alone else 1
    for name, number, none in (("shards", shards, 1), ("microbatch", microbatch, None)):
        if number is None:
            continue
        arguments.whole(dist.name, name, number)
        if number != none and not apart:
            takes = "1 shard" if none else f"no {name}"
            raise ValueError(
                f"{dist.name} normalizes by the statistics of whole batches: it takes {takes}, "
                f"got {number}."
            )
    if alone and shards > 1:
        raise ValueError(
            f"{dist.name} has networks that are not this library's, which may crash where two "
            f"parts run at a time: with a microbatch it takes 1 shard, got {shards}."
        )
    return Plan(shards, microbatch, Kernels(by_xla=not whole and shards > 1 and gains_by_xla(dist)))


def plan_for_export(dist: Flow, *, batch_size: Any = None) -> Plan:
    """Returns how a SavedModel computes, on whatever machine; nothing here is asked for.

    Args:
        dist: a flow.
        batch_size: the size of all batches; None for any, else they stay whole for the sake of
            other compilers than TensorFlow's.
    """
    if batch_size is not None:
        return Plan(kernels=Kernels(divides=False))
    if len(dist.event_shape) < 3:
        return Plan(rows_at_once=VECTORS)
    parts = EXPORTED_PARTS if _can_run_twice_at_a_time(dist) else 1
    return Plan(parts, parts * _part(dist))


def rows_are_apart(dist: Flow) -> bool:
    """Returns whether, in training, nothing of a row depends on the rows beside it."""
    normalizes = any(map(normalizes_batches, dist.keras_layers))
    return not (dist.bijector.running_moments or normalizes)


def gains_by_xla(dist: Flow) -> bool:
    """Returns whether XLA between the convolutions of a flow is faster here than TensorFlow.

    It is between bfloat16 gated convolutions, on a CPU, where every program stays in its part's
    thread; see `kernels.gates_by_xla`.
    """
    if device.has_gpu() or not device.xla_stays_in_its_thread():
        return False
    return device.shards_in_use() > 1 and has_bfloat16_convolutions(dist)


def has_bfloat16_convolutions(dist: Flow) -> bool:
    """Returns whether a flow has what `kernels.gates_by_xla` has programs for."""
    return any(
        isinstance(layer, Gated) and layer.compute_dtype == "bfloat16"
        for layer in dist.keras_layers
    )


def _can_run_twice_at_a_time(dist: Flow) -> bool:
    # Networks from elsewhere may have what `kernels.convolution` keeps from crashing; so may
    # conditioners that users write.
    package = __name__.partition(".")[0]
    return all(type(x).__module__.partition(".")[0] == package for x in dist.keras_layers)


def _part(dist: Flow) -> int:
    height, width = (*dist.event_shape, 1)[:2]
    return max(ROWS, ROWS * PIXELS // (height * width))
