"""Training runs: a directory with configuration, logs, checkpoints, samples and results."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfp_realnvp import callbacks, datasets, flows, pictures
from tfp_realnvp.distribution import Flow
from tfp_realnvp.evaluation import evaluate
from tfp_realnvp.model import FlowModel
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.saving import load, replacing

CONFIG, LOG, RESULTS, LAST = "config.json", "log.csv", "results.json", "last.npz"
SCHEDULES = ("constant", "exponential", "cosine")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a training run is made of; two runs of equal configuration end equal.

    Attributes:
        flow: name of the flow.
        dataset: name or path of the data set.
        data_dir: where downloaded or raw data sets are kept.
        epochs: passes over the training split.
        batch_size: examples in a step.
        learning_rate: of Adam, at the start.
        schedule: `"constant"`, `"exponential"` (times 0.99 per epoch) or `"cosine"` (to 0).
        clip: bound of the global gradient norm; 0 for none.
        ema: momentum of the averaged weights that are validated, saved and sampled; 0 for none.
        flip: whether images are mirrored at random.
        conditional: whether the flow is conditional on the labels.
        precision: `"float32"`, or `"bfloat16"` for the conditioners' arithmetic.
        jit: `"auto"`, `"on"` or `"off"`: XLA.
        shards: in how many shards, side by side, a batch is worked on.
        microbatch: how many rows of a batch a step works on at a time; None for all.
        seed: of initial values, data order and noise.
        options: options of the flow.
    """

    flow: str
    dataset: str = "digits"
    data_dir: str | None = None
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    clip: float = 1.0
    ema: float = 0.0
    flip: bool = False
    conditional: bool = False
    precision: str = "float32"
    jit: str = "auto"
    shards: int = 1
    microbatch: int | None = None
    seed: int = 0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        positive = {"epochs": self.epochs, "batch_size": self.batch_size, "shards": self.shards}
        if self.microbatch is not None:
            positive["microbatch"] = self.microbatch
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        if not (0 <= self.ema < 1 and self.clip >= 0):
            raise ValueError(
                f"ema must be in [0, 1) and clip not negative, got {self.ema} and {self.clip}."
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"Unknown schedule {self.schedule!r}; there are {SCHEDULES}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is float32 or bfloat16, got {self.precision!r}.")
        if self.jit not in ("auto", "on", "off"):
            raise ValueError(f"jit is auto, on or off, got {self.jit!r}.")

    def build_flow(self, info: datasets.DatasetInfo) -> Flow:
        """Builds the flow for a data set, with fresh initial values."""
        if self.conditional and info.num_classes is None:
            raise ValueError(f"{self.dataset} has no labels for a class-conditional flow.")
        settled: dict[str, Any] = {
            "seed": self.seed,
            "levels": info.levels or 256,
            "num_classes": info.num_classes if self.conditional else None,
            "conditioner_dtype": "mixed_bfloat16" if self.precision == "bfloat16" else None,
        }
        if taken := sorted(settled.keys() & self.options):
            raise ValueError(
                f"{', '.join(taken)}: settled by the run's data set and settings, not an option; "
                f"the options of {self.flow} are {list(flows.options(self.flow))}."
            )
        return flows.build(self.flow, info.event_shape, **settled, **self.options)

    def optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """Makes the optimizer."""
        rate: Any = self.learning_rate
        if self.schedule == "exponential":
            rate = keras.optimizers.schedules.ExponentialDecay(
                rate, decay_steps=steps_per_epoch, decay_rate=0.99, staircase=True
            )
        elif self.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, self.epochs * steps_per_epoch)
        return Adam(
            rate,
            global_clipnorm=self.clip or None,
            use_ema=self.ema > 0,
            ema_momentum=self.ema or 0.99,
        )


def train(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    verbose: bool = True,
    tensorboard: bool = True,
    checkpoint_seconds: float = 60.0,
    result_examples: int | None = 2000,
) -> dict[str, Any]:
    """Trains a flow in a run directory and evaluates its best weights on the test split.

    Args:
        config: what to train; with `resume`, an existing run's own configuration must agree in
            all but `epochs` and `data_dir`.
        out: the run directory.
        resume: whether to go on with a run that is there.
        verbose: whether to show progress.
        tensorboard: whether to write TensorBoard logs.
        checkpoint_seconds: time between checkpoints within an epoch.
        result_examples: test examples for the final figures; None for all.

    Returns:
        What is in `results.json`.

    Raises:
        ValueError: bad configuration or data, or a directory that holds a run already.
        OSError: the directory cannot be written.
    """
    out = Path(out)
    _claim(out, config, resume=resume)
    info = datasets.info(config.dataset, data_dir=config.data_dir)
    dist = config.build_flow(info)
    x, labels = datasets.load_arrays(config.dataset, "train", config.data_dir)
    val_x, val_labels = datasets.load_arrays(config.dataset, "validation", config.data_dir)
    if not config.conditional:
        labels = val_labels = None
    batch_size = min(config.batch_size, len(x))
    steps_per_epoch = len(x) // batch_size
    total = config.epochs * steps_per_epoch

    model = FlowModel(dist, seed=config.seed)
    jit = {"auto": "auto", "on": True, "off": False}[config.jit]
    model.compile(
        optimizer=config.optimizer(steps_per_epoch),
        jit_compile=jit,
        shards=config.shards,
        microbatch=config.microbatch,
    )
    _write_json(out / CONFIG, dataclasses.asdict(config))

    log = callbacks.EpochLog(out / LOG)
    best = callbacks.BestCheckpoint(out)
    wall = callbacks.WallClock()
    checkpoint = callbacks.Checkpoint(
        out / LAST,
        steps_per_epoch=steps_per_epoch,
        stateful={"log": log, "best": best, "wall": wall},
        seconds=checkpoint_seconds,
    )
    done = checkpoint.restore(model) if resume and (out / LAST).exists() else 0
    board = out / "tensorboard" if tensorboard else None
    samples = callbacks.SampleGrid(
        out / "samples",
        num=64 if info.levels else 2000,
        seed=config.seed,
        tensorboard=board,
        data=val_x if info.levels is None else None,
    )
    # The checkpoint is last: it saves what the others have done at an epoch's end.
    averaged = callbacks.WithAverages([log, best, samples])
    active: list[Any] = [callbacks.StopOnNaN(), averaged]
    if board is not None:
        active.append(keras.callbacks.TensorBoard(board, write_graph=False))
    if verbose:
        active.append(
            callbacks.Progress(
                steps=total,
                steps_per_epoch=steps_per_epoch,
                batch_size=batch_size,
                validation_examples=len(val_x),
            )
        )
    active += [wall, checkpoint]
    if verbose:
        _announce(config, dist, model, len(x), done, total)

    def fit(start: int, stop_epoch: int) -> None:
        first_epoch, offset = divmod(start, steps_per_epoch)
        stream = datasets.batches(
            x, labels, batch_size=batch_size, seed=config.seed, start_step=start, flip=config.flip
        )
        model.fit(
            stream,
            validation_data=datasets.batches(
                val_x,
                val_labels,
                batch_size=batch_size,
                seed=0,
                shuffle=False,
                drop_remainder=False,
            ),
            initial_epoch=first_epoch,
            epochs=stop_epoch,
            steps_per_epoch=steps_per_epoch - offset,
            shuffle=False,  # the stream is shuffled already
            callbacks=active,
            verbose=0,
        )

    if done % steps_per_epoch:  # the rest of a broken epoch, then whole ones
        fit(done, done // steps_per_epoch + 1)
        # Keras has put the averages into the model at the end of this fit.
        done = checkpoint.restore(model)
    if done < total:
        fit(done, config.epochs)
    pictures.write_curves(out / "curves.png", log.rows, unit=model.unit)
    tested = evaluate(
        load(out),
        config.dataset,
        data_dir=config.data_dir,
        examples=result_examples,
        seed=config.seed,
        verbose=verbose,
    )
    results = _results(config, dist, tested, wall.seconds, log.rows)
    _write_json(out / RESULTS, results)
    return results


def read_config(run: str | os.PathLike[str]) -> RunConfig:
    """Reads a run directory's configuration.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    path = Path(run) / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run} is no run directory: it has no {CONFIG}.")
    try:
        return RunConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error


def _claim(out: Path, config: RunConfig, *, resume: bool) -> None:
    if not (out / CONFIG).exists():
        return
    if not resume:
        raise ValueError(f"{out} holds a run already: go on with --resume, or give another --out.")
    there = read_config(out)
    asked = dataclasses.replace(config, epochs=there.epochs, data_dir=there.data_dir)
    if asked != there:
        name = next(
            f.name
            for f in dataclasses.fields(there)
            if getattr(there, f.name) != getattr(asked, f.name)
        )
        raise ValueError(
            f"The run in {out} has {name}={getattr(there, name)!r}, not "
            f"{getattr(config, name)!r}: resume it as it was begun."
        )


def _announce(config, dist, model, examples: int, done: int, total: int) -> None:
    parameters = sum(int(np.prod(v.shape)) for v in dist.trainable_variables)
    between = "XLA between convolutions" if model.fuses else "no XLA"
    jit = "XLA" if model.jit_compile else between
    shards = f", {config.shards} shards" if config.shards > 1 else ""
    print(
        f"{config.flow}: {parameters:,} parameters, {examples:,} examples of {config.dataset}, "
        f"{total:,} steps, {config.precision}, {jit}{shards}"
        + (f", from step {done:,}" if done else ""),
        flush=True,
    )


def _results(config, dist, tested, seconds, rows) -> dict[str, Any]:
    return {
        "flow": config.flow,
        "parameters": sum(int(np.prod(v.shape)) for v in dist.trainable_variables),
        **tested,
        "best_validation": min(row.get("val_loss", row["loss"]) for row in rows),
        "epochs": config.epochs,
        "seed": config.seed,
        "wall_seconds": round(seconds, 1),
        "versions": {
            "python": platform.python_version(),
            **{n: version(n) for n in ("tensorflow", "tensorflow-probability", "keras", "numpy")},
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
