"""Runs of several workers through Ray: right, the same through a kill, clear where they fail."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp.training import gang

pytest.importorskip("ray.train")
psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [
    *(sys.executable, "scripts/train.py", "--flow", "uva_multiscale", "--dataset", "digits"),
    *("--option", "widths=[4,4,4]", "--option", "blocks=1"),
    *("--batch_size", "100", "--precision", "float32", "--shards", "1", "--test_examples", "64"),
]


def start(out, *, workers, epochs=6):
    command = [*TRAIN, "--out", str(out), "--workers", str(workers), "--epochs", str(epochs)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def weights(out):
    return [v.numpy() for v in nvp.load(out).trainable_variables]


def losses(out):
    lines = (out / "log.csv").read_text().splitlines()[1:]
    return np.array([line.split(",") for line in lines], float)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("gang") / "unbroken"
    finished(start(out, workers=2))
    return out


def test_two_workers_train_as_one(tmp_path, unbroken):
    finished(start(tmp_path / "one", workers=1))
    np.testing.assert_allclose(losses(unbroken), losses(tmp_path / "one"), rtol=1e-4)
    for a, b in zip(weights(unbroken), weights(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    results = json.loads((unbroken / "results.json").read_text())
    assert results["split"] == "test" and results["epochs"] == 6


@pytest.mark.parametrize("victim", ["chief", "other"])
def test_a_kill_changes_no_bit(tmp_path, unbroken, victim):
    process = start(tmp_path / "killed", workers=2)
    wait_for(lambda: (tmp_path / "killed" / "last.npz").exists(), process)
    time.sleep(random.Random(victim).uniform(0, 3))
    workers = sorted(
        p.pid
        for p in psutil.Process(process.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(p.cmdline())
    )
    assert len(workers) >= 2
    os.kill(workers[0 if victim == "chief" else -1], signal.SIGKILL)
    finished(process)
    for a, b in zip(weights(tmp_path / "killed"), weights(unbroken), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_number_of_workers_may_change(tmp_path, unbroken):
    finished(start(tmp_path / "out", workers=2, epochs=1))
    process = subprocess.run(
        [*TRAIN, "--out", str(tmp_path / "out"), "--epochs", "6", "--resume"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    np.testing.assert_allclose(losses(tmp_path / "out"), losses(unbroken), rtol=1e-4)


def test_a_directory_that_workers_do_not_see(tmp_path, monkeypatch):
    settings = {"name": "ours", "versions": {}}
    with pytest.raises(ValueError, match="does not see the run directory"):
        gang._look_around(settings, tmp_path)
    (tmp_path / ".gang").write_text("ours")
    gang._look_around(settings, tmp_path)
    with pytest.raises(ValueError, match=r"has keras .*, where 2\.0 was expected"):
        gang._look_around({**settings, "versions": {"keras": "2.0"}}, tmp_path)


def test_what_is_wrong_is_said_in_one_sentence(tmp_path):
    command = [*TRAIN, "--out", str(tmp_path / "out"), "--workers", "2", "--ema", "0.9"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "Keras does not keep averaged weights right" in process.stderr.splitlines()[-1]


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)
