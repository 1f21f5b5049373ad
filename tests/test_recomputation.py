"""The memory-saving backward pass gives the plain one's gradients."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp

SHAPE = (4, 4, 1)


def build(*, recompute: bool, num_classes=None):
    dist = nvp.flows.build(
        "uva_multiscale",
        SHAPE,
        dtype="float64",
        levels=8,
        num_classes=num_classes,
        widths=(4, 4, 4),
        blocks=1,
        recompute=recompute,
    )
    perturb_weights(dist.bijector)
    return dist


def loss_and_gradients(dist, labels):
    images = np.random.default_rng(1).integers(0, 8, (3, *SHAPE))
    with tf.GradientTape() as tape:
        log_prob = dist.log_prob_in(images, nvp.Context(seed=(1, 2), labels=labels))
        loss = tf.reduce_sum(tf.sin(log_prob))
    return [loss, *tape.gradient(loss, dist.trainable_variables)]


@pytest.mark.parametrize("labels", [None, [0, 1, 1]], ids=["plain", "labels"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_gradients_are_those_of_the_plain_pass(graph, labels):
    num_classes = None if labels is None else 2
    expected = loss_and_gradients(build(recompute=False, num_classes=num_classes), labels)
    dist = build(recompute=True, num_classes=num_classes)
    run = tf.function(loss_and_gradients) if graph else loss_and_gradients
    for got, want in zip(run(dist, labels), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=100 * FLOAT64, rtol=100 * FLOAT64)


def test_the_option_is_part_of_the_configuration():
    dist = nvp.flows.build("uva_simple", SHAPE, levels=8, width=4, recompute=True)
    assert nvp.Flow.from_config(dist.get_config()).get_config()["recompute"] is True


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["no_xla", "xla"]
)
def test_trains_with_fit(jit):
    dist = nvp.flows.build("uva_simple", SHAPE, levels=8, width=4, couplings=2, recompute=True)
    model = nvp.FlowModel(dist)
    model.compile("adam", jit_compile=jit)
    images = np.random.default_rng(0).integers(0, 2, (16, *SHAPE)).astype("uint8")
    losses = model.fit(images, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
