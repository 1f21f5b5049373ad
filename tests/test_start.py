"""Flows that start from the weights of others."""

import json

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import runs

OPTIONS = {"steps": 1, "width": 4}
SHAPE = (8, 8, 1)


def flow(name="glow", options=OPTIONS, **settings):
    return nvp.flows.build(name, SHAPE, levels=17, **options, **settings)


def images(count=20):
    return np.random.default_rng(0).integers(0, 17, [count, *SHAPE]).astype("uint8")


def bits(dist, **options):
    return nvp.bits_per_dim(dist, images(), num_importance_samples=1, seed=0, **options)


def test_a_flow_of_classes_begins_as_the_one_without():
    other, dist = flow(seed=1), flow(seed=2, num_classes=10)
    other.initialize(images())
    nvp.start_from(dist, other)
    assert not dist.bijector.needs_data
    np.testing.assert_array_equal(bits(dist, labels=np.arange(20) % 10), bits(other))


def test_what_does_not_fit_changes_nothing():
    dist = flow(num_classes=10)
    before = [v.numpy() for v in dist.variables]
    for other in (flow(options=OPTIONS | {"width": 8}), flow("uva_simple", {"width": 4})):
        with pytest.raises(ValueError, match=r"cannot start from .*: they differ in layer \d+: "):
            nvp.start_from(dist, other)
    for was, now in zip(before, dist.variables, strict=True):
        np.testing.assert_array_equal(now, was)


def test_a_run_starts_from_a_file_and_resumes_from_itself(tmp_path):
    other = flow(seed=1)
    other.initialize(images())
    settings = {"flow": "glow", "options": OPTIONS, "epochs": 1, "learning_rate": 1e-12}
    settings["start"] = str(nvp.save(other, tmp_path / "flow.keras"))
    config = runs.RunConfig(**settings, conditional=True)
    runs.train(config, tmp_path / "run", verbose=False, tensorboard=False, result_examples=8)
    labels = np.arange(20) % 10
    trained = bits(nvp.load(tmp_path / "run"), labels=labels)
    np.testing.assert_allclose(trained, bits(other), atol=1e-4)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start"].endswith(".keras")
    (tmp_path / "flow.keras").unlink()
    config = runs.RunConfig(**settings | {"epochs": 2}, conditional=True)
    out = tmp_path / "run"
    runs.train(config, out, resume=True, verbose=False, tensorboard=False, result_examples=8)
