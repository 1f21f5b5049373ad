"""How far a long piece of work is, on a terminal or in a log."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


class StatusLine:
    """One line that is written over and over on a terminal; elsewhere a line every so often.

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
        self._first: tuple[float, int] | None = None
        if self._line.terminal:
            self._line.show(f"{what} ...")

    def advance(self, count: int) -> None:
        """Adds what has been done; takes the line away when all is."""
        self.done += count
        if self._first is None:
            self._first = time.monotonic(), self.done
        if self.done >= self.total:
            self._line.clear()
        elif self._line.due():
            self._line.show(self._text())

    def _text(self) -> str:
        text = f"{self.what}  {self.done:,} of {self.total:,} {self.unit}"
        assert self._first is not None
        since, first = self._first
        if self.done == first:
            return text
        rate = (self.done - first) / max(time.monotonic() - since, 1e-9)
        return f"{text}  {rate:,.0f}/s  {clock((self.total - self.done) / rate)} to go"


def clock(seconds: float) -> str:
    """Returns `"1:02:03"` or `"2:03"`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
