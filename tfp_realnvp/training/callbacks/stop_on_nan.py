"""An end with a clear sentence when training has gone astray."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfp_realnvp.training.callbacks.checkpoint import Checkpoint, NotFiniteError


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
