"""How far a long piece of work is, on a terminal or in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm


class StatusLine:
    """One line that is written over and over on a terminal; elsewhere a line every so often.

    The writing is not tqdm's, which has carriage returns in a log; the figures of `speed_from` are.

    Args:
        stream: where to; None for the standard output.
        seconds: time between lines where the stream is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, *, seconds: float = 10.0):
        self._stream = stream or sys.stdout
        self.terminal = self._stream.isatty()
        self._seconds = 0.2 if self.terminal else seconds
        self._last = time.monotonic()

    def due(self, share: float = 1.0) -> bool:
        """Whether that share of the time between lines has passed since the last, or the start."""
        return time.monotonic() - self._last >= share * self._seconds

    def show(self, text: str) -> None:
        """Writes what the next line replaces on a terminal."""
        self._write(text, end="" if self.terminal else "\n")

    def keep(self, text: str) -> None:
        """Writes a line that stays."""
        self._write(text, end="\n")

    def clear(self) -> None:
        """Takes away a line that does not stay."""
        if self.terminal:
            self._write("", end="")

    def _write(self, text: str, *, end: str) -> None:
        if self.terminal:
            text = f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}"
        print(text, end=end, file=self._stream, flush=True)
        self._last = time.monotonic()


def speed_from(done: int, total: int, unit: str = "") -> Callable[[int], str]:
    """Starts a clock with so much done; returns what then tells the speed and the time to go."""
    since = time.monotonic()
    form = {"unit_scale": True, "bar_format": "{rate_noinv_fmt}  {remaining} to go"}
    return lambda now: tqdm.format_meter(
        now, total, time.monotonic() - since, initial=done, unit=unit, **form
    )


class Countdown:
    """Counts work of a known amount down, with its speed and the time to go.

    The clock of the speed starts after the first piece, which traces the graph.

    Args:
        what: what is done, such as `"testing"`.
        total: how much there is to do.
        unit: what is counted, in the plural.
        stream: where to; None for the standard output.
        seconds: time between lines where the stream is no terminal.

    Example:
        >>> from tfp_realnvp.core.status_line import Countdown
        >>> countdown = Countdown("testing", 30, unit="images", seconds=0)
        >>> countdown.advance(10)
        testing  10 of 30 images
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str,
        stream: TextIO | None = None,
        seconds: float = 10.0,
    ):
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self._line = StatusLine(stream, seconds=seconds)
        self._speed: Callable[[int], str] | None = None
        if self._line.terminal:
            self._line.show(f"{what} ...")

    def advance(self, count: int) -> None:
        """Adds what has been done; takes the line away when all is."""
        self.done += count
        if self.done >= self.total:
            self._line.clear()
        elif self._line.due():
            text = f"{self.what}  {self.done:,} of {self.total:,} {self.unit}"
            self._line.show(f"{text}  {self._speed(self.done)}" if self._speed else text)
        self._speed = self._speed or speed_from(self.done, self.total)
