"""The scripts, as they are typed."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfp_realnvp.cli import train
from tfp_realnvp.cli.main import main
from tfp_realnvp.precision import best_precision

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def script(name, *args):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, args)],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("scripts") / "run"
    result = script(
        "train", "--flow", "uva_simple", "--epochs", 1, "--option", "width=4", "--option",
        "couplings=2", "--test_examples", 50, "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out, result


def test_training_shows_its_progress_and_nothing_else(run):
    out, result = run
    assert result.stderr == ""
    first, *lines = result.stdout.splitlines()
    several, precision = os.cpu_count() > 1, best_precision()
    shards = f", {os.cpu_count()} shards" if several else ""
    jit = "XLA between convolutions" if several and precision == "bfloat16" else "no XLA"
    assert first == (
        "uva_simple: 2,606 parameters, 1,297 examples of digits, 10 steps, "
        f"{precision}, {jit}{shards}"
    )
    assert any(line.startswith("epoch 1  bits_per_dim") for line in lines)
    shown = json.loads(result.stdout[result.stdout.index("\n{") :])
    assert shown == json.loads((out / "results.json").read_text())


def test_a_resumed_run_keeps_what_the_device_decided_when_it_began(tmp_path, capsys):
    settings = {"flow": "uva_simple", "precision": "bfloat16", "shards": 1}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    line = ["--flow", "uva_simple", "--out", str(tmp_path), "--precision", "float32", "--resume"]
    assert main(line, command="train") == 2
    assert "has precision='bfloat16', not 'float32'" in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    asked = train._device_settings(parser.parse_args([*line[:4], "--resume"]))
    assert asked == {"precision": "bfloat16", "shards": 1}


def test_shards_that_are_no_number(tmp_path, capsys):
    line = ["--flow", "uva_simple", "--out", str(tmp_path / "run"), "--shards", "two"]
    assert main(line, command="train") == 2
    assert "--shards is a whole number or auto, got 'two'" in capsys.readouterr().err


def test_evaluate_needs_the_run_directory_alone(run, capsys):
    assert main([str(run[0])], command="evaluate") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    figures = json.loads(captured.out)
    assert figures["examples"] == 250 and figures["split"] == "test"
    assert figures["bits_per_dim_8_standard_error"] > 0


def test_sample_needs_the_run_directory_alone(run, tmp_path):
    from PIL import Image

    picture = tmp_path / "new" / "samples.png"
    arguments = [str(run[0]), "--num", "9", "--temperature", "0.7", "--out", str(picture)]
    assert main(arguments, command="sample") == 0
    with Image.open(picture) as image:
        assert image.width == image.height > 3 * 9


def test_export_needs_the_run_directory_alone_and_serves_with_tensorflow_alone(
    run, tmp_path, capsys
):
    assert main([str(run[0]), str(tmp_path / "flow")], command="export") == 0
    check = script("check_saved_model", tmp_path / "flow")
    assert check.returncode == 0, check.stdout + check.stderr
    assert "0 of 1024 values come back wrong" in check.stdout
    assert "TensorFlow alone" in check.stdout
    assert main([str(run[0]), str(tmp_path / "flow")], command="export") == 2
    assert "exists and is not empty: give another directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["train", "evaluate", "sample", "export", "demo", "check_saved_model"]
)
def test_help(name):
    result = script(name, "--help")
    assert result.returncode == 0 and result.stdout.startswith(f"usage: {name}.py")
    assert result.stderr == ""


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys\n"
        "from tfp_realnvp.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('tensorflow' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "False"
    for command in ("train", "evaluate", "sample", "export"):
        assert command in result.stdout


@pytest.mark.parametrize(
    ("name", "args", "sentence"),
    [
        ("evaluate", ["nowhere"], "error: nowhere is no run directory: it has no config.json."),
        ("sample", ["nowhere"], "error: There is no file or run directory nowhere."),
        ("export", ["nowhere", "out"], "error: There is no file or run directory nowhere."),
        (
            "train",
            ["--flow", "uva_multscale", "--out", "unused"],
            "error: Unknown flow 'uva_multscale'; the flows are",
        ),
        (
            "train",
            ["--flow", "uva_simple", "--option", "width", "--out", "unused"],
            "error: An option is given as NAME=VALUE, got 'width'.",
        ),
    ],
)
def test_an_error_is_one_sentence(name, args, sentence, capsys):
    assert main(args, command=name) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(sentence) and len(captured.err.splitlines()) == 1
    assert not Path("unused").exists()


def test_no_saved_model_is_told():
    result = script("check_saved_model", "nowhere")
    assert result.returncode == 2
    assert result.stderr == "error: nowhere holds no SavedModel.\n"


def test_debug_brings_the_traceback():
    with pytest.raises(FileNotFoundError, match="There is no file or run directory nowhere"):
        main(["nowhere", "--debug"], command="sample")
