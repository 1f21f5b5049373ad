"""Compiled likelihoods and samples: those of the flow."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp


@pytest.mark.parametrize(("num", "shards"), [(5, 2), (4, 4), (1, 3)])
def test_values_are_those_of_the_flow(rng, num, shards):
    dist = nvp.flows.build(
        "realnvp", (3,), couplings=2, widths=(8,), num_classes=4, dtype="float64"
    )
    fast = nvp.Compiled(dist, num=num, shards=shards)
    x, labels = rng.normal(size=(num, 3)), rng.integers(0, 4, num)
    expected = dist.log_prob(x, bijector_kwargs={"labels": labels})
    np.testing.assert_allclose(fast.log_prob(x, labels), expected, rtol=1e-12)
    samples = fast.sample(labels=2, seed=1)
    assert samples.shape == (num, 3) and len(np.unique(samples)) == samples.size
    np.testing.assert_array_equal(samples, fast.sample(labels=2, seed=1))
    assert (samples != fast.sample(labels=2, seed=2)).all()
    assert (fast.sample(labels=2) != fast.sample(labels=2)).all()


def test_samples_are_those_of_the_flow():
    dist = nvp.flows.build("realnvp", (3,), couplings=2, widths=(8,), num_classes=4)
    perturb_weights(dist.bijector)
    labels = np.arange(5) % 4
    for fast in (nvp.Compiled(dist, num=5, shards=2), nvp.Lite(dist, num=5, programs=2)):
        for seed in (5, 2**40, (3, 4), np.array([3, -4])):
            for options in ({"labels": 1}, {"labels": labels, "temperature": [0.5]}):
                got = fast.sample(seed=seed, **options)
                expected = nvp.sample(dist, 5, seed=seed, **options)
                np.testing.assert_allclose(got, expected, rtol=FLOAT32, atol=FLOAT32)


def test_a_flow_that_trains_on_is_followed(rng):
    dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
    fast, x = nvp.Compiled(dist, num=6), rng.normal(size=(6, 2)).astype("float32")
    before = fast.log_prob(x)
    for variable in dist.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable))
    np.testing.assert_allclose(fast.log_prob(x), dist.log_prob(x), rtol=1e-5)
    assert (fast.log_prob(x) != before).all()
    assert not np.ptp(fast.sample(temperature=0.0), axis=0).any()


def test_refuses(rng):
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(8,))
    fast = nvp.Compiled(dist, num=6)
    with pytest.raises(ValueError, match="Compiled for batches of 6 vectors, got 5"):
        fast.log_prob(rng.normal(size=(5, 2)).astype("float32"))
    with pytest.raises(ValueError, match="realnvp"):
        fast.log_prob(rng.normal(size=(6, 3)).astype("float32"))
    with pytest.raises(ValueError, match="temperature"):
        fast.sample(temperature=-1.0)
    with pytest.raises(ValueError, match="num"):
        nvp.Compiled(dist, num=0)
    with pytest.raises(ValueError, match="is for flows of vectors; uva_simple is one of images"):
        nvp.Compiled(nvp.flows.build("uva_simple", (4, 4, 1), couplings=1, width=4), num=2)
