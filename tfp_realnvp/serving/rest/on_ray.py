"""The application in several processes: Ray Serve starts replicas, and starts them again.

Each replica is the whole application, with models and batches of its own. Ray's proxies listen, and
hand each request to a replica that has little to do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.applications import Starlette

from tfp_realnvp.core import arguments
from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.model import LOG
from tfp_realnvp.serving.rest.model_config import ModelConfig
from tfp_realnvp.serving.rest.running import log_as_json

NAME = "tfp_realnvp"  # of the application on a cluster
_LOCAL = "local"
# Proxies end at once, when replicas have; what they write still has as long to be read.
_WRITING_SECONDS = 2.0


def run(
    models: Sequence[ModelConfig],
    *,
    replicas: int,
    address: str | None = None,
    host: str,
    port: int,
    limits: Limits,
    poll_seconds: float = 1.0,
) -> None:
    """Serves until SIGTERM or SIGINT; then answers what has come, and ends the replicas.

    A replica that is lost, or does not say that it is well, is replaced. What it has begun is
    answered by 500.

    Args:
        models: what to serve; their directories lie under one path on all machines.
        replicas: how many.
        address: of a Ray cluster, such as `"auto"` or `"ray://head:10001"`; None for this machine.
        host: address to listen at, on every machine with replicas.
        port: port to listen at; 0 for any that is free on this machine.
        limits: of each replica.
        poll_seconds: see `application`.

    Raises:
        ImportError: Ray is not installed.
        OSError: the port can't be had.
        ValueError: a number out of its range.
        RuntimeError: the cluster serves something already, or the replicas do not start.
    """
    arguments.whole("serve", "--replicas", replicas)
    local = address in (None, _LOCAL)
    arguments.whole("serve --ray", "--port", port, least=0 if local else 1)
    # A line of the log is a request; Ray would write those that are alike once.
    environment = {"RAY_DEDUP_LOGS": "0"}
    if local:  # Ray's own ports are for this machine, and ask for a password
        environment |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ImportError("Replicas need Ray: pip install 'tfp_realnvp[ray]' first.") from error
    replica = _replica(models, replicas, limits, poll_seconds)
    own: dict[str, Any] = {}
    if local:
        port = _free(host, port)
        # By Ray's count each replica takes one CPU.
        own = {"num_cpus": replicas, "include_dashboard": False}
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.init(address=address or _LOCAL, logging_level=logging.WARNING, **own)
    try:
        if serve.status().proxies:
            raise RuntimeError("Ray Serve runs there already; Ray's `serve shutdown` ends it.")
        with _stopped_by_signals():
            try:
                _serve(replica, host, port)
            except KeyboardInterrupt:
                _tell("ending")
            finally:
                if NAME in serve.status().applications:
                    with contextlib.suppress(TimeoutError):
                        serve.delete(NAME)  # once what has come is answered
                    time.sleep(_WRITING_SECONDS)
                serve.shutdown()
    finally:
        ray.shutdown()


def _serve(replica: Any, host: str, port: int) -> None:
    from ray import serve

    quiet = {"log_level": "WARNING", "enable_access_log": False}
    options = {"host": host, "port": port, "keep_alive_timeout_s": 60}
    serve.start(http_options=options, logging_config=quiet)
    _tell("listening", host=host, port=port)
    try:
        serve.run(replica.bind(), name=NAME, logging_config=quiet)
    except RuntimeError as error:
        said = serve.status().applications[NAME].deployments["Replica"].message
        reason = said.strip().splitlines()[-1]
        raise RuntimeError(f"The replicas do not start: {reason}") from error
    _tell("ready")
    threading.Event().wait()


def _replica(
    models: Sequence[ModelConfig], replicas: int, limits: Limits, poll_seconds: float
) -> Any:
    """Returns what Ray Serve calls a deployment."""
    from ray import serve

    # Relative paths are the caller's; replicas begin elsewhere.
    models = [dataclasses.replace(model, base=model.base.absolute()) for model in models]

    def build() -> Starlette:
        log_as_json()
        here = [dataclasses.replace(model) for model in models]  # looks for the directories
        app = application(here, limits=limits, poll_seconds=poll_seconds)
        server = app.state.server
        server.start()
        while not server.is_ready():
            time.sleep(0.05)
        _tell("replica ready", machine=platform.node(), pid=os.getpid())
        return app

    @serve.deployment(
        num_replicas=replicas,
        # Our own queues are full before, and say so.
        max_ongoing_requests=8 * limits.max_queue,
        health_check_period_s=1.0,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=int(limits.timeout_seconds) + 1,
    )
    @serve.ingress(build)
    class Replica:
        app: Starlette

        def check_health(self) -> None:
            if not self.app.state.server.is_ready():
                raise RuntimeError("not ready")

    return Replica


def _free(host: str, port: int) -> int:
    """Returns a port that can be had, for 0 any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as found:
        return found.getsockname()[1]


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM does what SIGINT does; Ray would have it kill the process."""
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


def _tell(event: str, **fields: Any) -> None:
    LOG.info(event, extra={"fields": {"event": event, **fields}})
