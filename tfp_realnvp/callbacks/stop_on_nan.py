"""An end with a clear sentence when training has gone astray."""

from __future__ import annotations

import math
from typing import Any

import keras


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
