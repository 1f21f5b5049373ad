"""How far a run is, and how long it has taken."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import Any, TextIO

import keras


class WallClock(keras.callbacks.Callback):
    """Counts the seconds spent training, over all resumptions."""

    def __init__(self):
        super().__init__()
        self._before = 0.0
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._since

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed run needs."""
        return {"seconds": self.seconds}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back `get_state`'s result."""
        self._before, self._since = float(state["seconds"]), time.monotonic()


class Progress(keras.callbacks.Callback):
    """Shows figures, speed and the time to go of a whole run.

    In a terminal, one line is written over and over, and stays at an epoch's end. Elsewhere there
    is a line every so often, and one for each epoch that took some time.

    Args:
        steps: steps of the whole run.
        steps_per_epoch: steps in an epoch.
        batch_size: examples in a step.
        stream: where to; None for the standard output.
        seconds: time between lines where the stream is no terminal.
    """

    def __init__(
        self,
        *,
        steps: int,
        steps_per_epoch: int,
        batch_size: int,
        stream: TextIO | None = None,
        seconds: float = 10.0,
    ):
        super().__init__()
        self.steps, self.steps_per_epoch = steps, steps_per_epoch
        self.batch_size = batch_size
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._seconds = 0.2 if self._terminal else seconds
        self._begun: tuple[float, int] | None = None
        self._last_line = -math.inf

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock after the first step, which traces the graph."""
        if self._begun is None and batch > 0:
            self._begun = (time.monotonic(), self._step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows where the run is, if it is time."""
        now = time.monotonic()
        if self._begun is None or now - self._last_line < self._seconds:
            return
        since, first = self._begun
        step = self._step
        rate = (step - first) / max(now - since, 1e-9)
        epoch = min((step - 1) // self.steps_per_epoch + 1, self.steps // self.steps_per_epoch)
        text = (
            f"epoch {epoch}  step {step:,} of {self.steps:,}  {_figures(logs)}  "
            f"{rate * self.batch_size:,.0f} examples/s  {clock((self.steps - step) / rate)} to go"
        )
        self._write(text, stays=not self._terminal)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the epoch's figures."""
        ends = self._step >= self.steps
        if self._terminal or ends or time.monotonic() - self._last_line >= self._seconds / 2:
            self._write(f"epoch {epoch + 1}  {_figures(logs)}", stays=True)

    @property
    def _step(self) -> int:
        return int(self.model.step.numpy())

    def _write(self, text: str, *, stays: bool) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            text = f"\r\x1b[K{text[:width]}"
        print(text, end="\n" if stays else "", file=self._stream, flush=True)
        self._last_line = time.monotonic()


def _figures(logs: dict[str, Any] | None) -> str:
    # The loss is the likelihood once more.
    return "  ".join(
        f"{key} {float(value):.4f}"
        for key, value in (logs or {}).items()
        if not key.endswith("loss")
    )


def clock(seconds: float) -> str:
    """Returns `"1:02:03"` or `"2:03"`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
