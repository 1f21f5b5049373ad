"""Checkpoints from which a run goes on as if it had never been broken."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfp_realnvp.core.files import replacing


class NotFiniteError(ArithmeticError):
    """The loss or the weights are no longer finite numbers."""


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
        writes: whether it saves, or restores only what another process saves.
        of_chief: gives all workers the chief's number of theirs; None where there is one process.

    Attributes:
        steps: number of steps that the last file saved or restored was of; None before.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        steps_per_epoch: int,
        stateful: dict[str, Any] | None = None,
        seconds: float = 60.0,
        writes: bool = True,
        of_chief: Callable[[float], float] | None = None,
    ):
        super().__init__()
        self.writes, self.of_chief = writes, of_chief
        self.path, self.steps_per_epoch, self.seconds = Path(path), steps_per_epoch, seconds
        self.stateful = stateful or {}
        self.steps: int | None = None
        self._metrics_to_restore: list[np.ndarray] | None = None
        self._last = time.monotonic()
        # When the chief was asked last, by step and clock, and the step to ask it again.
        self._asked, self._ask = (0, self._last), 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock by which steps are timed."""
        self._asked = int(self.model.step.numpy()), time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Gives a broken epoch its running averages back, after Keras has reset them."""
        if self._metrics_to_restore is not None:
            # Models once had the likelihood twice among their metrics, at the end.
            variables = self.model.metrics_variables
            _assign(variables, self._metrics_to_restore[: len(variables)], where=self.path)
            self._metrics_to_restore = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves if it is time."""
        if self._is_time() and not self.ends_epoch:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        self.save()

    @property
    def ends_epoch(self) -> bool:
        """Whether the last step ended an epoch: a run resumed there would skip the epoch's end."""
        return int(self.model.step.numpy()) % self.steps_per_epoch == 0

    def _is_time(self) -> bool:
        now = time.monotonic()
        left = self._last + self.seconds - now
        if self.of_chief is None:
            return left <= 0
        # Workers have clocks of their own, but count the same steps: the chief's clock decides, and
        # tells after how many steps to ask again.
        step = int(self.model.step.numpy())
        if step < self._ask:
            return False
        before, then = self._asked
        wait = self.of_chief(left * (step - before) / max(now - then, 1e-6))
        self._asked, self._ask = (step, now), step + max(1, int(wait))
        return wait <= 0

    def save(self) -> None:
        """Writes the file, or leaves the one before it.

        Raises:
            NotFiniteError: there are weights that are not finite, from which nothing can go on.
        """
        arrays: dict[str, Any] = {
            f"{group}/{i}": value
            for group, variables in self._groups().items()
            for i, value in enumerate(np.asarray(v) for v in variables)
        }
        steps = int(self.model.step.numpy())
        if not all(np.isfinite(value).all() for value in arrays.values()):
            raise NotFiniteError(
                f"Weights are no longer finite after step {steps}: lower the learning rate or clip "
                "the gradients (global_clipnorm)."
            )
        self._last, self.steps = time.monotonic(), steps
        if not self.writes:  # but all workers read metrics, which are sums over them
            return
        states = {name: callback.get_state() for name, callback in self.stateful.items()}
        arrays["states"] = np.array(json.dumps(states))
        with replacing(self.path) as temporary:
            np.savez(temporary, **arrays)

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
        groups = self._groups()
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                found = {
                    group: [stored[f"{group}/{i}"] for i in range(_count(stored, group))]
                    for group in groups
                }
                states = json.loads(str(stored["states"]))
            for name, callback in self.stateful.items():
                callback.set_state(states[name])
        except Exception as error:  # NumPy and zlib raise whatever the damage happens to cause
            raise ValueError(f"The checkpoint {self.path} is damaged.") from error
        # Metrics are made by the first step: the model may have none of them yet.
        for group in groups.keys() - {"metrics"}:
            _assign(groups[group], found[group], where=self.path)
        steps = self.steps = int(model.step.numpy())
        if steps % self.steps_per_epoch:
            self._metrics_to_restore = found["metrics"]
        return steps

    def _groups(self) -> dict[str, list[Any]]:
        return {
            "weights": self.model.weights,
            "optimizer": self.model.optimizer.variables,
            "metrics": self.model.metrics_variables,
        }


def _count(stored: Any, group: str) -> int:
    return sum(key.startswith(f"{group}/") for key in stored.files)


def _assign(variables, values, where: Path) -> None:
    expected = [(tuple(v.shape), str(v.dtype)) for v in variables]
    if expected != [(value.shape, value.dtype.name) for value in values]:
        raise ValueError(f"The checkpoint {where} is of another flow or optimizer.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
