"""A container that a user writes: all that goes through members finds those of it by itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import mlp, perturb_weights
from tolerances import FLOAT32, FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    BatchNorm,
    Composition,
    Container,
    Context,
    Coupling,
    Halves,
    Invert,
    InvertibleConv,
    Planar,
    Scope,
    Step,
)


class Beside(Container):
    """One bijector for the first half of a vector, another for the second."""

    def __init__(self, first, second, *, name=None):
        super().__init__(data_ndims=1, name=name)
        self.first, self.second = first, second
        self.log_scale: tf.Variable

    @property
    def members(self):
        return self.first, self.second

    def _build(self, event_shape, scope):
        for name, member in self.named_members():
            member.build((event_shape[0] // 2,), scope.child(name))
        self.log_scale = self.weight("log_scale", ())

    def _walk(self, value, context, *, forward):
        scale = tf.exp(-self.log_scale if forward else self.log_scale)
        halves = tf.split(value * (1.0 if forward else scale), 2, axis=-1)
        first, first_log_det = yield Step(self.first, halves[0], context, forward)
        second, second_log_det = yield Step(self.second, halves[1], context, forward)
        whole = tf.concat([first, second], -1) * (scale if forward else 1.0)
        return whole, first_log_det + second_log_det + value.shape[-1] * tf.math.log(scale)

    def get_config(self):
        return {"first": self.first, "second": self.second}


def beside():
    return Beside(
        Composition([ActNorm(ndims=1), Coupling(Halves(), mlp())]),
        Composition([BatchNorm(ndims=1), InvertibleConv(ndims=1), BatchNorm(ndims=1)]),
    )


def flow(**options):
    return nvp.Flow([beside(), Coupling(Halves(), mlp())], (4,), dtype="float64", **options)


@pytest.fixture
def data(rng):
    return rng.normal(3.0, 2.0, size=(50, 4))


def test_values_and_log_dets(data):
    bijector = beside()
    bijector.build((4,), Scope(dtype="float64"))
    perturb_weights(bijector)
    y = tf.constant(data[:3])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        x, log_det = bijector.inverse_and_log_det(y)
    expected = np.linalg.slogdet(tape.batch_jacobian(x, y, experimental_use_pfor=False))[1]
    np.testing.assert_allclose(log_det, expected, atol=FLOAT64)
    again, forward = bijector.forward_and_log_det(x)
    np.testing.assert_allclose(again, y, atol=FLOAT64)
    np.testing.assert_allclose(forward, -log_det, atol=FLOAT64)
    graph = tf.function(bijector.inverse_and_log_det)(y)
    np.testing.assert_allclose(graph[0], x, atol=FLOAT64)


def test_initialization(data):
    dist = flow()
    assert dist.bijector.needs_data
    dist.initialize(data)
    assert not dist.bijector.needs_data
    norm = dist.bijector.bijectors[0].first.bijectors[0]
    z = norm.inverse(data[:, :2]).numpy()
    np.testing.assert_allclose((z.mean(0), z.std(0)), ([0, 0], [1, 1]), atol=1e-9)


def test_statistics(data):
    dist = flow()
    nvp.reestimate_statistics(dist, data, rows_at_once=7)
    container = dist.bijector.bijectors[0]
    first, mix, last = container.second.bijectors
    assert dist.bijector.running_moments == [first.running, last.running]
    np.testing.assert_allclose(first.running.mean, data[:, 2:].mean(0))
    reached = mix.inverse(first.inverse(data[:, 2:])).numpy()
    np.testing.assert_allclose(last.running.mean, reached.mean(0), atol=1e-9)
    np.testing.assert_allclose(last.running.variance, reached.var(0))
    with pytest.raises(ValueError, match="normalizes by the statistics of whole batches"):
        nvp.FlowModel(dist).compile("adam", shards=2)


def test_statistics_of_an_inverse_in_the_order_in_which_data_reach_them(data):
    norms = BatchNorm(ndims=1, epsilon=0.0), BatchNorm(ndims=1, epsilon=0.0)
    dist = nvp.Flow([Invert(Composition(list(norms)))], (4,), dtype="float64")
    nvp.reestimate_statistics(dist, data)
    np.testing.assert_allclose(norms[1].running.mean, data.mean(0))
    reached = norms[1].forward(data).numpy()
    np.testing.assert_allclose(norms[0].running.mean, reached.mean(0))


def test_summary_and_sizes():
    dist = flow()
    rows = [line.split()[:2] for line in nvp.summary(dist).splitlines()[2:]]
    assert rows == [
        ["beside_0", "Beside"],
        ["composition_0", "Composition"],
        ["act_norm_0", "ActNorm(ndims=1,"],
        ["coupling_0", "Halves,"],
        ["composition_1", "Composition"],
        ["batch_norm_0", "BatchNorm(momentum=0.9,"],
        ["invertible_conv_0", "InvertibleConv(ndims=1)"],
        ["batch_norm_1", "BatchNorm(momentum=0.9,"],
        ["coupling_0", "Halves,"],
    ]
    assert dist.bijector.bijectors[0].latent_sizes == [2, 2] and dist.latent_sizes == [4]
    one = Invert(Planar())
    assert "Invert, Planar()" in nvp.summary(nvp.Flow([one], (2,)))


def test_labels_and_surjections():
    labelled = flow(num_classes=3)
    assert labelled.bijector.bijectors[0].is_conditional
    assert not Beside(Planar(), Planar()).is_surjective


def test_files_and_keras(data, tmp_path):
    dist = flow(seed=3)
    assert {v.path for v in dist.keras_layers[0].variables} == {"flow.beside_0/log_scale"}
    dist.initialize(data)
    perturb_weights(dist.bijector)
    model = nvp.FlowModel(dist)
    assert {id(v.value) for v in model.trainable_variables} == {
        id(v) for v in dist.trainable_variables
    }
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(data, verbose=0)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    np.testing.assert_array_equal(loaded.log_prob(data), dist.log_prob(data))


def test_recomputation(data):
    results = []
    for recompute in (False, True):
        dist = flow(recompute=recompute)
        perturb_weights(dist.bijector)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(dist.log_prob_in(data, Context(training=True)))
        results.append([*tape.gradient(loss, dist.trainable_variables), *dist.variables])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=FLOAT32)
