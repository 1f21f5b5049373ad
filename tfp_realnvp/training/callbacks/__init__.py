"""Keras callbacks of a training run; those with a state know how to resume."""

from tfp_realnvp.training.callbacks.checkpoint import Checkpoint, NotFiniteError
from tfp_realnvp.training.callbacks.epochs import BestCheckpoint, EpochLog, SampleGrid, WithAverages
from tfp_realnvp.training.callbacks.progress import Progress, WallClock
from tfp_realnvp.training.callbacks.stopping import (
    StopOnNaN,
    StopWhenAsked,
    StopWithoutProgress,
)

__all__ = [
    "BestCheckpoint",
    "Checkpoint",
    "EpochLog",
    "NotFiniteError",
    "Progress",
    "SampleGrid",
    "StopOnNaN",
    "StopWhenAsked",
    "StopWithoutProgress",
    "WallClock",
    "WithAverages",
]
