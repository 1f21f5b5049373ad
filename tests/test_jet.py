"""Jet: its authors' numbers, its patterns, and what it takes."""

import jet_reference
import numpy as np
import pytest
import tensorflow as tf
from constructors import JET, perturb_weights
from tolerances import FLOAT32, FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    CheckerboardHalves,
    ColumnHalves,
    RowHalves,
    ShuffledChannelHalves,
    Squeezed,
)

# The smallest networks.
NARROW = {"depth": 1, "width": 4, "heads": 2}


def couplings_of(dist):
    (squeezed,) = (b for b in dist.bijector.bijectors if isinstance(b, Squeezed))
    return squeezed.members


@pytest.fixture(scope="module")
def golden():
    return np.load(jet_reference.GOLDEN)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_port_of_the_authors_code_computes_the_same(golden, dtype):
    dist = nvp.flows.build("jet", jet_reference.SHAPE, dtype=dtype, **jet_reference.OPTIONS)
    for i, coupling in enumerate(couplings_of(dist)):
        for weight in coupling.conditioner.weights:
            weight.assign(golden[f"weights/{i}/{weight.name}"])
    flow = dist.bijector.bijectors[2]
    tolerance = FLOAT64 if dtype == "float64" else FLOAT32
    z, log_det = flow.inverse_and_log_det(golden["images"])
    np.testing.assert_allclose(z, golden["latents"], atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(log_det, golden["log_det"], atol=tolerance, rtol=tolerance)
    y, back = flow.forward_and_log_det(golden["latents"])
    np.testing.assert_allclose(y, golden["images"], atol=10 * tolerance)
    np.testing.assert_allclose(back, -golden["log_det"], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("spatial", [1, 2])
def test_parameters_of_the_paper_s_flow(spatial):
    """All 32 couplings are of one size, whatever they split."""
    dist = nvp.flows.build("jet", (64, 64, 3), couplings=1, spatial=spatial)
    assert 32 * sum(np.prod(v.shape) for v in dist.trainable_variables) == 207_177_216
    assert nvp.flows.options("jet")["couplings"] == 32


def test_kinds_and_patterns_follow_the_paper():
    dist = nvp.flows.build("jet", (16, 16, 1), couplings=35, **NARROW)
    partitions = [coupling.partition for coupling in couplings_of(dist)]
    spatial = partitions[4::5]
    patterns = (CheckerboardHalves, ColumnHalves, RowHalves, CheckerboardHalves)
    expected = [(pattern, inverted) for pattern in patterns for inverted in (False, True)]
    assert [(type(p), p.inverted) for p in spatial] == expected[:7]
    of_channels = [p for p in partitions if p not in spatial]
    assert all(type(p) is ShuffledChannelHalves for p in of_channels)
    assert len({tuple(p.mask((4, 4, 16))) for p in of_channels}) == 28


def test_pixels_go_to_the_interval_of_the_paper():
    dist = nvp.flows.build("jet", (4, 4, 1), **JET)
    ends = np.stack([np.zeros([4, 4, 1]), np.full([4, 4, 1], 255.0)])
    dark, bright = dist.bijector.bijectors[1].inverse(ends).numpy()
    assert (dark == -1).all() and (bright == 1).all()


@pytest.mark.parametrize(
    ("shape", "patch", "spatial"),
    [((28, 28, 1), 4, 0), ((28, 28, 1), 2, 1), ((32, 32, 3), 4, 1), ((8, 12, 3), 4, 0)],
)
def test_sizes(shape, patch, spatial):
    """A grid of patches that has no even sides has couplings of channels alone."""
    dist = nvp.flows.build("jet", shape, couplings=5, patch=patch, **NARROW)
    found = [type(c.partition) is not ShuffledChannelHalves for c in couplings_of(dist)]
    assert sum(found) == spatial
    perturb_weights(dist.bijector)
    images = np.random.default_rng(0).integers(0, 256, (2, *shape))
    assert np.isfinite(dist.log_prob(images)).all()
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((30, 28, 1), {}, r"jet needs height and width to be multiples of 4, got \(30, 28, 1\)"),
        ((28, 28, 1), {"spatial": 5, "couplings": 5}, "CheckerboardHalves needs two equal halves"),
        ((28, 28, 1), {"patch": 1}, "jet needs patch to be a whole number of at least 2, got 1"),
        ((28, 28, 1), {"spatial": 0}, "jet needs spatial to be a whole number of at least 1"),
        ((28, 28, 1), {"heads": 3}, "ViT needs a width that its heads divide, got width=4 and"),
        ((9, 9, 1), {"patch": 3, "spatial": 1}, "even number of channels, got shape"),
        ((2,), {}, r"jet models images of shape \(H, W, C\), got event shape \(2,\)"),
    ],
)
def test_what_it_refuses(shape, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        nvp.flows.build("jet", shape, **{**NARROW, "couplings": 1, **options})


def test_it_learns_with_labels_in_bfloat16_and_is_exported(tmp_path):
    dist = nvp.flows.build(
        "jet", (4, 4, 1), levels=8, num_classes=2, conditioner_dtype="mixed_bfloat16", **JET
    )
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(1e-2))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = (rng.integers(0, 2, (64, 4, 4, 1)) + 5 * labels[:, None, None, None]).astype("uint8")
    losses = model.fit(images, labels, batch_size=32, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.3
    right = dist.log_prob(images, bijector_kwargs={"labels": labels, "seed": (0, 1)})
    wrong = dist.log_prob(images, bijector_kwargs={"labels": 1 - labels, "seed": (0, 1)})
    assert np.mean(np.greater(right, wrong)) > 0.9
    np.testing.assert_array_equal(
        nvp.decode(dist, nvp.encode(dist, images, labels), labels), images
    )
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "jet"))).signatures
    got = served["serving_default"](
        images=tf.constant(images), labels=tf.constant(labels, tf.int32)
    )["bits_per_dim"]
    expected = nvp.bits_per_dim(dist, images, labels, num_importance_samples=1)
    np.testing.assert_allclose(np.mean(got), np.mean(expected), atol=0.05)
