"""Ray's cluster, as workers need it: joined or started, large enough, with the same versions."""

from __future__ import annotations

import contextlib
import platform
import signal
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from tfp_realnvp.core import arguments
from tfp_realnvp.execution import device

# What must be alike for workers to compute the same.
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy", "tfp_realnvp")
# How long machines are waited for that join the cluster late.
PATIENCE = 60.0


@contextlib.contextmanager
def joined(address: str | None, workers: int, *, show_logs: bool = True) -> Iterator[Any]:
    """Yields Ray, in a cluster with a CPU for each worker.

    Args:
        address: of a Ray cluster, such as `"auto"` or `"ray://head:10001"`; None for this machine,
            whose cores workers share where there are more of them. If the process has joined a
            cluster already, it is that.
        workers: how many.
        show_logs: whether what workers print is printed here.

    Raises:
        ImportError: Ray is not installed.
        ValueError: no number of workers, no such cluster, or one with too few CPUs.
    """
    arguments.whole("Ray", "workers", workers)
    try:
        import ray
    except ImportError as error:
        raise ImportError("Several workers need Ray: pip install 'tfp_realnvp[ray]'.") from error
    started = not ray.is_initialized()
    if started:
        own = {} if address else {"num_cpus": max(workers, device.cores())}
        with _signals_kept():
            try:
                ray.init(
                    address=address or "local",
                    log_to_driver=show_logs,
                    include_dashboard=False,
                    **own,
                )
            except (ConnectionError, RuntimeError) as error:  # Ray's sentences have several lines
                reason = " ".join(str(error).split())
                raise ValueError(f"No Ray cluster can be joined at {address}: {reason}") from error
    try:
        _wait_for_cpus(ray, workers)
        yield ray
    finally:
        if started:
            ray.shutdown()


def versions() -> dict[str, str]:
    """Returns the versions of what must be alike for workers to compute the same."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def check_versions(expected: dict[str, str]) -> None:
    """Checks that this machine has the versions of another.

    Raises:
        ValueError: it has others.
    """
    own = versions()
    for package, asked in expected.items():
        if own[package] != asked:
            raise ValueError(
                f"The worker on {platform.node()} has {package} {own[package]}, where {asked} was "
                "expected."
            )


def _wait_for_cpus(ray: Any, workers: int) -> None:
    end = time.monotonic() + PATIENCE
    while (cpus := int(ray.cluster_resources().get("CPU", 0))) < workers:
        if time.monotonic() > end:
            raise ValueError(
                f"The Ray cluster has CPUs for {cpus} workers, and {workers} were asked for: add "
                "machines, or give fewer --workers."
            )
        time.sleep(1)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Leaves SIGTERM to whom it was before: Ray ends the process by it, with status 15."""
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, kept)
