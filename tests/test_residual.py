"""Residual flows: norms of their networks, fixed points, series and their noise."""

import math

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Context, Residual, Scope
from tfp_realnvp.bijectors.fixed_point import fixed_point
from tfp_realnvp.bijectors.log_det import log_det_exactly
from tfp_realnvp.conditioners import LipschitzConv, LipschitzMLP
from tfp_realnvp.conditioners.spectral_norm import convolution_norm, spectral_norm

TRAINING = Context(training=True, seed=(1, 2))


def built(network, shape, *, dtype="float64", scale=1.0, num_classes=None, **options):
    residual = Residual(network, **options)
    residual.build(shape, Scope(dtype=dtype, num_classes=num_classes))
    perturb_weights(residual, scale=scale)
    return residual


def other(residual, **options):
    """The same network with another log-determinant."""
    again = Residual(residual.network, lipschitz=residual.lipschitz, **options)
    again._built_for, again._scope = residual._built_for, residual._scope
    return again


@pytest.mark.parametrize("shape", [(2, 64), (64, 2), (48, 48), (1, 1)])
def test_spectral_norm_is_never_too_small(shape, rng):
    matrices = rng.normal(size=(4, *shape)) * np.array([1e-6, 1, 1e3, 1e6])[:, None, None]
    got, norms = (
        spectral_norm(tf.constant(matrices)).numpy(),
        np.linalg.norm(matrices, 2, axis=(1, 2)),
    )
    assert (got >= norms * (1 - 1e-12)).all()
    assert (got <= norms * 1.04).all()
    rotation = np.linalg.qr(rng.normal(size=(max(shape), max(shape))))[0]
    assert 1 <= spectral_norm(tf.constant(rotation)) <= 1.04
    assert 0 <= spectral_norm(tf.zeros(shape)) < 1e-7


@pytest.mark.parametrize(("size", "channels"), [(1, (3, 5)), (3, (2, 4)), (5, (2, 1))])
def test_norm_of_a_convolution_bounds_that_of_any_image(size, channels, rng):
    kernel = rng.normal(size=(size, size, *channels))
    bound = float(convolution_norm(tf.constant(kernel)))
    for height, width in ((1, 1), (2, 3), (12, 12)):
        basis = np.eye(height * width * channels[0]).reshape(-1, height, width, channels[0])
        rows = tf.nn.conv2d(basis, kernel, 1, "SAME")
        norm = np.linalg.norm(tf.reshape(rows, [len(basis), -1]), 2)
        assert norm <= bound * (1 + 1e-12)
    assert norm > bound * 0.8


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("network", "shape"),
    [(LipschitzMLP(widths=(16, 16)), (3,)), (LipschitzConv(width=4), (3, 4, 2))],
    ids=["mlp", "conv"],
)
def test_network_is_a_contraction_whatever_its_weights(network, shape, scale, rng):
    residual = built(type(network).from_config(network.get_config()), shape, scale=scale)
    y = tf.constant(rng.normal(size=(20, *shape)) * 2)
    basis = tf.reshape(tf.eye(math.prod(shape), dtype=tf.float64), [-1, 1, *shape])
    columns = residual.network.linearized(Context())(y)[1](basis)
    jacobian = tf.reshape(columns, [len(basis), 20, -1]).numpy().transpose(1, 2, 0)
    assert np.linalg.norm(jacobian, 2, axis=(1, 2)).max() <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lipschitz", [0.5, 0.999])
def test_inverse_to_float_precision(dtype, lipschitz, rng):
    residual = built(LipschitzMLP(widths=(16, 16)), (4,), dtype=dtype, lipschitz=lipschitz)
    y = tf.constant(rng.normal(size=(100, 4)) * 10, dtype)
    x, log_det = residual.inverse_and_log_det(y)
    again, back = residual.forward_and_log_det(x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(again, y, atol=500 * eps)
    np.testing.assert_allclose(back, -log_det, atol=500 * eps)


def test_fixed_point_of_a_slow_contraction_and_its_derivatives():
    # y = a y + t: rows that take from 1 to a thousand steps.
    a = tf.constant([[0.0], [0.5], [-0.97], [0.97]], tf.float64)
    t = tf.constant([[1.0], [1e3], [-1.0], [0.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([a, t])
        y = fixed_point(lambda y: a * y + t, tf.zeros_like(t))
        loss = tf.reduce_sum(tf.square(y))
    by_a, by_t = tape.gradient(loss, [a, t])
    expected = (t / (1 - a)).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(by_t, 2 * expected / (1 - a), rtol=1e-12)
    np.testing.assert_allclose(by_a, 2 * expected**2 / (1 - a), rtol=1e-12)


@pytest.mark.parametrize("graph", [False, True, "xla"])
def test_gradients_through_samples_are_those_of_the_implicit_function(graph, rng):
    residual = built(LipschitzMLP(widths=(8,)), (2,))
    x, weights = tf.constant(rng.normal(size=(5, 2))), rng.normal(size=(5, 2))
    variables = list(residual.trainable_variables)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, log_det = residual.forward_and_log_det(x)
            loss = tf.reduce_sum(y * weights) + tf.reduce_sum(log_det)
        return tape.gradient(loss, [x, *variables])

    run = tf.function(gradients, jit_compile=graph == "xla") if graph else gradients
    by_x, *by_weights = run()

    def loss_at(x):
        y, log_det = residual.forward_and_log_det(x)
        return float(tf.reduce_sum(y * weights) + tf.reduce_sum(log_det))

    small = 1e-6
    direction = rng.normal(size=(5, 2))
    slope = (loss_at(x + small * direction) - loss_at(x - small * direction)) / (2 * small)
    assert float(tf.reduce_sum(by_x * direction)) == pytest.approx(slope, rel=1e-6)
    for variable, gradient in zip(variables, by_weights, strict=True):
        direction = rng.normal(size=variable.shape)
        ends = []
        for sign in (1, -2):
            variable.assign_add(sign * small * direction)
            ends.append(loss_at(x))
        variable.assign_add(small * direction)
        slope = (ends[0] - ends[1]) / (2 * small)
        got = float(tf.reduce_sum(gradient * direction))
        assert got == pytest.approx(slope, rel=1e-5, abs=1e-8), variable.name


def test_elimination_is_the_determinant_near_the_identity(rng):
    jacobians = rng.normal(size=(50, 30, 30))
    jacobians *= 0.999 / np.linalg.norm(jacobians, 2, axis=(1, 2), keepdims=True)
    expected = np.linalg.slogdet(np.eye(30) + jacobians)[1]
    np.testing.assert_allclose(log_det_exactly(tf.constant(jacobians)), expected, atol=1e-12)


def test_series_of_one_dimension_is_exact(rng):
    # There the probe is 1 or -1: nothing is left to chance but the length.
    series = built(LipschitzMLP(widths=(8,)), (1,), exact_log_det=False)
    y = tf.constant(rng.normal(size=(50, 1)))
    expected = other(series, exact_log_det=True).inverse_and_log_det(y)[1]
    np.testing.assert_allclose(series.inverse_and_log_det(y)[1], expected, atol=FLOAT64)


@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_series_in_training_is_unbiased_and_so_is_its_gradient(kind, rng):
    network, shape = {
        "vectors": (LipschitzMLP(widths=(8, 8)), (3,)),
        "images": (LipschitzConv(width=4), (2, 2, 1)),
    }[kind]
    series = built(network, shape, exact_log_det=False)
    exact = other(series, exact_log_det=True)
    count = 4000
    y = tf.constant(np.tile(rng.normal(size=(1, *shape)), (count, *[1] * len(shape))))
    kernel = network.hidden[0][0].value
    direction = rng.normal(size=kernel.shape)

    def value_and_slope(bijector, y, context):
        # Row by row: the slope along one direction of one kernel.
        with tf.GradientTape() as outer:
            ones = tf.ones(len(y), tf.float64)
            outer.watch(ones)
            with tf.GradientTape() as tape:
                log_det = bijector.inverse_and_log_det(y, context)[1]
                weighted = tf.reduce_sum(log_det * ones)
            slope = tf.reduce_sum(tape.gradient(weighted, kernel) * direction)
        return log_det.numpy(), outer.gradient(slope, ones).numpy()

    got = value_and_slope(series, y, TRAINING)
    expected = value_and_slope(exact, y[:1], TRAINING)
    for estimates, truth in zip(got, expected, strict=True):
        error = estimates.std() / math.sqrt(count)
        assert error > 0 and abs(estimates.mean() - truth[0]) < 4.5 * error


def test_noise_of_the_series_is_a_function_of_seed_and_row(rng):
    residual = built(LipschitzMLP(widths=(8,)), (20,))
    y = tf.constant(rng.normal(size=(6, 20)))
    whole = residual.inverse_and_log_det(y, TRAINING)[1]
    part = residual.inverse_and_log_det(y[2:4], TRAINING.replace(first_row=2))[1]
    np.testing.assert_allclose(part, whole[2:4], atol=FLOAT64)
    another = residual.inverse_and_log_det(y, TRAINING.replace(seed=(1, 3)))[1]
    assert (np.abs(another - whole) > 1e-6).all()


def test_evaluation_is_deterministic_and_exact_where_dimensions_are_few(rng):
    for size, is_exact in ((20, True), (65, False)):
        residual = built(LipschitzMLP(widths=(8,)), (size,))
        y = tf.constant(rng.normal(size=(3, size)))
        log_det = residual.inverse_and_log_det(y)[1]
        for context in (Context(seed=(3, 4)), Context(draw=2), Context(noise="per_example")):
            again = residual.inverse_and_log_det(y, context)[1]
            np.testing.assert_array_equal(log_det, again)
        row = residual.inverse_and_log_det(y[1:2])[1]
        np.testing.assert_allclose(row, log_det[1:2], atol=FLOAT64)
        exact = other(residual, exact_log_det=True).inverse_and_log_det(y)[1]
        assert (np.abs(exact - log_det).max() < FLOAT64) == is_exact


def test_samples_in_bfloat16_come_to_float32_precision(rng):
    dist = nvp.flows.build(
        "residual", (3,), blocks=2, widths=(16,), conditioner_dtype="mixed_bfloat16"
    )
    perturb_weights(dist.bijector, scale=1.0)
    x = dist.sample(100, seed=0)
    z = nvp.encode(dist, x)
    np.testing.assert_allclose(nvp.decode(dist, z), x, atol=1e-5)
    # The likelihood is that of the network in bfloat16, near it.
    full = dist.log_prob_in(x, Context(exact=True))
    assert 1e-6 < np.abs(dist.log_prob(x) - full).max() < 0.2


@pytest.mark.parametrize(
    ("shape", "jit"),
    [
        pytest.param((10,), False, id="vectors-graph"),
        pytest.param((10,), True, id="vectors-xla"),
        pytest.param((4, 4, 1), False, id="images-graph"),
        pytest.param((4, 4, 1), True, id="images-xla", marks=pytest.mark.slow),
    ],
)
def test_trains_with_a_series_and_recomputation(shape, jit, rng):
    options = {"widths": (8,)} if len(shape) == 1 else {"width": 4}
    dist = nvp.flows.build("residual", shape, levels=4, blocks=2, recompute=True, **options)
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(1e-2), jit_compile=jit)
    data = rng.integers(0, 2, (64, *shape)).astype("float32")
    if len(shape) == 1:
        data = data * 2 + 0.3 * rng.normal(size=data.shape).astype("float32")
    losses = model.fit(data, batch_size=32, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_members_are_recomputed_with_the_same_noise_without_a_seed(rng):
    # With other noise the gradient would not be that of the value.
    dist = nvp.flows.build(
        "residual", (10,), dtype="float64", blocks=1, widths=(8,), recompute=True
    )
    perturb_weights(dist.bijector)
    member = dist.bijector.bijectors[-1]
    y = tf.constant(rng.normal(size=(2, 10)))
    drawn = []
    forward = type(member)._inverse_and_log_det

    def spied(self, y, context):
        drawn.append(np.asarray(context.seed))
        return forward(self, y, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(member), "_inverse_and_log_det", spied)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(dist.log_prob_in(y, Context(training=True)))
        tape.gradient(loss, dist.trainable_variables)
    assert len(drawn) == 2
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Residual(nvp.conditioners.MLP()), TypeError, "network to be a Lipschitz, got"),
        (
            lambda: Residual(LipschitzMLP(), lipschitz=1.0),
            ValueError,
            "lipschitz to be a finite number above 0 and below 1, got 1.0.",
        ),
        (
            lambda: Residual(LipschitzMLP(), exact_log_det="yes"),
            TypeError,
            "exact_log_det to be a bool, got 'yes'.",
        ),
        (lambda: LipschitzMLP(widths=()), ValueError, "at least 1 positive whole numbers, got ()"),
        (lambda: LipschitzConv(width=0), ValueError, "width to be a whole number of at least 1"),
        (
            lambda: nvp.flows.build("residual", (6, 6, 1), scales=3),
            ValueError,
            "residual needs height and width to be multiples of 4, got (6, 6, 1).",
        ),
    ],
)
def test_what_is_refused(make, error, sentence):
    import re

    with pytest.raises(error, match=re.escape(sentence)):
        make()
