"""The scripts, as they are typed."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tfp_realnvp import runs
from tfp_realnvp.cli import train
from tfp_realnvp.cli.main import _sentence, main
from tfp_realnvp.execution.device import best_precision
from tfp_realnvp.training import recipes

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


def test_runs_are_compared(run, tmp_path):
    out, _ = run
    results = json.loads((out / "results.json").read_text())
    assert results["log_prob_ms"] > 0 and results["sample_ms"] > 0
    assert results["validation"]["examples"] == 50
    result = script("compare", out, out, "--out", tmp_path / "curves.png")
    assert result.returncode == 0, result.stderr
    header, _, *rows, _, said = result.stdout.splitlines()
    assert header.startswith("| run | flow |") and len(rows) == 2 and "curves.png" in said
    assert f"{results['bits_per_dim_8']:.4f} ± " in rows[0] and "| 1,297 |" in rows[0]
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    result = script("compare", tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"error: {tmp_path} is no finished run: it has no results.json.\n"


def test_an_evaluation_has_times(run, capsys):
    out, _ = run
    line = [str(out), "--examples", "10", "--num_importance_samples", "1", "--times"]
    assert main(line, command="evaluate") == 0
    assert json.loads(capsys.readouterr().out)["sample_ms"] > 0


def test_a_recipe_is_what_is_not_given(tmp_path, monkeypatch, capsys):
    asked = {}
    monkeypatch.setattr(runs, "train", lambda config, out, **_: asked.update(vars(config)) or {})
    recipe = recipes.RECIPES["likelihood"]
    line = [
        "--batch_size",
        "128",
        "--recipe",
        "likelihood",
        "--option",
        "blocks=1",
        "--shards",
        "1",
    ]
    line += ["--epochs", "10", "--coarse", "0.5", "0.25", "--log", "terms"]
    assert main([*line, "--out", str(tmp_path)], command="train") == 0
    expected = recipe | {"batch_size": 128, "epochs": 10, "dataset": "digits"}
    expected |= {"coarse": [0.5, 0.25], "log": ["terms"]}
    expected["options"] = recipe["options"] | {"blocks": 1}
    assert {name: asked[name] for name in expected} == expected
    line = ["--recipe", "likelihood", "--flow", "glow", "--shards", "1", "--out", str(tmp_path)]
    assert main(line, command="train") == 0
    assert asked["flow"] == "glow" and asked["options"] == {}
    line = ["--recipe", "mnist-conditional", "--shards", "1", "--out", str(tmp_path)]
    assert main([*line, "--dataset", "digits"], command="train") == 0
    assert asked["conditional"] and asked["start"].endswith("zoo/mnist")
    line = [
        "--recipe",
        "lecture",
        "--shards",
        "1",
        "--precision",
        "float32",
        "--out",
        str(tmp_path),
    ]
    assert main([*line, "--data_option", "classes=[1]"], command="train") == 0
    assert asked["data_options"] == {"classes": [1], "image_size": [14, 14]}
    capsys.readouterr()
    assert main(["--out", str(tmp_path)], command="train") == 2
    assert "train.py needs a --flow or a --recipe." in capsys.readouterr().err


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


@pytest.mark.parametrize(("dataset", "expected"), [("moons", "float32"), ("digits", "bfloat16")])
def test_by_itself_bfloat16_is_for_images(tmp_path, monkeypatch, dataset, expected):
    monkeypatch.setattr("tfp_realnvp.execution.device.best_precision", lambda: "bfloat16")
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    line = ["--flow", "realnvp", "--dataset", dataset, "--out", str(tmp_path / "run")]
    assert train._device_settings(parser.parse_args(line))["precision"] == expected


def test_bfloat16_for_vectors_is_refused(tmp_path, capsys):
    line = ["--flow", "iaf", "--dataset", "moons", "--out", str(tmp_path / "run")]
    assert main([*line, "--precision", "bfloat16"], command="train") == 2
    assert "bfloat16 is for the convolutions of images, and moons has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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


@pytest.mark.slow
def test_the_demonstration_goes_from_samples_to_a_served_flow(tmp_path):
    from PIL import Image

    result = script("demo", "--out", tmp_path, "--epochs", 1)
    assert result.returncode == 0 and result.stderr == ""
    first, picture, *_ = result.stdout.splitlines()
    assert first.startswith("Digits by nvp.pretrained('mnist'), 0.9")
    with Image.open(picture.strip()) as image:
        assert image.size == (2 * (8 * 29 + 1),) * 2
    assert (tmp_path / "samples.png").exists()
    assert "0 of 1024 values come back wrong" in result.stdout


@pytest.mark.parametrize(
    "name",
    ["train", "evaluate", "sample", "export", "serve", "demo", "playground", "check_saved_model"],
)
def test_help(name):
    result = script(name, "--help")
    assert result.returncode == 0 and result.stdout.startswith(f"usage: {name}.py")
    assert result.stderr == ""


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys\n"
        "from tfp_realnvp.cli.main import _sentence, main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('tensorflow' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "False"
    for command in ("train", "evaluate", "sample", "export", "serve"):
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


@pytest.mark.parametrize(
    ("name", "args", "sentence"),
    [
        ("train", ["--seed", "1" + "0" * 20], "A run needs seed to be a whole number of at least"),
        ("train", ["--learning_rate", "inf"], "A run needs learning_rate to be finite, got inf."),
        ("train", ["--test_examples", "-5"], "train.py needs --test_examples to be a whole number"),
        ("train", ["--shards", "10000"], "train.py needs --shards to be a whole number of at lea"),
        ("train", ["--shards", "0"], "train.py needs --shards to be a whole number of at least 1"),
        ("train", ["--option", "event_shape=3"], "event_shape: settled by the run's data set and"),
        ("train", ["--option", "name=3"], "name: settled by the run's data set and settings, not"),
        ("train", ["--option", "=3"], "An option is given as NAME=VALUE, got '=3'."),
        ("train", ["--option", "width=1", "--option", "width=2"], "--option width is given twice."),
        ("train", ["--checkpoint_seconds", "nan"], "train needs checkpoint_seconds to be a finite"),
        ("evaluate", ["--examples", "-5"], "evaluate.py needs --examples to be a whole number of"),
        ("evaluate", ["--num_importance_samples", "0"], "evaluate.py needs --num_importance_sam"),
        ("sample", ["--num", "0"], "sample.py needs --num to be a whole number of at least 1"),
        ("sample", ["--num", "-3"], "sample.py needs --num to be a whole number of at least 1"),
        ("sample", ["--temperature", "nan"], "sample.py needs --temperature to be a finite number"),
        ("sample", ["--temperature", "-1"], "sample.py needs --temperature to be a finite number"),
        ("sample", ["--temperature", "1", "inf"], "sample.py needs --temperature to be a finite"),
        ("export", ["--num_importance_samples", "0"], "export.py needs --num_importance_samples"),
    ],
)
def test_a_number_out_of_range_is_told_before_anything_is_written(
    name, args, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    where = {"train": ["--flow", "uva_simple", "--out", "new"], "export": ["run", "new"]}
    assert main([*where.get(name, ["run"]), *args], command=name) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {sentence}") and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "args", "sentence"),
    [
        ("train", ["--flow", "a", "--out", ""], "out is empty: leave it out, or give it a value."),
        ("train", ["--flow", "", "--out", "b"], "flow is empty: leave it out, or give it a value."),
        ("evaluate", ["run", "--data_dir", ""], "data_dir is empty: leave it out, or give it a"),
        ("sample", [""], "run is empty: leave it out, or give it a value."),
        ("sample", ["run", "--num", "two"], "argument --num: invalid int value: 'two'"),
        ("train", ["--flow", "a"], "the following arguments are required: --out"),
    ],
)
def test_an_argument_that_cannot_be_read_is_told_in_one_sentence(name, args, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(args, command=name)
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and captured.out == ""
    assert captured.err.startswith(f"error: {sentence}") and captured.err.count("\n") == 1


def test_errors_of_the_system_keep_their_path(tmp_path, capsys):
    (tmp_path / "config.json").mkdir()
    assert main([str(tmp_path)], command="evaluate") == 2
    assert capsys.readouterr().err == f"error: Is a directory: {tmp_path / 'config.json'}\n"


def test_an_error_in_a_graph_is_told_without_its_place():
    def told(error):
        text = (
            "Graph execution error:\n\nDetected at node a/b defined at (most recent call last):\n"
        )
        text += (
            '  File "a.py", line 1, in <module>\n\nOOM when allocating tensor\n\t [[{{node a/b}}]]'
        )
        return _sentence(error(None, None, text))

    assert told(tf.errors.ResourceExhaustedError) == "OOM when allocating tensor"
    assert _sentence(ValueError("")) == "ValueError" and _sentence(ValueError("one\ntwo")) == "one"


def test_no_saved_model_is_told():
    result = script("check_saved_model", "nowhere")
    assert result.returncode == 2
    assert result.stderr == "error: nowhere holds no SavedModel.\n"


def test_debug_brings_the_traceback():
    with pytest.raises(FileNotFoundError, match="There is no file or run directory nowhere"):
        main(["nowhere", "--debug"], command="sample")
