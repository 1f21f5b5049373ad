"""Options of training: the likelihood at several resolutions, and what is logged beside it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.training.step_logs import NoiseScale

SHAPE, LEVELS = (4, 4, 1), 8
UNIT = 16 * np.log(2)


def of_images(name="uva_vardeq", **options):
    options = {"width": 4, "couplings": 1, "blocks": 1, "dtype": "float64"} | options
    return nvp.flows.build(name, SHAPE, levels=LEVELS, **options)


def of_vectors():
    return nvp.flows.build("realnvp", (2,), couplings=2, widths=(4,), dtype="float64")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, LEVELS, (24, *SHAPE)).astype("uint8")


def compiled(dist, **options):
    model = nvp.FlowModel(dist, seed=5)
    model.compile(keras.optimizers.SGD(0.01), **options)
    return model


def test_the_loss_at_several_resolutions_is_its_formula(images):
    dist = of_images()

    def bits(x):
        log_probs = dist.log_prob_in(x, nvp.Context(seed=(5, 0), training=True))
        return -float(tf.reduce_mean(log_probs)) / UNIT

    def blocks(side):
        parts = images.reshape(24, 4 // side, side, 4 // side, side, 1).mean((2, 4))
        return np.round(parts).repeat(side, 1).repeat(side, 2)

    own, expected = bits(images), bits(images) + 0.5 * bits(blocks(2)) + 0.25 * bits(blocks(4))
    model = compiled(dist, coarse=(0.5, 0.25), microbatch=7)
    assert model.get_compile_config()["coarse"] == (0.5, 0.25)
    results = model.train_on_batch(images, return_dict=True)
    assert results["loss"] == pytest.approx(expected, rel=1e-6)
    assert results["bits_per_dim"] == pytest.approx(own, rel=1e-6)
    held_out = model.test_on_batch(images, return_dict=True)
    assert held_out["loss"] == held_out["bits_per_dim"]


@pytest.mark.parametrize(
    ("dist", "options", "sentence"),
    [
        (of_vectors, {"coarse": [1]}, "coarse is for flows of images; realnvp has vectors"),
        (of_images, {"coarse": [-1]}, "a weight to be a finite number of at least 0, got -1"),
        (of_images, {"coarse": [1, 1, 1]}, r"needs images with sides that 8 divides; .* has 4x4"),
        (of_images, {"log": ["loss"]}, r"has no log 'loss'; there are \('terms', 'gradient_no"),
    ],
)
def test_what_does_not_fit_is_told(dist, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        compiled(dist(), **options)


@pytest.mark.parametrize("options", [{"coarse": [0.5]}, {"log": ["gradient_noise"]}])
def test_statistics_of_whole_batches_take_neither(options):
    dist = nvp.flows.build("realnvp", SHAPE, levels=LEVELS, width=2, blocks=1, scales=1)
    with pytest.raises(ValueError, match="realnvp normalizes by the statistics of whole batches"):
        compiled(dist, **options)


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_terms_add_up_to_the_likelihood(images, kind):
    of = ["base", "log_det"]
    if kind == "images":
        dist, unit, x, terms = of_images(), "bits_per_dim", images, [*of, "dequantization"]
    else:
        dist, unit, terms = of_vectors(), "nats", of
        x = np.random.default_rng(0).normal(size=(24, 2))
    model = compiled(dist, log=["terms"], microbatch=9)
    options = {"batch_size": 10, "verbose": 0, "shuffle": False}
    history = model.fit(x, validation_data=(x,), epochs=2, **options).history
    names = {f"{term}_{unit}" for term in terms}
    assert history.keys() == {
        f"{split}{name}" for split in ("", "val_") for name in ("loss", unit, *names)
    }
    for split in ("", "val_"):
        total = np.sum([history[f"{split}{name}"] for name in names], 0)
        np.testing.assert_allclose(total, history[f"{split}{unit}"], rtol=1e-5)
    diagnosed = nvp.diagnose(dist, x).terms["base"]
    per = UNIT if kind == "images" else 1.0
    assert model.evaluate(x, verbose=0, return_dict=True)[f"base_{unit}"] == pytest.approx(
        -diagnosed / per, rel=0.02
    )


def test_the_noise_of_gradients_is_that_between_the_parts_of_a_batch():
    x, dist = np.random.default_rng(0).normal(size=(24, 2)), of_vectors()
    dist.initialize(x)

    def gradient(rows):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(dist.log_prob(rows))
        parts = tape.gradient(loss, dist.trainable_variables)
        return np.concatenate([np.ravel(part) for part in parts])

    whole, *halves = (gradient(rows) for rows in (x, x[:12], x[12:]))
    small = np.mean([half @ half for half in halves])
    # The paper's estimates (its appendix A.1), of batches of 12 and 24.
    signal = (24 * whole @ whole - 12 * small) / 12
    noise = (small - whole @ whole) / (1 / 12 - 1 / 24)
    model = compiled(dist, log=["gradient_noise"])
    results = model.train_on_batch(x, return_dict=True)
    assert results["gradient_norm"] == pytest.approx(np.linalg.norm(whole), rel=1e-5)
    expected = noise / signal if signal > 0 else np.inf
    assert results["gradient_noise_scale"] == pytest.approx(expected, rel=1e-4)
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "nats"}


def test_the_noise_scale_is_found_from_parts_of_any_size(rng):
    gradient, deviations = np.array([1.0, -2.0, 0.5]), np.array([3.0, 1.0, 2.0])
    scale, weights = NoiseScale(), np.array([1, 1, 2, 1, 3, 1, 1, 2.0])
    weights /= weights.sum()
    for _ in range(2000):
        rows = weights[:, None] * (gradient + deviations * rng.normal(size=(8, 3)))
        parts = np.split(rows, [3, 4])
        shares = [part.sum() for part in np.split(weights, [3, 4])]
        scale.update_state(
            np.sum(rows.sum(0) ** 2),
            of_parts=sum(np.sum(part.sum(0) ** 2) for part in parts),
            squared_shares=np.square(shares).sum(),
            squared_weights=np.square(weights).sum(),
        )
    true = np.square(deviations).sum() / np.square(gradient).sum()
    assert float(scale.result()) == pytest.approx(true, rel=0.1)


def test_replicas_have_no_gradient_noise(strategy):
    with strategy.scope():
        model = nvp.FlowModel(of_vectors())
        with pytest.raises(ValueError, match="Gradient noise is measured on one replica, got 2"):
            model.compile("adam", log=["gradient_noise"])


def test_what_is_logged_is_saved_with_a_model(images, tmp_path):
    model = compiled(of_images("uva_simple"), log=["terms", "gradient_noise"], coarse=[0.5])
    model.fit(images, batch_size=12, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [m.name for m in again.metrics] == [m.name for m in model.metrics]
    assert again.coarse == (0.5,)
    results = [m.train_on_batch(images, return_dict=True) for m in (model, again)]
    assert results[1]["loss"] == pytest.approx(results[0]["loss"], abs=0.5)
