"""What is shown of long work, on a terminal and in a log."""

import io
import re
import subprocess
import sys

import numpy as np

import tfp_realnvp as nvp
from tfp_realnvp import callbacks, datasets
from tfp_realnvp.core import status_line
from tfp_realnvp.core.status_line import Countdown, StatusLine, speed_from
from tfp_realnvp.training.evaluation import evaluate
from tfp_realnvp.uses import likelihood


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_every_so_often():
    log = io.StringIO()
    countdown = Countdown("testing", 40, unit="images", stream=log, seconds=0.0)
    for _ in range(4):
        countdown.advance(10)
    first, *rest = log.getvalue().splitlines()
    assert first == "testing  10 of 40 images"
    assert len(rest) == 2  # none when all is done
    for line, done in zip(rest, (20, 30), strict=True):
        assert re.fullmatch(rf"testing  {done} of 40 images  [\d.]+[kM]?/s  00:00 to go", line)


def test_a_log_is_not_filled_within_the_time():
    log = io.StringIO()
    countdown = Countdown("testing", 40, unit="images", stream=log, seconds=1000.0)
    for _ in range(4):
        countdown.advance(10)
    assert log.getvalue() == ""


def test_a_terminal_s_line_is_replaced_and_taken_away():
    terminal = Terminal()
    Countdown("testing", 10, unit="images", stream=terminal).advance(10)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert "testing ..." in lines
    assert lines[-1] == ""
    assert "\n" not in terminal.getvalue()


def fit(stream):
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17, widths=[2, 2, 2], blocks=1)
    model = nvp.FlowModel(dist)
    model.compile("adam")
    x, _ = datasets.load_arrays("digits", "train")
    progress = callbacks.Progress(
        steps=4,
        steps_per_epoch=2,
        batch_size=4,
        validation_examples=7,
        stream=stream,
        seconds=0.0,
    )
    model.fit(
        x[:8],
        validation_data=(x[:7],),
        batch_size=4,
        epochs=2,
        callbacks=[progress],
        verbose=0,
    )


def test_a_run_s_log():
    log = io.StringIO()
    fit(log)
    assert not set(log.getvalue()) & {"\r", "\x1b"}
    lines = log.getvalue().splitlines()
    steps = [line for line in lines if " to go" in line]
    figures = r"bits_per_dim [\d.]+"
    assert re.fullmatch(
        rf"epoch 1  step 2 of 4  {figures}  [\d.]+[kM]? examples/s  \d\d:\d\d to go", steps[0]
    )
    ends = [line for line in lines if "val_bits_per_dim" in line]
    assert [line[:7] for line in ends] == ["epoch 1", "epoch 2"]
    validating = [line for line in lines if "validating" in line]
    assert validating[:2] == [
        "epoch 1  validating  4 of 7 examples",
        "epoch 1  validating  7 of 7 examples",
    ]


def test_a_run_on_a_terminal():
    terminal = Terminal()
    fit(terminal)
    assert "tracing the graph of a step" in terminal.getvalue()
    stays = [line.split("\r\x1b[K")[-1] for line in terminal.getvalue().split("\n")]
    assert [line[:7] for line in stays] == ["epoch 1", "epoch 2", ""]


def test_every_evaluation_is_counted():
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17, widths=[2, 2, 2], blocks=1)
    x, _ = datasets.load_arrays("digits", "test")
    counts = []
    quiet = likelihood.log_prob(dist, x[:5], num_importance_samples=3, rows_at_once=2)
    told = likelihood.log_prob(
        dist, x[:5], num_importance_samples=3, rows_at_once=2, progress=counts.append
    )
    assert counts == [5, 5, 5]  # after each draw of the noise
    np.testing.assert_array_equal(told, quiet)


def test_the_output_stays_free_for_the_result(capsys, monkeypatch):
    dist = nvp.flows.build("realnvp", (2,), couplings=1)
    monkeypatch.setattr("sys.stderr", Terminal())
    evaluate(dist, "moons", examples=10, verbose=True)
    assert "testing" in sys.stderr.getvalue()
    assert capsys.readouterr().out == ""


def test_a_line_is_cut_to_the_terminal_s_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    terminal, log = Terminal(), io.StringIO()
    StatusLine(terminal).show("x" * 100)
    assert terminal.getvalue() == "\r\x1b[K" + "x" * 29
    StatusLine(log).show("x" * 100)
    assert log.getvalue() == "x" * 100 + "\n"


def test_the_time_to_go_is_of_all_that_is_left_at_the_speed_since_the_clock_started(monkeypatch):
    seconds = 500.0  # a resumed run, whose first step took long
    monkeypatch.setattr(status_line.time, "monotonic", lambda: seconds)
    speed = speed_from(600, 6000, " examples")
    assert speed(600) == "? examples/s  ? to go"  # no time has passed
    seconds += 2.0
    assert speed(700) == "50.0 examples/s  01:46 to go"
    seconds += 98.0  # with a validation
    assert speed(800) == "2.00 examples/s  43:20 to go"
    assert speed(700) == "1.00 examples/s  1:28:20 to go"
    assert speed(3000) == "24.0 examples/s  02:05 to go"
    assert speed_from(0, 10**6)(0) == "?/s  ? to go"


def test_only_what_shows_progress_imports_tqdm():
    script = (
        "import sys, tfp_realnvp as nvp; nvp.FlowModel, nvp.flows; print('tqdm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
