"""One row, one result: whatever the plan, the cores, the rows at once, and where a batch is cut."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from test_flows import SMALL, options_of, shape_of

import tfp_realnvp as nvp
from tfp_realnvp.execution import device
from tfp_realnvp.execution.choice import plan_for_training, plan_for_values
from tfp_realnvp.uses.likelihood import log_prob

ROWS = 21
# Float64 on other numbers of rows: sums of products in another order.
SAME = {"rtol": 1e-9, "atol": 1e-9}
# Float32 likewise, in nats of some hundreds; a solver's steps.
SAME32 = {"rtol": 1e-4, "atol": 1e-3}


# Their graphs take long, and are like those of others.
LONG = {"lecture_realnvp", "flowpp", "jet", "uva_vardeq", "nsf", "residual"}


def flows():
    for name in SMALL:
        marks = [pytest.mark.slow] if name in LONG else []
        yield pytest.param(name, shape_of(name, (2,)), id=name, marks=marks)
    for name in ("realnvp", "glow", "nsf", "residual"):
        shape = (4, 4, 1) if name == "realnvp" else (4,)
        yield pytest.param(name, shape, id=f"{name} too", marks=pytest.mark.slow)


def build(name, shape, **options):
    dist = nvp.flows.build(name, shape, **options_of(name, shape), **options)
    x, labels = data(shape, dist)
    if dist.bijector.needs_data:
        dist.initialize(x, labels)
    perturb_weights(dist.bijector, 0.03)
    return dist, x, labels


def data(shape, dist):
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        x = rng.integers(0, 256, (ROWS, *shape)).astype("uint8")
    else:
        x = rng.normal(size=(ROWS, *shape)).astype("float32")
    return x, None if dist.num_classes is None else np.arange(ROWS) % dist.num_classes


@pytest.fixture(params=[1, 2, pytest.param(4, marks=pytest.mark.slow)], ids=lambda n: f"{n} cores")
def cores(request, monkeypatch):
    monkeypatch.setattr(device, "cores", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("name", "shape"), list(flows()))
@pytest.mark.parametrize(
    "plans",
    [
        pytest.param([(4, 5)], id="4 cores, 5 rows"),
        pytest.param([(1, 2), (2, None), (4, None)], id="others", marks=pytest.mark.slow),
    ],
)
def test_values(name, shape, plans, monkeypatch):
    dist, x, _ = build(name, shape, dtype="float64")
    whole = dist.log_prob(x, bijector_kwargs={"seed": (5, 6)})
    monkeypatch.setattr(device, "cores", lambda: 1)
    z = nvp.encode(dist, x)
    drawn = nvp.sample(dist, ROWS, seed=3)
    noise = None if dist.levels is None else nvp.dequantization_noise(dist, x, seed=(5, 6))
    bits = None if dist.levels is None else nvp.bits_per_dim(dist, x, num_importance_samples=2)
    for number, rows in plans:
        monkeypatch.setattr(device, "cores", lambda n=number: n)
        nats = log_prob(dist, x, seed=(5, 6), rows_at_once=rows)
        np.testing.assert_allclose(nats, whole, **SAME)
        np.testing.assert_allclose(nvp.encode(dist, x, rows_at_once=rows), z, **SAME)
        np.testing.assert_allclose(nvp.sample(dist, ROWS, seed=3), drawn, **SAME)
        decoded = nvp.decode(dist, z, rows_at_once=rows)
        if dist.levels is None:
            np.testing.assert_allclose(decoded, x, atol=1e-4)
            continue
        np.testing.assert_array_equal(decoded, x)
        again = nvp.dequantization_noise(dist, x, seed=(5, 6), rows_at_once=rows)
        np.testing.assert_allclose(again, noise, **SAME)
        again = nvp.bits_per_dim(dist, x, num_importance_samples=2, rows_at_once=rows)
        np.testing.assert_allclose(again, bits, rtol=1e-6)
    # Cut anywhere, each part says where it begins.
    for start, stop in ((0, 1), (4, 9), (ROWS - 1, ROWS), (3, 3)):
        own = {"bijector_kwargs": {"seed": (5, 6), "first_row": start}}
        np.testing.assert_allclose(dist.log_prob(x[start:stop], **own), whole[start:stop], **SAME)


def test_uniform_noise_is_the_same_bit_for_bit(cores):
    dist, x, _ = build("uva_simple", (8, 8, 1))
    expected = dist.quantizer.base_noise(tf.cast(x, tf.float32), nvp.Context(seed=(5, 6)))
    for rows in (None, 1, 5, 10):
        noise = nvp.dequantization_noise(dist, x, seed=(5, 6), rows_at_once=rows)
        np.testing.assert_array_equal(noise, expected)


@pytest.mark.parametrize(("name", "shape"), list(flows()))
def test_gradients_of_a_step(name, shape):
    results = {}
    # Statistics of whole batches want whole batches.
    settings = [{}, {"shards": 2, "microbatch": 9}]
    for how in settings:
        dist, x, _ = build(name, shape, dtype="float64")
        model = nvp.FlowModel(dist, seed=4)
        try:
            model.compile(keras.optimizers.SGD(1.0), **how)
        except ValueError as error:
            assert how and "statistics of whole batches" in str(error)
            continue
        before = [v.numpy() for v in model.trainable_variables]
        history = model.fit(x, batch_size=ROWS, shuffle=False, verbose=0).history
        after = [v.numpy() for v in model.trainable_variables]
        steps = [b - a for a, b in zip(before, after, strict=True)]
        results[str(how)] = [history["loss"][0], *steps]
    first = results.pop("{}")
    for other in results.values():
        for one, two in zip(first, other, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-7, atol=1e-9)


def test_labels_go_with_their_rows(cores):
    dist, x, labels = build("uva_multiscale", (8, 8, 1), dtype="float64", num_classes=3)
    whole = dist.log_prob(x, bijector_kwargs={"seed": (5, 6), "labels": labels})
    for rows in (None, 4):
        nats = log_prob(dist, x, labels, seed=(5, 6), rows_at_once=rows)
        np.testing.assert_allclose(nats, whole, **SAME)
    one_for_all = log_prob(dist, x, 2, seed=(5, 6))
    expected = dist.log_prob(x, bijector_kwargs={"seed": (5, 6), "labels": 2})
    np.testing.assert_allclose(one_for_all, expected, **SAME)


@pytest.mark.parametrize(
    ("name", "shape"), [("uva_vardeq", (8, 8, 1)), ("nsf", (4,)), ("realnvp", (3,))]
)
def test_savedmodel_and_lite_with_a_seed(name, shape, tmp_path, cores):
    dist, x, _ = build(name, shape)
    key = "x" if dist.levels is None else "images"
    nats = dist.log_prob(x, bijector_kwargs={"seed": (5, 6)})
    drawn = nvp.sample(dist, ROWS, seed=(7, 8))
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "model"))).signatures
    for count in (ROWS, 5, 1):
        result = served["log_prob"](**{key: x[:count], "seed": tf.constant([5, 6])})["log_prob"]
        np.testing.assert_allclose(result, nats[:count], **SAME32)
    result = served["sample"](
        num_samples=tf.constant(ROWS), temperature=tf.constant(1.0), seed=tf.constant([7, 8])
    )[key]
    np.testing.assert_allclose(tf.cast(result, tf.float32), drawn.astype("float32"), atol=1)
    lite = nvp.Lite(dist, num=ROWS)
    np.testing.assert_allclose(lite.log_prob(x, seed=(5, 6)), nats, **SAME32)
    np.testing.assert_allclose(lite.sample(seed=(7, 8)), drawn.astype("float32"), atol=1)
    if dist.levels is None:
        compiled = nvp.Compiled(dist, num=ROWS)
        np.testing.assert_allclose(compiled.log_prob(x), nats, **SAME32)
        np.testing.assert_allclose(compiled.sample(seed=(7, 8)), drawn, **SAME32)


def test_an_export_does_not_depend_on_cores(tmp_path, monkeypatch):
    dist, *_ = build("uva_simple", (8, 8, 1))
    graphs = []
    for number in (1, 4):
        monkeypatch.setattr(device, "cores", lambda n=number: n)
        path = nvp.export(dist, tmp_path / str(number))
        loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
        library = loaded.graph.as_graph_def().library.function
        nodes = [node for function in library for node in function.node_def]
        iterations = [node.attr["parallel_iterations"].i for node in nodes]
        graphs.append(collections.Counter(zip([n.op for n in nodes], iterations, strict=True)))
    assert graphs[0] == graphs[1]


def test_choices(monkeypatch):
    images, _, _ = build("uva_simple", (8, 8, 1))
    vectors, _, _ = build("realnvp", (2,))
    norm, _, _ = build("realnvp", (4, 4, 1))
    monkeypatch.setattr(device, "cores", lambda: 4)
    plan = plan_for_values(images)
    assert (plan.parts, plan.rows_at_once) == (4, 4 * 16 * 28 * 28 // 64)
    assert plan_for_values(images, rows_at_once=10).rows_at_once == 10
    assert plan_for_values(vectors).parts == 1
    for name, shape in (("flowpp", (8, 8, 1)), ("glow", (8, 8, 1)), ("realnvp", (4, 4, 1))):
        assert plan_for_values(build(name, shape)[0]).parts == 4
    coupling = nvp.bijectors.Coupling(
        nvp.bijectors.Channels(), keras.layers.Conv2D(4, 3, padding="same")
    )
    foreign = nvp.Flow([coupling], (4, 4, 2))
    assert plan_for_values(foreign).parts == 1
    with pytest.raises(ValueError, match="with a microbatch it takes 1 shard, got 2"):
        plan_for_training(foreign, shards=2, microbatch=8)
    assert plan_for_training(foreign, shards=2).parts == 2
    assert plan_for_training(foreign, microbatch=8).parts == 1
    monkeypatch.setattr(device, "shards_in_use", lambda: 2)
    assert plan_for_training(images).parts == 2
    assert plan_for_training(norm).parts == 1  # statistics of whole batches
    monkeypatch.setattr(device, "has_gpu", lambda: True)
    assert plan_for_values(images).parts == 1
