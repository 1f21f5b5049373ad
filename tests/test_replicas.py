"""Runs that several devices or workers share: the same run, to rounding."""

import re
import signal

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import datasets

CONFIG = nvp.runs.RunConfig(
    flow="uva_vardeq",
    dataset="digits",
    epochs=2,
    batch_size=300,
    flip=True,
    options={"couplings": 1, "width": 4, "blocks": 1},
)
ROUNDING = 1e-5


def trained(out, config=CONFIG, **options):
    nvp.runs.train(config, out, verbose=False, tensorboard=False, result_examples=64, **options)
    return [v.numpy() for v in nvp.load(out).trainable_variables]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("drop_remainder", [True, False])
def test_parts_of_batches_are_the_batches(count, drop_remainder):
    x = np.arange(70, dtype=np.uint8).reshape(35, 1, 2, 1)
    labels = np.arange(35)
    options = {"batch_size": 8, "seed": 1, "flip": True, "drop_remainder": drop_remainder}
    options |= {"num_steps": 9, "start_step": 1}
    whole = list(datasets.batches(x, labels, **options).as_numpy_iterator())
    parts = [
        list(datasets.batches(x, labels, part=(i, count), **options).as_numpy_iterator())
        for i in range(count)
    ]
    assert all(len(part) == len(whole) for part in parts)
    for expected, *own in zip(whole, *parts, strict=True):
        for joined, value in zip(zip(*own, strict=True), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(joined), value)


def test_a_run_on_two_devices_is_that_on_one(tmp_path, strategy, monkeypatch):
    monkeypatch.setattr(
        "tfp_realnvp.execution.device.tf.distribute.MirroredStrategy", lambda devices: strategy
    )
    one = trained(tmp_path / "one", devices="one")
    two = trained(tmp_path / "two", devices="all")
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(b, a, atol=ROUNDING)
    rows = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("one", "two")]
    for a, b in zip(*rows, strict=True):
        if not a.startswith("epoch"):
            np.testing.assert_allclose(
                *(np.array(t.split(","), float) for t in (a, b)), rtol=ROUNDING
            )


def test_a_run_goes_on_with_other_devices(tmp_path, strategy, monkeypatch):
    monkeypatch.setattr(
        "tfp_realnvp.execution.device.tf.distribute.MirroredStrategy", lambda devices: strategy
    )
    unbroken = trained(tmp_path / "unbroken", devices="one")
    first = nvp.runs.RunConfig(**{**vars(CONFIG), "epochs": 1})
    trained(tmp_path / "two", first, devices="all")
    values = trained(tmp_path / "two", resume=True, devices="one")
    for a, b in zip(unbroken, values, strict=True):
        np.testing.assert_allclose(b, a, atol=ROUNDING)


@pytest.mark.slow
def test_a_broken_epoch_goes_on_bit_for_bit(tmp_path, strategy, monkeypatch):
    monkeypatch.setattr(
        "tfp_realnvp.execution.device.tf.distribute.MirroredStrategy", lambda devices: strategy
    )
    unbroken = trained(tmp_path / "unbroken", devices="all")

    def stop(self, batch, logs=None):
        if int(self.model.step.numpy()) == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(nvp.callbacks.StopOnNaN, "on_train_batch_end", stop)
        with pytest.raises(nvp.runs.Interrupted, match="goes on from step 2 of"):
            trained(tmp_path / "broken", devices="all")
    for a, b in zip(
        unbroken, trained(tmp_path / "broken", resume=True, devices="all"), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"jit": "on"}, "A step that XLA compiles whole cannot be shared by several devices"),
        ({"ema": 0.9}, "Keras does not keep averaged weights right on several devices"),
        ({"batch_size": 1}, "A batch is shared by 2 devices, each of which needs a row"),
    ],
)
def test_what_replicas_cannot_do_is_refused(tmp_path, strategy, monkeypatch, changes, sentence):
    monkeypatch.setattr(
        "tfp_realnvp.execution.device.tf.distribute.MirroredStrategy", lambda devices: strategy
    )
    config = nvp.runs.RunConfig(**{**vars(CONFIG), **changes})
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trained(tmp_path / "out", config, devices="all")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="devices is auto, all, one, got 'some'"):
        trained(tmp_path / "out", devices="some")
