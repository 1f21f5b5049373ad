"""TarFlow: the authors' numbers, what a pixel depends on, and samples token by token."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from constructors import TARFLOW, perturb_weights
from tolerances import FLOAT32, FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Affine, AutoregressivePixels, Composition, SoftplusAffine
from tfp_realnvp.bijectors.autoregressive_pixels import ORDERS
from tfp_realnvp.conditioners import MLP, CausalTransformer
from tfp_realnvp.core.context import Scope
from tfp_realnvp.execution import device
from tfp_realnvp.execution.choice import IN_STEPS, plan_for_values

# What the authors' PyTorch code makes of three images of six patches, in two blocks of two layers
# with weights that are float32 numbers; float64, the epsilon of the layer norms 1e-6.
GOLDEN = np.load(Path(__file__).parent / "golden" / "tarflow_blocks.npz")
SHAPE = (2, 3, 4)
SLOW = pytest.mark.slow


def blocks(count: int = 2, *, num_classes: int | None = None, dtype="float64", **options):
    """Returns blocks in turn from the first pixel on and from the last."""
    made = Composition(
        [
            AutoregressivePixels(
                CausalTransformer(width=8, depth=2, heads=2, **options), order=ORDERS[i % 2]
            )
            for i in range(count)
        ]
    )
    made.build(SHAPE, Scope(dtype=dtype, num_classes=num_classes))
    perturb_weights(made)
    return made


def test_the_authors_blocks():
    """Theirs are unbounded, have no last norm, and subtract what ours add."""
    members = [
        AutoregressivePixels(
            CausalTransformer(width=8, depth=2, heads=2, last_norm=False),
            order=order,
            transformer=Affine(bound=1e8),
        )
        for order in ORDERS
    ]
    flow = Composition(members)
    flow.build(SHAPE, Scope(dtype="float64", num_classes=3))
    for i, member in enumerate(members):
        load(member, f"{i}/")
    context = nvp.Context(labels=GOLDEN["labels"])
    y = GOLDEN["tokens"].reshape(-1, *SHAPE)
    x, log_det = flow.inverse_and_log_det(y, context)
    np.testing.assert_allclose(x, GOLDEN["latents"].reshape(-1, *SHAPE), atol=FLOAT64)
    np.testing.assert_allclose(log_det, GOLDEN["log_det"], atol=FLOAT64)
    again, back = flow.forward_and_log_det(x, context)
    np.testing.assert_allclose(again, y, atol=FLOAT64)
    np.testing.assert_allclose(back, -GOLDEN["log_det"], atol=FLOAT64)


def load(member: AutoregressivePixels, prefix: str) -> None:
    """Assigns the authors' weights of one block."""
    network = member.conditioner

    def assign(pair, name, sign=1):
        kernel, bias = GOLDEN[f"{prefix}{name}.weight"], GOLDEN[f"{prefix}{name}.bias"]
        pair[0].assign(sign * kernel.T)
        pair[1].assign(sign * bias)

    assign(network.start, "proj_in")
    positions = GOLDEN[f"{prefix}pos_embed"]
    ordered = positions if member.order == "raster" else positions[::-1]
    network.positions.assign(ordered[:-1])  # nothing follows the last
    network.of_given.assign(GOLDEN[f"{prefix}class_embed"][:, 0])
    for i, block in enumerate(network.blocks.blocks):
        place = f"attn_blocks.{i}"
        assign(block["norm"], f"{place}.attention.norm")
        assign(block["project"], f"{place}.attention.qkv")
        assign(block["gather"], f"{place}.attention.proj")
        assign(block["wide_norm"], f"{place}.mlp.norm")
        assign(block["widen"], f"{place}.mlp.main.0")
        assign(block["narrow"], f"{place}.mlp.main.2")
    assign(network.end, "proj_out", sign=-1)


@pytest.mark.parametrize("order", ORDERS)
def test_a_pixel_depends_on_itself_and_those_before_it(order, rng):
    block = AutoregressivePixels(CausalTransformer(width=8, depth=1, heads=2), order=order)
    block.build(SHAPE, Scope(dtype="float64"))
    perturb_weights(block)
    y = tf.constant(rng.normal(size=(1, *SHAPE)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        x = block.inverse(y)
    jacobian = tape.batch_jacobian(x, y, experimental_use_pfor=False)
    jacobian = np.reshape(jacobian, (6, 4, 6, 4)).transpose(0, 2, 1, 3)
    depends = (jacobian != 0).any((2, 3))
    np.testing.assert_array_equal(depends, np.tri(6) if order == "raster" else np.tri(6).T)
    first = 0 if order == "raster" else -1
    np.testing.assert_array_equal(jacobian[first, first], np.eye(4))
    np.testing.assert_array_equal(np.reshape(x, (6, 4))[first], np.reshape(y, (6, 4))[first])


def test_steps_with_the_cache_are_runs_of_all_tokens(rng):
    """Pixel by pixel, with the network run on all pixels for each."""
    flow = blocks(1)
    block = flow.bijectors[0]
    x = tf.constant(rng.normal(size=(3, 6, 4)))
    y = x
    for i in range(1, 6):
        parameters = block.conditioner.parameters(y[:, :-1], nvp.Context())[:, i - 1]
        token = block.transformer.forward(x[:, i], parameters)[0]
        y = tf.concat([y[:, :i], token[:, None], y[:, i + 1 :]], 1)
    got = flow.forward(tf.reshape(x, (3, *SHAPE)))
    np.testing.assert_allclose(np.reshape(got, y.shape), y, atol=FLOAT64)


@pytest.mark.parametrize("count", [None, 1, 3])
def test_samples_take_one_graph_with_a_loop_for_each_block(count, rng):
    flow = blocks(dtype="float32")
    spec = tf.TensorSpec([count, *SHAPE], tf.float32)
    graph = tf.function(flow.forward_and_log_det, autograph=False).get_concrete_function(spec)
    loops = [op for op in graph.graph.get_operations() if op.type in ("While", "StatelessWhile")]
    assert len(loops) == 2
    x = tf.constant(rng.normal(size=(count or 2, *SHAPE)), tf.float32)
    y, log_det = graph(x)
    latents, back = flow.inverse_and_log_det(y)
    np.testing.assert_allclose(latents, x, atol=FLOAT32)
    np.testing.assert_allclose(log_det, -back, atol=FLOAT32)


def test_bfloat16_products_and_exact_evaluations(rng):
    """Steps are in the precision of a whole run; exact ones are those of a float32 flow."""
    y = tf.constant(rng.normal(size=(4, *SHAPE)), tf.float32)
    results = []
    for dtype in ("float32", "mixed_bfloat16"):
        flow = Composition([AutoregressivePixels(CausalTransformer(width=8, depth=1, heads=2))])
        flow.build(SHAPE, Scope(conditioner_dtype=dtype))
        perturb_weights(flow)
        results.append(flow.inverse_and_log_det(y, nvp.Context(exact=True)))
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)
    rounded, _ = flow.inverse_and_log_det(y)
    assert rounded.dtype == tf.float32 and (rounded != results[0][0]).numpy().any()
    np.testing.assert_allclose(rounded, results[0][0], atol=0.05)
    np.testing.assert_allclose(flow.forward(tf.identity(rounded)), y, atol=0.05)
    again, _ = flow.forward_and_log_det(results[0][0], nvp.Context(exact=True))
    np.testing.assert_allclose(again, y, atol=1e-5)


def test_bounds_of_the_softplus_affine():
    raw = np.array([-1e4, -3.0, 0.0, 3.0, 1e4])[:, None]
    y = np.ones([5, 1])
    x, log_slope = SoftplusAffine(bound=4.0).inverse(y, np.concatenate([raw, raw], -1))
    bounded = 4 * np.tanh(raw / 4)
    scale = np.log1p((np.e - 1) * np.exp(bounded))
    np.testing.assert_allclose(x, (y + bounded) / scale)
    np.testing.assert_allclose(log_slope, -np.log(scale))
    assert scale[2] == 1 and scale.min() > 0.03 and scale.max() < 4.6


def flow(**options):
    dist = nvp.flows.build("tarflow", (4, 4, 1), levels=8, **{**TARFLOW, **options})
    dist.initialize(images(16), np.zeros(16, int) if dist.num_classes else None)
    perturb_weights(dist.bijector)
    return dist


def images(count):
    return np.random.default_rng(0).integers(0, 8, (count, 4, 4, 1)).astype("uint8")


def test_the_size_of_the_authors_notebook():
    dist = nvp.flows.build("tarflow", (28, 28, 1), dequantization="uniform")
    # Into the network, its positions and last norm, out of it; its layers.
    block = 16 * 128 + 128 + 48 * 128 + 128 + 128 * 32 + 32 + 4 * (12 * 128**2 + 13 * 128)
    assert sum(np.prod(v.shape) for v in dist.trainable_variables) == 4 * block + 32


@pytest.mark.parametrize("dequantization", ["variational", "uniform"])
def test_pixels_come_back_and_labels_count(dequantization):
    dist = flow(num_classes=3, dequantization=dequantization)
    y, labels = images(9), np.arange(9) % 3
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, y, labels), labels), y)
    nats = [dist.log_prob(y, bijector_kwargs={"seed": (0, 0), "labels": label}) for label in (0, 1)]
    assert (nats[0] != nats[1]).numpy().all()


def test_parts_have_rows_enough_for_a_step(monkeypatch):
    monkeypatch.setattr(device, "cores", lambda: 2)
    dist = nvp.flows.build("tarflow", (28, 28, 1), width=4, blocks=1, layers=1)
    assert plan_for_values(dist).rows_at_once == 2 * IN_STEPS


def test_a_row_and_its_noise_do_not_depend_on_the_rows_beside_it():
    dist = flow()
    together = dist.log_prob(images(5), bijector_kwargs={"seed": (1, 2)})
    for i in range(5):
        kwargs = {"seed": (1, 2), "first_row": i}
        alone = dist.log_prob(images(5)[i : i + 1], bijector_kwargs=kwargs)
        np.testing.assert_allclose(alone, together[i : i + 1], rtol=1e-5)
    np.testing.assert_array_equal(nvp.sample(dist, 8, seed=3)[:5], nvp.sample(dist, 5, seed=3))


@pytest.mark.parametrize(
    "options",
    [{}, {"shards": 2, "microbatch": 8}, pytest.param({"jit_compile": True}, marks=SLOW)],
    ids=["plain", "parts", "xla"],
)
def test_fit_learns(options):
    model = nvp.FlowModel(flow())
    model.compile(nvp.Adam(1e-2), **options)
    history = model.fit(np.repeat(images(2), 8, 0), batch_size=16, epochs=8, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0] - 0.5


def test_export(tmp_path):
    dist = flow(num_classes=3)
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    y, labels = tf.constant(images(5)), tf.constant(np.arange(5) % 3, tf.int32)
    got = served["log_prob"](images=y, labels=labels, seed=tf.constant([1, 2]))["log_prob"]
    kwargs = {"seed": (1, 2), "labels": labels}
    np.testing.assert_allclose(got, dist.log_prob(y, bijector_kwargs=kwargs), rtol=FLOAT32)
    draw = {"temperature": tf.constant(0.7), "seed": tf.constant([0, 1]), "labels": labels}
    drawn = served["sample"](num_samples=tf.constant(5), **draw)["images"]
    expected = dist.sample(5, seed=(0, 1), temperature=0.7, bijector_kwargs={"labels": labels})
    np.testing.assert_array_equal(drawn, expected)
    latents = served["encode"](images=y, labels=labels)["latents"]
    np.testing.assert_array_equal(served["decode"](latents=latents, labels=labels)["images"], y)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patch": 1}, "tarflow needs patch to be a whole number of at least 2, got 1."),
        ({"patch": 4}, "needs at least 2 pixels, got shape (1, 1, 16)."),
        ({"patch": 8}, "tarflow needs height and width to be multiples of 8, got (4, 4, 1)."),
        ({"heads": 3}, "CausalTransformer needs a width that its heads divide, got width=4 and"),
        ({"dequantization": "none"}, "Unknown dequantization 'none'; there are ('variational', "),
    ],
)
def test_what_is_refused(options, sentence):
    with pytest.raises(ValueError) as caught:
        nvp.flows.build("tarflow", (4, 4, 1), **{**TARFLOW, **options})
    assert sentence in str(caught.value)


def test_what_a_block_refuses():
    with pytest.raises(ValueError, match="Unknown order 'snake' of pixels; the orders are"):
        AutoregressivePixels(CausalTransformer(), order="snake")
    with pytest.raises(TypeError, match="conditioner to be a CausalTransformer, got MLP"):
        AutoregressivePixels(MLP())
    with pytest.raises(TypeError, match="transformer to be a Transformer, got 'affine'"):
        AutoregressivePixels(CausalTransformer(), transformer="affine")
    dequantization = nvp.bijectors.VariationalDequantization(
        [AutoregressivePixels(CausalTransformer())]
    )
    with pytest.raises(ValueError, match="cannot see the 1 features of a condition"):
        dequantization.build((2, 2, 1))
