"""A likelihood that several workers work out: each takes some rows at a time, through Ray."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.core.stored import Rows
from tfp_realnvp.execution import device
from tfp_realnvp.flow import Flow
from tfp_realnvp.training import cluster, saving
from tfp_realnvp.uses import likelihood

# What a worker is sent at a time.
ROWS = 1024
MAX_FAILURES = 3


@contextlib.contextmanager
def shared_log_prob(
    run: str | os.PathLike[str], *, workers: int, address: str | None = None
) -> Iterator[Callable[..., np.ndarray]]:
    """Yields `log_prob` of `uses.likelihood`, of a run's best weights, as workers share it.

    Rows are read here and sent some at a time, with the number of the first, from which their noise
    follows: each row gives what it gives in one process, to rounding. So workers need neither the
    data nor the run directory. What a worker had that is lost is done again.

    Args:
        run: the run directory.
        workers: how many.
        address: of a Ray cluster; see `cluster.joined`.

    Raises:
        ImportError: Ray is not installed.
        ValueError: no such cluster, or one that is too small; from what is yielded, a worker with
            other versions, or whatever `log_prob` raises.
        RuntimeError: from what is yielded, a worker was lost again and again.
    """
    content, versions = (Path(run) / saving.BEST).read_bytes(), cluster.versions()
    with cluster.joined(address, workers, show_logs=False) as ray:
        from ray.util.actor_pool import ActorPool

        options = {"num_cpus": 1, "max_restarts": MAX_FAILURES, "max_task_retries": MAX_FAILURES}
        worker = ray.remote(**options)(_Worker)
        pool = ActorPool([worker.remote(content, versions) for _ in range(workers)])

        def log_prob(
            dist: Flow,
            data: Rows,
            labels: np.ndarray | None = None,
            *,
            condition: np.ndarray | None = None,
            progress: Callable[[int], None] | None = None,
            **options: Any,
        ) -> np.ndarray:
            def send(worker: Any, start: int) -> Any:
                own = [
                    None if part is None else part[start : start + ROWS]
                    for part in (data, labels, condition)
                ]
                return worker.log_prob.remote(*own, first_row=start, **options)

            results = []
            try:
                for part in pool.map(send, range(0, len(data), ROWS)):
                    results.append(part)
                    if progress is not None:
                        progress(len(part) * options.get("num_importance_samples", 1))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise RuntimeError(f"A worker was lost more than {MAX_FAILURES} times.") from error
            return np.concatenate(results)

        yield log_prob


class _Worker:
    """What has the flow, in a process of its own."""

    def __init__(self, content: bytes, versions: dict[str, str]):
        self._content, self._versions = content, versions

    @functools.cached_property
    def _dist(self) -> Flow:
        cluster.check_versions(self._versions)
        device.use_full_float32()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / saving.BEST
            path.write_bytes(self._content)
            return saving.load(path)

    def log_prob(self, data: Any, labels: Any, condition: Any, **options: Any) -> np.ndarray:
        return likelihood.log_prob(self._dist, data, labels, condition=condition, **options)
