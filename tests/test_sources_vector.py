"""Where the sources' vector flows are wrong, ours are right: one test per passage."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import ODE

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Context, NeuralODE, Planar, Scope
from tfp_realnvp.conditioners import MADE, Velocity


def built(bijector, size, scale=0.5):
    bijector.build((size,), Scope(dtype="float64"))
    perturb_weights(bijector, scale=scale)
    return bijector


def jacobian(function, x):
    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x, experimental_use_pfor=False).numpy()


def test_planar_log_det_is_one_number_per_row_and_right():
    # The notes multiply h' [N] by w [D], which fails or broadcasts: N = 4 and D = 4 broadcasts.
    planar = built(Planar(), 4)
    x = np.random.default_rng(0).normal(size=(4, 4))
    _, log_det = planar.forward_and_log_det(x)
    assert log_det.shape == (4,)
    matrices = jacobian(lambda v: planar.forward_and_log_det(v)[0], x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrices)[1], atol=1e-10)


def test_planar_log_prob_depends_on_x():
    dist = nvp.flows.build("planar", (2,), layers=3, dtype="float64")
    perturb_weights(dist.bijector)
    x = np.array([[0.0, 0.0], [1.0, -1.0], [30.0, 30.0]])
    log_prob = dist.log_prob(x).numpy()
    assert len(set(log_prob.round(6))) == 3 and log_prob[2] < log_prob[0] - 100


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_realnvp_transforms_every_coordinate(size):
    # The notes' two masks share coordinates for D > 2; those reach the latents unchanged.
    dist = nvp.flows.build("realnvp", (size,), couplings=2, widths=(8,), dtype="float64")
    perturb_weights(dist.bijector)
    x = np.random.default_rng(0).normal(size=(6, size))
    assert (np.abs(nvp.encode(dist, x) - x).min(0) > 1e-6).all()


@pytest.mark.parametrize("size", [2, 3, 6])
def test_made_output_sees_strictly_earlier_inputs(size):
    made = MADE(widths=(16, 16), outputs=2 * size)
    made.prepare(outputs=2 * size, scope=Scope(dtype="float64"))
    made.build((None, size))
    perturb_weights(made, scale=0.5)
    matrices = jacobian(
        lambda v: made.parameters(v, Context()), np.random.default_rng(0).normal(size=(5, size))
    )
    blocks = matrices.reshape(5, 2, size, size)
    assert (np.triu(np.abs(blocks).max((0, 1))) == 0).all()
    below = np.tril_indices(size, -1)
    assert (np.abs(blocks).max((0, 1))[below] > 0).all()


def test_maf_runs_all_layers_in_both_directions():
    dist = nvp.flows.build("maf", (3,), layers=3, widths=(8,), dtype="float64")
    perturb_weights(dist.bijector)
    z = np.random.default_rng(0).normal(size=(4, 3))
    before = nvp.decode(dist, z)
    np.testing.assert_allclose(nvp.encode(dist, before), z, atol=1e-9)
    layers = [b for b in dist.bijector.bijectors if isinstance(b, nvp.bijectors.Autoregressive)]
    assert len(layers) == 3
    for layer in layers:
        bias = layer.conditioner.end_bias
        bias.assign(bias + 0.3)
        after = nvp.decode(dist, z)
        assert np.abs(after - before).max() > 1e-3
        before = after


def test_neural_ode_density_falls_where_the_field_spreads():
    # f(x) = a x spreads: y = e^a x, so that log p(y) = log N(e^-a y) - a D.
    a, size = 0.7, 2
    ode = NeuralODE(Velocity(widths=()), tolerance=1e-10)
    ode.build((size,), Scope(dtype="float64"))
    kernel = np.zeros((size + 1, size))
    kernel[:size] = a * np.eye(size)
    ode.velocity.end[0].assign(kernel)
    x = np.random.default_rng(0).normal(size=(3, size))
    y, forward = ode.forward_and_log_det(x)
    np.testing.assert_allclose(y, np.exp(a) * x, rtol=ODE)
    np.testing.assert_allclose(forward, np.full(3, a * size), rtol=ODE)
    back, inverse = ode.inverse_and_log_det(y)
    np.testing.assert_allclose(back, x, rtol=ODE)
    np.testing.assert_allclose(inverse, np.full(3, -a * size), rtol=ODE)
