"""The memory-saving backward pass gives the plain one's gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import FLOWPP, JET, MIXTURE_MULTISCALE, TARFLOW, perturb_weights
from tolerances import FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors.recomputation import is_recomputable

SHAPE = (4, 4, 1)


def build(*, recompute: bool, num_classes=None):
    dist = nvp.flows.build(
        "uva_multiscale",
        SHAPE,
        dtype="float64",
        levels=8,
        num_classes=num_classes,
        widths=(4, 4, 4),
        blocks=1,
        recompute=recompute,
    )
    perturb_weights(dist.bijector)
    return dist


def loss_and_gradients(dist, labels):
    images = np.random.default_rng(1).integers(0, 8, (3, *SHAPE))
    with tf.GradientTape() as tape:
        log_prob = dist.log_prob_in(images, nvp.Context(seed=(1, 2), labels=labels))
        loss = tf.reduce_sum(tf.sin(log_prob))
    return [loss, *tape.gradient(loss, dist.trainable_variables)]


@pytest.mark.parametrize("labels", [None, [0, 1, 1]], ids=["plain", "labels"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_gradients_are_those_of_the_plain_pass(graph, labels):
    num_classes = None if labels is None else 2
    expected = loss_and_gradients(build(recompute=False, num_classes=num_classes), labels)
    dist = build(recompute=True, num_classes=num_classes)
    run = tf.function(loss_and_gradients) if graph else loss_and_gradients
    for got, want in zip(run(dist, labels), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=100 * FLOAT64, rtol=100 * FLOAT64)


# Small flows with all that flows have: scales, statistics, mixings, inverses.
SMALL = {
    "flowpp": FLOWPP,
    "mixture_multiscale": MIXTURE_MULTISCALE,
    "jet": JET,
    "glow": {"steps": 2, "width": 4},
    "iaf": {"layers": 2, "widths": (4,)},
    "lecture_realnvp": {"width": 2, "blocks": 1, "scales": 1},
    "maf": {"layers": 2, "widths": (4,)},
    "nice": {"couplings": 2, "widths": (4,)},
    "nsf": {"couplings": 2, "hidden": (4,), "widths": (2, 2, 2)},
    "planar": {"layers": 2},
    "tarflow": TARFLOW,
    "radial": {"layers": 2},
    "residual": {"blocks": 2, "widths": (4,), "width": 4, "scales": 1},
    "sets": {"couplings": 2, "widths": (4,)},
    "realnvp": {"couplings": 2, "widths": (4,), "width": 2, "blocks": 1},
    "uva_multiscale": {"widths": (2, 2, 2), "blocks": 1},
    "uva_simple": {"width": 2, "couplings": 2, "blocks": 1},
    "uva_vardeq": {"width": 2, "couplings": 1, "blocks": 1},
}


def flows_and_shapes():
    for name in nvp.flows.names():
        for shape in [(3,), (4, 3), SHAPE]:
            try:
                known = nvp.flows.options(name, shape)
            except ValueError:
                continue
            options = {k: v for k, v in SMALL.get(name, {}).items() if k in known}
            yield pytest.param(name, shape, options, id=f"{name}-{len(shape)}")


@pytest.mark.parametrize(("name", "shape", "options"), list(flows_and_shapes()))
def test_every_flow_is_recomputed_or_says_that_it_cannot_be(name, shape, options):
    """Gradients and running statistics of a training step are those of the plain pass."""
    if name == "neural_ode":
        with pytest.raises(ValueError, match="neural_ode has nothing to recompute in its backward"):
            nvp.flows.build(name, shape, recompute=True)
        return
    rng = np.random.default_rng(0)
    y = rng.integers(0, 8, (4, *shape)) if len(shape) == 3 else rng.normal(size=(4, *shape))
    results = []
    for recompute in (False, True):
        dist = nvp.flows.build(
            name, shape, dtype="float64", levels=8, recompute=recompute, **options
        )
        dist.initialize(y)
        perturb_weights(dist.bijector)
        with tf.GradientTape() as tape:
            log_prob = dist.log_prob_in(y, nvp.Context(seed=(1, 2), training=True))
            loss = tf.reduce_sum(tf.sin(log_prob))
        results.append([loss, *tape.gradient(loss, dist.trainable_variables), *dist.variables])
    for got, want in zip(*results, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            np.testing.assert_allclose(got, want, atol=100 * FLOAT64, rtol=100 * FLOAT64)


@pytest.mark.slow
def test_replicas_recompute_with_the_statistics_of_the_whole_batch(strategy):
    images = np.random.default_rng(0).integers(0, 8, (8, *SHAPE)).astype("uint8")
    weights = []
    for recompute in (False, True):
        with strategy.scope():
            dist = nvp.flows.build(
                "realnvp", SHAPE, levels=8, width=2, blocks=1, scales=1, recompute=recompute
            )
            model = nvp.FlowModel(dist)
            model.compile("adam")
        model.fit(tf.data.Dataset.from_tensor_slices(images).batch(8), epochs=2, verbose=0)
        weights.append([np.asarray(v) for v in model.weights])
    for got, want in zip(*weights, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_activations_are_not_kept_but_made_again(jit):
    """The backward pass runs each network again; XLA does not merge it with the first run."""

    def products(recompute):
        dist = nvp.flows.build("realnvp", (4,), couplings=2, widths=(4,), recompute=recompute)

        @tf.function(jit_compile=jit)
        def gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(dist.log_prob(x))
            return tape.gradient(loss, dist.trainable_variables)

        x = tf.zeros([8, 4])
        if jit:
            return gradients.experimental_get_compiler_ir(x)("optimized_hlo").count(" dot(")
        return sum(
            op.type == "MatMul" for op in gradients.get_concrete_function(x).graph.get_operations()
        )

    plain, again = products(recompute=False), products(recompute=True)
    # Two couplings of two layers.
    assert again >= plain + 4


def test_what_is_inverted_is_run_again_as_one():
    results = []
    for recompute in (False, True):
        couplings = [
            nvp.bijectors.Coupling(nvp.bijectors.Halves(), nvp.conditioners.MLP(widths=(4,)))
            for _ in range(2)
        ]
        member = nvp.bijectors.Invert(nvp.bijectors.Composition(couplings))
        dist = nvp.Flow([member], (4,), dtype="float64", recompute=recompute)
        perturb_weights(dist.bijector)
        assert not recompute or is_recomputable(member)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(dist.log_prob(np.ones([3, 4])))
        results.append(tape.gradient(loss, dist.trainable_variables))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, atol=FLOAT64)


def test_a_network_from_elsewhere_is_not_run_again():
    """It might draw noise, as dropout does, or keep statistics."""
    network = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    coupling = nvp.bijectors.Coupling(nvp.bijectors.Halves(), network)
    with pytest.raises(ValueError, match=r"has nothing to recompute .* got \['Coupling'\]\."):
        nvp.Flow([coupling], (4,), recompute=True)


def test_the_option_is_part_of_the_configuration():
    dist = nvp.flows.build("uva_simple", SHAPE, levels=8, width=4, recompute=True)
    assert nvp.Flow.from_config(dist.get_config()).get_config()["recompute"] is True


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["no_xla", "xla"]
)
def test_trains_with_fit(jit):
    dist = nvp.flows.build("uva_simple", SHAPE, levels=8, width=4, couplings=2, recompute=True)
    model = nvp.FlowModel(dist)
    model.compile("adam", jit_compile=jit)
    images = np.random.default_rng(0).integers(0, 2, (16, *SHAPE)).astype("uint8")
    losses = model.fit(images, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
