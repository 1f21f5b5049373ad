"""Data that are larger than memory is meant to be: memory stays bounded, a kill changes no bit.

The sizes are those that it is for; LARGE_GB and LARGE_IMAGES have them smaller.
"""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BYTES = float(os.environ.get("LARGE_GB", "8")) * 1e9
IMAGES = int(os.environ.get("LARGE_IMAGES", "200000"))
SIDE = 32
STOP, KILL = 24, 11
# Trains to a step, at which a signal comes, and says what memory it has had.
PROGRAM = """
import json, os, sys
from pathlib import Path
from tfp_realnvp import callbacks, runs

settings, out, step, number, memory = json.loads(sys.argv[1])

def come(self, batch, logs=None):
    if int(self.model.step.numpy()) == step:
        os.kill(os.getpid(), number)

callbacks.StopOnNaN.on_train_batch_end = come
try:
    options = {"verbose": False, "tensorboard": False, "checkpoint_seconds": 0}
    runs.train(runs.RunConfig(**settings), out, resume=True, memory=memory, **options)
except runs.Interrupted:
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def trained(path, out, *, step=STOP, number=signal.SIGTERM, memory=2e9, data_dir=None):
    """Trains to a step; returns the most memory that it took."""
    settings = {
        "flow": "uva_simple",
        "dataset": str(path),
        "data_dir": str(data_dir) if data_dir else None,
        "batch_size": 64,
        "options": {"couplings": 1, "width": 4, "blocks": 1},
    }
    arguments = json.dumps([settings, str(out), step, number, memory])
    command = [sys.executable, "-c", PROGRAM, arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (0 if number == signal.SIGTERM else -number)
    return int(done.stdout) if done.stdout else None


def checkpoint(out):
    with np.load(out / "last.npz") as stored:
        return {k: stored[k] for k in stored.files if not k.startswith(("states", "metrics"))}


def assert_bounded_and_exact(path, few, folder, **options):
    own = trained(few, folder / "few", **options)
    whole = trained(path, folder / "whole", **options)
    assert whole - own < 2e9, f"{whole / 1e9:.2f} GB, of which {own / 1e9:.2f} GB are the flow's"
    trained(path, folder / "killed", step=KILL, number=signal.SIGKILL, **options)
    trained(path, folder / "killed", **options)
    expected, killed = checkpoint(folder / "whole"), checkpoint(folder / "killed")
    assert expected.keys() == killed.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(value, killed[key], err_msg=key)


def write_arrays(path, count):
    """Images of which every thousandth row is written; the file is sparse."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 1))
    rng = np.random.default_rng(0)
    for row in range(0, count, 1000):
        images[row] = rng.integers(0, 256, images.shape[1:], np.uint8)
    images.flush()


def write_folder(folder, count):
    """Images of 256 kinds, in folders of a thousand."""
    rng, kinds = np.random.default_rng(0), []
    for _ in range(256):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(file, "PNG")
        kinds.append(file.getvalue())
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{number % 1000:03}.png").write_bytes(kinds[number * 7 % 256])


def test_an_array_of_many_gigabytes(tmp_path):
    write_arrays(tmp_path / "large.npy", int(BYTES / SIDE**2))
    write_arrays(tmp_path / "few.npy", 5000)
    assert_bounded_and_exact(tmp_path / "large.npy", tmp_path / "few.npy", tmp_path)


def test_a_folder_of_many_images(tmp_path):
    write_folder(tmp_path / "images", IMAGES)
    write_folder(tmp_path / "few", 3000)
    options = {"memory": 0, "data_dir": tmp_path / "cache"}
    assert_bounded_and_exact(tmp_path / "images", tmp_path / "few", tmp_path, **options)
