"""Checkpoints: what is damaged is told, and what is not finite is never kept."""

import math
import zipfile

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import callbacks


def compiled():
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,)))
    model.compile("adam")
    return model


def checkpoint(path, model):
    made = callbacks.Checkpoint(
        path, steps_per_epoch=3, stateful={"best": callbacks.BestCheckpoint(path.parent)}
    )
    made.set_model(model)
    return made


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.npz"
    checkpoint(path, compiled()).save()
    return path


def rewritten(path, **changes):
    with np.load(path) as stored:
        arrays = {key: changes.get(key.replace("/", "_"), stored[key]) for key in stored.files}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def encrypted(path):
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(content)


def compressed_by_an_unknown_method(path):
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.find(mark)
        while start >= 0:
            content[start + at] = 97
            start = content.find(mark, start + 4)
    path.write_bytes(content)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("text"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "encrypted": encrypted,
    "an unknown method": compressed_by_an_unknown_method,
    "no states": lambda path: rewritten(path, states=None),
    "states of nothing": lambda path: rewritten(path, states=np.array("{}")),
    "states no JSON": lambda path: rewritten(path, states=np.array("{")),
    "a weight missing": lambda path: rewritten(path, weights_0=None),
    "another zip": lambda path: zipfile.ZipFile(path, "w").close(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_whatever_it_is(saved, damage):
    damage(saved)
    model = compiled()
    before = [np.asarray(v) for v in model.weights]
    with pytest.raises(ValueError, match=r"^The checkpoint .*last\.npz is damaged\.$"):
        checkpoint(saved, model).restore(model)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.zeros([7]), np.array("text"), np.array([1, 2])])
def test_another_flow_is_told(saved, value):
    rewritten(saved, weights_1=value)
    model = compiled()
    with pytest.raises(ValueError, match=r"last\.npz is of another flow or optimizer"):
        checkpoint(saved, model).restore(model)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_never_kept(saved, value):
    model = compiled()
    before = saved.read_bytes()
    model.trainable_variables[0].assign(np.full(model.trainable_variables[0].shape, value))
    with pytest.raises(callbacks.NotFiniteError, match="Weights are no longer finite after step 0"):
        checkpoint(saved, model).save()
    assert saved.read_bytes() == before


def test_a_loss_that_is_not_finite_is_told_with_the_checkpoint_that_there_is(saved):
    model = compiled()
    for kept in (None, checkpoint(saved, model)):
        stop = callbacks.StopOnNaN(kept)
        stop.set_model(model)
        with pytest.raises(callbacks.NotFiniteError, match=r"loss became nan at step 0: [^;]*\.$"):
            stop.on_train_batch_end(0, {"loss": math.nan})
        with pytest.raises(callbacks.NotFiniteError, match="The validation's loss became inf"):
            stop.on_epoch_end(0, {"loss": 1.0, "val_loss": math.inf})
        stop.on_epoch_end(0, {"loss": 1.0})
    kept.restore(model)
    with pytest.raises(callbacks.NotFiniteError, match="; the checkpoint of step 0 is from before"):
        stop.on_train_batch_end(0, {"loss": math.nan})


def test_a_broken_epoch_of_a_version_with_more_metrics_goes_on(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 2))
    model = compiled()
    model.fit(x, batch_size=4, verbose=0)
    kept = checkpoint(tmp_path / "last.npz", model)
    kept.save()
    with np.load(kept.path) as stored:
        arrays = dict(stored)
    count = sum(key.startswith("metrics/") for key in arrays)
    arrays |= {f"metrics/{count + i}": arrays[f"metrics/{count - 2 + i}"] for i in range(2)}
    np.savez(kept.path, **arrays)
    assert kept.restore(model) == 2
    model.reset_metrics()
    kept.on_epoch_begin(0)
    for i, variable in enumerate(model.metrics_variables):
        np.testing.assert_array_equal(variable, arrays[f"metrics/{i}"])
