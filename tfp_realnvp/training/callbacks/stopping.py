"""Ends of training: when it has gone astray or gets no further, or because a signal asks."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfp_realnvp.training.callbacks.checkpoint import Checkpoint, NotFiniteError
from tfp_realnvp.training.callbacks.epochs import EpochLog
from tfp_realnvp.training.interruption import Interrupted, Interruption


class StopOnNaN(keras.callbacks.Callback):
    """Stops with one clear sentence when the loss is NaN or infinite, in training or validation.

    Args:
        checkpoint: the run's checkpoint, so that the sentence can say whether there is one.
    """

    def __init__(self, checkpoint: Checkpoint | None = None):
        super().__init__()
        self.checkpoint = checkpoint

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the running loss.

        Raises:
            NotFiniteError: it is not finite.
        """
        self._look(logs, "loss", "The loss")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss of the validation.

        Raises:
            NotFiniteError: it is not finite.
        """
        self._look(logs, "val_loss", "The validation's loss")

    def _look(self, logs: dict[str, Any] | None, key: str, what: str) -> None:
        loss = (logs or {}).get(key)
        if loss is not None and not math.isfinite(float(loss)):
            saved = None if self.checkpoint is None else self.checkpoint.steps
            before = "" if saved is None else f"; the checkpoint of step {saved:,} is from before"
            raise NotFiniteError(
                f"{what} became {float(loss)} at step {int(self.model.step.numpy())}: lower the "
                f"learning rate or clip the gradients (global_clipnorm){before}."
            )


class StopWithoutProgress(keras.callbacks.Callback):
    """Ends training at an epoch's end when validation has not been better for some epochs.

    It goes after the log, from which a resumed run knows how long that has been.

    Args:
        log: the log of epochs.
        patience: how many epochs may pass; 0 for any number.
    """

    def __init__(self, log: EpochLog, *, patience: int):
        super().__init__()
        self.log, self.patience = log, patience

    @property
    def is_over(self) -> bool:
        """Whether they have passed."""
        validated = [row for row in self.log.rows if "val_loss" in row]
        if not (self.patience and validated):
            return False
        best = min(validated, key=lambda row: row["val_loss"])
        return self.log.rows[-1]["epoch"] - best["epoch"] >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends training if they have."""
        if self.is_over:
            self.model.stop_training = True


class StopWhenAsked(keras.callbacks.Callback):
    """Stops after the step, or the end of the epoch, in which a signal has come, with a checkpoint.

    Before the first step there is nothing to keep, and signals stop at once. From an epoch's last
    step to its end, which may have a long validation in it, the first signal waits and the second
    one stops at once, at the checkpoint before. It goes after `Checkpoint`.

    Args:
        interruption: takes the signals.
        checkpoint: saves.
    """

    def __init__(self, interruption: Interruption, checkpoint: Checkpoint):
        super().__init__()
        self.interruption, self.checkpoint = interruption, checkpoint

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves and stops if asked.

        Raises:
            Interrupted: a signal has come.
        """
        self.interruption.deferred = True
        if self.interruption.asked and not self.checkpoint.ends_epoch:
            self.checkpoint.save()
            raise Interrupted(self.interruption.asked)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops if asked.

        Raises:
            Interrupted: a signal has come.
        """
        if self.interruption.asked:
            raise Interrupted(self.interruption.asked)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Lets signals stop at once again."""
        self.interruption.deferred = False
