"""The groups of rows: what is run for each, and what it is held against."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from benchmarks.processes import Peer, image_peers, installed, ours, run, vector_peers
from benchmarks.table import Row, faster
from tfp_realnvp.execution.device import best_precision


@dataclasses.dataclass
class Bench:
    """A run of the benchmarks.

    Attributes:
        python: the interpreter of the peers.
        short: whether to take tiny batches and few steps, to see that all runs.
        scripts: a folder with more scripts of peers; see `image_peers` and `vector_peers`.
        reports: what every process has reported, by command.
    """

    python: str
    short: bool
    scripts: Path | None = None
    reports: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.image = installed(image_peers(self.scripts), self.python)
        self.vector = installed(vector_peers(self.scripts), self.python)

    def ours(self, module: str, *options: str) -> Any:
        """Runs one of our scripts, once."""
        key = " ".join([module, *options])
        if key not in self.reports:
            self.reports[key] = ours(module, *options)
        return self.reports[key]

    def others(self, peers: list[Peer], *options: str) -> dict[str, Any]:
        """Runs the peers, each once."""
        found = {}
        for peer in peers:
            key = " ".join([peer.name, *options])
            if key not in self.reports:
                self.reports[key] = run(peer.line(options), python=self.python)
            found[peer.name] = self.reports[key]
        return found

    def options(self, what: str, batch: int, steps: int, warmup: int = 2) -> list[str]:
        """Returns the arguments that all timed scripts share."""
        if self.short:
            batch, steps, warmup = min(batch, 2), 2, 0
        options = {"what": what, "batch": batch, "steps": steps, "warmup": warmup}
        return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def train(bench: Bench) -> list[Row]:
    """Images trained per second through `fit`: the best mode, and float32 against float32."""
    rows = []
    for batch, steps in ((32, 9), (128, 5)):
        options = bench.options("train", batch, steps, warmup=1)
        others = bench.others(bench.image, *options)
        plain = {name: each for name, each in others.items() if "bfloat16" not in name}
        same = bench.ours("ours_image", *options, "--precision", "float32")
        modes = {
            _mode_of_training_in_words(batch): bench.ours(
                "ours_image", *options, *mode_of_training(batch)
            ),
            "float32, no shards": same,
        }
        # As for the peers' threads: neither is always the faster.
        mode, best = _fastest(modes, "images")
        what = f"train, batch {batch}"
        rows.append(faster(f"{what}, the best mode: {mode}", best, others, 1.5, "images"))
        rows.append(faster(f"{what}, float32, no shards", same, plain, 1.0, "images"))
    return rows


# Rows that a training step works on at a time.
MICROBATCH = 64


def mode_of_training(batch: int) -> list[str]:
    """Returns the arguments of our best mode of training by themselves."""
    parts = ["--microbatch", str(MICROBATCH)] if batch > MICROBATCH else []
    return [*_best_mode(), *parts]


def _mode_of_training_in_words(batch: int) -> str:
    parts = f", {MICROBATCH} at a time" if batch > MICROBATCH else ""
    return _best_mode_in_words() + parts


def _best_mode() -> list[str]:
    return ["--shards", str(os.cpu_count() or 1), "--precision", best_precision()]


def _best_mode_in_words() -> str:
    return f"{best_precision()}, a shard per core"


def _calls(bench: Bench, what: str, batches: tuple[int, ...]) -> list[Row]:
    rows = []
    for batch in batches:
        options = bench.options(what, batch, 30 if batch == 1 else 9)
        mode, words = _best_mode(), _best_mode_in_words()
        if batch == 1:
            mode, words = ["--engine", "litert"], "LiteRT"
        mine = bench.ours("ours_image", *options, *mode)
        others = bench.others(bench.image, *options)
        words = f"{what}, batch {batch}, {words}"
        rows.append(faster(words, mine, others, 1.5, "images"))
    return rows


def logprob(bench: Bench) -> list[Row]:
    """Likelihoods per second in process."""
    return _calls(bench, "logprob", (1, 64, 128))


def sample(bench: Bench) -> list[Row]:
    """Images drawn per second."""
    return _calls(bench, "sample", (1, 64))


def saved(bench: Bench) -> list[Row]:
    """Likelihoods through the SavedModel: beside the peers, and beside the same in process."""
    rows = []
    steps = "1" if bench.short else "10"
    shards = ["--shards", str(os.cpu_count() or 1)]
    report = bench.ours("saved_model", "--steps", steps, *shards) or {}
    for batch, times in report.items():
        there, here = (times[name]["step_ms_median"] for name in ("saved", "in_process"))
        options = bench.options("logprob", int(batch), 30 if batch == "1" else 9)
        others = bench.others(bench.image, *options)
        rate = {"images_per_s": 1e3 * int(batch) / there}
        what = f"log_prob through the SavedModel, batch {batch}, float32, a shard per core"
        rows.append(faster(what, rate, others, 1.5, "images"))
        # 5% or 1 ms, whichever is more, as one ratio.
        bar = max(1.05, 1 + 1 / here)
        other = f"in process: {here:.2f} ms"
        rows.append(
            Row(what, f"{there:.2f} ms", other, there / here, round(bar, 3), at_least=False)
        )
    return rows


def vector(bench: Bench) -> list[Row]:
    """The vector `realnvp` beside five libraries."""
    rows = []
    for size in (2, 43):
        for what in ("train", "logprob", "sample"):
            options = [*bench.options(what, 256, 100, warmup=20), "--size", str(size)]
            modes = {"LiteRT": ["--engine", "litert"]}
            if what == "train":  # in two modes; neither is always the faster
                shards = ["--jit", "off", "--shards", str(os.cpu_count() or 1)]
                modes = {"XLA": ["--jit", "on"], "a shard per core": shards}
            reports = {
                mode: bench.ours("ours_vector", *options, *more) for mode, more in modes.items()
            }
            mode, mine = _fastest(reports, "samples")
            others = bench.others(bench.vector, *options)
            rows.append(
                faster(f"vector realnvp, D={size}, {what}, {mode}", mine, others, 1.0, "samples")
            )
    return rows


def _fastest(reports: dict[str, Any], unit: str) -> tuple[str, Any]:
    done = {mode: report for mode, report in reports.items() if report}
    none = next(iter(reports)), None
    return max(done.items(), key=lambda item: item[1][f"{unit}_per_s"], default=none)


def networks(bench: Bench) -> list[Row]:
    """A whole training step beside the conditioner networks alone."""
    rows = []
    for batch, steps in ((32, 9), (128, 5)):
        report = bench.ours("alone", *bench.options("train", batch, steps))
        if report:
            alone = min(report["in_order_ms"], report["at_once_ms"])
            rows.append(
                Row(
                    f"training step over its networks alone, batch {batch}",
                    f"{report['step_ms']:.0f} ms",
                    f"networks alone: {alone:.0f} ms",
                    report["step_ms"] / alone,
                    1.15,
                    at_least=False,
                )
            )
    return rows
