"""What happens at an epoch's end: a row of the log, the best weights, a picture of samples."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.core.files import replacing
from tfp_realnvp.plots import pictures
from tfp_realnvp.training.saving import BEST, save_model
from tfp_realnvp.uses import latents


class EpochLog(keras.callbacks.Callback):
    """Keeps one row per epoch and rewrites a CSV file with them.

    Args:
        path: the CSV file; None for none.
    """

    def __init__(self, path: str | os.PathLike[str] | None):
        super().__init__()
        self.path = None if path is None else Path(path)
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the epoch's row."""
        row = {key: float(value) for key, value in (logs or {}).items()}
        row["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        self.rows.append({"epoch": epoch + 1, **row})
        if self.path is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in self.rows for key in row)))
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
        monitor: name of the figure; epochs without it are passed over.
    """

    def __init__(self, directory: str | os.PathLike[str], *, monitor: str = "val_loss"):
        super().__init__()
        self.directory, self.monitor = Path(directory), monitor
        self.best = math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves if better."""
        value = float((logs or {}).get(self.monitor, math.inf))
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
        columns: names of the coordinates of vectors.
        condition: conditions `[N, ...]` that samples are drawn for in turn, of flows with one.
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
        columns: Sequence[str] | None = None,
        condition: np.ndarray | None = None,
    ):
        super().__init__()
        self.directory, self.num = Path(directory), num
        self.data, self.columns, self.condition = data, columns, condition
        self.temperature, self.seed, self.tensorboard = temperature, seed, tensorboard

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws and writes."""
        dist = self.model.dist
        classes = dist.num_classes
        labels = None if classes is None else np.arange(self.num) % classes
        condition = self.condition
        if condition is not None:
            condition = condition[np.arange(self.num) % len(condition)]
        samples = latents.sample(
            dist,
            self.num,
            temperature=self.temperature,
            labels=labels,
            condition=condition,
            seed=self.seed,
        )
        path = self.directory / f"epoch_{epoch + 1:04d}.png"
        pictures.write_samples(
            path, samples, levels=dist.levels, data=self.data, columns=self.columns
        )
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
