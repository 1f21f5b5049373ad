"""Checkpoints from which a run goes on as if it had never been broken."""

from __future__ import annotations

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfp_realnvp.saving import replacing


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
