"""A training run in its directory, from its begin to its results."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp import datasets
from tfp_realnvp.flow import Flow
from tfp_realnvp.plots import pictures
from tfp_realnvp.training import callbacks, distribution, run_data, run_directory
from tfp_realnvp.training.evaluation import evaluate_arrays, speeds
from tfp_realnvp.training.interruption import Interruption
from tfp_realnvp.training.model import FlowModel
from tfp_realnvp.training.run_config import RunConfig
from tfp_realnvp.training.run_directory import (
    CONFIG,
    CURVES,
    DATA,
    LAST,
    LOG,
    RESULTS,
    SAMPLES,
    TENSORBOARD,
)
from tfp_realnvp.training.saving import load
from tfp_realnvp.uses.start import start_from

# `FlowModel` counts its steps, and the seeds of their noise, in 32 bits.
MOST_STEPS = 2**31 - 1
# Vectors in a picture.
SHOWN = 2000


class Run:
    """A run in a directory that is claimed for it, from its begin to its results.

    Args:
        config: what to train.
        out: the run directory.
        resume: see `train`.
        verbose: see `train`.
        tensorboard: see `train`.
        strategy: how batches are shared by devices.
        is_chief: whether this process writes the directory; others of a gang read it.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        *,
        resume: bool,
        verbose: bool,
        tensorboard: bool,
        strategy: tf.distribute.Strategy,
        is_chief: bool = True,
    ):
        self.config, self.out = config, out
        self.resume, self.verbose = resume, verbose
        self.strategy, self.is_chief = strategy, is_chief
        self.board = out / TENSORBOARD if tensorboard else None
        self.checkpoint: callbacks.Checkpoint | None = None
        self.total = 0

    def begin(
        self, interruption: Interruption, *, checkpoint_seconds: float, memory: float
    ) -> None:
        """Looks at all that training will need, restores what there is, and writes the settings."""
        config, out = self.config, self.out
        distribution.check(config, self.strategy.num_replicas_in_sync)
        if self.is_chief:
            run_directory.agree(out, config, resume=self.resume)
        info = datasets.info(config.dataset, config.data_dir, **config.data_options)
        resumed = self.resume and run_directory.is_trained(out)
        # One that was killed at the end of its first epoch may have no checkpoint yet.
        restored = resumed and (out / LAST).exists()
        if config.precision == "bfloat16" and info.levels is None and not resumed:
            raise ValueError(
                f"precision=bfloat16 is for the convolutions of images, and {config.dataset} has "
                "vectors, whose log-likelihood it would put off by nats: leave it at float32."
            )
        with self.strategy.scope():
            self.dist: Flow = config.build_flow(info)
            if config.start is not None and not restored:
                start_from(self.dist, load(config.start))
        self.data = run_data.read(config, info, self.dist, memory=memory)
        description = self.data.description()
        if resumed and self.is_chief:
            run_directory.agree_on_data(out, description["splits"])
        examples = len(self.data.train[0])
        self.batch_size = min(config.batch_size, examples)
        self.steps_per_epoch = examples // self.batch_size
        self.total = config.epochs * self.steps_per_epoch
        if self.total > MOST_STEPS:
            raise ValueError(
                f"A run has at most {MOST_STEPS:,} steps; {config.epochs:,} epochs of "
                f"{self.steps_per_epoch:,} steps are more."
            )
        alone = self.strategy.num_replicas_in_sync == 1
        with self.strategy.scope():
            self.model = FlowModel(self.dist, seed=config.seed)
            self.model.compile(
                optimizer=config.build_optimizer(self.steps_per_epoch),
                jit_compile={"auto": "auto" if alone else False, "on": True, "off": False}[
                    config.jit
                ],
                shards=config.shards,
                microbatch=config.microbatch,
                coarse=config.coarse,
                log=config.log,
            )
        if config.patience and self.data.validation is None:
            raise ValueError(
                f"patience={config.patience} needs a validation, and {config.dataset} has no "
                "split for it."
            )
        self.log = callbacks.EpochLog(out / LOG if self.is_chief else None)
        self.patience = callbacks.StopWithoutProgress(self.log, patience=config.patience)
        self.wall = callbacks.WallClock()
        monitor = "loss" if self.data.validation is None else "val_loss"
        best = callbacks.BestCheckpoint(out, monitor=monitor)
        self.checkpoint = callbacks.Checkpoint(
            out / LAST,
            steps_per_epoch=self.steps_per_epoch,
            stateful={"log": self.log, "best": best, "wall": self.wall},
            seconds=checkpoint_seconds,
            writes=self.is_chief,
            of_chief=distribution.number_of_chief(self.strategy),
        )
        self.done = self.checkpoint.restore(self.model) if restored else 0
        epochs = self.done // self.steps_per_epoch
        if len(self.log.rows) != epochs:
            raise ValueError(
                f"The log of the run in {out} has {len(self.log.rows)} epochs, but its "
                f"{self.done:,} steps are {epochs} epochs of these data: they have changed."
            )
        if self.done > self.total:
            raise ValueError(
                f"The run in {out} has {len(self.log.rows)} epochs already, more than "
                f"{config.epochs}: resume it with as many or more."
            )
        if not restored and not alone:
            with self.strategy.scope():
                self.model.start_from(self._batches(self.data.train, seed=config.seed))
        if not self.is_chief:
            log = callbacks.WithAverages([self.log])
            self.callbacks = [log, self.patience, self.wall, self.checkpoint]
            return
        if not restored:
            run_directory.forget_start(out)
        run_directory.write_json(out / CONFIG, dataclasses.asdict(config))
        run_directory.write_json(out / DATA, description)
        self.callbacks = self._callbacks(best, interruption)
        if self.verbose:
            self._announce()

    def _callbacks(self, best, interruption: Interruption) -> list[Any]:
        validation = self.data.validation
        samples = callbacks.SampleGrid(
            self.out / SAMPLES,
            num=64 if self.dist.levels else SHOWN,
            seed=self.config.seed,
            tensorboard=self.board,
            data=validation[0][:SHOWN] if validation and self.dist.levels is None else None,
            columns=self.data.columns,
            condition=(validation or self.data.train)[2],
        )
        assert self.checkpoint is not None
        active: list[Any] = [
            callbacks.StopOnNaN(self.checkpoint),
            callbacks.WithAverages([self.log, best, samples]),
        ]
        if self.board is not None:
            active.append(keras.callbacks.TensorBoard(self.board, write_graph=False))
        if self.verbose:
            active.append(
                callbacks.Progress(
                    steps=self.total,
                    steps_per_epoch=self.steps_per_epoch,
                    batch_size=self.batch_size,
                    validation_examples=len(validation[0]) if validation else None,
                )
            )
        # The checkpoint is behind them: it saves what the others have done at an epoch's end.
        stop = callbacks.StopWhenAsked(interruption, self.checkpoint)
        return [*active, self.patience, self.wall, self.checkpoint, stop]

    def fit(self) -> None:
        """Trains on to the last epoch."""
        assert self.checkpoint is not None
        if self.done % self.steps_per_epoch:  # the rest of a broken epoch, then whole ones
            epochs = self.done // self.steps_per_epoch + 1
            self._fit(self.done, epochs)
            self.done = epochs * self.steps_per_epoch
            if self.config.ema:  # Keras has put the averages into the model at the end of this fit
                self.checkpoint.restore(self.model)
        if self.done < self.total and not self.patience.is_over:
            self._fit(self.done, self.config.epochs)

    def _fit(self, start: int, stop_epoch: int) -> None:
        first_epoch, offset = divmod(start, self.steps_per_epoch)
        config = self.config
        stream = distribution.distributed(
            self.strategy,
            lambda part: self._batches(
                self.data.train, seed=config.seed, start_step=start, flip=config.flip, part=part
            ),
        )
        held_out, validation, steps = self.data.validation, None, None
        if held_out is not None:
            if self.strategy.num_replicas_in_sync > 1:
                steps = -(-len(held_out[0]) // self.batch_size)
            validation = distribution.distributed(
                self.strategy,
                lambda part: self._batches(
                    held_out, seed=0, shuffle=False, drop_remainder=False, part=part
                ),
                repeat=True,
            )
        self.model.fit(
            stream,
            validation_data=validation,
            validation_freq=[
                epoch
                for epoch in range(1, config.epochs + 1)
                if epoch % config.validate_every == 0 or epoch == config.epochs
            ],
            initial_epoch=first_epoch,
            epochs=stop_epoch,
            steps_per_epoch=self.steps_per_epoch - offset,
            validation_steps=steps,
            shuffle=False,  # the stream is shuffled already
            callbacks=self.callbacks,
            verbose=0,
        )

    def _batches(self, arrays: run_data.Arrays, **options: Any) -> tf.data.Dataset:
        return datasets.batches(*arrays, batch_size=self.batch_size, **options)

    def finish(self, examples: int | None) -> dict[str, Any]:
        """Draws the curves, evaluates the best weights and writes the results."""
        pictures.write_curves(self.out / CURVES, self.log.rows, unit=self.model.unit)
        split = "test" if self.data.test is not None else "validation"
        arrays = self.data.test if self.data.test is not None else self.data.validation
        figures: dict[str, Any] = {"split": None, "examples": 0}
        best = load(self.out)

        def evaluated(arrays):
            seed, verbose = self.config.seed, self.verbose
            return evaluate_arrays(best, *arrays, examples=examples, seed=seed, verbose=verbose)

        if arrays is not None:
            figures = {"split": split} | evaluated(arrays)
        if split == "test" and self.data.validation is not None:
            figures["validation"] = evaluated(self.data.validation)
        results = run_directory.finite(
            {
                "flow": self.config.flow,
                "parameters": self._parameters(),
                "dataset": self.config.dataset,
                **figures,
                **speeds(best, *self.data.train),
                "best_validation": min(
                    (row["val_loss"] for row in self.log.rows if "val_loss" in row), default=None
                ),
                "epochs": len(self.log.rows),
                "seed": self.config.seed,
                "wall_seconds": round(self.wall.seconds, 1),
                "versions": {
                    "python": platform.python_version(),
                    **{n: version(n) for n in _VERSIONS},
                },
            }
        )
        run_directory.write_json(self.out / RESULTS, results)
        return results

    def rest(self) -> str:
        """Returns what is to be said of a run that stops: from where it goes on."""
        if self.checkpoint is not None and self.checkpoint.steps is not None:
            return f": --resume goes on from step {self.checkpoint.steps:,} of {self.total:,}"
        if self.resume and run_directory.is_trained(self.out):
            return ": --resume goes on from where the run was before"
        return " before the first step: nothing is kept"

    def _parameters(self) -> int:
        return sum(int(np.prod(v.shape)) for v in self.dist.trainable_variables)

    def _announce(self) -> None:
        config, model = self.config, self.model
        between = "XLA between convolutions" if model.plan.kernels.by_xla else "no XLA"
        jit = "XLA" if model.jit_compile else between
        shards = f", {config.shards} shards" if config.shards > 1 else ""
        count = self.strategy.num_replicas_in_sync
        shards += f", {count} replicas" if count > 1 else ""
        print(
            f"{config.flow}: {self._parameters():,} parameters, {len(self.data.train[0]):,} "
            f"examples of {config.dataset}, {self.total:,} steps, {config.precision}, {jit}{shards}"
            + (f", from step {self.done:,}" if self.done else ""),
            flush=True,
        )
        if self.data.validation is None:
            print(f"{config.dataset} has no validation split: nothing is validated.", flush=True)
        if self.data.test is None:
            place = "no split" if self.data.validation is None else "the validation split"
            print(f"{config.dataset} has no test split: the results are of {place}.", flush=True)


_VERSIONS = ("tensorflow", "tensorflow-probability", "keras", "numpy")
