"""Flows on disk: what is loaded is what was saved, to the bit; damage is told in one sentence."""

import errno
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from constructors import BIJECTORS, FLOWPP, JET, MIXTURE_MULTISCALE, TARFLOW, perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Conditional

FLOWS = {
    "uva_simple": ((4, 4, 1), {"width": 4, "couplings": 2, "blocks": 1}),
    "uva_vardeq": ((4, 4, 3), {"width": 4, "couplings": 2, "blocks": 1}),
    "uva_multiscale": ((4, 8, 1), {"widths": (4, 4, 4), "blocks": 1}),
    "lecture_realnvp": ((4, 4, 3), {"width": 4, "blocks": 1}),
    "flowpp": ((4, 4, 1), FLOWPP),
    "mixture_multiscale": ((4, 4, 1), MIXTURE_MULTISCALE),
    "jet": ((4, 4, 1), JET),
    "tarflow": ((4, 4, 1), TARFLOW),
    "glow": ((4, 4, 1), {"width": 4, "steps": 1}),
    "realnvp": ((3,), {"couplings": 2, "widths": (8,)}),
    "planar": ((3,), {"layers": 2}),
    "maf": ((3,), {"layers": 2, "widths": (8,)}),
    "iaf": ((3,), {"layers": 2, "widths": (8,)}),
    "neural_ode": ((3,), {"widths": (8,)}),
    "nsf": ((4, 4, 1), {"widths": (4, 4, 4)}),
    "nice": ((3,), {"couplings": 2, "widths": (8,)}),
    "radial": ((3,), {"layers": 2}),
    "residual": ((4, 4, 1), {"blocks": 1, "width": 4}),
    "sets": ((4, 3), {"couplings": 2, "widths": (8,)}),
}


def perturbed(name, **kwargs):
    shape, options = FLOWS[name]
    dist = nvp.flows.build(name, shape, levels=8, **options, **kwargs)
    perturb_weights(dist.bijector)
    return dist


def data(dist):
    rng = np.random.default_rng(0)
    shape = (5, *dist.event_shape)
    return rng.normal(size=shape) if dist.levels is None else rng.integers(0, dist.levels, shape)


@pytest.mark.parametrize("name", FLOWS)
def test_log_prob_is_bit_equal(name, tmp_path):
    dist = perturbed(name)
    if dist.bijector.needs_data:
        dist.initialize(data(dist) * 100 + 7 if dist.levels is None else data(dist))
    kwargs = {"bijector_kwargs": {"seed": (1, 2)}}
    expected = dist.log_prob(data(dist), **kwargs)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    np.testing.assert_array_equal(loaded.log_prob(data(dist), **kwargs), expected)
    np.testing.assert_array_equal(loaded.sample(3, seed=(4, 5)), dist.sample(3, seed=(4, 5)))
    assert nvp.summary(loaded) == nvp.summary(dist)
    assert not loaded.bijector.needs_data


@pytest.mark.parametrize(
    "kwargs",
    [{"num_classes": 3}, {"conditioner_dtype": "mixed_bfloat16"}, {"dtype": "float64"}],
    ids=["conditional", "bfloat16", "float64"],
)
def test_variants_are_kept(kwargs, tmp_path):
    dist = perturbed("uva_vardeq", **kwargs)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    labels = {"labels": [0, 1, 2, 0, 1]} if "num_classes" in kwargs else {}
    call = {"bijector_kwargs": {"seed": (1, 2), **labels}}
    np.testing.assert_array_equal(
        loaded.log_prob(data(dist), **call), dist.log_prob(data(dist), **call)
    )
    assert loaded.dtype == dist.dtype and loaded.num_classes == dist.num_classes


@pytest.mark.parametrize("name", BIJECTORS)
def test_every_bijector_in_a_flow_built_by_hand(name, tmp_path):
    case = BIJECTORS[name]
    given = {"num_classes": case.num_classes, "condition_shape": case.condition_shape}
    made = case.make()
    # A flow puts what is conditional around its members by itself.
    members = made.members if isinstance(made, Conditional) else [made]
    dist = nvp.Flow(members, case.shape, dtype="float64", **given)
    if dist.bijector.needs_data:
        dist.initialize(case.start_data(), **case.kwargs(64))
    perturb_weights(dist.bijector)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    call = {"bijector_kwargs": case.kwargs()}
    np.testing.assert_array_equal(
        loaded.log_prob(case.data(), **call), dist.log_prob(case.data(), **call)
    )


def test_the_optimizer_is_saved_with_a_model(tmp_path):
    import keras

    from tfp_realnvp.training.saving import save_model

    model = nvp.FlowModel(perturbed("uva_simple"), seed=4)
    model.compile("adam")
    model.fit(data(model.dist), verbose=0)
    save_model(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.seed == 4 and int(loaded.step.numpy()) == int(model.step.numpy()) == 1
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loads_in_another_process(tmp_path):
    dist = perturbed("uva_multiscale")
    path = nvp.save(dist, tmp_path / "flow.keras")
    code = (
        "import sys, numpy as np, tfp_realnvp as nvp; dist = nvp.load(sys.argv[1]);"
        "log_prob = dist.log_prob(np.ones([1, 4, 8, 1]), bijector_kwargs={'seed': (1, 2)});"
        "print(float(log_prob[0]).hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    ones = np.ones([1, 4, 8, 1])
    expected = dist.log_prob(ones, bijector_kwargs={"seed": (1, 2)}).numpy()[0]
    # The processes differ in threads, so their sums may round apart.
    np.testing.assert_allclose(float.fromhex(run.stdout.strip()), expected, rtol=1e-6)


def test_damage_is_told(tmp_path):
    path = nvp.save(perturbed("uva_simple"), tmp_path / "flow.keras")
    whole = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="There is no file or run directory"):
        nvp.load(tmp_path / "other.keras")
    with pytest.raises(FileNotFoundError, match=r"has no best\.keras"):
        nvp.load(tmp_path)
    for damaged in (whole[: len(whole) // 2], b"", b"text", whole[:200] + whole[400:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged or is no flow"):
            nvp.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="is damaged or is no flow"):
        nvp.load(path)


def test_a_plain_keras_model_is_no_flow(tmp_path):
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="is no flow"):
        nvp.load(tmp_path / "m.keras")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.keras, got flow\.h5"):
        nvp.save(perturbed("realnvp"), tmp_path / "flow.h5")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = nvp.save(perturbed("uva_simple"), tmp_path / "flow.keras")
    before = path.read_bytes()

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(nvp.FlowModel, "save", full)
    with pytest.raises(OSError, match=r"Cannot write .*flow\.keras: No space left on device\."):
        nvp.save(perturbed("uva_simple"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["flow.keras"]


def test_a_saved_flow_holds_each_weight_once(tmp_path):
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1))
    path = nvp.save(dist, tmp_path / "flow.keras")
    parameters = sum(int(tf.size(v)) for v in dist.variables)
    assert path.stat().st_size < 1.1 * 4 * parameters + 1_000_000
