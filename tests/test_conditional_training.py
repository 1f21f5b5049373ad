"""`fit` and runs with conditions: densities that are known are learnt, and all comes back."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp import datasets, runs
from tfp_realnvp.cli.main import main

RNG = np.random.default_rng(0)
SLOPE = np.array([[1.0, -0.5], [0.5, 2.0], [0.0, 1.0]])
SPREAD = np.array([[0.5, 0.0], [0.3, 0.2]])


def regression(count, seed=0):
    """Draws from `y = c SLOPE + SPREAD e`; returns y, c, and the nats of each y given c."""
    rng = np.random.default_rng(seed)
    c, e = rng.normal(size=(count, 3)), rng.normal(size=(count, 2))
    y = c @ SLOPE + e @ SPREAD.T
    nats = np.log(2 * np.pi) + np.log(np.linalg.det(SPREAD)) + 0.5 * (e**2).sum(1)
    return y.astype("float32"), (100 * c + 500).astype("float32"), nats


def small(**options):
    return nvp.flows.build(
        "realnvp", (2,), **{"couplings": 2, "widths": (8,), "condition_shape": (3,)} | options
    )


def compiled(dist, rate=1e-3, **options):
    model = nvp.FlowModel(dist, **options)
    model.compile(nvp.Adam(rate))
    return model


@pytest.mark.parametrize("name", ["realnvp", "maf"])
def test_a_linear_regression_is_learnt_to_a_hundredth_of_a_nat(name):
    """The condition comes at 500 with a spread of 100."""
    y, c, _ = regression(8192)
    test, test_c, truth = regression(4096, seed=1)
    options = {"couplings": 4} if name == "realnvp" else {"layers": 2}
    dist = nvp.flows.build(name, (2,), condition_shape=(3,), widths=(32,), **options)
    steps = 30 * 32
    model = compiled(dist, keras.optimizers.schedules.CosineDecay(1e-2, steps))
    model.fit(y, c, batch_size=256, epochs=30, verbose=0)
    nats = -dist.log_prob(test, bijector_kwargs={"condition": test_c}).numpy()
    print(f"{name}: {nats.mean():.4f} nats, the truth has {truth.mean():.4f}")
    assert abs((nats - truth).mean()) < 0.02


def forms(y, c, labels=None):
    """One data set in all the forms that `fit` takes."""
    second = c if labels is None else {"labels": labels, "condition": c}
    named = {"x": y, "condition": c} | ({} if labels is None else {"label": labels})
    slices = tf.data.Dataset.from_tensor_slices

    class Sequence(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            rows = slice(32 * index, 32 * index + 32)
            return y[rows], tf.nest.map_structure(lambda part: part[rows], second)

    weights = np.ones(len(y), "float32")
    return {
        "arrays": (y, second),
        "dictionary of arrays": (named,),
        "tuple of arrays": ((y, second),),
        "tensors": (tf.constant(y), tf.nest.map_structure(tf.constant, second)),
        "dataset": (slices((y, second)).batch(32),),
        "weighted": (slices((y, second, weights)).batch(32),),
        "dataset of dictionaries": (slices(named).batch(32),),
        "sequence": (Sequence(),),
        "generator": ((Sequence()[i % 2] for i in range(2)),),
    }


@pytest.mark.parametrize("classes", [None, 2])
def test_batches_of_all_forms(classes):
    y, c, _ = regression(64)
    labels = None if classes is None else np.arange(64) % 2
    dist = small(num_classes=classes)
    model = compiled(dist, 0.0)
    given = {"condition": c} | ({} if labels is None else {"labels": labels})
    model.fit(y, given, epochs=1, verbose=0)
    expected = -dist.log_prob(y, bijector_kwargs=given).numpy().mean()
    for form, data in forms(y, c, labels).items():
        got = model.evaluate(*data, verbose=0)
        np.testing.assert_allclose(got, [expected] * 2, rtol=FLOAT32, err_msg=form)
        model.fit(*forms(y, c, labels)[form], epochs=1, shuffle=False, verbose=0)
    nats = model.predict((y, given), verbose=0)
    np.testing.assert_allclose(nats.mean(), -expected, rtol=FLOAT32)
    weights = np.arange(64.0)
    got = model.evaluate(y, given, sample_weight=weights, verbose=0)[0]
    np.testing.assert_allclose(got, -np.average(nats, weights=weights), rtol=1e-3)
    model.fit(y, given, validation_split=0.5, sample_weight=weights, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("options", "data", "sentence"),
    [
        ({}, lambda y, c: (y,), r"conditional on a condition: batches must be \(x, condition\)"),
        (
            {"num_classes": 2},
            lambda y, c: (y, {"condition": c}),
            r"batches must be \(x, {'labels': ..., 'condition': ...}\)",
        ),
        ({}, lambda y, c: (y, c[:, :2]), r"needs a condition of shape \(3,\) for each of 64"),
        ({}, lambda y, c: (y, c[:32]), "needs a condition of shape"),
        ({}, lambda y, c: (y, c * np.nan), "the condition must be finite"),
        ({}, lambda y, c: (y, {"given": c}), "under 'labels' and 'condition' in a dictionary"),
    ],
)
def test_data_that_do_not_fit_are_refused(options, data, sentence):
    y, c, _ = regression(64)
    model = compiled(small(**options))
    with pytest.raises(ValueError, match=sentence):
        model.fit(*data(y, c), verbose=0)


def test_a_later_batch_is_checked_before_its_step():
    y, c, _ = regression(64)
    model = compiled(small())
    model.fit(y, c, verbose=0)
    c[40] = np.nan
    batches = tf.data.Dataset.from_tensor_slices((y, c)).batch(32)
    with pytest.raises(ValueError, match="the condition must be finite in float32"):
        model.fit(batches, verbose=0)


def test_a_flow_without_a_condition_leaves_it_aside():
    y, c, _ = regression(64)
    model = compiled(small(condition_shape=None))
    model.fit(y, {"condition": c}, epochs=1, verbose=0)


def test_gradients_of_parts_are_those_of_the_whole():
    y, c, _ = regression(64)
    found = []
    for parts in ({}, {"shards": 2}, {"microbatch": 24}):
        keras.utils.set_random_seed(0)
        model = nvp.FlowModel(small())
        model.compile(keras.optimizers.SGD(0.1), **parts)
        model.fit(y, c, batch_size=64, epochs=2, shuffle=False, verbose=0)
        found.append([np.asarray(v) for v in model.trainable_variables])
    for part in found[1:]:
        for got, want in zip(part, found[0], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def series_encoder(free=False):
    inputs = keras.Input((None if free else 5, 3))
    hidden = keras.layers.Dense(8, activation="tanh")(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_an_encoder_is_trained_along_and_kept(tmp_path, free):
    """Observations are series; the condition is what the encoder makes of them."""
    y, c, _ = regression(256)
    observed = (c[:, None] / 100 + RNG.normal(size=(256, 5, 3))).astype("float32")
    dist, encoder = small(), series_encoder(free)
    model = compiled(dist, 1e-2, encoder=encoder)
    before = [v.numpy() for v in encoder.trainable_variables]
    history = model.fit(y, observed, batch_size=64, epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for old, variable in zip(before, encoder.trainable_variables, strict=True):
        assert np.abs(old - variable.numpy()).max() > 0, variable.path
    assert model.encoder is encoder and model.dist.condition_shape == (None if free else 5, 3)
    given = {"condition": observed[:4]}
    expected = model.dist.log_prob(y[:4], bijector_kwargs=given)
    by_hand = dist.log_prob(y[:4], bijector_kwargs={"condition": encoder(observed[:4])})
    np.testing.assert_allclose(by_hand, expected, rtol=FLOAT32)
    model.save(tmp_path / "model.keras")
    again = nvp.load(tmp_path / "model.keras")
    np.testing.assert_allclose(again.log_prob(y[:4], bijector_kwargs=given), expected, rtol=1e-5)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict((y[:4], observed[:4]), verbose=0), expected, rtol=1e-5
    )
    posterior = nvp.given(again, condition=observed[0])
    assert posterior.batch_shape == () and posterior.sample(7).shape == (7, 2)
    signatures = tf.saved_model.load(str(nvp.export(again, tmp_path / "out"))).signatures
    got = signatures["serving_default"](x=tf.constant(y[:4]), condition=tf.constant(observed[:4]))
    np.testing.assert_allclose(got["log_prob"], expected, rtol=1e-4)
    again.bijector.initialize(y[:4], condition=observed[:4])


def test_an_encoder_is_run_once_for_what_is_one_for_all():
    class Counting(keras.layers.Layer):
        rows = 0

        def call(self, x):
            Counting.rows += x.shape[0] or 0
            return x

    encoder = keras.Sequential([keras.Input((3,)), Counting()])
    dist = small().with_encoder(encoder)
    Counting.rows = 0
    nvp.given(dist, condition=np.zeros(3)).sample(100)
    assert Counting.rows == 1
    nvp.given(dist, condition=np.zeros([2, 3])).sample(100)
    assert Counting.rows == 3


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(TypeError, match="A flow needs encoder to be a Model"):
        nvp.FlowModel(small(), encoder=keras.layers.Dense(3))
    with pytest.raises(ValueError, match="knows the shapes of its one input and its one output"):
        nvp.FlowModel(small(), encoder=keras.Sequential([keras.layers.Dense(3)]))
    two = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"an encoder to conditions of shape \(3,\), got one to"):
        nvp.FlowModel(small(), encoder=two)
    with pytest.raises(ValueError, match="was built with condition_shape=None"):
        nvp.FlowModel(small(condition_shape=None), encoder=two)


def write(path, **more):
    y, c, _ = regression(300)
    np.savez(path, x_train=y[:200], condition_train=c[:200], x_test=y[200:], **more)
    return path


def test_a_file_may_hold_conditions(tmp_path):
    path = write(tmp_path / "y.npz", condition_test=np.zeros([100, 3]))
    info = datasets.info(path)
    assert info.condition_shape == (3,) and info.event_shape == (2,)
    assert datasets.load_condition(path).shape == (180, 3)
    assert datasets.load_condition(path, "validation").dtype == np.float32
    x, given = next(iter(datasets.load(path, "test")))
    assert x.shape == (2,) and given["condition"].shape == (3,)
    with pytest.warns(
        datasets.DatasetWarning, match="condition is not used, for 'x_test' has none"
    ):
        assert datasets.info(write(tmp_path / "part.npz")).condition_shape is None
        datasets.load_arrays(tmp_path / "part.npz")
    for wrong, sentence in (
        (np.zeros([99, 3]), r"holds a condition of shape \[99, 3\] for 100 examples"),
        (np.zeros([100, 2]), r"conditions of shape \[2\], where the \[3\] of the others"),
        (np.full([100, 3], "a"), "a condition of type <U1, where real numbers were expected"),
    ):
        with pytest.raises(datasets.DatasetError, match=sentence):
            datasets.info(write(tmp_path / "wrong.npz", condition_test=wrong))
    path = write(tmp_path / "nan.npz", condition_test=np.full([100, 3], np.nan))
    with pytest.raises(datasets.DatasetError, match="NaN, infinite or beyond float32 in row 0"):
        datasets.load_condition(path, "test")
    images, pixels = np.zeros([30, 4, 4], "uint8"), np.ones([30, 4, 4])
    np.savez(tmp_path / "images.npz", images=images, condition=pixels, y=np.arange(30) % 2)
    info = datasets.info(tmp_path / "images.npz")
    assert info.condition_shape == (4, 4, 1) and info.num_classes == 2


def test_a_condition_of_pixels_is_flipped_with_its_image():
    x = RNG.integers(0, 256, (20, 4, 4, 1)).astype("uint8")
    stream = datasets.batches(x, None, x / 2, batch_size=20, seed=0, num_steps=1, flip=True)
    images, given = next(iter(stream))
    np.testing.assert_array_equal(images / 2, given["condition"])
    assert (images.numpy() != x).any()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    y, c, _ = regression(300)
    np.savez(folder / "y.npz", x=y, condition=c, labels=np.arange(300) % 2)
    config = runs.RunConfig(
        flow="realnvp",
        dataset=folder / "y.npz",
        epochs=1,
        batch_size=64,
        conditional=True,
        options={"couplings": 2, "widths": [8]},
    )
    runs.train(config, folder / "run", verbose=False, tensorboard=False)
    return folder


def test_a_run_trains_on_conditions_and_goes_on(run):
    results = json.loads((run / "run" / runs.RESULTS).read_text())
    assert np.isfinite(results["nats"])
    dist = nvp.load(run / "run")
    assert dist.condition_shape == (3,) and dist.num_classes == 2
    config = runs.read_config(run / "run")
    again = runs.RunConfig(**{**vars(config), "epochs": 2})
    runs.train(again, run / "run", resume=True, verbose=False, tensorboard=False)
    assert (
        run / "run" / runs.SAMPLES if hasattr(runs, "SAMPLES") else run / "run/samples"
    ).exists()


def test_scripts_work_on_such_runs(run, tmp_path, capsys):
    folder = str(run / "run")
    assert main([folder], command="evaluate") == 0
    assert np.isfinite(json.loads(capsys.readouterr().out)["nats"])
    picture = str(tmp_path / "samples.png")
    assert main([folder, "--num", "4", "--out", picture], command="sample") == 0
    np.save(tmp_path / "c.npy", np.zeros(3))
    line = [str(run / "run/best.keras"), "--num", "4", "--out", picture]
    assert main([*line, "--condition", str(tmp_path / "c.npy")], command="sample") == 0
    assert main(line, command="sample") == 2
    assert "give some by --condition" in capsys.readouterr().err
    assert main([folder, str(tmp_path / "served")], command="export") == 0
