"""Settings of a run: what they take, and that they come back from a file as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp import datasets, flows, runs
from tfp_realnvp.training import recipes
from tfp_realnvp.training.run_directory import json_text, write_json


def config(**changes):
    return runs.RunConfig(**{"flow": "uva_simple", **changes})


BAD = [
    ({"epochs": 0}, "epochs to be a whole number of at least 1, got 0"),
    ({"epochs": 2.5}, r"epochs to be a whole number of at least 1, got 2\.5"),
    ({"epochs": True}, "epochs to be a whole number of at least 1, got True"),
    ({"batch_size": -5}, "batch_size to be a whole number of at least 1 and of .*, got -5"),
    ({"shards": 10_000}, "shards to be a whole number of at least 1 and of at most 512, got 10000"),
    ({"microbatch": 0}, "microbatch to be a whole number of at least 1 and of .*, got 0"),
    ({"microbatch": 2**31}, "microbatch to be a whole number of at least 1 and of at most 2147483"),
    ({"seed": 10**20}, "seed to be a whole number of at least -2147483648 and of at most 2147"),
    ({"seed": "one"}, "seed to be a whole number .*, got 'one'"),
    ({"learning_rate": -1.0}, r"learning_rate to be a finite number above 0, got -1\.0"),
    ({"learning_rate": float("inf")}, "learning_rate to be finite, got inf"),
    ({"learning_rate": "fast"}, "learning_rate to be a finite number above 0, got 'fast'"),
    ({"weight_decay": -0.1}, r"weight_decay to be a finite number of at least 0, got -0\.1"),
    ({"clip": float("nan")}, "clip to be finite, got nan"),
    ({"ema": 1.0}, r"ema to be a finite number of at least 0 and below 1, got 1\.0"),
    ({"coarse": [-1.0]}, r"coarse to be a finite number of at least 0, got -1\.0"),
    ({"log": ["norms"]}, r"A run has no log 'norms'; there are \('terms', 'gradient_noise'\)"),
    ({"schedule": "linear"}, "Unknown schedule 'linear'"),
    ({"optimizer": "sgd"}, r"Unknown optimizer 'sgd'; there are \('adam', 'muon'\)"),
    ({"warmup": -1}, "warmup to be a whole number of at least 0, got -1"),
    ({"warmup": 10}, "warmup is for schedule='cosine', got warmup=10 and schedule='constant'"),
    ({"precision": "float16"}, "precision is float32 or bfloat16, got 'float16'"),
    ({"jit": "yes"}, "jit is auto, on or off, got 'yes'"),
    ({"flow": ""}, "flow to be a name or a path, got ''"),
    ({"dataset": None}, "dataset to be a name or a path, got None"),
    ({"data_dir": ""}, "data_dir to be a name or a path, got ''"),
    ({"options": {"bound": float("nan")}}, r"options\['bound'\] to be finite, got nan"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD)
def test_a_setting_out_of_range_is_told(changes, sentence):
    with pytest.raises(ValueError, match=f"^(A run needs )?{sentence}"):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"flip": "no"}, "flip to be a bool, got 'no'"),
        ({"options": [1]}, r"options to be a dict, got \[1\]"),
        ({"options": {1: 2}}, "options to have names, got 1"),
        ({"options": {"widths": {8}}}, r"options\['widths'\] to be of numbers, text and lists"),
    ],
)
def test_a_setting_of_another_kind_is_told(changes, sentence):
    with pytest.raises(TypeError, match=f"A run needs {sentence}"):
        config(**changes)


def test_settings_come_back_from_a_file_as_they_were(tmp_path):
    settings = config(
        dataset=Path("data.npz"),
        data_dir=tmp_path,
        epochs=np.int64(3),
        learning_rate=np.float32(0.5),
        flip=np.bool_(True),
        options={"widths": (4, np.int32(8)), "shape": np.array([1, 2]), "nested": {"a": (1,)}},
    )
    write_json(tmp_path / "config.json", vars(settings))
    assert runs.read_config(tmp_path) == settings
    assert settings.options == {"widths": [4, 8], "shape": [1, 2], "nested": {"a": [1]}}
    assert settings.dataset == "data.npz" and type(settings.epochs) is int


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"event_shape": 3}, "event_shape"),
        ({"name": 3}, "name"),
        ({"seed": 1, "levels": 2}, "levels, seed"),
        ({"num_classes": 3, "conditioner_dtype": "float32"}, "conditioner_dtype, num_classes"),
    ],
)
def test_options_that_the_run_settles_are_told(options, names):
    info = datasets.info("digits")
    with pytest.raises(ValueError, match=f"^{names}: settled by the run's data set and settings"):
        config(options=options).build_flow(info)
    with pytest.raises(TypeError, match="uva_simple has no option widht; its options are"):
        config(options={"widht": 3}).build_flow(info)


def test_the_rate_rises_and_falls():
    settings = config(schedule="cosine", warmup=10, epochs=2, optimizer="muon", learning_rate=0.5)
    optimizer = settings.build_optimizer(50)
    assert type(optimizer) is nvp.Muon
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [0, 0.25, 0.5, 0.25, 0], atol=1e-6)
    falling = config(schedule="exponential", learning_rate=0.5).build_optimizer(50)._learning_rate
    rates = [float(falling(step)) for step in (0, 25, 50, 10**6)]
    np.testing.assert_allclose(rates, [0.5, 0.5 * 0.99**0.5, 0.495, 0.005], rtol=1e-5)
    with pytest.raises(ValueError, match="fewer steps of warm-up than steps, got warmup=10 and 10"):
        settings.build_optimizer(5)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_kernels_alone_decay(optimizer):
    dist = nvp.flows.build("uva_simple", (4, 4, 1), couplings=1, width=4, blocks=1)
    settings = config(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1)
    before = [v.numpy() for v in dist.trainable_variables]
    model = nvp.FlowModel(dist)
    model.compile(settings.build_optimizer(10))
    model.optimizer.apply([tf.zeros_like(v) for v in model.trainable_variables])
    for was, variable in zip(before, dist.trainable_variables, strict=True):
        kernel = "kernel" in variable.name
        np.testing.assert_allclose(variable, was * (0.95 if kernel else 1.0), rtol=1e-6)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipes_are_settings_of_a_flow(name):
    settings = runs.RunConfig(**recipes.RECIPES[name])
    assert set(settings.options) <= flows.options(settings.flow).keys()


def test_only_images_are_flipped():
    with pytest.raises(ValueError, match="flip is for images; moons has vectors"):
        config(flow="realnvp", dataset="moons", flip=True).build_flow(datasets.info("moons"))


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"epochs": 0, "flow": "a"}', '{"module": "keras"}', '"a"', "[" * 100_000]
)
def test_a_damaged_configuration_is_told_with_its_path(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        runs.read_config(tmp_path)


def test_json_is_strict():
    content = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")}, "e": "x"}
    expected = {"a": None, "b": [None, 1.5], "c": {"d": None}, "e": "x"}
    assert json.loads(json_text(content)) == expected
    assert "NaN" not in json_text(content) and "Infinity" not in json_text(content)
