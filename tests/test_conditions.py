"""Continuous conditions: one for each row or for all, in any nesting; used, or refused."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import perturb_weights
from test_recomputation import flows_and_shapes
from tolerances import FLOAT32, FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Autoregressive, Coupling, Flatten, Halves, Squeeze, Standardize
from tfp_realnvp.conditioners import MADE, MLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 2)).astype("float32")
C = RNG.normal(size=(4, 3)).astype("float32")
LABELS = [0, 1, 1, 0]
IMAGES = RNG.integers(0, 8, (4, 4, 4, 1)).astype("uint8")
PIXELS = RNG.normal(size=(4, 4, 4, 2)).astype("float32")
SMALL = {"levels": 8, "widths": (2, 2, 2), "blocks": 1}


def vectors(**options):
    options = {"condition_shape": (3,), "couplings": 2, "widths": (4,)} | options
    dist = nvp.flows.build("realnvp", (2,), **options)
    perturb_weights(dist, scale=0.5)
    return dist


def images(condition_shape=(4, 4, 2), **options):
    options = SMALL | {"condition_shape": condition_shape} | options
    dist = nvp.flows.build("uva_multiscale", (4, 4, 1), **options)
    perturb_weights(dist, scale=0.3)
    return dist


@pytest.fixture(scope="module")
def conditional():
    return vectors()


@pytest.fixture(scope="module")
def both():
    return vectors(num_classes=2)


def log_prob(dist, condition, x=X, **context):
    return dist.log_prob(x, bijector_kwargs={"condition": condition, **context})


def test_a_condition_is_for_each_row_or_for_all(conditional):
    expected = log_prob(conditional, C).numpy()
    assert np.ptp(expected - log_prob(conditional, C[0]).numpy()) > 1e-3
    for condition in (C.tolist(), tf.constant(C), C.astype("float64")):
        np.testing.assert_allclose(log_prob(conditional, condition), expected, rtol=FLOAT32)
    for row in range(4):
        np.testing.assert_allclose(
            log_prob(conditional, C[row]).numpy()[row], expected[row], rtol=FLOAT32
        )
        alone = log_prob(conditional, C[row], X[row])
        np.testing.assert_allclose(alone, expected[row], rtol=FLOAT32)
    twice, other = np.stack([X, X]), np.stack([C, C[::-1]])
    np.testing.assert_allclose(log_prob(conditional, C, twice)[1], expected, rtol=FLOAT32)
    np.testing.assert_allclose(log_prob(conditional, other, twice)[0], expected, rtol=FLOAT32)
    np.testing.assert_allclose(
        log_prob(conditional, other, twice)[1], log_prob(conditional, C[::-1]), rtol=FLOAT32
    )


def test_samples_are_those_of_their_conditions(both):
    for shape, condition in ((4, C), ((), C[0]), ((2, 4), C), ((2, 4), np.stack([C, C]))):
        given = {"condition": condition, "labels": 1}
        y = both.sample(shape, seed=(1, 2), bijector_kwargs=given)
        z = both.bijector.inverse(tf.identity(y), **given)
        expected = both.distribution.sample(shape, seed=(1, 2))
        np.testing.assert_allclose(z, expected, atol=1e-4)
        drawn, density = both.experimental_sample_and_log_prob(
            shape, seed=(1, 2), bijector_kwargs=given
        )
        np.testing.assert_allclose(drawn, y, atol=FLOAT32)
        expected = both.log_prob(tf.identity(y), bijector_kwargs=given)
        np.testing.assert_allclose(density, expected, atol=1e-3)


def test_given_has_the_batch_shape_of_the_condition(both):
    dist = nvp.given(both, LABELS, condition=C)
    assert dist.batch_shape == (4,) and dist.event_shape == (2,)
    y = dist.sample(5, seed=(1, 2))
    assert y.shape == (5, 4, 2)
    expected = log_prob(both, C, y[2], labels=LABELS)
    np.testing.assert_allclose(dist.log_prob(y)[2], expected, atol=1e-4)
    np.testing.assert_allclose(dist[1:3].log_prob(X[1:3]), dist.log_prob(X)[1:3], rtol=FLOAT32)
    np.testing.assert_allclose(dist[2].log_prob(X[2]), dist.log_prob(X)[2], rtol=FLOAT32)
    table = nvp.given(both, np.array(LABELS)[:, None], condition=C[:3])
    assert table.batch_shape == (4, 3) and table[..., 0].batch_shape == (4,)
    assert table.sample(seed=(1, 2)).shape == (4, 3, 2)
    one = nvp.given(both, 1, condition=C[0])
    assert one.batch_shape == () and one.log_prob(X).shape == (4,)
    joint = tfp.distributions.Independent(dist, 1)
    assert joint.log_prob(X).shape == ()


def test_a_graph_and_xla_do_as_eager_code(both):
    spec = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)]

    def of(x, c, labels):
        return log_prob(both, c, x, labels=labels)

    expected = of(X, C, LABELS)
    graph = tf.function(of, input_signature=spec)
    np.testing.assert_allclose(graph(X, C, LABELS), expected, rtol=FLOAT32, atol=FLOAT32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the condition must have shape"):
        graph(X, C[:1], LABELS)
    compiled = tf.function(of, jit_compile=True)
    got = compiled(X, C, tf.constant(LABELS))
    np.testing.assert_allclose(got, expected, rtol=FLOAT32, atol=FLOAT32)
    assert graph(X[:0], C[:0], LABELS[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2)], ids=["vector", "pixels"])
def test_images_see_their_condition_everywhere(shape):
    """Also the noise flow of the dequantizer, the last scale, and all of it without rows."""
    dist = images(shape, num_classes=2)
    condition = C if len(shape) == 1 else PIXELS
    given = {"condition": condition, "labels": LABELS, "noise": "centre"}
    context = dist.bijector.within(nvp.Context(**given), tf.constant([4]))
    y = tf.cast(IMAGES, tf.float32)
    noise = dist.quantizer.noise_and_log_q(y, tf.fill(y.shape, 0.5), context)[0]
    z = dist.bijector.inverse(IMAGES, **given)
    np.testing.assert_array_equal(dist.bijector.forward(z, **given), IMAGES)
    moved = given | {"condition": condition + RNG.normal(size=condition.shape)}
    other = dist.bijector.within(nvp.Context(**moved), tf.constant([4]))
    assert np.abs(dist.quantizer.noise_and_log_q(y, y * 0 + 0.5, other)[0] - noise).max() > 1e-3
    coarse = dist.latent_sizes[-1]
    x = tf.random.stateless_uniform(y.shape, (1, 2), 0.1, 7.9)
    z, z_moved = (dist.continuous.inverse(x, **c)[:, -coarse:] for c in (given, moved))
    assert np.abs(z - z_moved).min() > 0
    del given["labels"], given["condition"]
    empty = {"labels": np.zeros([0], int), "condition": condition[:0], **given}
    assert dist.log_prob(IMAGES[:0], bijector_kwargs=empty).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2)], ids=["vector", "pixels"])
def test_recomputation_has_gradients_to_the_condition_too(shape):
    condition = tf.constant(C if len(shape) == 1 else PIXELS, tf.float64)
    results = []
    for recompute in (False, True):
        dist = images(shape, recompute=recompute, dtype="float64")
        with tf.GradientTape() as tape:
            tape.watch(condition)
            loss = tf.reduce_sum(tf.sin(log_prob(dist, condition, IMAGES, seed=(1, 2))))
        results.append([loss, *tape.gradient(loss, [condition, *dist.trainable_variables])])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, atol=100 * FLOAT64, rtol=100 * FLOAT64)
    assert np.abs(results[0][1]).max() > 0


def test_a_condition_comes_in_any_units():
    dist, scaled = vectors(), vectors()
    for flow, condition in ((dist, C), (scaled, 1000 * C + 5000)):
        assert flow.bijector.needs_data
        flow.initialize(X, condition=condition)
        assert not flow.bijector.needs_data
    got = log_prob(scaled, 1000 * C + 5000)
    np.testing.assert_allclose(got, log_prob(dist, C), atol=1e-3)
    inside = dist.bijector.within(nvp.Context(condition=C), tf.constant([4])).vector
    np.testing.assert_allclose(np.std(inside, 0), 1, rtol=1e-4)
    for again in (copy.deepcopy(dist), dist.copy(name="again")):
        np.testing.assert_allclose(log_prob(again, C), log_prob(dist, C), rtol=FLOAT32)


def test_a_flow_comes_back_from_its_configuration(both):
    again = nvp.Flow.from_config(both.get_config())
    assert again.condition_shape == (3,) and again.num_classes == 2
    assert [v.shape for v in again.variables] == [v.shape for v in both.variables]
    old = nvp.flows.build("realnvp", (2,)).get_config()
    del old["condition_shape"]
    assert nvp.Flow.from_config(old).condition_shape is None
    assert "condition (3,)" in nvp.summary(both)
    assert "condition_shape=(3,)" in repr(both)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (None, r"is conditional on a condition of shape \(3,\): give one, for example"),
        (C[:, :2], r"the condition must have shape \(3,\) for each row of a batch of shape \(4,\)"),
        (C[:2], "the condition must have shape"),
        (C[:1], "the condition must have shape"),
        (C[None], "the condition must have shape"),
        (1.0, "the condition must have shape"),
        (C * np.nan, "the condition must be finite, got 12 NaN or infinite values"),
        (C + 1j, "the condition must be real numbers, got an array of dtype complex64"),
        (np.full([4, 3], "a"), "the condition must be numbers"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(conditional, condition, sentence):
    for call in (
        lambda: log_prob(conditional, condition),
        lambda: conditional.sample(4, bijector_kwargs={"condition": condition}),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_a_condition_that_is_uncalled_for_is_refused(both):
    plain = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    with pytest.raises(ValueError, match="has no condition_shape, but a condition was given"):
        log_prob(plain, C)
    with pytest.raises(ValueError, match="is not conditional on classes or a condition"):
        nvp.given(plain)
    with pytest.raises(ValueError, match="is conditional on a condition of shape"):
        nvp.given(both, LABELS)
    with pytest.raises(ValueError, match="is conditional on 2 classes"):
        nvp.given(both, condition=C)
    with pytest.raises(ValueError, match="the condition must have shape"):
        nvp.given(both, LABELS, condition=C[:, :2])


@pytest.mark.parametrize(
    ("members", "event_shape", "condition_shape", "sentence"),
    [
        (None, (2,), (4, 4, 1), r"events of shape \(2,\) takes a condition_shape \(K,\), got"),
        (None, (2,), (2, 3), r"takes a condition_shape \(K,\), got \(2, 3\)"),
        (None, (2,), (0,), r"takes a condition_shape \(K,\), got \(0,\)"),
        ([Squeeze()], (4, 4, 1), (4, 2, 1), r"condition_shape \(K,\) or \(4, 4, K\), got"),
        ([Standardize()], (2,), (3,), "to be conditional on a condition, but none of its"),
        (
            [Flatten(), Autoregressive(MADE(widths=(4,)))],
            (2, 2, 1),
            (2, 2, 3),
            "cannot see the 12 features of a condition: an autoregressive flow is conditional on",
        ),
        (
            [Flatten(), nvp.bijectors.Planar()],
            (2, 2, 1),
            (2, 2, 1),
            "cannot see the 4 features of a condition: a planar flow is conditional on labels",
        ),
        (
            [tfp.bijectors.Transpose(perm=[1, 0, 2]), Squeeze()],
            (4, 2, 1),
            (4, 2, 1),
            "which a condition of each pixel cannot follow",
        ),
    ],
)
def test_flows_that_cannot_have_a_condition(members, event_shape, condition_shape, sentence):
    members = members or [Coupling(Halves(), MLP(widths=(4,)))]
    with pytest.raises(ValueError, match=sentence):
        nvp.Flow(members, event_shape, condition_shape=condition_shape)


def test_a_built_bijector_stays_with_its_kind_of_condition():
    coupling = Coupling(Halves(), MLP(widths=(4,)))
    coupling.build((2,))
    with pytest.raises(ValueError, match="was built with condition_shape=None, where"):
        nvp.Flow([coupling], (2,), condition_shape=(3,))


def test_plain_keras_layers_see_a_condition():
    network = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
    dist = nvp.Flow([Coupling(Halves(), network)], (2,), condition_shape=(3,))
    assert np.ptp(log_prob(dist, C) - log_prob(dist, C[0])) > 1e-3
    convolution = keras.layers.Conv2D(2, 3, padding="same")
    coupling = Coupling(nvp.bijectors.Checkerboard(), convolution)
    dist = nvp.Flow([coupling], (4, 4, 1), condition_shape=(4, 4, 2), num_classes=2)
    values = log_prob(dist, PIXELS, IMAGES / 8, labels=0)
    assert np.abs(values - log_prob(dist, PIXELS[::-1], IMAGES / 8, labels=0)).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape", "options"), list(flows_and_shapes()))
def test_every_flow_has_conditions(name, shape, options):
    data = IMAGES if len(shape) == 3 else RNG.normal(size=(4, *shape)).astype("float32")
    for condition in (C, PIXELS)[: 2 if len(shape) == 3 else 1]:
        dist = nvp.flows.build(
            name, shape, levels=8, condition_shape=condition.shape[1:], num_classes=2, **options
        )
        dist.initialize(data, LABELS, condition)
        perturb_weights(dist, scale=0.1)
        given = {"labels": LABELS, "seed": (1, 2)}
        moved = log_prob(dist, condition[::-1], data, **given)
        assert np.abs(moved - log_prob(dist, condition, data, **given)).max() > 1e-4
        z = nvp.encode(dist, data, LABELS, condition=condition)
        back = nvp.decode(dist, z, LABELS, condition=condition)
        np.testing.assert_allclose(back, data, atol=1e-3)
