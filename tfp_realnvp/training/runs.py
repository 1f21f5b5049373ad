"""Training runs: a directory with configuration, logs, checkpoints, samples and results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfp_realnvp.core import arguments
from tfp_realnvp.core.stored import IN_MEMORY
from tfp_realnvp.execution import device
from tfp_realnvp.training import run_directory
from tfp_realnvp.training.comparison import table, validations
from tfp_realnvp.training.interruption import Interrupted, Interruption
from tfp_realnvp.training.run import Run
from tfp_realnvp.training.run_config import RunConfig
from tfp_realnvp.training.run_directory import (
    CONFIG,
    LAST,
    LOG,
    RESULTS,
    read_columns,
    read_config,
)
from tfp_realnvp.training.schedules import SCHEDULES

__all__ = [
    "CONFIG",
    "LAST",
    "LOG",
    "RESULTS",
    "SCHEDULES",
    "Interrupted",
    "RunConfig",
    "read_columns",
    "read_config",
    "table",
    "train",
    "validations",
]


def train(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    verbose: bool = True,
    tensorboard: bool = True,
    checkpoint_seconds: float = 60.0,
    result_examples: int | None = 2000,
    memory: float = IN_MEMORY,
    devices: str = "auto",
) -> dict[str, Any]:
    """Trains a flow in a run directory and evaluates its best weights on the test split.

    All splits are looked at before the first step. Where there is no test split, the results are
    of the validation split, or have no figures where there is none either; they say which.

    The directory belongs to this process until the end. Where nothing has been learnt before an
    error, it is left as it was found.

    SIGINT and SIGTERM write a checkpoint after the step that they come in and raise `Interrupted`,
    a `KeyboardInterrupt`; before the first step they end the run at once, and at an epoch's end
    once it has been validated. A second signal does not wait.

    Args:
        config: what to train; with `resume`, an existing run's own configuration must agree in
            all but `epochs` and `data_dir`, and so must its data.
        out: the run directory.
        resume: whether to go on with a run that is there.
        verbose: whether to show progress.
        tensorboard: whether to write TensorBoard logs.
        checkpoint_seconds: time between checkpoints within an epoch.
        result_examples: test examples for the final figures; None for all.
        memory: bytes of examples that are loaded at most, of all splits; what goes beyond is read
            from disk batch by batch. The run is the same, whatever it is.
        devices: `"all"`: each batch is shared by all GPUs, or all logical CPUs where there is no
            GPU; `"auto"`: by all GPUs where there are several; `"one"`: by none.

    Returns:
        What is in `results.json`.

    Raises:
        ValueError: bad configuration or data, or a directory that holds a run already or that
            another process trains in.
        OSError: the directory cannot be written.
        Interrupted: a signal has come; the message says from where to go on.
        NotFiniteError: the loss or the weights are no longer finite.
    """
    if not os.fspath(out):
        raise ValueError("A run needs a directory, got '' for it.")
    arguments.real("train", "checkpoint_seconds", checkpoint_seconds, least=0)
    if result_examples is not None:
        arguments.whole("train", "result_examples", result_examples)
    arguments.real("train", "memory", memory, least=0)
    out, strategy = Path(out), device.replicas(devices)
    with Interruption() as interruption, run_directory.claimed(out):
        run = Run(
            config, out, resume=resume, verbose=verbose, tensorboard=tensorboard, strategy=strategy
        )
        try:
            run.begin(interruption, checkpoint_seconds=checkpoint_seconds, memory=memory)
            run.fit()
            return run.finish(result_examples)
        except Interrupted as stop:
            raise Interrupted(stop.signal, run.rest()) from None
