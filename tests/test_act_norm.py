"""ActNorm and Standardize start from data, once, in any unit; convolutions keep their signs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    Composition,
    Context,
    FactorOut,
    InvertibleConv,
    Scope,
    Standardize,
    VariationalDequantization,
)


def glow(**kwargs):
    return nvp.flows.build("glow", (4, 4, 1), **{"levels": 8, "width": 4, "steps": 2, **kwargs})


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 8, (64, 4, 4, 1)).astype("uint8")


@pytest.mark.parametrize("make", [Standardize, lambda: ActNorm(ndims=1)], ids=["fixed", "trained"])
def test_before_data_the_map_is_the_identity(make, rng):
    bijector, y = make(), rng.normal(5.0, 7.0, (50, 3))
    for use in (bijector.inverse_and_log_det, bijector.forward_and_log_det):
        for run in (use, tf.function(use)):
            value, log_det = run(tf.constant(y, tf.float32))
            np.testing.assert_array_equal(value, y.astype("float32"))
            np.testing.assert_array_equal(log_det, np.zeros(50))
    assert bijector.needs_data
    bijector.initialize(y)
    assert not bijector.needs_data
    np.testing.assert_allclose(np.std(bijector.inverse(y), 0), 1, atol=1e-5)


def test_a_flow_that_starts_from_data_has_a_density_before(images):
    dist = glow()
    assert np.isfinite(dist.log_prob(images)).all()
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)


# Mean and standard deviation; a dtype whose rounding at the mean is far below the deviation.
SCALES = [
    ("float32", 0.0, 9e-7),
    ("float32", 1e-21, 1e-21),
    ("float32", 1.0, 3e-6),
    ("float32", 1e4, 9e-2),
    ("float32", 1e30, 1e27),
    ("float32", 0.0, 1e-30),
    ("float32", 0.0, 1e37),
    ("float64", 1e4, 9e-3),
    ("float64", 5e7, 1e-6),
    ("float64", 0.0, 1e-300),
    ("float64", 0.0, 1e300),
]


@pytest.mark.parametrize("make", [Standardize, lambda: ActNorm(ndims=1)], ids=["fixed", "trained"])
@pytest.mark.parametrize(("dtype", "mean", "std"), SCALES)
def test_any_unit_is_brought_to_mean_0_and_variance_1(make, dtype, mean, std, rng):
    y = (mean + std * rng.normal(size=(200, 2))).astype(dtype)
    bijector = make()
    bijector.build((2,), Scope(dtype=dtype))
    bijector.initialize(y)
    x, log_det = (np.asarray(v, np.float64) for v in bijector.inverse_and_log_det(y))
    rounding = 4 * np.finfo(dtype).eps * max(1, abs(mean) / std) + 1e-4
    np.testing.assert_allclose(x.mean(0), 0, atol=rounding)
    np.testing.assert_allclose(x.std(0), 1, atol=rounding)
    np.testing.assert_allclose(log_det, -2 * np.log(std), atol=0.2)
    np.testing.assert_allclose(bijector.forward(x.astype(dtype)), y, rtol=1e-4, atol=std * 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -7e-30])
def test_a_channel_that_never_varies_keeps_its_scale(dtype, value, rng):
    y = rng.normal(size=(300, 2, 2, 2)).astype(dtype)
    y[..., 1] = value
    norm = ActNorm()
    norm.build((2, 2, 2), Scope(dtype=dtype))
    norm.initialize(y)
    x = np.asarray(norm.inverse(y))
    np.testing.assert_array_equal(x[..., 1], 0)
    np.testing.assert_allclose(x[..., 0].std(), 1, rtol=1e-5)


def test_a_spread_of_rounding_alone_is_none(rng):
    y = np.float32(1000) * (1 + np.float32(1e-7) * rng.integers(-1, 2, (500, 1))).astype("float32")
    bijector = Standardize()
    bijector.initialize(y)
    assert float(bijector.inverse_log_det_jacobian(y[0], 1)) == 0


@pytest.mark.parametrize("make", [Standardize, lambda: ActNorm(ndims=1)], ids=["fixed", "trained"])
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (np.zeros([0, 2]), "starts from at least one example, got none"),
        ([[0.0, np.nan]], "starts from data that are finite in float32, got 1 NaN or infinite"),
        ([[1.0, 2.0], [1e39, 1e40]], "are finite in float32, got 2 NaN or infinite values"),
        ([[3e38, 0.0], [-3e38, 1.0]], r"standard deviation of at most 8.5e\+37, got 3e\+38"),
    ],
)
def test_data_that_nothing_can_start_from_are_refused_and_change_nothing(make, data, sentence):
    bijector = make()
    with pytest.raises(ValueError, match=sentence):
        bijector.initialize(np.asarray(data))
    assert bijector.needs_data
    np.testing.assert_array_equal(bijector.inverse([[3.0, 4.0]]), [[3.0, 4.0]])


@pytest.mark.parametrize("ndims", [1, 3])
def test_the_latent_side_starts_with_mean_0_and_variance_1(rng, ndims):
    norm = ActNorm(ndims=ndims)
    y = rng.normal(5.0, 7.0, (50, 3) if ndims == 1 else (50, 4, 2, 3))
    norm.build(y.shape[1:], Scope(dtype="float64"))
    norm.initialize(y)
    x = np.reshape(norm.inverse(y), (-1, 3))
    np.testing.assert_allclose(x.mean(0), 0, atol=FLOAT64)
    np.testing.assert_allclose(x.var(0), 1, atol=FLOAT64)
    # Once only: other data change nothing.
    norm.initialize(y * 3)
    np.testing.assert_allclose(np.reshape(norm.inverse(y), (-1, 3)), x)


def test_nested_members_start_from_what_reaches_them(rng):
    inner, outer = ActNorm(), ActNorm()
    flow = Composition([Composition([outer, InvertibleConv()]), FactorOut([inner])])
    flow.build((2, 2, 4), Scope(dtype="float64"))
    y = rng.normal(5.0, 7.0, (50, 2, 2, 4))
    flow.initialize(y)
    latents = flow.inverse(y).numpy()[:, 8:].reshape(-1, 2)
    np.testing.assert_allclose(latents.mean(0), 0, atol=FLOAT64)
    np.testing.assert_allclose(latents.std(0), 1, atol=FLOAT64)


def test_a_noise_flow_starts_from_its_noise(images):
    dequantization = VariationalDequantization([ActNorm()], levels=8)
    dist = nvp.Flow([dequantization], (4, 4, 1))
    assert dist.bijector.needs_data
    dist.initialize(images)
    assert not dist.bijector.needs_data
    assert np.isfinite(dist.log_prob(images)).all()


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_fit_initializes_from_its_first_examples(images, kind):
    dist, expected = glow(), glow()
    expected.initialize(images)
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.SGD(0.0))
    data = images if kind == "array" else tf.data.Dataset.from_tensor_slices(images).batch(16)
    model.fit(data, verbose=0)
    for a, b in zip(dist.variables, expected.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_labels_reach_the_walk(images):
    labels = np.arange(64) % 3
    dist, other = glow(num_classes=3), glow(num_classes=3)
    for d in (dist, other):
        for v in d.trainable_variables:
            v.assign_add(0.3 * tf.random.stateless_normal(v.shape, (1, 2), dtype=v.dtype))
    dist.initialize(images, labels)
    other.initialize(images, labels * 0)
    pairs = zip(dist.variables, other.variables, strict=True)
    assert any((a.numpy() != b.numpy()).any() for a, b in pairs)
    with pytest.raises(ValueError, match="conditional on 3 classes: give labels"):
        glow(num_classes=3).initialize(images)
    model = nvp.FlowModel(glow(num_classes=3))
    model.compile("adam")
    assert np.isfinite(model.fit(images, labels, verbose=0).history["loss"][0])


def test_a_generator_is_looked_into_and_not_used_up(images):
    model = nvp.FlowModel(glow(steps=1))
    model.compile("adam")
    history = model.fit((images for _ in range(2)), steps_per_epoch=2, verbose=0).history
    assert np.isfinite(history["loss"][0]) and int(model.step.numpy()) == 2
    assert not model.dist.bijector.needs_data


def test_replicas_start_from_the_same_data(images, strategy):
    with strategy.scope():
        model = nvp.FlowModel(glow(steps=1))
        model.compile("adam")
    history = model.fit(tf.data.Dataset.from_tensor_slices(images).batch(32), verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_a_saved_flow_comes_back_initialized(images, tmp_path):
    dist = glow()
    dist.initialize(images)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    assert not loaded.bijector.needs_data
    np.testing.assert_array_equal(loaded.sample(2, seed=(0, 1)), dist.sample(2, seed=(0, 1)))
    assert nvp.load(nvp.save(glow(), tmp_path / "fresh.keras")).bijector.needs_data


@pytest.mark.parametrize("ndims", [1, 3])
def test_the_matrix_is_a_rotation_whose_factors_keep_its_signs(ndims):
    mix = InvertibleConv(ndims=ndims)
    mix.build((8,) if ndims == 1 else (2, 3, 8), Scope(dtype="float64", seed=3))
    matrix = mix.matrix.numpy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=FLOAT64)
    assert (mix.signs.numpy() < 0).any()
    perturb_weights(mix)
    log_det = mix.inverse_and_log_det(np.ones((1, *mix.event_shape)))[1]
    pixels = 1 if ndims == 1 else 6
    expected = pixels * np.linalg.slogdet(mix.matrix.numpy())[1]
    np.testing.assert_allclose(log_det, [expected], atol=FLOAT64)


def test_vectors_of_a_glow_at_scale_1000():
    x = np.random.default_rng(0).normal(5e3, 1e3, (256, 3))
    dist = nvp.flows.build("glow", (3,), steps=2, width=8)
    dist.initialize(x)
    z = dist.bijector.inverse_and_log_det(x, Context())[0].numpy()
    assert np.abs(z.mean(0)).max() < 0.1 and np.abs(z.std(0) - 1).max() < 0.5
    np.testing.assert_allclose(nvp.decode(dist, nvp.encode(dist, x)), x, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 2 channels, got shape"):
        InvertibleConv(ndims=1).build((1,))


def glow_of_vectors(size, **options):
    dist = nvp.flows.build("glow", (size,), **{"steps": 2, "width": 4, **options})
    perturb_weights(dist.bijector, 0.01)
    return dist


def test_steps_of_the_mixing_do_not_grow_with_the_dimensions(rng):
    """The first steps of Adam leave a standard normal one, where they were worse by a half."""
    x = rng.normal(size=(256, 512)).astype("float32")
    model = nvp.FlowModel(nvp.flows.build("glow", (512,), steps=2, width=4))
    model.compile("adam")
    losses = [model.train_on_batch(x[i : i + 64])[0] for i in [0, 64, 128, 192] * 3]
    assert np.max(losses) < 1.02 * 256 * np.log(2 * np.pi * np.e)


def test_files_know_what_holds_variables_by_its_class():
    """Keras finds the layers of a file by these names: another loses files there are."""
    kinds = {type(layer).__name__ for layer in glow_of_vectors(2).keras_layers}
    assert {"_Moments", "_ChannelAffine", "_Factors"} <= kinds


def test_files_hold_the_factors_whatever_the_scale_of_their_training(tmp_path, monkeypatch):
    """A file from before there was one gives the same flow."""
    from tfp_realnvp.bijectors import invertible_conv

    with monkeypatch.context() as before:
        before.setattr(invertible_conv, "UNSCALED_CHANNELS", 1000)
        old = glow_of_vectors(70)
        path = nvp.save(old, tmp_path / "old.keras")
    new = nvp.load(path)
    mixes = [
        [b for b in dist.bijector.bijectors if isinstance(b, InvertibleConv)] for dist in (old, new)
    ]
    assert [mix[0]._step_scale for mix in mixes] == [1.0, 4.0]
    for a, b in zip(*mixes, strict=True):
        np.testing.assert_array_equal(a.matrix, b.matrix)
    again = nvp.load(nvp.save(new, tmp_path / "new.keras"))
    for a, b in zip(new.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a, b)
