"""Training in parts of a batch: the loss and the gradients of the whole, on several cores."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import tfp_realnvp as nvp

SHAPE = (4, 4, 1)

# Threads can be chosen only before TensorFlow's first operation: in a process of its own.
PROCESS = """
import tfp_realnvp as nvp
nvp.use_shards(2)
import numpy as np, tensorflow as tf
from tfp_realnvp.execution.device import shards_in_use
assert tf.config.threading.get_inter_op_parallelism_threads() == shards_in_use() == 2
images, _ = nvp.datasets.load_arrays("digits")
dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17, width=4, couplings=2, blocks=1)
model = nvp.FlowModel(dist)
model.compile()
assert model.plan.parts == 2
model.fit(images[:33], batch_size=16, epochs=1, verbose=0)  # the last batch has one row
latents = nvp.encode(dist, images[:50], rows_at_once=16)
assert (nvp.decode(dist, latents, rows_at_once=16) == images[:50]).all()
at_once = nvp.bits_per_dim(dist, images[:4], num_importance_samples=4)
assert at_once.shape == (4,) and np.isfinite(at_once).all()
losses = []
for jit_compile in (False, "auto"):
    settings = {"levels": 17, "width": 8, "couplings": 2, "blocks": 1, "seed": 0}
    rounded = nvp.flows.build(
        "uva_simple", (8, 8, 1), conditioner_dtype="mixed_bfloat16", **settings
    )
    model = nvp.FlowModel(rounded)
    model.compile(jit_compile=jit_compile)
    assert model.plan.kernels.by_xla == bool(jit_compile)  # by XLA between the convolutions
    history = model.fit(images[:32], batch_size=16, epochs=5, shuffle=False, verbose=0).history
    losses.append(history["loss"])
assert losses[0][0] > losses[0][-1]
assert np.allclose(*losses, atol=1e-2), losses  # the noise is the same, step by step
from tfp_realnvp.execution import choice
rounded = nvp.flows.build(
    "uva_simple", (16, 16, 1), conditioner_dtype="mixed_bfloat16", **settings
)
rng = np.random.default_rng(0)
for weight in rounded.trainable_variables:
    weight.assign_add(0.03 * rng.normal(size=weight.shape))
many = np.kron(images[:120], np.ones([1, 2, 2, 1], "uint8"))  # two parts of 49, and a few rows
bits, drawn = [], []
for name in ("XLA", "TensorFlow"):
    bits.append(nvp.bits_per_dim(rounded, many, num_importance_samples=1))
    drawn.append(nvp.sample(rounded, 120, seed=0))
    by_xla = {key.split()[0] for key in rounded.graphs if "by_xla=True" in key}
    assert by_xla == {"log_prob", "sample"}
    choice.gains_by_xla = lambda dist: False
assert [len(b) for b in bits] == [120, 120]
assert np.allclose(*bits, atol=0.02)
assert (drawn[0] == drawn[1]).mean() > 0.99
try:
    nvp.use_shards(3)
except RuntimeError as error:
    print(error)
"""


def test_statistics_of_whole_batches_take_one_shard():
    model = nvp.FlowModel(nvp.flows.build("realnvp", SHAPE, width=4, blocks=1))
    with pytest.raises(ValueError, match=r"realnvp normalizes by .* takes 1 shard, got 2\."):
        model.compile(shards=2)


@pytest.mark.parametrize("shards", [0, 1.5])
def test_bad_numbers(shards):
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,)))
    with pytest.raises(
        ValueError, match=f"shards to be a whole number of at least 1, got {shards}"
    ):
        model.compile(shards=shards)


@pytest.mark.parametrize("shards", [1, 2])
def test_fit_learns_the_same_to_rounding_where_there_is_no_noise(shards):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    labels = np.arange(64) % 4
    ends, losses = [], []
    for microbatch in (None, 7):
        dist = nvp.flows.build(
            "realnvp", (3,), couplings=1, widths=(8,), seed=0, num_classes=4, dtype="float64"
        )
        model = nvp.FlowModel(dist)
        model.compile(keras.optimizers.SGD(1e-2), shards=shards, microbatch=microbatch)
        history = model.fit(x, labels, batch_size=31, epochs=2, shuffle=False, verbose=0)
        losses.append([history.history["loss"], history.history["nats"]])
        ends.append(nvp.encode(dist, x, labels))
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_statistics_of_whole_batches_take_no_microbatch():
    model = nvp.FlowModel(nvp.flows.build("realnvp", SHAPE, width=4, blocks=1))
    with pytest.raises(ValueError, match=r"realnvp normalizes by .* takes no microbatch, got 2\."):
        model.compile(microbatch=2)


@pytest.mark.parametrize("microbatch", [0, 1.5])
def test_bad_microbatches(microbatch):
    model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,)))
    with pytest.raises(ValueError, match=f"a whole number of at least 1, got {microbatch}"):
        model.compile(microbatch=microbatch)


def test_a_process_that_uses_shards():
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert done.stdout.strip().endswith(
        "TensorFlow has started: shards are chosen before its first operation."
    )
