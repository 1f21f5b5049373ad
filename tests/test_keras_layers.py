"""Plain Keras layers as conditioners: built whole, trained and saved whole, or refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Halves

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Lazy(keras.layers.Layer):
    """Sublayers that nothing builds but a call, and no shape of the output."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = [keras.layers.Dense(6, activation="tanh") for _ in range(2)]
        self.end = keras.layers.Dense(4)

    def call(self, x):
        for layer in self.hidden:
            x = layer(x)
        return tf.concat([self.end(x)], -1)


@keras.saving.register_keras_serializable("tests")
class LazyModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Lazy()

    def call(self, x, training=False):
        return self.inner(x)


def functional():
    inputs = keras.Input([2])
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Dense(3)(inputs)))


MAKERS = {
    "layer": (Lazy, 6),
    "model": (LazyModel, 6),
    "sequential": (lambda: keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(4)]), 4),
    "functional": (functional, 4),
    "dense": (lambda: keras.layers.Dense(4), 2),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_all_variables_are_trained_and_saved(kind, tmp_path):
    make, count = MAKERS[kind]
    dist = nvp.Flow([Coupling(Halves(), make(), transformer=nvp.bijectors.Affine(bound=1.0))], (4,))
    model = nvp.FlowModel(dist)
    assert len(dist.trainable_variables) == len(model.trainable_variables) == count
    before = [v.numpy() for v in dist.trainable_variables]
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, verbose=0)
    for start, end in zip(before, dist.trainable_variables, strict=True):
        assert (start != end.numpy()).any(), end.name
    again = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    np.testing.assert_allclose(again.log_prob(X), dist.log_prob(X), rtol=1e-5)
    model.save_weights(tmp_path / "flow.weights.h5")
    for variable in dist.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    model.load_weights(tmp_path / "flow.weights.h5")
    np.testing.assert_allclose(again.log_prob(X), dist.log_prob(X), rtol=1e-5)


def test_a_variable_that_keras_does_not_train_is_refused():
    class Raw(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.bias = {"inside": [tf.Variable([0.0, 0.0, 0.0, 0.0])]}

        def call(self, x):
            return tf.concat([x, x], -1) + self.bias["inside"][0]

    with pytest.raises(ValueError, match=r"Raw holds a tf.Variable in bias.*with add_weight"):
        nvp.Flow([Coupling(Halves(), Raw())], (4,))


def test_outputs_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"must give 4 channels .* but gives shape \(None, 3\)"):
        nvp.Flow([Coupling(Halves(), keras.layers.Dense(3))], (4,))


@pytest.mark.parametrize("options", [{"shards": 2}, {"microbatch": 4}])
def test_batch_normalization_of_keras_takes_no_part_of_a_batch(options):
    network = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(4)])
    model = nvp.FlowModel(nvp.Flow([Coupling(Halves(), keras.Sequential([network]))], (4,)))
    with pytest.raises(ValueError, match="normalizes by the statistics of whole batches"):
        model.compile("adam", **options)
    model.compile("adam")
    model.fit(X, verbose=0)
