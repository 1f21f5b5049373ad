"""Schedules of the learning rate by name: a warm-up, a cosine, an exponential with a floor."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

SCHEDULES = ("constant", "exponential", "cosine")
# The UvA tutorial's: the rate per epoch, and the part of it that is always left.
DECAY, FLOOR = 0.99, 0.01


def schedule(
    name: str, rate: float, *, steps: int, steps_per_epoch: int, warmup: int = 0
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns a learning rate, or the schedule of one.

    Args:
        name: `"constant"`; `"exponential"`, times 0.99 per epoch, step by step, down to 1% of the
            rate; or `"cosine"`, to 0.
        rate: the rate at the start, or behind the warm-up.
        steps: steps of all epochs.
        steps_per_epoch: steps of one.
        warmup: steps over which a cosine rises from 0 first.

    Raises:
        ValueError: the warm-up is as long as the training.
    """
    if name == "exponential":
        return FlooredDecay(rate, decay_steps=steps_per_epoch, decay_rate=DECAY)
    if name == "constant":
        return rate
    if warmup >= steps:
        raise ValueError(
            f"A run needs fewer steps of warm-up than steps, got warmup={warmup} and {steps} steps."
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else rate,
        steps - warmup,
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )


@keras.saving.register_keras_serializable("tfp_realnvp")
class FlooredDecay(keras.optimizers.schedules.ExponentialDecay):
    """Keras' exponential decay, which ends at 1% of the rate."""

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate of a step."""
        return tf.maximum(super().__call__(step), FLOOR * self.initial_learning_rate)
