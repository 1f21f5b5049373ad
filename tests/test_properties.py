"""Properties that every bijector of the registry has."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import BIJECTORS, Case
from tolerances import FLOAT64

tfb = tfp.bijectors
pytestmark = pytest.mark.parametrize("case", BIJECTORS.values(), ids=BIJECTORS)


def test_log_det_is_that_of_the_jacobian(case: Case):
    bijector = case.build()
    y = tf.constant(case.data())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        x, log_det = bijector.inverse_and_log_det(y, _context(case))
    size = int(np.prod(case.shape))
    jacobian = tf.reshape(tape.batch_jacobian(x, y, experimental_use_pfor=False), [-1, size, size])
    expected = np.linalg.slogdet(jacobian.numpy())[1]
    np.testing.assert_allclose(log_det, expected, atol=case.tolerance, rtol=case.tolerance)
    assert log_det.shape == (3,)


def test_round_trip_with_the_cache_broken(case: Case):
    bijector = case.build()
    y = tf.constant(case.data())
    x = bijector.inverse(y, **case.kwargs())
    again = bijector.forward(tf.identity(x), **case.kwargs())
    np.testing.assert_allclose(again, y, atol=case.tolerance, rtol=case.tolerance)
    ndims = bijector.forward_min_event_ndims
    forward = bijector.forward_log_det_jacobian(tf.identity(x), ndims, **case.kwargs())
    inverse = bijector.inverse_log_det_jacobian(
        tf.identity(y), bijector.inverse_min_event_ndims, **case.kwargs()
    )
    np.testing.assert_allclose(forward, -inverse, atol=case.tolerance, rtol=case.tolerance)


def test_every_variable_gets_a_gradient(case: Case):
    bijector = case.build()
    weights = np.random.default_rng(2).normal(size=case.shape).reshape(-1)
    variables = [v for layer in bijector.keras_layers for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        x, log_det = bijector.inverse_and_log_det(case.data(8), _context(case, 8))
        flat = tf.reshape(x, [8, -1])
        loss = tf.reduce_sum(tf.sin(flat) * weights) + tf.reduce_sum(log_det**2)
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        if not variable.path.endswith(case.no_gradient or "\0"):
            assert gradient is not None, variable.path
            assert float(tf.reduce_max(tf.abs(gradient))) > 0, variable.path


def test_keras_and_module_see_the_same_variables(case: Case):
    bijector = case.build(perturb=False)
    module = tf.Module()
    module.nested = [tfb.Invert(bijector)]
    ours = [v.value for layer in bijector.keras_layers for v in layer.trainable_variables]
    assert {id(v) for v in ours} == {id(v) for v in bijector.trainable_variables}
    assert {id(v) for v in ours} == {id(v) for v in module.trainable_variables}
    assert len(ours) == len(set(map(id, ours))) == len(bijector.trainable_variables)


def test_batch_shapes(case: Case):
    bijector = case.build()
    data = case.data(6)
    x, log_det = bijector.inverse_and_log_det(data, _context(case, 6))

    def at(select):
        kwargs = {key: select(value) for key, value in case.kwargs(6).items()}
        return bijector.inverse(select(data), **kwargs), bijector.inverse_log_det_jacobian(
            select(data), bijector.inverse_min_event_ndims, **kwargs
        )

    single, single_log_det = at(lambda v: v[0])
    np.testing.assert_allclose(single, x[0], atol=FLOAT64)
    np.testing.assert_allclose(single_log_det, log_det[0], atol=FLOAT64)
    double, double_log_det = at(lambda v: np.asarray(v).reshape(2, 3, *v.shape[1:]))
    assert double.shape == (2, 3, *x.shape[1:])
    np.testing.assert_allclose(np.reshape(double, x.shape), x, atol=FLOAT64)
    np.testing.assert_allclose(np.reshape(double_log_det, [6]), log_det, atol=FLOAT64)


def test_config_round_trip(case: Case):
    bijector = case.build(perturb=False)
    config = keras.saving.serialize_keras_object(bijector)
    again = keras.saving.deserialize_keras_object(config)
    again.build(case.shape, bijector._scope)
    before, after = bijector.variables, again.variables
    assert [v.shape for v in before] == [v.shape for v in after]
    # Initial values are a function of the seed and the path: equal without copying any.
    for a, b in zip(before, after, strict=True):
        if not again.needs_data and a.trainable:
            np.testing.assert_array_equal(a, b)
    assert keras.saving.serialize_keras_object(again) == config


def test_works_in_chain_and_invert(case: Case):
    bijector = case.build()
    y = tf.constant(case.data())
    if case.kwargs():
        pytest.skip("tfb.Chain hands context to members by name only")
    chain = tfb.Chain([bijector])
    ndims = bijector.inverse_min_event_ndims
    expected = bijector.inverse_log_det_jacobian(tf.identity(y), ndims)
    np.testing.assert_allclose(chain.inverse_log_det_jacobian(y, ndims), expected, atol=FLOAT64)
    inverted = tfb.Invert(bijector)
    np.testing.assert_allclose(inverted.forward(y), bijector.inverse(y), atol=FLOAT64)
    np.testing.assert_allclose(
        inverted.forward_log_det_jacobian(tf.identity(y), ndims), expected, atol=FLOAT64
    )


def test_another_event_shape_is_refused(case: Case):
    bijector = case.build(perturb=False)
    with pytest.raises(ValueError, match=r"expects events of shape .* got a tensor of shape"):
        bijector.inverse(np.zeros((2, *case.shape[:-1], case.shape[-1] + 2)), **case.kwargs(2))


def _context(case, count=3):
    from tfp_realnvp import Context

    return Context(**case.kwargs(count))
