"""Runs the application in this process: a port, the log, and an end that leaves nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette

from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.model import LOG
from tfp_realnvp.serving.rest.server import Server


def run(app: Starlette, *, host: str, port: int, limits: Limits) -> None:
    """Serves until SIGTERM or SIGINT; then takes no more connections, and answers what has come.

    A second signal ends at once. With port 0 the system chooses one; the log says which.

    Args:
        app: what `application` has made.
        host: address to listen at.
        port: port to listen at.
        limits: for how long the end waits.

    Raises:
        OSError: the port can't be had.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=int(limits.timeout_seconds) + 1,
    )
    with config.bind_socket() as sock:
        at, number = sock.getsockname()[:2]
        LOG.info("listening", extra={"fields": {"event": "listening", "host": at, "port": number}})
        asyncio.run(_Uvicorn(config, app.state.server).serve(sockets=[sock]))


class _Uvicorn(uvicorn.Server):
    """Ends with status 0 after a signal, where uvicorn would kill the process by it."""

    def __init__(self, config: uvicorn.Config, server: Server):
        super().__init__(config)
        self._models = server

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self._models.drain()
        LOG.info("ending", extra={"fields": {"event": "ending"}})


def log_as_json() -> None:
    """Writes the log to the standard error stream, an object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    for name in ("tfp_realnvp.serving", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    LOG.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found = {"time": time, "level": record.levelname.lower()}
        found.update(getattr(record, "fields", {"event": record.getMessage()}))
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found)
