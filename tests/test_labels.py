"""One rule for labels: one for each row, `[N]` or `[N, 1]`, or one for all; used, or refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Halves, Permutation, Standardize
from tfp_realnvp.conditioners import MLP

X = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
LABELS = [0, 1, 2, 0]


@pytest.fixture(scope="module")
def conditional():
    dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(4,), num_classes=3)
    perturb_weights(dist, scale=0.5)
    return dist


def log_prob(dist, labels, x=X):
    return dist.log_prob(x, bijector_kwargs={"labels": labels})


def test_forms_of_labels(conditional):
    expected = log_prob(conditional, LABELS)
    column = np.reshape(LABELS, [4, 1])
    for labels in (column, tf.constant(column), np.array(LABELS, "uint8"), np.array(LABELS, float)):
        np.testing.assert_allclose(log_prob(conditional, labels), expected)
    for labels in (LABELS, column):
        z = nvp.encode(conditional, X, labels)
        np.testing.assert_allclose(nvp.decode(conditional, z, labels), X, atol=1e-4)
        drawn = nvp.sample(conditional, 4, labels=labels, seed=0)
        np.testing.assert_allclose(drawn, nvp.sample(conditional, 4, labels=LABELS, seed=0))
        nvp.Lite(conditional, num=4).log_prob(X, labels)
        nvp.Compiled(conditional, num=4).log_prob(X, labels)
    np.testing.assert_allclose(log_prob(conditional, 1), log_prob(conditional, [1] * 4))
    twice = np.stack([X, X])
    np.testing.assert_allclose(log_prob(conditional, LABELS, twice)[1], expected, rtol=1e-6)
    both = np.stack([LABELS, [1] * 4])
    np.testing.assert_allclose(log_prob(conditional, both, twice)[0], expected, rtol=1e-6)
    drawn = conditional.sample((2, 4), bijector_kwargs={"labels": both})
    assert drawn.shape == (2, 4, 2)


@pytest.mark.parametrize(
    "labels", [[1], [1, 2], np.eye(3)[LABELS], np.zeros([4, 2], int), [[0, 1, 2, 0]], []]
)
def test_other_shapes_are_refused_everywhere(conditional, labels):
    labels = np.asarray(labels)
    model = nvp.FlowModel(conditional)
    model.compile(keras.optimizers.SGD(0.0))
    for call in (
        lambda: log_prob(conditional, labels),
        lambda: conditional.sample(4, bijector_kwargs={"labels": labels}),
        lambda: nvp.encode(conditional, X, labels),
        lambda: nvp.sample(conditional, 4, labels=labels),
        lambda: model.fit(X, labels, verbose=0),
        lambda: tf.function(log_prob)(conditional, tf.constant(labels)),
    ):
        with pytest.raises(ValueError, match=r"(labels must be one|needs one label) for each"):
            call()


def test_a_graph_checks_counts_that_it_learns_when_it_runs(conditional):
    spec = [tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int32)]
    graph = tf.function(lambda x, y: log_prob(conditional, y, x), input_signature=spec)
    np.testing.assert_allclose(graph(X, LABELS), log_prob(conditional, LABELS), rtol=1e-5)
    for labels in ([1], [1, 2]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be one for each row"):
            graph(X, labels)


def test_plain_keras_layers_see_labels():
    network = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
    dist = nvp.Flow([Coupling(Halves(), network)], (2,), num_classes=3)
    posterior = nvp.class_posterior(dist, X)
    assert np.abs(posterior - 1 / 3).max() > 1e-3
    images = keras.layers.Conv2D(2, 3, padding="same")
    coupling = Coupling(nvp.bijectors.Checkerboard(), images)
    dist = nvp.Flow([coupling], (4, 4, 1), num_classes=3)
    x = np.ones([2, 4, 4, 1], "float32")
    values = [log_prob(dist, k, x).numpy()[0] for k in range(3)]
    assert len(set(values)) == 3


def test_labels_that_nothing_uses_are_refused():
    with pytest.raises(ValueError, match="none of its bijectors sees labels"):
        nvp.Flow([Standardize(), Permutation()], (2,), num_classes=3)
    coupling = Coupling(Halves(), MLP(widths=(4,)))
    coupling.build((2,))
    with pytest.raises(ValueError, match="was built with num_classes=None, where num_classes=3"):
        nvp.Flow([coupling], (2,), num_classes=3)
    with pytest.raises(ValueError, match="not conditional on classes, but labels were given"):
        coupling.inverse(X, labels=LABELS)


def test_seeds_of_all_forms():
    dist = nvp.flows.build("uva_vardeq", (4, 4, 1), levels=4, width=2, couplings=1, blocks=1)
    images = np.zeros([2, 4, 4, 1], "uint8")
    for noise in ("fresh", "per_example"):

        def value(seed, noise=noise):
            context = {"seed": seed, "noise": noise}
            return dist.log_prob(images, bijector_kwargs=context).numpy()

        expected = value((0, 3))
        for seed in (3, np.int64(3), np.array([0, 3]), tf.constant([0, 3], tf.int64), [0, 3]):
            np.testing.assert_array_equal(value(seed), expected)
        assert np.isfinite(value(2**40)).all() and (value(2**40) != value(2**41)).any()
    for seed in (2.5, "a", [1], [1, 2, 3], (2**40, 1), True, tf.constant(1.0)):
        with pytest.raises(ValueError, match="A seed is an int of at most 62 bits or two integers"):
            nvp.Context(seed=seed)


def test_a_graph_checks_that_labels_are_classes(conditional):
    spec = [tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int32)]
    graph = tf.function(lambda x, y: log_prob(conditional, y, x), input_signature=spec)
    for labels in ([0, 1, 2, 3], [0, -1, 0, 0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be integers from 0"):
            graph(X, labels)
