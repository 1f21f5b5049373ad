"""Flows under TensorFlow's own tools: `vectorized_map` of densities and scores, numerics checks."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.bijectors.ode_solver import integrate

SMALL = {
    "glow": {"steps": 1, "width": 4},
    "iaf": {"layers": 1, "widths": (4,)},
    "maf": {"layers": 1, "widths": (4,)},
    "neural_ode": {"widths": (4,)},
    "nsf": {"couplings": 1, "hidden": (4,)},
    "nice": {"couplings": 1, "widths": (4,)},
    "planar": {"layers": 1},
    "radial": {"layers": 1},
    "realnvp": {"couplings": 2, "widths": (4,)},
    "residual": {"blocks": 1, "widths": (4,)},
}


def flow(name, **options):
    dist = nvp.flows.build(name, (2,), **SMALL[name], **options)
    perturb_weights(dist.bijector)
    return dist


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"neural_ode"}))
def test_densities_and_scores_row_by_row_in_vectorized_map(name, rng):
    dist, x = flow(name), tf.constant(rng.normal(size=(5, 2)), tf.float32)

    def density_and_score(row):
        with tf.GradientTape() as tape:
            tape.watch(row)
            log_prob = dist.log_prob(row)
        return log_prob, tape.gradient(log_prob, row)

    expected = density_and_score(x)
    for got, want in zip(tf.vectorized_map(density_and_score, x), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=FLOAT32, rtol=FLOAT32)


def test_vectorized_map_of_a_neural_ode_is_for_densities_alone(rng):
    dist, x = flow("neural_ode"), tf.constant(rng.normal(size=(3, 2)), tf.float32)
    got, want = tf.vectorized_map(dist.log_prob, x), dist.log_prob(x)
    np.testing.assert_allclose(got, want, atol=FLOAT32, rtol=FLOAT32)

    def gradients(row):
        with tf.GradientTape() as tape:
            tape.watch(row)
            log_prob = dist.log_prob(row)
        return tape.gradient(log_prob, [row, *dist.trainable_variables])

    with pytest.raises(NotImplementedError, match="differentiate the sum over a batch"):
        tf.vectorized_map(lambda row: gradients(row)[0], x)
    # What the sentence proposes, and TensorFlow's own Jacobians, which map backward passes alone.
    scores = gradients(x)[0]
    np.testing.assert_allclose(scores[1], gradients(x[1])[0], atol=FLOAT32, rtol=FLOAT32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        end = integrate(lambda t, y: -y, x, tolerance=1e-4)
    np.testing.assert_allclose(tape.batch_jacobian(end, x)[0], np.eye(2) / np.e, atol=1e-3)


def test_numbers_that_are_not_arise_only_where_a_solver_gave_up():
    def constants(function, *shapes):
        graph = tf.function(function).get_concrete_function(*shapes).graph
        found = [graph, *graph._functions.values()]
        return [
            tf.make_ndarray(op.get_attr("value"))
            for g in found
            for op in getattr(g, "graph", g).get_operations()
            if op.type == "Const"
        ]

    dist = flow("neural_ode")
    floats = [v for v in constants(dist.log_prob, tf.zeros([3, 2])) if v.dtype == np.float32]
    assert floats and all(np.isfinite(v).all() for v in floats)
    # One row arrives in time, the other does not.
    rates = tf.constant([[0.0], [50.0]])
    end = integrate(lambda t, y: y * rates, tf.ones([2, 1]), tolerance=1e-6, max_steps=5)
    assert end[0] == 1 and np.isnan(end[1])


@pytest.mark.parametrize("seed", [(3, 4), [3, 4], np.array([3, 4]), tf.constant([3, 4])], ids=type)
@pytest.mark.parametrize("noise", ["fresh", "per_example"])
def test_seeds_of_any_kind(seed, noise, rng):
    images = nvp.flows.build("uva_simple", (2, 2, 1), levels=4, width=2, couplings=1, blocks=1)
    vectors = flow("neural_ode", exact_trace=False)
    for dist, data in (
        (images, rng.integers(0, 4, (3, 2, 2, 1))),
        (vectors, rng.normal(size=(3, 2)).astype("float32")),
    ):
        got, want = (
            dist.log_prob(data, bijector_kwargs={"seed": s, "noise": noise}) for s in (seed, (3, 4))
        )
        np.testing.assert_array_equal(got, want)
