"""What a training run is made of."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfp_realnvp import datasets, flows
from tfp_realnvp.core import arguments
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels.adam import Adam
from tfp_realnvp.kernels.muon import Muon
from tfp_realnvp.training.schedules import SCHEDULES, schedule
from tfp_realnvp.training.step_logs import checked_logs

OPTIMIZERS = {"adam": Adam, "muon": Muon}
# Tracing takes each shard its own part of the graph.
MOST_SHARDS = 512
# What does not decay: all but the kernels of networks.
_NO_KERNEL = r"^(?!.*\.(kernel|direction)(:0)?$)"
# What `flows.build` is given by position, or takes from the settings and the data.
_SETTLED = (
    "name",
    "event_shape",
    "seed",
    "levels",
    "num_classes",
    "condition_shape",
    "conditioner_dtype",
)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a training run is made of; two runs of equal configuration end equal.

    Values become what JSON has: tuples and arrays are lists, paths are text.

    Attributes:
        flow: name of the flow.
        dataset: name or path of the data set.
        data_dir: where downloaded or raw data sets are kept.
        data_options: options of the data set, such as `{"classes": [0, 2]}`; see `datasets.load`.
        epochs: passes over the training split.
        patience: epochs without a better validation after which training ends; 0 for all epochs.
        validate_every: epochs from one validation to the next; the last is validated always.
        batch_size: examples in a step.
        optimizer: `"adam"` or `"muon"`.
        learning_rate: its rate at the start, or behind the warm-up.
        warmup: steps over which a cosine schedule rises from 0 to that rate.
        schedule: `"constant"`, `"exponential"` (times 0.99 per epoch, to 1%) or `"cosine"` (to
            0).
        weight_decay: part of the networks' kernels that a step takes off, in units of the rate.
        clip: bound of the global gradient norm; 0 for none.
        coarse: weights of the likelihoods of coarser images in the loss; see `FlowModel.compile`.
        log: what is logged beside loss and likelihood, of `"terms"` and `"gradient_noise"`;
            likewise.
        ema: momentum of the averaged weights that are validated, saved and sampled; 0 for none.
        flip: whether images are mirrored at random.
        conditional: whether the flow is conditional on the labels; on conditions it is wherever
            the data have them.
        precision: `"float32"`, or `"bfloat16"` for the convolutions of flows of images.
        jit: `"auto"`, `"on"` or `"off"`: XLA.
        shards: in how many shards, side by side, a batch is worked on.
        microbatch: how many rows of a batch a step works on at a time; None for all.
        start: what `nvp.load` takes, to begin with the weights of that flow (see
            `nvp.start_from`); None to begin from nothing.
        seed: of initial values, data order and noise; 32 bits.
        options: options of the flow.

    Raises:
        ValueError: a value out of range, or options that JSON has no form for.
        TypeError: a value of another kind.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.runs.RunConfig(flow="realnvp", dataset="moons", options={"widths": (8, 8)}).options
        {'widths': [8, 8]}
    """

    flow: str
    dataset: str = "digits"
    data_dir: str | None = None
    epochs: int = 10
    patience: int = 0
    validate_every: int = 1
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    warmup: int = 0
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0
    coarse: list[float] = dataclasses.field(default_factory=list)
    log: list[str] = dataclasses.field(default_factory=list)
    flip: bool = False
    conditional: bool = False
    precision: str = "float32"
    jit: str = "auto"
    shards: int = 1
    microbatch: int | None = None
    start: str | None = None
    seed: int = 0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    data_options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        owner = "A run"
        for field in dataclasses.fields(self):
            value = _plain(getattr(self, field.name), field.name)
            object.__setattr__(self, field.name, value)
        for name in ("flow", "dataset", "data_dir", "start"):
            value = getattr(self, name)
            left_out = value is None and name in ("data_dir", "start")
            if not (isinstance(value, str) and value) and not left_out:
                raise ValueError(f"{owner} needs {name} to be a name or a path, got {value!r}.")
        arguments.whole(owner, "epochs", self.epochs)
        arguments.whole(owner, "patience", self.patience, least=0)
        arguments.whole(owner, "validate_every", self.validate_every)
        arguments.whole(owner, "batch_size", self.batch_size, most=2**31 - 1)
        arguments.whole(owner, "shards", self.shards, most=MOST_SHARDS)
        if self.microbatch is not None:
            arguments.whole(owner, "microbatch", self.microbatch, most=2**31 - 1)
        arguments.whole(owner, "seed", self.seed, least=-(2**31), most=2**31 - 1)
        arguments.real(owner, "learning_rate", self.learning_rate, above=0)
        arguments.whole(owner, "warmup", self.warmup, least=0)
        arguments.real(owner, "weight_decay", self.weight_decay, least=0)
        arguments.real(owner, "clip", self.clip, least=0)
        arguments.real(owner, "ema", self.ema, least=0, below=1)
        for name in ("flip", "conditional"):
            arguments.instance(owner, name, getattr(self, name), bool)
        for name in ("coarse", "log"):
            arguments.instance(owner, name, getattr(self, name), list)
        for weight in self.coarse:
            arguments.real(owner, "coarse", weight, least=0)
        checked_logs(owner, self.log)
        for name in ("options", "data_options"):
            arguments.instance(owner, name, getattr(self, name), dict)
        if self.schedule not in SCHEDULES:
            raise ValueError(f"Unknown schedule {self.schedule!r}; there are {SCHEDULES}.")
        if self.warmup and self.schedule != "cosine":
            raise ValueError(
                f"warmup is for schedule='cosine', got warmup={self.warmup} and "
                f"schedule={self.schedule!r}."
            )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"Unknown optimizer {self.optimizer!r}; there are {tuple(OPTIMIZERS)}."
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is float32 or bfloat16, got {self.precision!r}.")
        if self.jit not in ("auto", "on", "off"):
            raise ValueError(f"jit is auto, on or off, got {self.jit!r}.")

    def build_flow(self, info: datasets.DatasetInfo) -> Flow:
        """Builds the flow for a data set, with fresh initial values.

        Raises:
            ValueError: settings or options that do not fit the flow or the data.
            TypeError: an option that the flow does not have.
        """
        if self.conditional and info.num_classes is None:
            raise ValueError(f"{self.dataset} has no labels for a class-conditional flow.")
        if self.flip and info.levels is None:
            raise ValueError(f"flip is for images; {self.dataset} has vectors.")
        if taken := sorted(set(_SETTLED) & self.options.keys()):
            raise ValueError(
                f"{', '.join(taken)}: settled by the run's data set and settings, not an option; "
                f"the options of {self.flow} are {list(flows.options(self.flow))}."
            )
        return flows.build(
            self.flow,
            info.event_shape,
            seed=self.seed,
            levels=info.levels or 256,
            num_classes=info.num_classes if self.conditional else None,
            condition_shape=info.condition_shape,
            conditioner_dtype="mixed_bfloat16" if self.precision == "bfloat16" else None,
            **self.options,
        )

    def build_optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """Makes the optimizer.

        Raises:
            ValueError: the warm-up is as long as the training.
        """
        rate = schedule(
            self.schedule,
            self.learning_rate,
            steps=self.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            warmup=self.warmup,
        )
        optimizer = OPTIMIZERS[self.optimizer](
            rate,
            weight_decay=self.weight_decay or None,
            global_clipnorm=self.clip or None,
            use_ema=self.ema > 0,
            ema_momentum=self.ema or 0.99,
        )
        optimizer.exclude_from_weight_decay(var_names=[_NO_KERNEL])
        return optimizer


def _plain(value: Any, name: str) -> Any:
    """Returns a value as JSON would give it back."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, Mapping):
        if unnamed := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"A run needs {name} to have names, got {unnamed[0]!r}.")
        return {key: _plain(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, name) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"A run needs {name} to be finite, got {value!r}.")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise TypeError(f"A run needs {name} to be of numbers, text and lists, got {value!r}.")
    return value
