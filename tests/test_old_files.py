"""Files of version 0.1 load as they did then: flows with every kind of weight, and a run."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp import runs

OLD = Path(__file__).parent / "files_of_version_0_1"
EXPECTED = json.loads((OLD / "expected.json").read_text())
# Of vectors: all kinds of weights, TFP's too, some inverted; labels; a frozen layer. Of images:
# variational dequantization, factoring out, and statistics in networks and between them.
CALLS = {"vectors": {"labels": EXPECTED["vectors"].get("labels")}, "images": {"noise": "centre"}}


def assert_as_expected(dist, name):
    expected = EXPECTED[name]
    got = dist.log_prob(np.array(expected["x"]), bijector_kwargs=CALLS.get(name, {}))
    np.testing.assert_allclose(got, expected["log_prob"], rtol=FLOAT32)


@pytest.mark.parametrize("name", CALLS)
def test_flows_are_what_they_were(name, tmp_path):
    with zipfile.ZipFile(OLD / f"{name}.keras") as archive:
        archive.extractall(tmp_path / "unzipped")
    for path in (OLD / f"{name}.keras", tmp_path / "unzipped"):
        dist = nvp.load(path)
        assert_as_expected(dist, name)
        assert len(dist.variables) == EXPECTED[name]["variables"]
        assert len(dist.trainable_variables) == EXPECTED[name]["trainable"]
        assert not dist.bijector.needs_data
    assert_as_expected(nvp.load(nvp.save(dist, tmp_path / "again.keras")), name)


@pytest.mark.parametrize("name", CALLS)
def test_version_0_1_finds_the_weights_of_new_files(name, tmp_path):
    keras.saving.save_model(nvp.FlowModel(nvp.load(OLD / f"{name}.keras")), tmp_path, zipped=False)
    with zipfile.ZipFile(OLD / f"{name}.keras") as archive:
        archive.extract("model.weights.h5", tmp_path / "old")
    found: list[dict] = []
    for folder in (tmp_path, tmp_path / "old"):
        found.append({})
        with h5py.File(folder / "model.weights.h5") as stored:
            stored.visititems(
                lambda key, value: (
                    isinstance(value, h5py.Dataset) and found[-1].update({key: value[()]})
                )
            )
    assert found[0].keys() == found[1].keys()
    for key in found[0]:
        np.testing.assert_array_equal(found[0][key], found[1][key], err_msg=key)


def test_a_run_goes_on_as_it_would_have_then(tmp_path):
    out = Path(shutil.copytree(OLD / "run", tmp_path / "run"))
    assert_as_expected(nvp.load(out), "run")
    settings = runs.RunConfig(epochs=2, **EXPECTED["run"]["config"])
    runs.train(settings, out, resume=True, verbose=False, tensorboard=False, result_examples=20)
    with np.load(out / "last.npz") as stored:
        for key, value in EXPECTED["run"]["weights_after_2_epochs"].items():
            np.testing.assert_allclose(stored[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
