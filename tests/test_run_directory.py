"""Who may write into a run directory, and on which data a run goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import callbacks, runs
from tfp_realnvp.core.locks import release, try_lock
from tfp_realnvp.training import run_directory

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"couplings": 1, "widths": [4]}


def points(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 2)).astype("float32")


def config(dataset, **changes):
    settings = {"flow": "realnvp", "epochs": 1, "batch_size": 20, "options": SMALL, **changes}
    return runs.RunConfig(dataset=dataset, **settings)


def train(settings, out, **kwargs):
    return runs.train(settings, out, **{"verbose": False, "tensorboard": False, **kwargs})


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def arrays():
    return {"x_train": points(60), "x_validation": points(20, 1), "x_test": points(20, 2)}


@pytest.fixture(scope="module")
def run(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("run")
    data = write(folder / "data.npz", **arrays)
    train(config(data), folder / "run")
    return folder


def copied(run, tmp_path):
    shutil.copytree(run / "run", tmp_path / "run")
    return tmp_path / "run"


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Claims.


def test_a_directory_that_another_trains_in_is_refused(run, tmp_path):
    out = copied(run, tmp_path)
    handle = try_lock(out)
    before = content(out)
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"Another process trains in .*: give another --out"):
            train(config(run / "data.npz", epochs=2), out, resume=resume)
    assert content(out) == before
    release(out, handle)
    train(config(run / "data.npz"), out, resume=True)


def test_a_directory_that_another_has_just_made_is_left_to_it(tmp_path, monkeypatch):
    out, exists = tmp_path / "run", Path.exists

    def not_yet(path):
        there = exists(path)
        if path == out and not there:
            out.mkdir()
            locks.append(try_lock(out))
        return there

    locks = []
    monkeypatch.setattr(Path, "exists", not_yet)
    with pytest.raises(ValueError, match="Another process trains in"), run_directory.claimed(out):
        pass
    assert out.is_dir()
    release(out, locks[0])


def test_the_claim_of_a_killed_process_is_void_and_its_start_forgotten(run, tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from tfp_realnvp.training import run_directory\n"
        "with run_directory.claimed(pathlib.Path(sys.argv[1])):\n"
        "    pathlib.Path(sys.argv[1], 'config.json').write_text('{\"flow\": \"glow\"}')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "run"
    killed = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL and (out / "config.json").exists()
    with pytest.raises(ValueError, match="has flow='glow', not 'realnvp': resume it as it was"):
        train(config(run / "data.npz"), out, resume=True)
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events").write_text("of the killed one")
    train(config(run / "data.npz"), out)
    assert not (out / "tensorboard").exists() and runs.read_config(out).flow == "realnvp"


def test_a_start_that_fails_leaves_the_directory_as_it_was(run, tmp_path, monkeypatch):
    data = run / "data.npz"
    bad = [
        (ValueError, {"flow": "realvnp"}),
        (ValueError, {"dataset": "mnits"}),
        (TypeError, {"options": {"widht": 3}}),
        (ValueError, {"conditional": True}),
        (ValueError, {"precision": "bfloat16"}),
        (ValueError, {"epochs": 2**31 - 1}),
        (ValueError, {"flip": True}),
    ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in (tmp_path / "new" / "deep", tmp_path / "mine"):
        for kind, changes in bad:
            with pytest.raises(kind):
                train(config(**{"dataset": data, **changes}), out)
            assert not (tmp_path / "new").exists()
            assert content(tmp_path / "mine") == {Path("notes.txt"): b"mine"}


@pytest.mark.parametrize("tensorboard", [True, False])
def test_a_loss_that_is_nan_at_once_gives_the_directory_back(run, tmp_path, tensorboard):
    settings = config(run / "data.npz", learning_rate=1e30, clip=0.0)
    with pytest.raises(callbacks.NotFiniteError, match=r"became (nan|inf) at step \d+: [^;]*\.$"):
        train(settings, tmp_path / "run", tensorboard=tensorboard, checkpoint_seconds=1e9)
    assert not (tmp_path / "run").exists()


def test_what_is_not_of_a_run_is_not_written_over(run, tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "config.json").write_text('{"module": "keras"}')
    with pytest.raises(ValueError, match=r"config\.json is damaged or of no run"):
        train(config(run / "data.npz"), tmp_path / "keras")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "samples").write_text("mine")
    with pytest.raises(ValueError, match="samples is in the way of a run's directory"):
        train(config(run / "data.npz"), tmp_path / "other")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "best.keras").write_text("mine")
    with pytest.raises(ValueError, match=r"lost holds a run without its config\.json"):
        train(config(run / "data.npz"), tmp_path / "lost")
    with pytest.raises(OSError, match=r"Cannot write to .*data\.npz: "):
        train(config(run / "data.npz"), run / "data.npz")
    with pytest.raises(ValueError, match="A run needs a directory, got ''"):
        train(config(run / "data.npz"), "")


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch):
    def no_locks(*args):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with (
        pytest.warns(RuntimeWarning, match=r"cannot be locked \(Function not implemented\)"),
        run_directory.claimed(tmp_path / "run"),
    ):
        pass
    assert not (tmp_path / "run").exists()


# The data.


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x_train": points(40)}, r"'train' had 60 examples of shape \(2,\), and has 40 examples"),
        ({"x_train": points(60, 9)}, r"'train' had 60 .*, and has other values in 60 examples"),
        ({"x_validation": points(20, 9)}, "'validation' had 20 .*, and has other values in 20"),
        ({"x_test": points(30, 2)}, "'test' had 20 .*, and has 30 examples"),
        ({"x_test": None}, "'test' had 20 .*, and has no examples"),
    ],
)
def test_data_that_have_changed_are_noticed_at_resume(run, arrays, tmp_path, changes, sentence):
    out = copied(run, tmp_path)
    kept = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
    settings = json.loads((out / "config.json").read_text())
    data = write(tmp_path / "data.npz", **kept)
    (out / "config.json").write_text(json.dumps({**settings, "dataset": str(data)}))
    before = content(out)
    with pytest.raises(
        ValueError, match=f"The data of the run in .* have changed: split {sentence}"
    ):
        train(config(data, epochs=2), out, resume=True)
    assert content(out) == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"splits": 1}', '{"splits": {"train": 3}}'])
def test_a_damaged_fingerprint_is_told(run, tmp_path, text):
    out = copied(run, tmp_path)
    (out / "data.json").write_text(text)
    with pytest.raises(ValueError, match=r"data\.json is damaged"):
        train(config(run / "data.npz", epochs=2), out, resume=True)


def test_a_run_of_a_version_without_fingerprints_resumes(run, arrays, tmp_path):
    out = copied(run, tmp_path)
    (out / "data.json").unlink()
    train(config(run / "data.npz", epochs=2), out, resume=True)
    assert json.loads((out / "data.json").read_text())["splits"]["train"]["examples"] == 60
    (out / "data.json").unlink()
    settings = json.loads((out / "config.json").read_text())
    data = write(tmp_path / "data.npz", **{**arrays, "x_train": points(20)})
    (out / "config.json").write_text(json.dumps({**settings, "dataset": str(data)}))
    with pytest.raises(
        ValueError, match="has 2 epochs, but its 6 steps are 6 epochs of these data"
    ):
        train(config(data, epochs=7), out, resume=True)


def test_fewer_epochs_than_there_are_are_told(run, tmp_path):
    out = copied(run, tmp_path)
    train(config(run / "data.npz", epochs=2), out, resume=True)
    with pytest.raises(ValueError, match="has 2 epochs already, more than 1"):
        train(config(run / "data.npz", epochs=1), out, resume=True)


def test_tuples_and_numpy_values_in_options_resume(run, tmp_path):
    out = copied(run, tmp_path)
    options = {"couplings": np.int64(1), "widths": (np.int32(4),)}
    results = train(config(run / "data.npz", options=options), out, resume=True)
    assert results == json.loads((out / "results.json").read_text())


@pytest.mark.parametrize(
    ("keys", "split", "said"),
    [
        (("x_train", "x_validation"), "validation", "no test split: the results are of the valid"),
        (("x_train",), "validation", "no test split: the results are of the validation split."),
    ],
)
def test_without_a_test_split_the_results_say_so(arrays, tmp_path, capsys, keys, split, said):
    data = write(tmp_path / "data.npz", **{key: arrays[key] for key in keys})
    results = train(config(data), tmp_path / "run", verbose=True)
    assert results["split"] == split and np.isfinite(results["nats"])
    assert said in capsys.readouterr().out


def test_without_any_other_split_a_run_trains_all_the_same(tmp_path, capsys):
    nvp.datasets.register("alone", lambda split, data_dir: (points(60), None), splits=["train"])
    results = train(config("alone"), tmp_path / "run", verbose=True)
    assert results["split"] is None and results["examples"] == 0
    assert results["best_validation"] is None and "nats" not in results
    told = capsys.readouterr().out
    assert "alone has no validation split: nothing is validated." in told
    assert "alone has no test split: the results are of no split." in told
    assert nvp.load(tmp_path / "run").event_shape == (2,)


@pytest.mark.parametrize(
    ("split", "broken", "labels", "sentence"),
    [
        ("test", np.zeros([5, 3], "float32"), None, r"events of shape \(2,\), got a batch of"),
        ("validation", np.full([5, 2], np.nan, "float32"), None, "vectors must be finite, got 10"),
        ("test", np.zeros([0, 2], "float32"), None, "has no examples"),
        ("validation", points(5), [0, 1, 2, 3, 1], "labels must be integers from 0 to 2, got val"),
        ("test", points(5), [0, 1, -1, 1, 1], "labels must be integers from 0 to 2, got values"),
    ],
)
def test_every_split_is_looked_at_before_the_first_step(
    tmp_path, monkeypatch, split, broken, labels, sentence
):
    def load_rows(name, asked="train", data_dir=None, *, memory):
        if asked == split:
            return broken, None if labels is None else np.array(labels)
        return points(20), None if labels is None else np.arange(20) % 3

    info = nvp.datasets.DatasetInfo("broken", (2,), None, 3 if labels else None, "vector")
    monkeypatch.setattr("tfp_realnvp.datasets.info", lambda *a, **k: info)
    monkeypatch.setattr("tfp_realnvp.datasets.splits", lambda *a, **k: nvp.datasets.SPLITS)
    monkeypatch.setattr("tfp_realnvp.datasets.load_rows", load_rows)
    monkeypatch.setattr(nvp.FlowModel, "fit", None)
    with pytest.raises(ValueError, match=f"^Split '{split}' of broken.*{sentence}"):
        train(config("broken", conditional=labels is not None), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_test_example_has_no_standard_error(run, tmp_path):
    out = copied(run, tmp_path)
    results = train(config(run / "data.npz"), out, resume=True, result_examples=1)
    assert results["nats_standard_error"] is None
    assert results == json.loads((out / "results.json").read_text())
    assert "NaN" not in (out / "results.json").read_text()


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"result_examples": -5}, "result_examples to be a whole number of at least 1, got -5"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds to be a finite number"),
        ({"checkpoint_seconds": -1.0}, r"checkpoint_seconds to be .* of at least 0, got -1\.0"),
    ],
)
def test_bad_arguments_of_train_are_told(tmp_path, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(config("moons"), tmp_path / "run", **kwargs)
    assert not (tmp_path / "run").exists()
