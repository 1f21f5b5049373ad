"""Training runs: what a run directory holds, and how a broken run goes on."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import callbacks, runs

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SMALL = {"width": 2, "couplings": 1, "blocks": 1}


def config(**changes):
    return runs.RunConfig(
        **{"flow": "uva_simple", "epochs": 3, "batch_size": 200, "options": SMALL, **changes}
    )


def train(settings, out, **kwargs):
    return runs.train(settings, out, verbose=False, tensorboard=False, **kwargs)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, runs.train(config(), out, verbose=False, result_examples=100)


def weights(out):
    with np.load(out / "last.npz") as stored:
        return {k: stored[k] for k in stored.files if not k.startswith(("states", "metrics"))}


def assert_same_weights(out, other):
    first, second = weights(out), weights(other)
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_a_run_directory_is_complete(run):
    out, results = run
    assert json.loads((out / "results.json").read_text()) == results
    assert results["flow"] == "uva_simple" and results["dataset"] == "digits"
    assert results["split"] == "test" and results["examples"] == 100
    assert results["bits_per_dim_8"] < results["bits_per_dim_1"]
    for key in ("bits_per_dim_1_standard_error", "bits_per_dim_8_standard_error", "wall_seconds"):
        assert results[key] > 0
    assert {"parameters", "seed", "versions", "best_validation"} <= set(results)
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["val_bits_per_dim"]) < float(rows[0]["val_bits_per_dim"])
    assert runs.read_config(out) == config()
    assert len(list((out / "samples").glob("epoch_*.png"))) == 3
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert list((out / "tensorboard").rglob("events*"))


def test_the_results_are_those_of_the_best_weights(run):
    out, results = run
    images, _ = nvp.datasets.load_arrays("digits", "test")
    bits = nvp.bits_per_dim(nvp.load(out), images[:100], num_importance_samples=8)
    assert bits.mean() == pytest.approx(results["bits_per_dim_8"], abs=1e-6)
    assert bits.std(ddof=1) / 10 == pytest.approx(
        results["bits_per_dim_8_standard_error"], rel=1e-4
    )


def test_an_ended_run_resumes_to_the_same_and_goes_on_to_more_epochs(run, tmp_path):
    out, _ = run
    more = tmp_path / "more"
    train(config(epochs=2), more, result_examples=50)
    train(config(epochs=3), more, resume=True, result_examples=50)
    assert_same_weights(out, more)
    train(config(epochs=3), more, resume=True, result_examples=50)
    assert_same_weights(out, more)


@pytest.mark.parametrize(
    ("flow", "more"),
    [
        pytest.param("uva_vardeq", {}, marks=pytest.mark.slow),
        ("uva_simple", {"ema": 0.9, "log": ["terms", "gradient_noise"], "coarse": [0.5]}),
    ],
)
def test_a_run_broken_in_the_middle_of_an_epoch_ends_as_the_unbroken_one(
    tmp_path, monkeypatch, flow, more
):
    settings = config(flow=flow, epochs=2, schedule="cosine", flip=True, **more)
    train(settings, tmp_path / "whole", result_examples=20)

    def break_off(self, batch, logs=None):
        if int(self.model.step.numpy()) in breaks:
            breaks.remove(int(self.model.step.numpy()))
            raise KeyboardInterrupt

    breaks = [4, 9]
    monkeypatch.setattr(callbacks.StopOnNaN, "on_train_batch_end", break_off)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(settings, tmp_path / "broken", resume=True, checkpoint_seconds=0)
    results = train(settings, tmp_path / "broken", resume=True, result_examples=20)
    assert not breaks
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    whole = json.loads((tmp_path / "whole" / "results.json").read_text())
    times = dict.fromkeys(("wall_seconds", "log_prob_ms", "sample_ms"))
    assert results | times == whole | times
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "broken")]
    assert logs[0] == logs[1]
    assert ("gradient_noise_scale" in logs[0]) == ("log" in more)


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["uva_multiscale", "uva_simple"])
def test_a_run_killed_three_times_ends_as_the_unbroken_one(tmp_path, flow):
    width = "widths=[8,8,8]" if flow == "uva_multiscale" else "width=8"
    command = [
        sys.executable, str(SCRIPTS / "train.py"), "--flow", flow, "--epochs", "12",
        "--option", width, "--test_examples", "20", "--checkpoint_seconds", "0.2", "--resume",
    ]  # fmt: skip
    start = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    wall = time.monotonic() - start
    rng = np.random.default_rng()
    killed = 0
    while killed < 3:
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(0.3, 0.7) * wall)
            break  # it ended first
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed > 0
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, capture_output=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_another_configuration_is_not_mixed_in(run):
    out, _ = run
    with pytest.raises(ValueError, match="holds a run already: go on with --resume"):
        train(config(), out)
    with pytest.raises(ValueError, match=r"has batch_size=200, not 100: resume it as it was begun"):
        train(config(batch_size=100), out, resume=True)


def test_nothing_is_left_of_a_run_that_cannot_begin(tmp_path):
    for changes in ({"flow": "resnet"}, {"dataset": "mnits"}, {"options": {"widht": 3}}):
        with pytest.raises((ValueError, TypeError)):
            train(config(**changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"^levels, seed: settled by the run's data set"):
        train(config(options={"levels": 2, "seed": 1}), tmp_path / "run")
    with pytest.raises(ValueError, match="moons has no labels for a class-conditional flow"):
        train(config(flow="realnvp", dataset="moons", options={}, conditional=True), tmp_path / "r")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(callbacks.NotFiniteError, match=r"The loss became (nan|inf) at step \d+"):
        train(config(learning_rate=1e9, clip=0.0), tmp_path / "run")


def test_a_full_disk_costs_what_came_after_the_checkpoint(run, tmp_path, monkeypatch):
    out, save = tmp_path / "run", np.savez

    def full(path, **arrays):
        if (out / "last.npz").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(path, **arrays)

    with monkeypatch.context() as patched:
        patched.setattr("tfp_realnvp.training.callbacks.checkpoint.np.savez", full)
        told = r"^\[Errno 28\] Cannot write .*last\.npz: No space left on device\.$"
        with pytest.raises(OSError, match=told):
            train(config(), out)
    train(config(), out, resume=True, result_examples=100)
    assert_same_weights(out, run[0])


def test_a_kill_before_the_first_checkpoint_costs_a_start_from_the_start(run, tmp_path):
    settings = config(start=str(run[0]), epochs=1)
    train(settings, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for name in ("last.npz", "results.json"):  # the log and the best weights are written before
        (tmp_path / "killed" / name).unlink()
    train(settings, tmp_path / "killed", resume=True)
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize("file", ["last.npz", "config.json"])
def test_damage_in_a_run_directory_is_told(run, tmp_path, file):
    out = tmp_path / "run"
    shutil.copytree(run[0], out)
    content = (out / file).read_bytes()
    (out / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{file} is damaged"):
        train(config(epochs=4), out, resume=True)
    assert (out / file).read_bytes() == content[: len(content) // 2]


def test_a_vector_run(tmp_path):
    settings = config(flow="realnvp", dataset="moons", options={"couplings": 2, "widths": [8]})
    results = train(settings, tmp_path / "run")
    assert np.isfinite(results["nats"]) and results["nats_standard_error"] > 0
    assert "bits_per_dim_1" not in results
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 3


def test_a_conditional_run_in_bfloat16(tmp_path):
    settings = config(flow="uva_simple", epochs=1, conditional=True, precision="bfloat16")
    train(settings, tmp_path / "run", result_examples=20)
    dist = nvp.load(tmp_path / "run")
    assert dist.num_classes == 10 and dist.dtype == "float32"


def test_a_run_ends_when_its_patience_is_over_and_stays_ended(tmp_path):
    # At a rate of almost 0 validation is never better by the first epoch's own noise.
    settings = config(epochs=9, patience=2, learning_rate=1e-20)
    results = train(settings, tmp_path, result_examples=20)
    assert results["epochs"] == 3
    ended = weights(tmp_path)
    again = train(settings, tmp_path, resume=True, result_examples=20)
    assert again["epochs"] == 3 and weights(tmp_path).keys() == ended.keys()
    assert "epoch_0003.png" in os.listdir(tmp_path / "samples")
    assert "epoch_0004.png" not in os.listdir(tmp_path / "samples")


def test_validation_is_every_so_many_epochs_and_at_the_end(tmp_path):
    train(config(epochs=5, validate_every=2), tmp_path, result_examples=20)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [bool(row["val_loss"]) for row in rows] == [False, True, False, True, True]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([1e-3] * 5)
    assert (tmp_path / "best.keras").exists()


def test_patience_needs_a_validation(tmp_path):
    zeros = np.zeros([8, 4, 4, 1], "uint8")
    nvp.datasets.register("unsplit", lambda split, data_dir: (zeros, None), splits=["train"])
    with pytest.raises(ValueError, match="patience=2 needs a validation, and unsplit has no split"):
        train(config(dataset="unsplit", patience=2), tmp_path / "run")
