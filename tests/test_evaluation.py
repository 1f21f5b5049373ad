"""Evaluation of a flow on a data set: figures, and what it refuses."""

import json

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp.cli.main import main
from tfp_realnvp.training.evaluation import evaluate
from tfp_realnvp.training.run_directory import json_text


@pytest.fixture(scope="module")
def images():
    return nvp.flows.build("uva_simple", (8, 8, 1), levels=4, width=2, couplings=1, blocks=1)


@pytest.fixture(scope="module")
def vectors():
    return nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))


def test_one_example_has_no_standard_error(vectors):
    result = evaluate(vectors, "moons", examples=1)
    assert result["nats_standard_error"] is None and np.isfinite(result["nats"])
    assert json.loads(json_text(result)) == result


def test_data_that_the_flow_does_not_model_are_told_in_one_sentence(images, vectors, tmp_path):
    sentence = r"^Split 'test' of digits: images must hold integers from 0 to 3, got values from 0"
    with pytest.raises(ValueError, match=sentence):
        evaluate(images, "digits")
    with pytest.raises(ValueError, match=r"^Split 'train' of moons: .*\(8, 8, 1\), got a batch of"):
        evaluate(images, "moons", split="train")
    with pytest.raises(ValueError, match=r"^Split 'test' of digits: .*events of shape \(2,\)"):
        evaluate(vectors, "digits")
    conditional = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,), num_classes=2)
    with pytest.raises(
        ValueError, match="Split 'test' of moons has no labels, and realnvp is cond"
    ):
        evaluate(conditional, "moons")
    data = {"x": np.zeros([10, 2], "float32"), "y": np.array([0] * 9 + [2])}
    np.savez(tmp_path / "data.npz", **data)
    with pytest.raises(ValueError, match=r"^Split 'test' of .*labels must be integers from 0 to 1"):
        evaluate(conditional, tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"examples": 0}, "examples to be a whole number of at least 1, got 0"),
        ({"examples": -5}, "examples to be a whole number of at least 1, got -5"),
        ({"num_importance_samples": 0}, "num_importance_samples to be a whole number of at least"),
    ],
)
def test_arguments_out_of_range_are_told(vectors, kwargs, sentence):
    with pytest.raises(ValueError, match=f"evaluate needs {sentence}"):
        evaluate(vectors, "moons", **kwargs)


def test_a_seed_out_of_range_is_told(vectors):
    with pytest.raises(ValueError, match="A seed is an int of at most 62 bits or two integers"):
        evaluate(vectors, "moons", seed=10**20)


def run_directory(folder, dist, **settings):
    nvp.save(dist, folder / "best.keras")
    (folder / "config.json").write_text(json.dumps({"flow": "realnvp", **settings}))
    return str(folder)


def test_the_command_takes_the_validation_split_where_there_is_no_test_split(
    vectors, tmp_path, capsys
):
    data = str(tmp_path / "data.npz")
    np.savez(data, x_train=np.zeros([20, 2], "float32"), x_validation=np.ones([1, 2], "float32"))
    run = run_directory(tmp_path, vectors, dataset=data)
    assert main([run], command="evaluate") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out, parse_constant=pytest.fail)
    assert result["split"] == "validation" and result["nats_standard_error"] is None
    assert captured.err == f"{data} has no test split: this is its validation split.\n"
    assert main([run, "--split", "test"], command="evaluate") == 2
    assert "test" in capsys.readouterr().err
    nvp.datasets.register(
        "alone", lambda split, data_dir: (np.ones([9, 2]), None), splits=["train"]
    )
    assert main([run, "--dataset", "alone"], command="evaluate") == 2
    assert "alone has no split but train: evaluate that with --split" in capsys.readouterr().err


def test_a_picture_s_axes_have_the_names_of_the_run_s_columns(vectors, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    run = run_directory(tmp_path, vectors, dataset="moons")
    (tmp_path / "data.json").write_text('{"columns": ["height", "weight"], "splits": {}}')
    drawn = []
    original = Figure.subplots
    monkeypatch.setattr(
        Figure, "subplots", lambda self, *a, **k: drawn.append(self) or original(self, *a, **k)
    )
    line = [run, "--num", "3", "--out", str(tmp_path / "samples.png")]
    assert main(line, command="sample") == 0
    (axis,) = drawn[0].axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("height", "weight")
