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

pytest.importorskip("ray.train")
psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [
    *(sys.executable, "scripts/train.py", "--flow", "uva_multiscale", "--dataset", "digits"),
    *("--option", "widths=[4,4,4]", "--option", "blocks=1"),
    *("--batch_size", "100", "--precision", "float32", "--shards", "1", "--test_examples", "64"),
]
# How often processes of a gang are killed at random moments.
KILLS = int(os.environ.get("GANG_KILLS", "10"))


def start(out, *options, workers, epochs=6):
    command = [*TRAIN, "--out", str(out), "--workers", str(workers), "--epochs", str(epochs)]
    return subprocess.Popen(
        [*command, "--checkpoint_seconds", "0.5", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, status):
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == status, output
    return output


def errors(output):
    return [line for line in output.splitlines() if line.startswith("error: ")]


def weights(out):
    return [v.numpy() for v in nvp.load(out).trainable_variables]


def losses(out):
    lines = (out / "log.csv").read_text().splitlines()[1:]
    return np.array([line.split(",") for line in lines], float)


def assert_same_weights(out, other):
    for a, b in zip(weights(out), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def processes(process, out):
    """The gang's processes that are there, by what they are: the chief has claimed the run."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            line = " ".join(child.cmdline())
            links = [os.path.realpath(link) for link in Path(f"/proc/{child.pid}/fd").iterdir()]
        except (psutil.Error, OSError):  # gone since
            continue
        if "RayTrainWorker" in line:
            found["chief" if str(out / ".lock") in links else "other"] = child.pid
        elif "TrainController" in line:  # Ray's own, which starts and watches them
            found["controller"] = child.pid
    return found


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, process, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("gang") / "unbroken"
    ended(start(out, workers=2), 0)
    return out


def test_two_workers_train_as_one(tmp_path, unbroken):
    ended(start(tmp_path / "one", workers=1), 0)
    np.testing.assert_allclose(losses(unbroken), losses(tmp_path / "one"), rtol=1e-4)
    for a, b in zip(weights(unbroken), weights(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    results = json.loads((unbroken / "results.json").read_text())
    assert results["split"] == "test" and results["epochs"] == 6


@pytest.mark.parametrize("victim", ["chief", "other", "controller"])
def test_a_kill_changes_no_bit(tmp_path, unbroken, victim):
    out = tmp_path / "killed"
    process = start(out, workers=2)
    wait_for(lambda: (out / "last.npz").exists(), process)
    time.sleep(random.Random(victim).uniform(0, 3))
    os.kill(processes(process, out)[victim], signal.SIGKILL)
    ended(process, 0)
    assert_same_weights(out, unbroken)


def test_kills_at_random_moments_change_no_bit(tmp_path, unbroken):
    chance, kills, outs = random.Random(0), 0, []
    while kills < KILLS:
        outs.append(tmp_path / f"run{len(outs)}")
        process = start(outs[-1], "--max_failures", str(KILLS), workers=2)
        while kills < KILLS and process.poll() is None:
            time.sleep(chance.uniform(0, 30))
            victims = sorted(processes(process, outs[-1]).items()) if process.poll() is None else []
            if victims:
                os.kill(chance.choice(victims)[1], signal.SIGKILL)
                kills += 1
        ended(process, 0)
    for out in outs:
        assert_same_weights(out, unbroken)


def test_a_signal_stops_all_and_costs_no_bit(tmp_path, unbroken):
    out = tmp_path / "stopped"
    process = start(out, workers=2)
    wait_for(lambda: (out / "last.npz").exists(), process)
    workers = processes(process, out)
    process.send_signal(signal.SIGTERM)
    told = "Stopped by SIGTERM: --resume goes on from the last checkpoint."
    assert told in ended(process, 128 + signal.SIGTERM).splitlines()
    end = time.monotonic() + 60
    while any(is_running(pid) for pid in workers.values()):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert not list(out.glob(".gang*")) and not (out / "results.json").exists()
    ended(start(out, "--resume", workers=2), 0)
    assert_same_weights(out, unbroken)


def test_a_full_disk_is_said_and_costs_no_bit(tmp_path, unbroken):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be made by root only")
    try:
        process = start(disk / "run", workers=2)
        wait_for(lambda: (disk / "run" / "last.npz").exists(), process)
        with (disk / "full").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        (said,) = errors(ended(process, 2))
        assert "Cannot write " in said and "No space left on device" in said
        (disk / "full").unlink()
        ended(start(disk / "run", "--resume", workers=2), 0)
        assert_same_weights(disk / "run", unbroken)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


def test_the_number_of_workers_may_change(tmp_path, unbroken):
    ended(start(tmp_path / "out", workers=2, epochs=1), 0)
    command = [*TRAIN, "--out", str(tmp_path / "out"), "--epochs", "6", "--resume"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    np.testing.assert_allclose(losses(tmp_path / "out"), losses(unbroken), rtol=1e-4)


def test_what_workers_find_is_said_in_one_sentence(tmp_path):
    out, lost = tmp_path / "out", tmp_path / "flow.keras"
    output = ended(start(out, "--start", str(lost), workers=2), 2)
    assert errors(output) == [f"error: There is no file or run directory {lost}."]
    assert not out.exists()


def test_workers_evaluate_as_one_process(unbroken):
    command = [sys.executable, "scripts/evaluate.py", str(unbroken), "--split", "train"]
    one, two = (
        json.loads(subprocess.check_output([*command, "--workers", count], cwd=ROOT, text=True))
        for count in "12"
    )
    assert one.keys() == two.keys() and one["examples"] == two["examples"] > 1024
    for key, value in one.items():
        assert two[key] == (pytest.approx(value, rel=1e-5) if "bits" in key else value)
