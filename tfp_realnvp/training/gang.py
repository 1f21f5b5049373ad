"""One run on several machines: Ray starts the workers, watches them, and starts them again.

TensorFlow's MultiWorkerMirroredStrategy adds up the gradients. Every worker takes its own rows of
each batch; one of them, the chief, writes the run directory, which all have to see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import secrets
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tfp_realnvp.core import arguments
from tfp_realnvp.core.stored import IN_MEMORY
from tfp_realnvp.training import run_directory
from tfp_realnvp.training.interruption import Interrupted, Interruption
from tfp_realnvp.training.run_config import RunConfig

# What must be alike for workers to compute the same.
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy", "tfp_realnvp")
# In the run directory, as long as a gang works there: its name, and why a worker gave up.
_MARK, _REASON = ".gang", ".gang-reason"


def train(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    workers: int,
    address: str | None = None,
    max_failures: int = 3,
    resume: bool = False,
    result_examples: int | None = 2000,
    memory: float = IN_MEMORY,
) -> dict[str, Any]:
    """Trains a flow on several workers, as `nvp.runs.train` does on one.

    A worker or a machine that is lost costs a restart of all from the end of the last epoch, and
    nothing else: the weights are those of a gang of this size that lost nobody, bit for bit. One of
    another size differs in how sums are rounded. `resume` may change the size.

    Args:
        config: what to train; its batch is shared by the workers.
        out: the run directory, in a folder that all workers see under this path.
        workers: how many.
        address: of a Ray cluster, such as `"auto"` or `"ray://head:10001"`; None for this machine.
        max_failures: restarts after which the run ends.
        resume: see `nvp.runs.train`.
        result_examples: see `nvp.runs.train`.
        memory: see `nvp.runs.train`; of each worker.

    Returns:
        What is in `results.json`.

    Raises:
        ImportError: Ray is not installed.
        ValueError: bad configuration or data, another run in the directory, or a worker that does
            not see the directory or has other versions; each in one sentence.
        RuntimeError: more failures than are allowed.
        Interrupted: a signal has come.
    """
    try:
        import ray
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as RayConfig
        from ray.train.tensorflow import TensorflowTrainer
    except ImportError as error:
        raise ImportError("Several workers need Ray: pip install 'tfp_realnvp[ray]'.") from error
    arguments.whole("train", "workers", workers)
    arguments.whole("train", "max_failures", max_failures, least=0)
    out = Path(out).absolute()
    with run_directory.claimed(out):  # as long as it takes to look
        run_directory.agree(out, config, resume=resume)
    out.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    (out / _REASON).unlink(missing_ok=True)  # of one that was killed
    (out / _MARK).write_text(name)
    settings = {
        "config": dataclasses.asdict(config),
        "out": str(out),
        "name": name,
        "folder": os.getcwd(),
        "versions": _versions(),
        "result_examples": result_examples,
        "memory": memory,
    }
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, log_to_driver=True, include_dashboard=False)
    try:
        with Interruption(), tempfile.TemporaryDirectory() as scratch:
            TensorflowTrainer(
                _work,
                train_loop_config=settings,
                scaling_config=ScalingConfig(num_workers=workers),
                run_config=RayConfig(
                    name=name,
                    storage_path=scratch if address is None else str(out / ".ray"),
                    failure_config=FailureConfig(max_failures=max_failures),
                ),
            ).fit()
    except Interrupted as stop:
        raise Interrupted(stop.signal, ": --resume goes on from the last checkpoint") from None
    except Exception as error:  # Ray's own kinds of errors differ between its versions
        reason = out / _REASON
        if reason.exists():
            raise ValueError(reason.read_text()) from error
        raise RuntimeError(
            f"The workers failed more than {max_failures} times; --resume goes on from the last "
            "checkpoint."
        ) from error
    finally:
        for left in (_MARK, _REASON):
            with contextlib.suppress(OSError):
                (out / left).unlink()
        if started:
            ray.shutdown()
    return run_directory.read_results(out)


def _work(settings: dict[str, Any]) -> None:
    """What each worker does, from the start or from the last checkpoint."""
    from ray.train import get_context

    rank = get_context().get_world_rank()
    out = Path(settings["out"])
    try:
        _look_around(settings, out)
        reason = out / _REASON
        if reason.exists():  # the same would happen again
            raise ValueError(reason.read_text())
        _train(settings, out, is_chief=rank == 0)
    except (ValueError, TypeError, ArithmeticError) as error:
        if out.is_dir():
            (out / _REASON).write_text(str(error))
        raise


def _look_around(settings: dict[str, Any], out: Path) -> None:
    """Checks that a worker sees the run directory, and has the versions of the others."""
    host = platform.node()
    mark = out / _MARK
    if not mark.exists() or mark.read_text() != settings["name"]:
        raise ValueError(
            f"The worker on {host} does not see the run directory {out}: put it into a folder that "
            "all machines share under one path."
        )
    for package, expected in settings["versions"].items():
        if (own := _versions()[package]) != expected:
            raise ValueError(
                f"The worker on {host} has {package} {own}, where {expected} was expected."
            )


def _train(settings: dict[str, Any], out: Path, *, is_chief: bool) -> None:
    import tensorflow as tf

    from tfp_realnvp.execution import device
    from tfp_realnvp.training.run import Run

    # Relative paths of data are the caller's; Ray's workers begin elsewhere.
    os.chdir(settings["folder"])
    config = RunConfig(**settings["config"])
    if config.shards > 1:
        device.use_shards(config.shards)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    claim = run_directory.claimed(out) if is_chief else contextlib.nullcontext()
    with claim, Interruption() as interruption:
        run = Run(
            config,
            out,
            resume=True,
            verbose=is_chief,
            tensorboard=is_chief,
            strategy=strategy,
            is_chief=is_chief,
        )
        run.begin(
            interruption,
            # Workers have no common time: they save together, at the end of each epoch.
            checkpoint_seconds=math.inf,
            memory=settings["memory"],
        )
        run.fit()
        if is_chief:
            run.finish(settings["result_examples"])
        # None leaves before the chief is done: TensorFlow ends those whom others leave.
        strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones([])))


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
