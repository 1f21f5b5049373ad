"""What `fit`, `evaluate` and `predict` are given: weights, frames, generators, dictionaries."""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.training.fit_data import looked_into

COUNT = 60


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 2)).astype("float32") * 3 + 1
    return x, rng.integers(0, 3, COUNT), rng.uniform(0, 2, COUNT)


def model(optimizer=None, *, num_classes=None, **options):
    dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(4,), num_classes=num_classes)
    made = nvp.FlowModel(dist)
    made.compile(optimizer or keras.optimizers.SGD(1e-2), **options)
    return made


def weights_after(made):
    return [variable.numpy() for variable in made.trainable_variables]


class Sequence(keras.utils.PyDataset):
    def __init__(self, parts, size=20):
        super().__init__()
        self.parts, self.size = parts, size

    def __len__(self):
        return COUNT // self.size

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(part[rows] for part in self.parts)


def test_every_kind_of_source_gives_the_same_training(data):
    x, y, _ = data
    batched = tf.data.Dataset.from_tensor_slices
    sources = {
        "array": (x, y),
        "parts": ((x, y),),
        "dictionary": ({"image": x, "label": y},),
        "pandas": (pd.DataFrame(x, columns=["a", "b"]), pd.Series(y)),
        "polars": (pl.DataFrame(x, schema=["a", "b"]), pl.Series(y)),
        "lists": (x.tolist(), y.tolist()),
        "column of labels": (x, y[:, None]),
        "dataset": (batched((x, y)).batch(20),),
        "dataset of dictionaries": (batched({"image": x, "label": y, "id": y}).batch(20),),
        "PyDataset": (Sequence((x, y)),),
        "generator": ((batch for batch in Sequence((x, y))),),
        "generator of dictionaries": (({"x": a, "y": b} for a, b in Sequence((x, y))),),
    }
    ends = {}
    for kind, source in sources.items():
        made = model(num_classes=3)
        size = {} if kind.startswith(("dataset", "generator", "PyData")) else {"batch_size": 20}
        made.fit(*source, shuffle=False, verbose=0, **size)
        ends[kind] = weights_after(made)
        start = made.dist.bijector.bijectors[0].variables
        assert not made.dist.bijector.needs_data and start, kind
    for kind, end in ends.items():
        for got, want in zip(end, ends["array"], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=kind)


def test_labels_of_a_shuffled_dataset_belong_to_its_examples():
    # The mean of each class is its label: a standardisation by class would show a mix-up.
    y = np.arange(40) % 2
    x = np.stack([y * 10.0, y * 10.0], 1).astype("float32")
    shuffled = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40).batch(10)
    seen = []
    made = model(num_classes=2)
    made.dist.bijector.initialize = lambda data, labels, condition: seen.append((data, labels))
    made._initialize(made_first := looked_into(shuffled, 40, check=made._check)[0])
    np.testing.assert_array_equal(made_first.x[:, 0], made_first.labels * 10.0)
    np.testing.assert_array_equal(seen[0][0][:, 0], seen[0][1] * 10.0)


def test_weights_make_weighted_means(data):
    x, y, w = data
    made = model(keras.optimizers.SGD(0.0))
    made.fit(x, verbose=0)  # standardizes
    nats = -made.dist.log_prob(x).numpy()
    expected = np.average(nats, weights=w)
    options = {"batch_size": 25, "verbose": 0}
    fitted = made.fit(x, sample_weight=w, validation_data=(x, y, w), **options).history
    by_class = np.average(nats, weights=np.array([0.5, 0.0, 2.0])[y])
    class_weight = {0: 0.5, 1: 0.0, 2: 2.0}
    pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(25)
    named = tf.data.Dataset.from_tensor_slices({"x": x, "sample_weight": w}).batch(25)
    for got, want in (
        (fitted["loss"], expected),
        (fitted["val_loss"], expected),
        (fitted["val_nats"], expected),
        (made.fit(named, verbose=0).history["loss"], expected),
        (made.evaluate(x, sample_weight=w[:, None], **options), expected),
        (made.train_on_batch(x, sample_weight=w), expected),
        (made.test_on_batch(x, sample_weight=w), expected),
        (made.fit(x, y, class_weight=class_weight, **options).history["loss"], by_class),
        (made.fit(pairs, class_weight=class_weight, verbose=0).history["loss"], by_class),
        (made.train_on_batch(x, y, class_weight=class_weight), by_class),
    ):
        np.testing.assert_allclose(np.ravel(got)[0], want, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"microbatch": 7}, {"shards": 2}])
def test_weights_of_whole_numbers_are_repetitions(data, options):
    x, _, _ = data
    twice = np.where(np.arange(COUNT) < 10, 2.0, np.where(np.arange(COUNT) < 20, 0.0, 1.0))
    ends = []
    for rows, weights in ((x, twice), (np.repeat(x, twice.astype(int), 0), None)):
        made = model(**options)
        made.dist.initialize(x)
        made.fit(rows, sample_weight=weights, batch_size=COUNT, verbose=0)
        ends.append(weights_after(made))
    for got, want in zip(*ends, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_evaluate_names_its_figures_once(data):
    made = model()
    assert len(made.evaluate(data[0], verbose=0)) == 2
    assert [m.name for m in made.metrics] == ["loss", "nats"]


def test_predict_takes_labels(data):
    x, y, _ = data
    made = model(num_classes=3)
    for variable in made.trainable_variables:
        variable.assign_add(tf.ones_like(variable) * 0.1)
    expected = made.dist.log_prob(x, bijector_kwargs={"labels": y})
    np.testing.assert_allclose(made.predict((x, y), verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(made.predict({"x": x, "y": y}, verbose=0), expected, rtol=1e-5)
    frame = pd.DataFrame(x)
    np.testing.assert_allclose(made.predict((frame, y), verbose=0), expected, rtol=1e-5)


REFUSED = [
    ({"sample_weight": -np.ones(COUNT)}, "sample weights must be finite, not negative"),
    ({"sample_weight": np.full(COUNT, np.nan)}, "sample weights must be finite, not negative"),
    ({"sample_weight": np.ones(5)}, "got weights of shape (5,) for 60 examples"),
    ({"sample_weight": np.zeros(COUNT)}, "got zeros alone"),
    ({"class_weight": {0: 1.0}}, "class_weight needs labels, got none"),
    ({"y": np.zeros(COUNT), "class_weight": {0: -1.0}}, "the weight of 0 to be a finite number"),
    ({"y": np.zeros(3)}, "one of the labels for each of 60 examples, got shape (3,)"),
    ({"batch_size": 0}, "fit needs batch_size to be a whole number of at least 1, got 0"),
    ({"validation_split": 0.999}, "validation_split must leave examples for training"),
    ({"validation_data": np.zeros([0, 2])}, "needs at least one example, got none"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_bad_options_of_fit(data, options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        model().fit(data[0], verbose=0, **options)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda x: None, "Examples come as arrays, frames, data sets or generators, got None"),
        (lambda x: "moons", "Examples come as arrays, .* got 'moons'"),
        (lambda x: (x, x, x, x), r"A batch is x, \(x, labels\) .*, got 4 parts"),
        (lambda x: {"a": x}, "has its examples under x or image or images, got the keys 'a'"),
        (tf.data.Dataset.from_tensor_slices, r"got a batch of shape \(2,\)"),
        (lambda x: x.astype("complex64"), "vectors must be real numbers"),
        (lambda x: pd.DataFrame({"a": x[:, 0], "b": "x"}), "vectors must be numbers"),
    ],
)
def test_what_is_no_data(data, make, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        model().fit(make(data[0]), verbose=0)


def test_no_examples_poison_nothing(data):
    made = model()
    for nothing in (data[0][:0], tf.data.Dataset.from_tensor_slices(data[0]).batch(4).take(0)):
        with pytest.raises(ValueError, match=r"at least one example|no batches of examples"):
            made.fit(nothing, verbose=0)
    with pytest.raises(ValueError, match="starts from data, got a batch of none"):
        made.dist.initialize(data[0][:0])
    assert made.dist.bijector.needs_data
    assert np.isfinite(made.dist.log_prob(data[0])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("row", [0, 31, 59])
def test_values_that_go_bad_in_the_middle_change_no_weights(data, bad, row):
    x = data[0].astype("float64")
    x[row, 1] = bad
    made = model()
    made.dist.initialize(data[0])
    source = tf.data.Dataset.from_tensor_slices(x).batch(10)
    with pytest.raises(ValueError, match="vectors must be finite"):
        made.fit(source, verbose=0)
    whole = model()
    whole.dist.initialize(data[0])
    if row >= 10:
        whole.fit(tf.data.Dataset.from_tensor_slices(x[: row // 10 * 10]).batch(10), verbose=0)
    for got, want in zip(weights_after(made), weights_after(whole), strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_compile_does_not_take():
    for options in ({"loss": "mse"}, {"metrics": ["mse"]}, {"loss_weights": [1.0]}):
        with pytest.raises(ValueError, match="negative log-likelihood, which it reports by itself"):
            model().compile("adam", **options)


def test_a_saved_model_is_compiled_as_it_was(data, tmp_path):
    made = model("adam", shards=2, microbatch=8)
    made.fit(data[0], verbose=0)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.plan.parts, again.plan.rows_at_once) == (2, 8)
    assert again.get_compile_config()["jit_compile"] == "auto"
    again.fit(data[0], verbose=0)


def test_kinds_of_pixels():
    for dtype, levels in (
        (bool, 2),
        ("int8", 128),
        ("int8", 200),
        ("int16", 65_536),
        ("uint64", 256),
    ):
        made = nvp.FlowModel(
            nvp.flows.build("uva_simple", (2, 2, 1), levels=levels, width=2, couplings=1, blocks=1)
        )
        made.compile("adam")
        images = np.arange(24).reshape(6, 2, 2, 1) % min(levels, 127)
        batches = tf.data.Dataset.from_tensor_slices(images.astype(dtype)).batch(3)
        history = made.fit(batches, verbose=0).history
        assert np.isfinite(history["loss"]).all(), dtype
        assert nvp.bits_per_dim(made.dist, images.astype(dtype)).shape == (6,)


def test_keras_policy_and_export(data, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = model()
        made.fit(data[0], verbose=0)
        expected = made.dist.log_prob(data[0])
        np.testing.assert_allclose(made(data[0]), expected, rtol=1e-5)
        np.testing.assert_allclose(made.predict(data[0], verbose=0), expected, rtol=1e-5)
        outer = keras.Sequential([made])
        np.testing.assert_allclose(outer(tf.constant(data[0])), expected, rtol=0.05, atol=0.05)
    finally:
        keras.config.set_dtype_policy(before)
    made.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    np.testing.assert_allclose(served(x=tf.constant(data[0]))["log_prob"], expected, rtol=1e-5)


def test_a_flow_that_keras_would_not_train_is_refused(data):
    class Outer(keras.Model):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return self.inner.log_prob(x) if hasattr(self.inner, "log_prob") else self.inner(x)

    made = model()
    with pytest.raises(ValueError, match=r"Outer calls realnvp.*make nvp.FlowModel\(realnvp\)"):
        Outer(made.dist)(data[0])
    outer = Outer(made)
    np.testing.assert_allclose(outer(data[0]), made.dist.log_prob(data[0]), rtol=1e-5)
    assert len(outer.trainable_variables) == len(made.trainable_variables)


def test_values_too_far_off_are_reported_and_spoil_no_weights(data):
    far = data[0].copy()
    far[:20] = 3e38  # finite, but not its square
    made = model(keras.optimizers.Adam(1e-3))
    made.dist.initialize(data[0])
    history = made.fit(far, batch_size=20, shuffle=False, verbose=0).history
    assert not np.isfinite(history["loss"][0])
    assert all(np.isfinite(value).all() for value in weights_after(made))
    assert np.isfinite(made.evaluate(data[0], verbose=0)).all()
