"""Shards of a batch: the likelihood and the gradients of the whole, on several cores."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.execution.shards import log_prob_in_shards

SHAPE = (4, 4, 1)

# Threads can be chosen only before TensorFlow's first operation: in a process of its own.
PROCESS = """
import tfp_realnvp as nvp
nvp.use_shards(2)
import numpy as np, tensorflow as tf
from tfp_realnvp.execution.shards import shards_in_use
assert tf.config.threading.get_inter_op_parallelism_threads() == shards_in_use() == 2
images, _ = nvp.datasets.load_arrays("digits")
dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17, width=4, couplings=2, blocks=1)
model = nvp.FlowModel(dist)
model.compile()
assert model.shards == 2
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
    assert model.fuses == bool(jit_compile)  # by XLA between the convolutions
    history = model.fit(images[:32], batch_size=16, epochs=5, shuffle=False, verbose=0).history
    losses.append(history["loss"])
assert losses[0][0] > losses[0][-1]
assert np.allclose(*losses, atol=1e-2), losses  # the noise is the same, step by step
from tfp_realnvp.execution import graphs as tracing
rounded = nvp.flows.build(
    "uva_simple", (16, 16, 1), conditioner_dtype="mixed_bfloat16", **settings
)
rng = np.random.default_rng(0)
for weight in rounded.trainable_variables:
    weight.assign_add(0.03 * rng.normal(size=weight.shape))
many = np.kron(images[:120], np.ones([1, 2, 2, 1], "uint8"))  # two chunks of 49, and a few rows
bits, drawn = [], []
for name in ("XLA", "TensorFlow"):
    bits.append(nvp.bits_per_dim(rounded, many, num_importance_samples=1))
    drawn.append(nvp.sample(rounded, 120, seed=0))
    by_xla = {key for key in rounded.graphs if key.endswith("by XLA")}
    assert by_xla == {"log_prob by XLA", "sample by XLA"}
    tracing.gains_by_xla = lambda dist: False
assert {"log_prob", "sample"} < set(rounded.graphs)
assert [len(b) for b in bits] == [120, 120]
# Chunks of XLA have 39 rows, others 30, and each has its own noise.
assert np.allclose(bits[0][:30], bits[1][:30], atol=0.02) and (bits[0] != bits[1])[30:].any()
assert (drawn[0] == drawn[1]).mean() > 0.99  # from the same latents
try:
    nvp.use_shards(3)
except RuntimeError as error:
    print(error)
"""


def small(name, **kwargs):
    dist = nvp.flows.build(name, SHAPE, width=4, couplings=2, blocks=1, dtype="float64", **kwargs)
    perturb_weights(dist.bijector)
    return dist


def test_value_and_gradients_are_those_of_the_whole_batch():
    dist = small("uva_simple", num_classes=3)

    @tf.function(reduce_retracing=True, autograph=False)
    def value_and_gradients(shards, images, labels):
        context = nvp.Context(noise="per_example", seed=(0, 1), labels=labels, training=True)
        with tf.GradientTape() as tape:
            log_prob = log_prob_in_shards(dist, images, context, shards=shards)
            loss = tf.reduce_mean(log_prob)
        return log_prob, tape.gradient(loss, dist.trainable_variables)

    for rows in (1, 2, 5):  # fewer rows than shards, and shards of unequal size
        images = np.random.default_rng(0).integers(0, 256, (rows, *SHAPE)).astype("uint8")
        labels = tf.range(rows) % 3
        whole, gradients = value_and_gradients(1, images, labels)
        sharded, sharded_gradients = value_and_gradients(3, images, labels)
        np.testing.assert_allclose(sharded, whole, rtol=1e-12)
        for one, other in zip(gradients, sharded_gradients, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9)


def test_every_shard_has_noise_of_its_own():
    dist = small("uva_simple")
    same = np.zeros([4, *SHAPE], "uint8")
    values = log_prob_in_shards(dist, same, nvp.Context(seed=(1, 2)), shards=2).numpy()
    assert len(set(values)) == 4
    again = log_prob_in_shards(dist, same, nvp.Context(seed=(1, 2)), shards=2).numpy()
    np.testing.assert_array_equal(values, again)


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


def test_fit_learns_the_same_to_rounding_where_there_is_no_noise():
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    ends = []
    for shards in (1, 2):
        dist = nvp.flows.build("realnvp", (3,), couplings=1, widths=(8,), seed=0)
        model = nvp.FlowModel(dist)
        model.compile(keras.optimizers.SGD(1e-2), shards=shards)
        model.fit(x, batch_size=31, epochs=2, shuffle=False, verbose=0)
        ends.append(nvp.encode(dist, x))
    np.testing.assert_allclose(*ends, atol=1e-5)


def test_a_process_that_uses_shards():
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert done.stdout.strip().endswith(
        "TensorFlow has started: shards are chosen before its first operation."
    )
