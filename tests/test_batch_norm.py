"""Batch normalization on the path and in conditioners: running statistics, replicas, runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32, REPLICAS

import tfp_realnvp as nvp
from tfp_realnvp import callbacks, runs
from tfp_realnvp.bijectors import (
    BatchNorm,
    ChannelHalves,
    Checkerboard,
    Context,
    Coupling,
    Dequantization,
    TanhAffine,
)
from tfp_realnvp.conditioners import ResNet

TRAINING = Context(training=True)


def small(name="realnvp", **kwargs):
    return nvp.flows.build(
        name, (4, 4, 1), **{"levels": 8, "width": 2, "blocks": 1, "scales": 1, **kwargs}
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 8, (24, 4, 4, 1)).astype("uint8")


def running(dist):
    return dist.bijector.running_moments


def test_a_training_step_moves_and_uses_the_running_statistics(rng):
    norm = BatchNorm(momentum=0.75, epsilon=0.5)
    y = rng.normal(2.0, 3.0, (6, 2, 2, 3))
    norm.build(y.shape[1:], nvp.bijectors.Scope(dtype="float64"))
    x, log_det = norm.inverse_and_log_det(y, TRAINING)
    mean, variance = 0.25 * y.mean((0, 1, 2)), 0.75 + 0.25 * y.var((0, 1, 2))
    np.testing.assert_allclose(norm.running.mean, mean)
    np.testing.assert_allclose(norm.running.variance, variance)
    np.testing.assert_allclose(x, (y - mean) / np.sqrt(variance + 0.5))
    np.testing.assert_allclose(log_det, -0.5 * 4 * np.log(variance + 0.5).sum())
    # Evaluation, and the way to the data even in training, leave them.
    np.testing.assert_allclose(norm.inverse_and_log_det(y)[0], x)
    np.testing.assert_allclose(norm.forward_and_log_det(x, TRAINING)[0], y)
    np.testing.assert_allclose(norm.running.mean, mean)


def test_the_gradient_flows_through_the_batch_s_share(rng):
    def loss_at(y):
        norm = BatchNorm(momentum=0.5, ndims=1)
        norm.build((2,), nvp.bijectors.Scope(dtype="float64"))
        x, log_det = norm.inverse_and_log_det(y, TRAINING)
        return tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det)

    y = tf.constant(rng.normal(size=(3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(y)
        loss = loss_at(y)
    gradient = tape.gradient(loss, y).numpy()
    step = np.zeros((3, 2))
    step[1, 0] = 1e-6
    numeric = (loss_at(y + step) - loss_at(y - step)) / 2e-6
    assert gradient[1, 0] == pytest.approx(float(numeric), rel=1e-6)


@pytest.mark.parametrize("name", ["realnvp", "lecture_realnvp"])
def test_a_row_s_likelihood_does_not_depend_on_the_rows_beside_it(name, images):
    dist = small(name)
    perturb_weights(dist.bijector)
    dist.log_prob(images, bijector_kwargs={"training": True})
    context = {"bijector_kwargs": {"noise": "per_example", "seed": (0, 1)}}
    together = dist.log_prob(images[:6], **context).numpy()
    alone = [dist.log_prob(images[i : i + 1], **context).numpy()[0] for i in range(6)]
    np.testing.assert_allclose(together, alone, rtol=FLOAT32)


def test_reestimated_statistics_are_those_of_the_data(images):
    dist = small()
    perturb_weights(dist.bijector)
    nvp.reestimate_statistics(dist, images, rows_at_once=7)
    chunked = [np.asarray(v) for m in running(dist) for v in (m.mean, m.variance)]
    nvp.reestimate_statistics(dist, images, rows_at_once=100)
    for one, other in zip(
        chunked, [v for m in running(dist) for v in (m.mean, m.variance)], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=FLOAT32, atol=FLOAT32)
    # The last member is a batch norm: its output has the data's own mean 0 and variance 1.
    y = tf.cast(images, tf.float32)
    z = dist.bijector.inverse_and_log_det(y, Context(noise="per_example"))[0]
    np.testing.assert_allclose(np.mean(z), 0, atol=1e-3)
    np.testing.assert_allclose(np.var(z), 1, atol=1e-2)


def test_reestimation_within_a_conditioner_goes_from_input_to_output(rng):
    network = ResNet(width=3, blocks=1)
    coupling = Coupling(ChannelHalves(), network, transformer=TanhAffine())
    dist = nvp.Flow([coupling], (4, 4, 2), dtype="float64")
    perturb_weights(dist.bijector)
    y = rng.normal(2.0, 3.0, (10, 4, 4, 2))
    nvp.reestimate_statistics(dist, y, rows_at_once=3)
    # With everything normalised by these very data, training on them as one batch is the same.
    expected = dist.log_prob(y, bijector_kwargs={"training": True})
    nvp.reestimate_statistics(dist, y)
    np.testing.assert_allclose(dist.log_prob(y), expected, rtol=1e-8)


def test_reestimation_of_a_multiscale_conditional_flow(images):
    dist = small(scales=2, num_classes=3, normalization="none")
    labels = np.arange(24) % 3
    nvp.reestimate_statistics(dist, images, labels)
    assert all(float(np.abs(m.mean).max()) > 0 for m in running(dist))
    np.testing.assert_array_equal(
        nvp.decode(dist, nvp.encode(dist, images, labels), labels), images
    )


def test_two_replicas_normalise_by_the_whole_batch(images, strategy):
    def model():
        network = ResNet(width=2, blocks=1)
        return nvp.FlowModel(
            nvp.Flow(
                [Dequantization(levels=8), BatchNorm(), Coupling(Checkerboard(), network)],
                (4, 4, 1),
            )
        )

    single = model()
    single.compile(keras.optimizers.SGD(0.1))
    with strategy.scope():
        double = model()
        double.compile(keras.optimizers.SGD(0.1))
    data = tf.data.Dataset.from_tensor_slices(images).batch(24)
    losses = [m.fit(data, verbose=0).history["loss"][0] for m in (single, double)]
    assert losses[0] == pytest.approx(losses[1], rel=REPLICAS)
    for a, b in zip(single.weights, double.weights, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


def test_a_broken_run_resumes_with_its_statistics(tmp_path, monkeypatch):
    options = {"width": 2, "blocks": 1, "scales": 1, "normalization": "batch"}
    settings = runs.RunConfig(flow="realnvp", epochs=2, batch_size=500, options=options)

    def train(out, **kwargs):
        return runs.train(settings, out, verbose=False, tensorboard=False, **kwargs)

    whole = train(tmp_path / "whole", result_examples=20)

    class BrokenError(Exception):
        pass

    breaks = [3]

    def break_off(self, batch, logs=None):
        if int(self.model.step.numpy()) in breaks:
            breaks.clear()
            raise BrokenError

    monkeypatch.setattr(callbacks.StopOnNaN, "on_train_batch_end", break_off)
    with pytest.raises(BrokenError):
        train(tmp_path / "broken", checkpoint_seconds=0)
    broken = train(tmp_path / "broken", resume=True, result_examples=20)
    times = dict.fromkeys(("wall_seconds", "log_prob_ms", "sample_ms"))
    assert whole | times == broken | times
    first, second = (nvp.load(tmp_path / name) for name in ("whole", "broken"))
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(float(np.abs(m.mean).max()) > 0 for m in running(first))


@pytest.mark.parametrize(("penalty", "where"), [("gains", "gain"), ("scale", "scale")])
def test_the_penalty_reaches_the_loss_but_not_the_bits(images, penalty, where):
    dist = small(penalty=penalty, l2=1e-2, normalization="none")
    model = nvp.FlowModel(dist)
    model.compile("adam")
    weights = [v for v in model.trainable_variables if v.path.split(".")[-1].endswith(where)]
    assert weights
    expected = 1e-2 * sum(float(np.square(v).sum()) for v in weights)
    logs = model.evaluate(images, verbose=0, return_dict=True)
    assert logs["loss"] - logs["bits_per_dim"] == pytest.approx(expected, rel=1e-3)
    plain = small(penalty="none", normalization="none")
    assert not nvp.FlowModel(plain).losses
