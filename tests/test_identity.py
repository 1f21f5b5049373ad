"""A bijector is equal to itself and its copies: TFP's cache and tf.function never mix two up."""

import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import BIJECTORS, Case, perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Halves, Logit, Permutation, Planar
from tfp_realnvp.conditioners import MLP

tfb, tfd = tfp.bijectors, tfp.distributions
every_bijector = pytest.mark.parametrize("case", BIJECTORS.values(), ids=BIJECTORS)


def flow(seed, **options):
    dist = nvp.flows.build("realnvp", (2,), seed=seed, couplings=2, widths=(4,), **options)
    perturb_weights(dist, seed=seed, scale=0.5)
    return dist


@pytest.fixture(scope="module")
def two():
    return flow(0), flow(1)


@every_bijector
def test_two_of_a_class_alive_at_once_keep_apart(case: Case):
    first, second = case.build(perturb=False), case.build(perturb=False)
    perturb_weights(first, seed=1)
    perturb_weights(second, seed=2)
    y, kwargs = tf.constant(case.data()), case.kwargs()
    ndims = first.inverse_min_event_ndims
    alone = [b.inverse_and_log_det(y, nvp.Context(**kwargs)) for b in (first, second)]
    assert first != second
    together = [(b.inverse(y, **kwargs), b) for b in (first, second)]
    for (x, bijector), (expected, log_det) in zip(together, alone, strict=True):
        np.testing.assert_allclose(x, expected, atol=case.tolerance)
        got = bijector.inverse_log_det_jacobian(y, ndims, **kwargs)
        np.testing.assert_allclose(got, log_det, atol=case.tolerance)
    forward = [b.forward(together[0][0], **kwargs) for b in (first, second)]
    expected = second.forward_and_log_det(together[0][0], nvp.Context(**kwargs))[0]
    np.testing.assert_allclose(forward[0], y, atol=case.tolerance)
    np.testing.assert_allclose(forward[1], expected, atol=case.tolerance)


@every_bijector
def test_copies_share_weights_and_deep_copies_have_their_own(case: Case):
    bijector = case.build()
    y, context = tf.constant(case.data()), nvp.Context(**case.kwargs())
    expected = bijector.inverse_and_log_det(y, context)
    again, apart = bijector.copy(), copy.deepcopy(bijector)
    assert again == bijector and hash(again) == hash(bijector) and again is not bijector
    assert apart != bijector and bijector.copy(name="other").name == "other"
    assert [id(v) for v in again.variables] == [id(v) for v in bijector.variables]
    assert not {id(v) for v in apart.variables} & {id(v) for v in bijector.variables}
    for copied in (again, apart):
        for got, want in zip(copied.inverse_and_log_det(y, context), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_bijectors_of_other_arguments():
    first, second = Logit(high=4.0, alpha=0.05), Logit(high=256.0, alpha=1e-5)
    t = tf.zeros([2, 2, 2, 1])
    x, y = first.forward(t), second.forward(t)
    np.testing.assert_allclose([x[0, 0, 0, 0], y[0, 0, 0, 0]], [2, 128])
    assert first != second and hash(first) != hash(second)
    assert first.copy() == first and first.copy().parameters == first.parameters
    assert first.copy(alpha=0.1).alpha == 0.1 and first.copy(alpha=0.1) != first
    assert Permutation(order="random").copy().order == "random"
    assert isinstance(Planar().copy(), Planar)


def test_a_copy_with_other_arguments_keeps_the_weights_it_can():
    coupling = Coupling(Halves(), MLP(widths=(4,)))
    coupling.build((2,))
    bounded = coupling.copy(transformer=nvp.bijectors.Affine(bound=2.0))
    assert bounded.conditioner is coupling.conditioner
    norm = nvp.bijectors.BatchNorm(ndims=1)
    nvp.Flow([norm], (2,))
    norm.variables[0].assign([3.0, 4.0])
    slower = norm.copy(momentum=0.99)
    assert slower.momentum == 0.99
    np.testing.assert_array_equal(slower.variables[0], [3.0, 4.0])


def test_flows_of_one_name_in_tf_function_and_compositions(two):
    f, g = two
    x = tf.random.normal([3, 2])
    expected = [tf.identity(d.bijector.inverse_and_log_det(x)[0]) for d in two]
    inverse = tf.function(lambda bijector, y: bijector.inverse(y))
    log_prob = tf.function(lambda dist, y: dist.log_prob(y))
    mapped = tfb.JointMap([f.bijector, g.bijector]).inverse([x, x])
    for dist, want, got in zip(two, expected, mapped, strict=True):
        np.testing.assert_allclose(inverse(dist.bijector, x), want, atol=1e-5)
        np.testing.assert_allclose(log_prob(dist, x), dist.log_prob(x), atol=1e-5)
        np.testing.assert_allclose(got, want, atol=1e-5)
    both = tfb.Chain([tfb.Invert(f.bijector), g.bijector])
    y = g.bijector.forward_and_log_det(x)[0]
    np.testing.assert_allclose(
        both.forward(x), f.bijector.inverse_and_log_det(y)[0], rtol=1e-4, atol=1e-5
    )


def test_divergence_is_refused_or_that_of_samples(two):
    f, g = two
    for a, b in (
        (f, g),
        (tfd.Independent(f, 0), tfd.Independent(g, 0)),
        (tfd.Sample(f, 2), tfd.Sample(g, 2)),
    ):
        with pytest.raises(NotImplementedError, match="has no closed form: estimate it"):
            tfd.kl_divergence(a, b)
    assert tfd.kl_divergence(f, f) == tfd.kl_divergence(f, f.copy()) == 0
    base = tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2))
    wrapped = [tfd.TransformedDistribution(base, d.bijector) for d in two]
    y = f.sample(500, seed=(0, 1))
    ours = tf.reduce_mean(f.log_prob(y) - g.log_prob(y))
    theirs = tf.reduce_mean(wrapped[0].log_prob(y) - wrapped[1].log_prob(y))
    assert ours > 0.05
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


def test_copies_of_flows(two):
    f = two[0]
    x = tf.random.normal([3, 2])
    renamed = f.copy(name="renamed")
    assert renamed.name == "renamed"
    assert {id(v) for v in renamed.variables} >= {id(v) for v in f.trainable_variables}
    for again in (renamed, copy.deepcopy(f), pickle.loads(pickle.dumps(f)), copy.copy(f)):
        np.testing.assert_allclose(again.log_prob(x), f.log_prob(x), atol=1e-6)
    model = pickle.loads(pickle.dumps(nvp.FlowModel(f)))
    np.testing.assert_allclose(model.dist.log_prob(x), f.log_prob(x), atol=1e-6)


def test_frozen_layers_stay_frozen_everywhere(tmp_path):
    dist = flow(0)
    layer = next(layer for layer in dist.keras_layers if layer.trainable_variables)
    count = len(dist.trainable_variables)
    layer.trainable = False
    left = {id(v) for v in dist.trainable_variables}
    assert len(left) == count - len(layer.variables)
    assert left == {id(v.value) for v in nvp.FlowModel(dist).trainable_variables}
    again = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    assert len(again.trainable_variables) == len(left)
    frozen = nvp.FlowModel(again)
    frozen.trainable = False
    assert not again.trainable_variables
    frozen.compile("adam")
    before = again.log_prob([[0.5, 1.0]])
    frozen.fit(np.ones([8, 2], "float32"), verbose=0)
    assert again.bijector.needs_data or bool(np.isfinite(before).all())
