"""SIGINT and SIGTERM during training: a checkpoint, and words that hold."""

import signal

import numpy as np
import pytest

from tfp_realnvp import callbacks, runs
from tfp_realnvp.cli.main import main
from tfp_realnvp.training.interruption import Interrupted, Interruption

SETTINGS = {"flow": "realnvp", "epochs": 2, "batch_size": 20}
OPTIONS = {"couplings": 1, "widths": [4]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    splits = {"x_train": 60, "x_validation": 40, "x_test": 20}
    arrays = {k: rng.normal(size=(n, 2)).astype("float32") for k, n in splits.items()}
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    train(data, out)
    return out


def train(data, out, **kwargs):
    config = runs.RunConfig(dataset=data, options=OPTIONS, **SETTINGS)
    return runs.train(config, out, verbose=False, tensorboard=False, **kwargs)


def send(monkeypatch, method, *, numbers=(signal.SIGTERM,), at_step=None):
    """Has signals come while a callback's method runs, once."""
    left = list(numbers)

    def when(self, *args, **kwargs):
        if left and (at_step is None or int(self.model.step.numpy()) == at_step):
            for number in numbers:
                left.remove(number)
                signal.raise_signal(number)

    monkeypatch.setattr(callbacks.StopOnNaN, method, when)


def weights(out):
    with np.load(out / "last.npz") as stored:
        return {k: stored[k] for k in stored.files if not k.startswith(("states", "metrics"))}


@pytest.mark.parametrize(
    ("number", "at_step", "goes_on"),
    [(signal.SIGTERM, 2, 2), (signal.SIGINT, 6, 6)],
)
def test_a_signal_writes_a_checkpoint_from_which_the_run_ends_as_the_unbroken_one(
    data, whole, tmp_path, monkeypatch, number, at_step, goes_on
):
    with monkeypatch.context() as patched:
        send(patched, "on_train_batch_end", numbers=[number], at_step=at_step)
        name = signal.Signals(number).name
        told = f"^Stopped by {name}: --resume goes on from step {goes_on} of 6\\.$"
        with pytest.raises(Interrupted, match=told) as stopped:
            train(data, tmp_path / "broken", checkpoint_seconds=1e9)
    assert stopped.value.signal == number
    train(data, tmp_path / "broken", resume=True)
    expected, broken = weights(whole), weights(tmp_path / "broken")
    assert expected.keys() == broken.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(value, broken[key], err_msg=key)
    logs = [(out / "log.csv").read_text() for out in (whole, tmp_path / "broken")]
    assert logs[0] == logs[1]


def test_a_signal_before_the_first_step_promises_nothing_and_leaves_nothing(
    data, tmp_path, monkeypatch
):
    send(monkeypatch, "on_train_begin")
    with pytest.raises(Interrupted, match=r"^Stopped by SIGTERM before the first step: nothing is"):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_signal_in_a_validation_waits_for_the_epoch_s_end_and_the_second_does_not(
    data, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        send(patched, "on_test_begin")
        with pytest.raises(Interrupted, match="goes on from step 3 of 6"):
            train(data, tmp_path / "run")
    assert (tmp_path / "run" / "samples" / "epoch_0001.png").exists()
    with monkeypatch.context() as patched:
        send(patched, "on_test_begin", numbers=[signal.SIGTERM, signal.SIGINT])
        with pytest.raises(Interrupted, match="Stopped by SIGINT: --resume goes on from step 3 of"):
            train(data, tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / "samples" / "epoch_0002.png").exists()
    assert np.isfinite(train(data, tmp_path / "run", resume=True)["nats"])


def test_the_command_says_from_where_it_goes_on(data, tmp_path, monkeypatch, capsys):
    send(monkeypatch, "on_train_batch_end", at_step=2)
    line = ["--flow", "realnvp", "--dataset", data, "--epochs", "2", "--batch_size", "20"]
    options = ["--option", "couplings=1", "--option", "widths=[4]", "--out", str(tmp_path / "run")]
    assert main([*line, *options], command="train") == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "\nStopped by SIGTERM: --resume goes on from step 2 of 6.\n"


def test_handlers_of_others_stay_and_ours_go():
    def mine(number, frame):
        heard.append(number)

    heard = []
    before = signal.signal(signal.SIGTERM, mine)
    try:
        with Interruption():
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(Interrupted):
                signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
