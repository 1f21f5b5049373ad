"""What is special in planar, continuous, spline and mixture flows: roots, traces, tails, masks."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import perturb_weights
from tolerances import FLOAT64, QUADRATURE

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    Context,
    MixtureLogistic,
    NeuralODE,
    Planar,
    Radial,
    RationalQuadraticSpline,
    Scope,
)
from tfp_realnvp.bijectors.mixture_logistic import _logit_and_slope
from tfp_realnvp.bijectors.root import increasing_root
from tfp_realnvp.conditioners import Velocity

DENSITIES = {
    "planar": {"layers": 3},
    "radial": {"layers": 3},
    "nice": {"couplings": 3, "widths": (8,)},
    "residual": {"blocks": 2, "widths": (8,)},
    "maf": {"layers": 2, "widths": (8,)},
    "iaf": {"layers": 2, "widths": (8,)},
    "neural_ode": {"widths": (8,), "tolerance": 1e-5},
    "nsf": {"couplings": 3, "hidden": (8,)},
}


@pytest.mark.parametrize("name", DENSITIES)
def test_density_of_a_plane_integrates_to_one(name):
    dist = nvp.flows.build(name, (2,), dtype="float64", **DENSITIES[name])
    perturb_weights(dist.bijector)
    v, step = np.linspace(-5, 5, 300, retstep=True)
    grid = np.stack(np.meshgrid(np.sinh(v), np.sinh(v)), -1).reshape(-1, 2)
    volume = np.outer(np.cosh(v), np.cosh(v)).reshape(-1) * step**2
    density = np.exp(tf.function(dist.log_prob)(grid))
    assert density @ volume == pytest.approx(1, abs=QUADRATURE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 100.0])
def test_planar_root_to_float_precision(dtype, scale):
    planar = Planar()
    planar.build((3,), Scope(dtype=dtype))
    perturb_weights(planar, scale=scale)
    y = tf.constant(np.random.default_rng(0).normal(size=(500, 3)) * 3, dtype)
    x, log_det = planar.inverse_and_log_det(y)
    again = planar.forward(tf.identity(x))
    assert np.isfinite(log_det).all()
    # Weights of length s turn rounding of w.y into s times as much.
    reach = 10 * (1 + scale) ** 2 * np.finfo(dtype).eps
    np.testing.assert_allclose(again, y, atol=20 * reach)


def cubic(x, a):
    return x**3 + a * x, 3 * x**2 + a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
def test_radial_inverse_to_float_precision(dtype, scale):
    radial = Radial()
    radial.build((3,), Scope(dtype=dtype))
    perturb_weights(radial, scale=scale)
    rng = np.random.default_rng(0)
    y = radial.centre.value + tf.constant(rng.normal(size=(500, 3)) * 3, dtype)
    y = tf.concat([y, radial.centre.value], 0)  # the centre itself
    with tf.GradientTape() as tape:
        tape.watch(y)
        x, log_det = radial.inverse_and_log_det(y)
        loss = tf.reduce_sum(x) + tf.reduce_sum(log_det)
    assert np.isfinite(tape.gradient(loss, y)).all() and np.isfinite(log_det).all()
    again, back = radial.forward_and_log_det(x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(again, y, atol=1000 * eps * max(1, scale))
    np.testing.assert_allclose(back, -log_det, rtol=100 * eps, atol=1000 * eps)


def test_radial_keeps_distances_in_order():
    # Far too strong a pull, were it not bounded: with beta = -alpha the centre would be a fold.
    radial = Radial()
    radial.build((1,), Scope(dtype="float64"))
    radial.free.assign([[-20.0]])
    radial.centre.assign([[0.0]])
    x = np.linspace(-3, 3, 601)[:, None]
    assert (np.diff(radial.forward(x)[:, 0]) > 0).all()


def test_nice_changes_volumes_by_its_scale_alone(rng):
    dist = nvp.flows.build("nice", (5,), couplings=3, widths=(8,))
    perturb_weights(dist.bijector)
    y = tf.constant(rng.normal(size=(4, 5)), tf.float32)
    for member in dist.bijector.bijectors:
        y, log_det = member.inverse_and_log_det(y)
        if isinstance(member, nvp.bijectors.Coupling):
            np.testing.assert_array_equal(log_det, np.zeros(4))
    scale = dist.bijector.bijectors[-1]
    np.testing.assert_allclose(log_det, np.full(4, scale.log_scale.numpy().sum()), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_root_of_a_flat_function_and_its_derivatives(dtype):
    # x^3 + a x = t near a flat place: derivatives of the implicit function, two orders.
    a = tf.constant(0.01, dtype)
    target = tf.constant([-8.0, -1e-3, 0.0, 1e-3, 8.0], dtype)
    with tf.GradientTape(persistent=True) as second:
        second.watch([a, target])
        with tf.GradientTape(persistent=True) as first:
            first.watch([a, target])
            x = increasing_root(
                cubic,
                target,
                tf.fill(target.shape, tf.constant(-900.0, dtype)),
                tf.fill(target.shape, tf.constant(900.0, dtype)),
                a,
            )
        by_target, by_a = first.gradient(x, target), first.gradient(x, a)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(x**3 + a * x, target, rtol=8 * eps, atol=eps**2)
    slope = 3 * x.numpy() ** 2 + a.numpy()
    np.testing.assert_allclose(by_target, 1 / slope, rtol=100 * eps)
    np.testing.assert_allclose(by_a, (-x.numpy() / slope).sum(), rtol=1e-4, atol=1e-3)
    curvature = second.gradient(by_target, target)
    np.testing.assert_allclose(curvature, -6 * x.numpy() / slope**3, rtol=1e-3, atol=1e-3)


def test_a_root_has_derivatives_of_any_order():
    a, target = tf.constant(0.5, tf.float64), tf.constant([-2.0, 0.1, 3.0], tf.float64)
    wide = tf.fill([3], tf.constant(10.0, tf.float64))
    with tf.GradientTape() as third:
        third.watch(target)
        with tf.GradientTape() as second:
            second.watch(target)
            with tf.GradientTape() as first:
                first.watch(target)
                x = increasing_root(cubic, target, -wide, wide, a)
            slope = first.gradient(x, target)
        curvature = second.gradient(slope, target)
    x = x.numpy()
    f1, f2, f3 = 3 * x**2 + 0.5, 6 * x, 6.0
    expected = (3 * f2**2 - f1 * f3) / f1**5
    np.testing.assert_allclose(third.gradient(curvature, target), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_solver_stops_where_only_rounding_is_left(dtype):
    count = 0

    def mixture(y, *parameters):
        nonlocal count
        count += 1
        return _logit_and_slope(y, *parameters)

    rng = np.random.default_rng(0)
    weights, means, scales = (tf.constant(rng.normal(size=(2000, 5, 1)), dtype) for _ in range(3))
    parameters = tf.nn.log_softmax(weights, 1), means, 0.5 * scales
    y = rng.normal(size=(2000, 1))
    target = _logit_and_slope(tf.constant(y, dtype), *parameters)[0]
    wide = tf.fill([2000, 1], tf.constant(30.0, dtype))
    tf.config.run_functions_eagerly(True)
    try:
        found = increasing_root(mixture, target, -wide, wide, *parameters)
    finally:
        tf.config.run_functions_eagerly(False)
    # A halving of the bracket at a time, it would be 24 and 53 more.
    assert count < 25
    np.testing.assert_allclose(found, y, atol=1000 * np.finfo(dtype).eps)


def test_hutchinson_is_unbiased_and_fixed_by_the_seed():
    ode = NeuralODE(Velocity(widths=(8,)), exact_trace=False, tolerance=1e-6)
    ode.build((3,), Scope(dtype="float64"))
    perturb_weights(ode, scale=0.5)
    y = np.tile(np.random.default_rng(0).normal(size=(1, 3)), (4000, 1))
    x, log_det = ode.inverse_and_log_det(y, Context(seed=(1, 2)))
    again = ode.inverse_and_log_det(y, Context(seed=(1, 2)))[1]
    np.testing.assert_array_equal(log_det, again)
    assert (log_det != ode.inverse_and_log_det(y, Context(seed=(1, 3)))[1]).numpy().any()
    exact = NeuralODE(ode.velocity, exact_trace=True, tolerance=1e-6)
    exact._built_for, exact._scope = ode._built_for, ode._scope
    place, expected = exact.inverse_and_log_det(y[:1])
    np.testing.assert_allclose(x[0], place[0], atol=1e-5)
    error = np.std(log_det) / np.sqrt(len(y))
    assert error > 0 and abs(np.mean(log_det) - float(expected[0])) < 4.5 * error
    # The deterministic modes: equal rows, equal results.
    fixed = ode.inverse_and_log_det(y[:5], Context(noise="per_example"))[1].numpy()
    np.testing.assert_allclose(fixed, fixed[0], rtol=1e-12)


def test_a_solver_that_does_not_arrive_says_nan():
    ode = NeuralODE(Velocity(widths=(8,)), tolerance=1e-9, max_steps=2)
    ode.build((2,), Scope(dtype="float64"))
    perturb_weights(ode, scale=2.0)
    assert np.isnan(ode.forward(np.ones([1, 2]))).all()


TRANSFORMERS = [RationalQuadraticSpline(bins=5, bound=2.0), MixtureLogistic(components=4)]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=["spline", "mixture"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transformers_are_monotone_and_finite_at_extremes(transformer, dtype):
    rng = np.random.default_rng(0)
    edges = [-1e4, -50, -2.0, np.nextafter(2.0, 0), 0.0, 2.0, 50, 1e4]
    values = np.sort(np.concatenate([np.linspace(-4, 4, 41), edges]))
    y = tf.constant(values[:, None], dtype)
    for scale in (0.0, 1.0, 30.0):
        parameters = rng.normal(size=(1, transformer.parameters_per_element)) * scale
        parameters = tf.constant(np.repeat(parameters, len(y), 0), dtype)
        for method in (transformer.inverse, transformer.forward):
            with tf.GradientTape() as tape:
                tape.watch([y, parameters])
                result, log_slope = method(y, parameters)
                loss = tf.reduce_sum(tf.sin(result)) + tf.reduce_sum(log_slope)
            gradients = tape.gradient(loss, [y, parameters])
            for value in (result, log_slope, *gradients):
                assert np.isfinite(value).all()
            # Float rounding may make neighbours equal, up to a last digit.
            scale_of = np.maximum(1, np.abs(result[1:]))
            assert (np.diff(result, axis=0) > -1e-4 * scale_of).all()
        if scale == 0.0:
            np.testing.assert_allclose(transformer.inverse(y, parameters)[0], y, 2e-5, 1e-6)


def test_spline_is_the_identity_outside_its_interval():
    spline = RationalQuadraticSpline(bins=4, bound=2.0)
    parameters = tf.constant(np.random.default_rng(0).normal(size=(4, 11)) * 5)
    y = tf.constant([[-2.0], [2.0], [7.0], [-1e6]], tf.float64)
    for method in (spline.inverse, spline.forward):
        result, log_slope = method(y, parameters)
        np.testing.assert_array_equal(result, y)
        np.testing.assert_array_equal(log_slope, np.zeros([4, 1]))


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_spline_is_that_of_tfp(scale):
    spline = RationalQuadraticSpline(bins=5, bound=2.0)
    rng = np.random.default_rng(0)
    y, parameters = tf.constant(rng.uniform(-2, 2, (200, 3))), rng.normal(size=(200, 14, 3)) * scale
    parameters = tf.constant(parameters.reshape(200, -1))
    across, up, slopes = (tf.linalg.matrix_transpose(v) for v in spline._knots(y, parameters))
    theirs = tfp.bijectors.RationalQuadraticSpline(
        bin_widths=np.diff(across),
        bin_heights=np.diff(up),
        knot_slopes=slopes[..., 1:-1],
        range_min=-2,
    )
    x, log_slope = spline.inverse(y, parameters)
    np.testing.assert_allclose(x, theirs.forward(y), atol=FLOAT64)
    np.testing.assert_allclose(log_slope, theirs.forward_log_det_jacobian(y, 0), atol=FLOAT64)
    again, minus = spline.forward(y, parameters)
    np.testing.assert_allclose(again, theirs.inverse(tf.identity(y)), atol=FLOAT64)
    expected = theirs.inverse_log_det_jacobian(tf.identity(y), 0)
    np.testing.assert_allclose(minus, expected, atol=FLOAT64)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_slopes_of_a_spline_have_a_bound(scale):
    # Between knots too, where steep knots beside a flat bin would make a spline almost flat.
    spline = RationalQuadraticSpline(bins=8, bound=4.0)
    rng = np.random.default_rng(0)
    parameters = tf.constant(rng.normal(size=(100_000, 23)) * scale)
    _, log_slope = spline.inverse(tf.constant(rng.uniform(-4, 4, (100_000, 1))), parameters)
    assert np.abs(log_slope).max() < np.log(150)


def test_spline_flow_far_from_the_identity_comes_back_in_float32():
    # Eight layers, all weights moved by more than training moves them.
    dist = nvp.flows.build("nsf", (2,))
    perturb_weights(dist.bijector)
    x = np.random.default_rng(0).normal(size=(1000, 2)).astype("float32")
    z, _ = dist.bijector.inverse_and_log_det(x)
    again, _ = dist.bijector.forward_and_log_det(z)
    np.testing.assert_allclose(again, x, atol=5e-3)


def test_mixture_gradient_by_finite_differences():
    mixture = MixtureLogistic(components=3)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(4, 2)))
    parameters = tf.constant(rng.normal(size=(4, 22)))
    direction = rng.normal(size=(4, 22))

    def value(parameters):
        y, log_slope = mixture.forward(x, parameters)
        return tf.reduce_sum(tf.sin(y) + tf.square(log_slope))

    with tf.GradientTape() as tape:
        tape.watch(parameters)
        loss = value(parameters)
    slope = float(tf.reduce_sum(tape.gradient(loss, parameters) * direction))
    small = 1e-6
    ends = [float(value(parameters + sign * small * direction)) for sign in (1, -1)]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * small), rel=1e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_exported_vectors_round_trip(name, tmp_path):
    dist = nvp.flows.build(name, (2,), num_classes=2, **DENSITIES[name])
    perturb_weights(dist.bijector)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    labels = tf.constant([0, 1, 0, 1, 1])
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    z = served["encode"](x=tf.constant(x), labels=labels)["latents"]
    np.testing.assert_allclose(served["decode"](latents=z, labels=labels)["x"], x, atol=2e-5)
    expected = dist.log_prob(x, bijector_kwargs={"labels": labels})
    got = served["serving_default"](x=tf.constant(x), labels=labels)["log_prob"]
    np.testing.assert_allclose(got, expected, atol=1e-3)
    other = dist.log_prob(x, bijector_kwargs={"labels": 1 - labels})
    assert (np.abs(expected - other) > 1e-5).all()
