"""One run on several machines: Ray starts the workers, watches them, and starts them again.

TensorFlow's MultiWorkerMirroredStrategy adds up the gradients. Every worker takes its own rows of
each batch; one of them, the chief, writes the run directory, which all have to see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import platform
import secrets
import shutil
import signal
from pathlib import Path
from typing import Any

from tfp_realnvp.core import arguments
from tfp_realnvp.core.stored import IN_MEMORY
from tfp_realnvp.training import cluster, distribution, run_directory
from tfp_realnvp.training.interruption import Interrupted, Interruption
from tfp_realnvp.training.run_config import RunConfig

# In the run directory, as long as a gang works there: its name; why a worker gave up, for which
# there is room from the start, as the disk may be full then; and what Ray keeps.
_MARK, _REASON, _OF_RAY = ".gang", ".gang-reason", ".ray"
_ROOM = 4096
# What happens again when workers are started again.
_FINAL = (ValueError, TypeError, ArithmeticError, ImportError, FileNotFoundError, PermissionError)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def train(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    workers: int,
    address: str | None = None,
    max_failures: int = 3,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    result_examples: int | None = 2000,
    memory: float = IN_MEMORY,
) -> dict[str, Any]:
    """Trains a flow on several workers, as `nvp.runs.train` does on one.

    A worker or a machine that is lost costs a restart of all from the last checkpoint, and nothing
    else: the weights are those of a gang of this size that lost nobody, bit for bit. One of another
    size differs in how sums are rounded. `resume` may change the size.

    Args:
        config: what to train; its batch is shared by the workers.
        out: the run directory, in a folder that all workers see under this path.
        workers: how many.
        address: of a Ray cluster; see `cluster.joined`.
        max_failures: restarts after which the run ends.
        resume: see `nvp.runs.train`.
        checkpoint_seconds: see `nvp.runs.train`; by the chief's clock.
        result_examples: see `nvp.runs.train`.
        memory: see `nvp.runs.train`; of each worker.

    Returns:
        What is in `results.json`.

    Raises:
        ImportError: Ray is not installed.
        ValueError: bad configuration or data, another run in the directory, a cluster that is too
            small, or a worker that does not see the directory, finds it full or has other versions;
            each in one sentence.
        RuntimeError: more failures than are allowed.
        Interrupted: a signal has come.
    """
    arguments.whole("train", "workers", workers)
    arguments.whole("train", "max_failures", max_failures, least=0)
    arguments.real("train", "checkpoint_seconds", checkpoint_seconds, least=0)
    distribution.check(config, workers)
    out = Path(out).absolute()
    with run_directory.claimed(out):  # as long as it takes to look
        run_directory.agree(out, config, resume=resume)
    name = secrets.token_hex(8)
    settings = {
        "config": dataclasses.asdict(config),
        "out": str(out),
        "name": name,
        "folder": os.getcwd(),
        "versions": cluster.versions(),
        "result_examples": result_examples,
        "checkpoint_seconds": checkpoint_seconds,
        "memory": memory,
    }
    interruption = Interruption()
    try:
        with interruption:
            out.mkdir(parents=True, exist_ok=True)
            (out / _REASON).write_text(" " * _ROOM)
            (out / _MARK).write_text(name)
            _start(settings, address, workers=workers, max_failures=max_failures)
    except KeyboardInterrupt:  # Ray makes one of what a handler raises
        number = interruption.asked or signal.SIGINT
        raise Interrupted(number, ": --resume goes on from the last checkpoint") from None
    finally:
        for left in (_MARK, _REASON):
            with contextlib.suppress(OSError):
                (out / left).unlink()
        shutil.rmtree(out / _OF_RAY, ignore_errors=True)
        with contextlib.suppress(OSError):  # unless there is something of a run in it
            out.rmdir()
    return run_directory.read_results(out)


def _start(
    settings: dict[str, Any], address: str | None, *, workers: int, max_failures: int
) -> None:
    """Starts the workers, and again where they are lost, until they are done."""
    for left in range(max_failures, -1, -1):
        with cluster.joined(address, workers) as ray:
            try:
                _trainer(settings, workers=workers, max_failures=left).fit()
                return
            except Exception as error:  # Ray's own kinds of errors differ between its versions
                # Ray sees to workers, but not to its own process that does so, whose workers keep
                # their CPUs until the cluster is left.
                if left and isinstance(error, ray.exceptions.RayActorError):
                    continue
                if reason := _reason(Path(settings["out"])) or _told_to_ray(error):
                    raise ValueError(reason) from error
                raise RuntimeError(
                    f"The workers failed more than {max_failures} times; --resume goes on from the "
                    "last checkpoint."
                ) from error


def _trainer(settings: dict[str, Any], *, workers: int, max_failures: int) -> Any:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayConfig
    from ray.train.tensorflow import TensorflowTrainer

    class Trainer(TensorflowTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Leaves signals to `Interruption`."""

    return Trainer(
        _work,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers),
        run_config=RayConfig(
            name=settings["name"],
            storage_path=str(Path(settings["out"]) / _OF_RAY),
            failure_config=FailureConfig(max_failures=max_failures),
        ),
    )


def _work(settings: dict[str, Any]) -> None:
    """What each worker does, from the start or from the last checkpoint."""
    from ray.train import get_context

    rank = get_context().get_world_rank()
    out = Path(settings["out"])
    try:
        _look_around(settings, out)
        if reason := _reason(out):  # the same would happen again
            raise ValueError(reason)
        _train(settings, out, is_chief=rank == 0)
    except Exception as error:
        _tell(out, error)
        raise


def _tell(out: Path, error: Exception) -> None:
    """Leaves word why no worker needs to start again, if it is so."""
    if isinstance(error, _FINAL) or getattr(error, "errno", None) in _FULL:
        with contextlib.suppress(OSError), open(out / _REASON, "r+") as file:
            file.write(getattr(error, "strerror", None) or str(error))


def _reason(out: Path) -> str:
    return (out / _REASON).read_text().strip()


def _told_to_ray(error: Exception) -> str:
    """Returns the sentence of a worker that could not leave word, or none."""
    failures = getattr(error, "worker_failures", {}).values()
    own = (getattr(failure, "_base_exc", failure) for failure in failures)
    return next((str(failure) for failure in own if isinstance(failure, _FINAL)), "")


def _look_around(settings: dict[str, Any], out: Path) -> None:
    """Checks that a worker sees the run directory, and has the versions of the others."""
    host = platform.node()
    mark = out / _MARK
    if not mark.exists() or mark.read_text() != settings["name"]:
        raise ValueError(
            f"The worker on {host} does not see the run directory {out}: put it into a folder that "
            "all machines share under one path."
        )
    cluster.check_versions(settings["versions"])


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
            checkpoint_seconds=settings["checkpoint_seconds"],
            memory=settings["memory"],
        )
        run.fit()
        if is_chief:
            run.finish(settings["result_examples"])
        # None leaves before the chief is done: TensorFlow ends those whom others leave.
        strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones([])))
