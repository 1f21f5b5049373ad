"""Keras callbacks of a training run; all of them know how to resume."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, TextIO

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp import latents, pictures
from tfp_realnvp.saving import BEST, replacing, save_model


class NotFiniteError(ArithmeticError):
    """The loss is no longer a finite number."""


class StopOnNaN(keras.callbacks.Callback):
    """Stops with one clear sentence when the loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the running loss.

        Raises:
            NotFiniteError: it is not finite.
        """
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(float(loss)):
            raise NotFiniteError(
                f"The loss became {float(loss)} at step {int(self.model.step.numpy())}: lower the "
                "learning rate or clip the gradients (global_clipnorm); the last checkpoint is "
                "from before."
            )


class EpochLog(keras.callbacks.Callback):
    """Keeps one row per epoch and rewrites a CSV file with them.

    Args:
        path: the CSV file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the epoch's row."""
        row = {key: float(value) for key, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **row})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(self.path) as temporary:
            temporary.write_text(text.getvalue())

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed run needs."""
        return {"rows": self.rows}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back `get_state`'s result."""
        self.rows = list(state["rows"])


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model as `best.keras` whenever a monitored figure is the lowest so far.

    Args:
        directory: where to.
        monitor: name of the figure; the training loss stands in where it is missing.
    """

    def __init__(self, directory: str | os.PathLike[str], *, monitor: str = "val_loss"):
        super().__init__()
        self.directory, self.monitor = Path(directory), monitor
        self.best = math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves if better."""
        logs = logs or {}
        value = float(logs.get(self.monitor, logs.get("loss", math.inf)))
        if value < self.best:
            save_model(self.model, self.directory / BEST)
            self.best = value

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed run needs."""
        return {"best": self.best}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back `get_state`'s result."""
        self.best = float(state["best"])


class SampleGrid(keras.callbacks.Callback):
    """Draws the same latents after every epoch, as a PNG file and for TensorBoard.

    Args:
        directory: where `epoch_0001.png` and so on go.
        num: number of samples.
        temperature: standard deviation of the base.
        seed: seed of the latents.
        tensorboard: TensorBoard log directory, or None.
        data: vectors `[N, D]` to plot beside samples of vectors.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        num: int = 64,
        temperature: float = 1.0,
        seed: int = 0,
        tensorboard: str | os.PathLike[str] | None = None,
        data: np.ndarray | None = None,
    ):
        super().__init__()
        self.directory, self.num, self.data = Path(directory), num, data
        self.temperature, self.seed, self.tensorboard = temperature, seed, tensorboard

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws and writes."""
        dist = self.model.dist
        classes = dist.num_classes
        labels = None if classes is None else np.arange(self.num) % classes
        samples = latents.sample(
            dist, self.num, temperature=self.temperature, labels=labels, seed=self.seed
        )
        path = self.directory / f"epoch_{epoch + 1:04d}.png"
        pictures.write_samples(path, samples, levels=dist.levels, data=self.data)
        if self.tensorboard is not None:
            with tf.summary.create_file_writer(str(self.tensorboard)).as_default(step=epoch + 1):
                tf.summary.image("samples", tf.io.decode_png(path.read_bytes())[None])


class WithAverages(keras.callbacks.Callback):
    """Validates, and calls other callbacks at epoch ends, with the averaged (EMA) weights.

    The optimizer must have been made with `use_ema=True`; without, nothing is exchanged.

    Args:
        members: callbacks of epoch ends, called in this order.
    """

    def __init__(self, members: list[keras.callbacks.Callback]):
        super().__init__()
        self.members = members
        self._swap = keras.callbacks.SwapEMAWeights()

    def set_model(self, model: keras.Model) -> None:
        """Hands the model on."""
        super().set_model(model)
        for callback in (self._swap, *self.members):
            callback.set_model(model)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Puts the averages in."""
        if self.model.optimizer.use_ema:
            self._swap.on_test_begin(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Puts the weights back."""
        if self.model.optimizer.use_ema:
            self._swap.on_test_end(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Calls the members."""
        self.on_test_begin()
        for callback in self.members:
            callback.on_epoch_end(epoch, logs)
        self.on_test_end()


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


class Checkpoint(keras.callbacks.Callback):
    """Saves everything that a run needs to go on, atomically, so that a kill at any moment is fine.

    One `.npz` file holds the model's, the optimizer's and the metrics' variables, the number of
    steps taken, and the state of other callbacks. Restoring it and going on gives the weights of
    an unbroken run, bit for bit, where data and noise are functions of the seed and the step.

    Args:
        path: the file.
        steps_per_epoch: steps in an epoch.
        stateful: callbacks by name whose `get_state` and `set_state` are saved and restored.
        seconds: time between saves within an epoch; every epoch's end is saved as well.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        steps_per_epoch: int,
        stateful: dict[str, Any] | None = None,
        seconds: float = 60.0,
    ):
        super().__init__()
        self.path, self.steps_per_epoch, self.seconds = Path(path), steps_per_epoch, seconds
        self.stateful = stateful or {}
        self._metrics_to_restore: list[np.ndarray] | None = None
        self._last = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Gives a broken epoch its running averages back, after Keras has reset them."""
        if self._metrics_to_restore is not None:
            _assign(self.model.metrics_variables, self._metrics_to_restore)
            self._metrics_to_restore = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves if it is time."""
        # Not after an epoch's last step: a run resumed there would skip the epoch's end.
        ends_epoch = int(self.model.step.numpy()) % self.steps_per_epoch == 0
        if time.monotonic() - self._last >= self.seconds and not ends_epoch:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        self.save()

    def save(self) -> None:
        """Writes the file, or leaves the one before it."""
        arrays: dict[str, Any] = {
            f"{group}/{i}": value
            for group, variables in self._groups().items()
            for i, value in enumerate(np.asarray(v) for v in variables)
        }
        states = {name: callback.get_state() for name, callback in self.stateful.items()}
        arrays["states"] = np.array(json.dumps(states))
        with replacing(self.path) as temporary:
            np.savez(temporary, **arrays)
        self._last = time.monotonic()

    def restore(self, model: keras.Model) -> int:
        """Restores a compiled model and the stateful callbacks.

        Args:
            model: built and compiled as the run's was.

        Returns:
            The number of steps taken.

        Raises:
            ValueError: the file is damaged or of another model.
        """
        self.set_model(model)
        model.optimizer.build(model.trainable_variables)
        try:
            with np.load(self.path) as stored:
                groups = {
                    group: [stored[f"{group}/{i}"] for i in range(len(variables))]
                    for group, variables in self._groups().items()
                    if group != "metrics"
                }
                count = sum(key.startswith("metrics/") for key in stored.files)
                metrics = [stored[f"metrics/{i}"] for i in range(count)]
                states = json.loads(str(stored["states"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"The checkpoint {self.path} is damaged.") from error
        for group, variables in self._groups().items():
            if group != "metrics":
                _assign(variables, groups[group], where=self.path)
        for name, callback in self.stateful.items():
            callback.set_state(states[name])
        steps = int(model.step.numpy())
        if steps % self.steps_per_epoch:
            self._metrics_to_restore = metrics
        return steps

    def _groups(self) -> dict[str, list[Any]]:
        return {
            "weights": self.model.weights,
            "optimizer": self.model.optimizer.variables,
            "metrics": self.model.metrics_variables,
        }


def _assign(variables, values, where: Path | None = None) -> None:
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise ValueError(f"The checkpoint {where} is of another flow or optimizer.")
        variable.assign(value)


def clock(seconds: float) -> str:
    """Returns `"1:02:03"` or `"2:03"`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
