"""How far a run is, and how long it has taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO

import keras

from tfp_realnvp.core.status_line import StatusLine, speed_from


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
        validation_examples: examples of a validation; None if not known.
        stream: where to; None for the standard output.
        seconds: time between lines where the stream is no terminal.
    """

    def __init__(
        self,
        *,
        steps: int,
        steps_per_epoch: int,
        batch_size: int,
        validation_examples: int | None = None,
        stream: TextIO | None = None,
        seconds: float = 10.0,
    ):
        super().__init__()
        self.steps, self.steps_per_epoch = steps, steps_per_epoch
        self.batch_size, self.validation_examples = batch_size, validation_examples
        self._line = StatusLine(stream, seconds=seconds)
        self._speed: Callable[[int], str] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Says on a terminal why nothing moves yet."""
        if self._line.terminal:
            self._line.show("tracing the graph of a step ...")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows where the run is, if it is time; the first step, which traces, starts the clock."""
        size = self.batch_size
        if self._speed is None:
            self._speed = speed_from(self._step * size, self.steps * size, " examples")
        elif self._line.due():
            text = f"epoch {self._epoch}  step {self._step:,} of {self.steps:,}  {_figures(logs)}"
            self._line.show(f"{text}  {self._speed(self._step * size)}")

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows where a validation is, if it is time."""
        if self._line.due():
            done = (batch + 1) * self.batch_size
            total = self.validation_examples
            of = f"{done:,}" if total is None else f"{min(done, total):,} of {total:,}"
            self._line.show(f"epoch {self._epoch}  validating  {of} examples")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the epoch's figures."""
        if self._line.terminal or self._step >= self.steps or self._line.due(share=0.5):
            self._line.keep(f"epoch {epoch + 1}  {_figures(logs)}")

    @property
    def _step(self) -> int:
        return int(self.model.step.numpy())

    @property
    def _epoch(self) -> int:
        return min((self._step - 1) // self.steps_per_epoch + 1, self.steps // self.steps_per_epoch)


def _figures(logs: dict[str, Any] | None) -> str:
    # The loss is the likelihood once more.
    return "  ".join(
        f"{key} {float(value):.4f}"
        for key, value in (logs or {}).items()
        if not key.endswith("loss")
    )
