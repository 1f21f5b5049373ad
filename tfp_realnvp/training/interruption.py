"""SIGINT and SIGTERM during training: they wait for a checkpoint, and say what they left."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A signal has ended training; the message says from where it can go on.

    Args:
        number: number of the signal.
        rest: what to say besides its name.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int, rest: str = ""):
        self.signal = signal.Signals(number)
        super().__init__(f"Stopped by {self.signal.name}{rest}.")


class Interruption:
    """Takes SIGINT and SIGTERM during a block.

    A signal is noted in `asked` and raises `Interrupted` at once; while `deferred` is set, the
    first one is only noted. Handlers other than Python's own stay in charge, and so they do outside
    of the main thread, where Python lets nobody set any.
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
        waits = self.deferred and self.asked is None
        self.asked = number
        if not waits:
            raise Interrupted(number)
