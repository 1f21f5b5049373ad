"""SIGINT and SIGTERM during training: they wait for a checkpoint, and say what they left."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A signal has ended training; the message says from where it can go on.

    Attributes:
        signal: the signal.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = signal.Signals(number)


class Interruption:
    """Takes SIGINT and SIGTERM during a block.

    A signal raises `Interrupted` at once; while `deferred` is set, the first one is only noted in
    `asked`. Handlers other than Python's own stay in charge, and so they do outside of the main
    thread, where Python lets nobody set any.
    """

    def __init__(self):
        self.asked: int | None = None
        self.deferred = False
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        own = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        if threading.current_thread() is threading.main_thread():
            for number, handler in own.items():
                if signal.getsignal(number) == handler:
                    self._kept[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.deferred and self.asked is None:
            self.asked = number
        else:
            raise self.stop("Stopped", number)

    def stop(self, message: str, number: int | None = None) -> Interrupted:
        """Returns what to raise for a signal, or for the one that was asked for."""
        return Interrupted(message, number or self.asked or signal.SIGINT)
