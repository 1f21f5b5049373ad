"""An end after a checkpoint when a signal asks for one."""

from __future__ import annotations

from typing import Any

import keras

from tfp_realnvp.training.callbacks.checkpoint import Checkpoint
from tfp_realnvp.training.interruption import Interrupted, Interruption


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
