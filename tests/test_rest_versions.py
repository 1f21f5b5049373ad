"""Versions that come and go while a server runs, and the configs that say which are served."""

import shutil
import threading

import numpy as np
import pytest
from rest_server import half, running, until

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.model import Model
from tfp_realnvp.serving.rest.model_config import ModelConfig, models_of


def test_versions_are_published_under_load(tmp_path):
    base = tmp_path / "half"
    base.mkdir()
    half(base, 1, add=1)
    app = application(models_of([base]), poll_seconds=0.02)
    stop, answers = threading.Event(), []

    def ask(server):
        while not stop.is_set():
            answers.append(server.predict("half", {"instances": [0]}))

    with running(app) as server:
        threads = [threading.Thread(target=ask, args=[server]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in range(2, 7):
            half(base, version, add=version)
            shutil.rmtree(base / str(version - 1))
            until(lambda version=version: answers[-1][1] == {"predictions": [float(version)]})
        stop.set()
        for thread in threads:
            thread.join(30)
        assert {code for code, _ in answers} == {200}
        states = server.ask("GET", "/v1/models/half")[1]["model_version_status"]
        assert [s["version"] for s in states] == ["6", "5", "4", "3", "2", "1"]
        until(
            lambda: (
                [
                    s["state"]
                    for s in server.ask("GET", "/v1/models/half")[1]["model_version_status"]
                ]
                == ["AVAILABLE"] + ["END"] * 5
            )
        )


def test_a_version_that_does_not_load_leaves_the_old_one(tmp_path):
    half(tmp_path, 1)
    model = Model(ModelConfig(name="half", base=tmp_path))
    model.refresh()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"damaged")
    for _ in range(2):
        model.refresh()
    new, old = model.status()
    assert old["state"] == "AVAILABLE" and model.find()[0] == 1
    assert new["state"] == "END" and new["status"]["error_code"] == "INTERNAL"
    assert new["status"]["error_message"]
    shutil.rmtree(tmp_path / "2")
    half(tmp_path, 2)
    model.refresh()
    assert model.find()[0] == 2
    shutil.rmtree(tmp_path / "2")
    shutil.rmtree(tmp_path / "1")
    model.refresh()
    assert model.find()[0] == 2  # nothing is there any more: it goes on


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("what", ValueError, "is no model config: "),
        ("", ValueError, "There is nothing to serve"),
        ("model_config_list { config { name: 'a/b' } }", ValueError, "has no slashes, colons or"),
        (
            "model_config_list { config { name: 'a' base_path: '/missing' } }",
            FileNotFoundError,
            "There is no directory /missing",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '.' model_platform: 'torch' } }",
            ValueError,
            "a is of platform 'torch'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '.' } "
            "config { name: 'a' base_path: '.' } }",
            ValueError,
            "More than one model is called a.",
        ),
    ],
)
def test_configs_that_are_refused(tmp_path, text, error, sentence):
    (tmp_path / "models").write_text(text)
    with pytest.raises(error, match=sentence):
        models_of([], tmp_path / "models")


def test_a_saved_model_is_no_base(tmp_path):
    half(tmp_path, 1)
    with pytest.raises(ValueError, match="is a SavedModel and has no versions: export it with"):
        models_of([tmp_path / "1"])
    assert np.array_equal(ModelConfig(name="a", base=tmp_path, latest=0).wanted([1, 2]), [1, 2])
