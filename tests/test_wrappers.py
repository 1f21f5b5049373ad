"""Flows in TFP's own wrappers: values are those of the flow by itself."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import FLOWPP, perturb_weights

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import FactorOut, Flatten, Squeeze

tfb, tfd = tfp.bijectors, tfp.distributions

SMALL = {
    "glow": {"steps": 1, "width": 4},
    "iaf": {"layers": 1, "widths": (4,)},
    "maf": {"layers": 1, "widths": (4,)},
    "neural_ode": {"widths": (4,)},
    "nsf": {"couplings": 2, "hidden": (4,)},
    "nice": {"couplings": 2, "widths": (4,)},
    "planar": {"layers": 2},
    "radial": {"layers": 2},
    "realnvp": {"couplings": 2, "widths": (4,)},
    "residual": {"blocks": 1, "widths": (4,)},
}
IMAGES = {
    "flowpp": FLOWPP,
    "uva_simple": {"couplings": 2, "width": 2, "blocks": 1},
    "uva_vardeq": {"couplings": 1, "width": 2, "blocks": 1},
}
SEED = {"seed": (3, 4)}


def pair(name, options, shape):
    flows = []
    for seed in (0, 1):
        dist = nvp.flows.build(name, shape, seed=seed, **options)
        perturb_weights(dist, seed=seed, scale=0.3)
        flows.append(dist)
    return flows


@pytest.mark.parametrize("name", SMALL)
def test_vectors(name):
    f, g = pair(name, SMALL[name], (3,))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    of_f, of_g = f.log_prob(x).numpy(), g.log_prob(x).numpy()
    assert np.abs(of_f - of_g).max() > 1e-3
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(tfd.Independent(f, 0).log_prob(x), of_f, **close)
    repeated = tfd.Sample(f, 4)
    np.testing.assert_allclose(repeated.log_prob(x), of_f.sum(), **close)
    assert repeated.sample(2).shape == (2, 4, 3)
    mixture = tfd.Mixture(tfd.Categorical(probs=[0.25, 0.75]), [f, g])
    expected = np.logaddexp(of_f + np.log(0.25), of_g + np.log(0.75))
    np.testing.assert_allclose(mixture.log_prob(x), expected, **close)
    assert mixture.sample(5, seed=(0, 1)).shape == (5, 3)
    renamed = g.copy(name="other")
    for joint, value in (
        (tfd.JointDistributionSequential([f, renamed]), [x, x]),
        (tfd.JointDistributionNamed({"a": f, "b": g}), {"a": x, "b": x}),
    ):
        np.testing.assert_allclose(joint.log_prob(value), of_f + of_g, **close)
        assert all(part.shape == (2, 3) for part in tf.nest.flatten(joint.sample(2)))
    broadcast = tfd.BatchBroadcast(f, [2])
    np.testing.assert_allclose(broadcast.log_prob(x[:, None]), np.stack([of_f] * 2, 1), **close)
    base = tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3))
    for dist, want in ((f, of_f), (g, of_g)):
        again = tfd.TransformedDistribution(base, dist.bijector)
        np.testing.assert_allclose(again.log_prob(x), want, **close)
        y, log_prob = dist.experimental_sample_and_log_prob(3, seed=(0, 1))
        np.testing.assert_allclose(log_prob, dist.log_prob(y), rtol=1e-3, atol=1e-3)
        measured = dist.experimental_local_measure(x)[0]
        np.testing.assert_allclose(measured, want, **close)
    joined = tfb.JointMap([f.bijector, tfb.Invert(g.bijector)])
    first, second = joined.inverse([x, x])
    np.testing.assert_allclose(first, f.bijector.inverse_and_log_det(x)[0], **close)
    np.testing.assert_allclose(second, g.bijector.forward_and_log_det(x)[0], **close)


@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    f, g = pair(name, {**IMAGES[name], "levels": 8}, (4, 4, 1))
    x = np.random.default_rng(0).integers(0, 8, (3, 4, 4, 1)).astype("uint8")
    of_f, of_g = (d.log_prob(x, bijector_kwargs=SEED).numpy() for d in (f, g))
    close = {"rtol": 1e-4, "atol": 1e-3}
    got = tfd.Independent(f, 0).log_prob(x, bijector_kwargs=SEED)
    np.testing.assert_allclose(got, of_f, **close)
    base = tfd.MultivariateNormalDiag(tf.zeros(16), tf.ones(16))
    for dist, want in ((f, of_f), (g, of_g)):
        again = tfd.TransformedDistribution(base, dist.bijector)
        got = again.log_prob(x.astype("float32"), bijector_kwargs=SEED)
        np.testing.assert_allclose(got, want, **close)
        drawn = again.sample(2, seed=(0, 1))
        # The likelihood of what was drawn is that of the pixels, with noise of its own.
        spread = [again.log_prob(drawn).numpy() for _ in range(2)]
        assert np.abs(spread[0] - spread[1]).max() > 1e-4
        assert (drawn == tf.floor(drawn)).numpy().all()
    assert f.sample(0).shape == (0, 4, 4, 1) and f.log_prob(x[:0]).shape == (0,)
    graph = tf.function(f.log_prob, input_signature=[tf.TensorSpec([None, 4, 4, 1], tf.uint8)])
    assert graph(x[:0]).shape == (0,)


def test_keyword_arguments_are_honoured_or_refused():
    f, _ = pair("realnvp", SMALL["realnvp"], (2,))
    x = np.zeros([3, 2], "float32")
    for call, method in (
        (lambda: f.log_prob(x, seed=(1, 2)), "log_prob"),
        (lambda: f.prob(x, temperature=1.0), "log_prob"),
        (lambda: f.sample(3, temprature=0.1), "sample"),
        (lambda: f.experimental_sample_and_log_prob(3, temp=1.0), "experimental_sample"),
        (lambda: f.sample(3, distribution_kwargs={"a": 1}), "sample"),
    ):
        with pytest.raises(TypeError, match=rf"{method}.* of realnvp has no argument .*bijector_"):
            call()
    y, log_prob = f.experimental_sample_and_log_prob(4, temperature=0.0)
    np.testing.assert_allclose(y, np.repeat(y[:1], 4, 0))
    np.testing.assert_allclose(log_prob, f.log_prob(y), atol=1e-5)
    for temperature in (-1.0, np.nan, np.inf, "warm"):
        with pytest.raises(ValueError, match="temperature to be a finite number of at least 0"):
            f.sample(2, temperature=temperature)
    for shape in (-1, 2.5, (2, -1)):
        with pytest.raises(ValueError, match="A sample shape has whole sides of at least 0"):
            f.sample(shape)
    np.testing.assert_array_equal(f.sample(2, seed=5), f.sample(2, seed=np.int64(5)))
    np.testing.assert_array_equal(f.sample(2, seed=5), nvp.sample(f, 2, seed=5))


def test_sample_shapes_and_seeds_of_all_kinds():
    f, _ = pair("realnvp", SMALL["realnvp"], (2,))

    @tf.function
    def drawn(n):
        return f.sample(n), f.sample([n, 2])

    one, two = drawn(tf.constant(3))
    assert one.shape == (3, 2) and two.shape == (3, 2, 2)
    for shape in ((), 2, [2, 3], np.array([2]), tf.TensorShape([2]), tf.constant([2, 1])):
        assert f.sample(shape).shape[-1] == 2
    for seed in (3, (1, 2), tfp.util.SeedStream(3, "salt"), tfp.random.split_seed(4)[0]):
        assert np.isfinite(f.sample(3, seed=seed)).all()


def test_as_components_of_a_mixture_and_in_joints():
    conditional = nvp.flows.build("realnvp", (2,), num_classes=3, **SMALL["realnvp"])
    perturb_weights(conditional, scale=0.5)
    classes = nvp.given(conditional, [0, 1, 2])
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    of_class = classes.log_prob(x[:, None]).numpy()
    prior = np.array([0.2, 0.3, 0.5], "float32")
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=prior), classes)
    expected = np.log((np.exp(of_class) * prior).sum(-1))
    np.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-4, atol=1e-4)
    f, _ = pair("realnvp", SMALL["realnvp"], (2,))

    @tfd.JointDistributionCoroutineAutoBatched
    def joint():
        place = yield f.copy(name="place")
        yield tfd.Independent(tfd.Normal(place, 1.0), 1, name="seen")

    drawn = joint.sample(3, seed=(0, 1))
    seen = tfd.Independent(tfd.Normal(drawn.place, 1.0), 1).log_prob(drawn.seen)
    got = joint.log_prob(drawn)
    np.testing.assert_allclose(got, f.log_prob(drawn.place) + seen, rtol=1e-4, atol=1e-4)
    with pytest.raises(TypeError, match="can have another name only, got seed"):
        f.copy(seed=3)


def test_slices():
    f, _ = pair("realnvp", SMALL["realnvp"], (2,))
    assert f[...] is f
    for slices in (tf.newaxis, 0, slice(1)):
        with pytest.raises(ValueError, match="has no batch dimensions to take"):
            f[slices]
    conditional = nvp.flows.build("realnvp", (2,), num_classes=3, **SMALL["realnvp"])
    perturb_weights(conditional, scale=0.5)
    classes = nvp.given(conditional, [0, 1, 2])
    x = np.ones([2], "float32")
    whole = classes.log_prob(x).numpy()
    np.testing.assert_allclose(classes[1].log_prob(x), whole[1], rtol=1e-5)
    assert classes[1].batch_shape == () and classes[1:].batch_shape == (2,)
    np.testing.assert_allclose(classes[1:, tf.newaxis].log_prob(x)[:, 0], whole[1:], rtol=1e-5)
    y, log_prob = classes.experimental_sample_and_log_prob(2, seed=(0, 1), temperature=0.5)
    np.testing.assert_allclose(log_prob, classes.log_prob(y), rtol=1e-4, atol=1e-4)
    with pytest.raises(TypeError, match="has no argument temprature"):
        classes.sample(2, temprature=1.0)


def test_event_shapes_with_batch_dimensions():
    squeeze, flatten, split = Squeeze(), Flatten(), FactorOut([Squeeze()])
    squeeze.build((4, 4, 1))
    flatten.build((2, 2, 4))
    split.build((4, 4, 2))
    for bijector, latent, data in (
        (squeeze, (2, 2, 4), (4, 4, 1)),
        (flatten, (16,), (2, 2, 4)),
        (split, (32,), (4, 4, 2)),
    ):
        assert tuple(bijector.forward_event_shape((7, 3, *latent))) == (7, 3, *data)
        assert tuple(bijector.inverse_event_shape((7, 3, *data))) == (7, 3, *latent)
        got = bijector.forward_event_shape_tensor(tf.constant([7, 3, *latent]))
        np.testing.assert_array_equal(got, (7, 3, *data))
        dynamic = tf.function(bijector.inverse_event_shape_tensor)
        got = dynamic.get_concrete_function(tf.TensorSpec([len(data) + 1], tf.int32))
        np.testing.assert_array_equal(got(tf.constant([5, *data])), (5, *latent))
        with pytest.raises(ValueError, match="takes events of rank 3"):
            bijector.inverse_event_shape((4, 4))
