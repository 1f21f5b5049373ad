"""Flow++ piece by piece: its parameters, its authors' numbers, its start from data, its noise."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from constructors import FLOWPP, perturb_weights
from tolerances import FLOAT32, FLOAT64

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    Blockwise,
    ChannelHalves,
    Coupling,
    Encoded,
    InvertibleConv,
    Squeeze,
    Squeezed,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import MLP, GatedAttention, GatedFeatures
from tfp_realnvp.core.context import Context, Scope
from tfp_realnvp.kernels import layer_norm

# The authors start from the moments with 1e-8 added to the variance, in float32.
STARTED = 1e-5

# What the published code makes at 32x32x3, with the number of each: 31,443,440 in all.
PIECES = {
    "features": (167_936, 1),  # 1,760 and three times 18,464 + 36,928
    "norm of the noise": (6_144, 4),  # bias and log-scale of 32 x 32 x 3 elements
    "mixing of the noise": (18, 4),  # 2 x 3 x 3
    # Positions, start, blocks of 165,984 + 6,240 + 37,056 + 27,936 + 18,624 + 2 x 192, and end.
    "network of the noise": (49_152 + 2_688 + 2 * 256_224 + 254_310, 4),
    "norm of columns": (6_144, 4),
    "mixing of columns": (18, 4),
    "network of columns": (49_152 + 2_688 + 10 * 249_984 + 254_310, 4),
    "norm of channels": (6_144, 2),
    "mixing of channels": (72, 2),
    "network of channels": (24_576 + 5_280 + 10 * 249_984 + 508_620, 2),
    "norm of coarse columns": (6_144, 3),
    "mixing of coarse columns": (288, 3),
    "network of coarse columns": (12_288 + 10_464 + 10 * 249_984 + 1_017_240, 3),
}
KINDS = {ActNorm: "norm", Blockwise: "mixing", Coupling: "network"}


def size(trained) -> int:
    return sum(int(np.prod(v.shape)) for v in trained.trainable_variables)


def small(shape=(4, 4, 2), **options):
    dist = nvp.flows.build("flowpp", shape, **{"levels": 8, **FLOWPP, **options})
    dist.initialize(images_of(shape, 32))
    perturb_weights(dist.bijector)
    return dist


def images_of(shape, count):
    return np.random.default_rng(0).integers(0, 8, (count, *shape)).astype("uint8")


def test_parameters_are_those_of_the_authors_code():
    dist = nvp.flows.build("flowpp", (32, 32, 3))
    quantizer, _, columns, _, *rest = dist.bijector.bijectors
    noise = quantizer.members[0].members[0]
    assert isinstance(noise, Encoded)
    runs = {
        "the noise": noise.members,
        "columns": columns.members,
        "channels": rest[:6],
        "coarse columns": rest[6].members,
    }
    found = {"features": [size(noise.network)]}
    for place, members in runs.items():
        for member in members:
            found.setdefault(f"{KINDS[type(member)]} of {place}", []).append(size(member))
    assert found == {name: [count] * times for name, (count, times) in PIECES.items()}
    assert sum(count * times for count, times in PIECES.values()) == 31_443_440
    assert size(dist) == 31_443_440


@pytest.fixture(scope="module")
def authors():
    """What `flows/flows.py` of github.com/aravindsrinivas/flowpp computes in float64.

    Weights are random, of float32; a norm, a mixing, features of an image, and what the network of
    a coupling makes of the normed and mixed left half given these. `started` are the weights that
    its start from data makes of the same ones, biases 0.
    """
    with np.load(Path(__file__).parent / "golden" / "flowpp_authors.npz") as stored:
        return {key: stored[key].astype("float64") for key in stored.files}


@pytest.fixture
def their_epsilon(monkeypatch):
    monkeypatch.setattr(layer_norm, "EPSILON", 1e-5)


FEATURES = ["proj", *(f"c{i}/{conv}" for i in range(3) for conv in ("c1", "c2"))]
BLOCK = ["conv/c1", "conv/a_proj", "conv/c2", "ln1", "attn/proj1", "attn/proj2", "ln2"]


def theirs(layers):
    """Names of the authors' weights, in our order."""
    return [f"{name}/{kind}" for name in layers for kind in ("gb" if "/ln" in name else "Wb")]


OF_FEATURES = [f"features/{name}" for name in theirs(FEATURES)]
OF_NETWORK = [
    f"MixLogisticAttnCoupling/{name}"
    for name in (
        *theirs(["proj_in"]),
        "pos_emb",
        *theirs(f"block{i}/{name}" for i in range(2) for name in BLOCK),
        *theirs(["proj_out"]),
    )
]


def with_weights(layer, scope, outputs, shape, weights):
    layer.prepare(outputs=outputs, scope=scope)
    layer.build((None, *shape))
    for weight, value in zip(layer.trainable_variables, weights, strict=True):
        weight.assign(value.reshape(weight.shape))
    return layer


def their_features(authors, prefix="weights"):
    weights = [authors[f"{prefix}/{name}"] for name in OF_FEATURES]
    return with_weights(GatedFeatures(width=4), Scope(dtype="float64"), 4, (4, 4, 6), weights)


def their_network(authors):
    scope = Scope(dtype="float64", condition_channels=4)
    weights = [authors[f"weights/{name}"] for name in OF_NETWORK]
    made = GatedAttention(width=8, blocks=2, heads=4)
    return with_weights(made, scope, 3 * 8, (4, 4, 3 + 4), weights)


def squeezed(value):
    squeeze = Squeeze(order="columns")
    squeeze.build(value.shape[1:], Scope(dtype="float64"))
    return squeeze.inverse_and_log_det(value)[0]


def same(got, want, tolerance=FLOAT64):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_norm_and_mixing_compute_what_the_authors_do(authors):
    scope = Scope(dtype="float64")
    norm, mixing = ActNorm(elementwise=True), Blockwise([InvertibleConv(), InvertibleConv()])
    for bijector in (norm, mixing):
        bijector.build((4, 4, 6), scope)
    gain, bias = (
        np.concatenate([authors[f"weights/Norm/norm{i}/{kind}"] for i in range(2)], -1)
        for kind in "gb"
    )
    norm.log_scale.assign(np.log(gain))
    norm.shift.assign(bias / gain)
    for i, member in enumerate(mixing.members):
        member._assign(authors[f"weights/Pointwise/W{i}"].T)
    x, log_det = norm.inverse_and_log_det(squeezed(authors["y"]))
    same(x, authors["norm"])
    same(log_det, authors["norm_log_det"])
    x, log_det = mixing.inverse_and_log_det(x)
    same(x, authors["mixing"])
    same(log_det, authors["mixing_log_det"], FLOAT32)  # they take it in float32


def test_networks_compute_what_the_authors_do(authors, their_epsilon):
    image = squeezed(authors["images"]) / 256 - 0.5
    features = their_features(authors).parameters(image, Context())
    same(features, authors["features"])
    seen = tf.concat([authors["mixing"][..., :3], features], -1)
    outputs = their_network(authors).parameters(seen, Context())
    outputs = np.reshape(outputs, [2, 4, 4, 3, 8])
    same(np.tanh(outputs[..., 0]), authors["log_scale"])
    same(outputs[..., 1], authors["shift"])
    for i, name in enumerate(["logits", "means", "log_scales"]):
        same(outputs[..., 2 + 2 * i : 4 + 2 * i], authors[name])


def test_the_start_from_data_is_the_authors(authors, their_epsilon):
    image = squeezed(authors["images"]) / 256 - 0.5
    unset = {k: np.zeros_like(v) if k.endswith("/b") else v for k, v in authors.items()}
    features = their_features(unset)
    features.initialize(image, Context())
    for weight, name in zip(features.trainable_variables, OF_FEATURES, strict=True):
        same(np.ravel(weight), np.ravel(authors[f"started/{name}"]), STARTED)
    norm = ActNorm(elementwise=True)
    norm.build((4, 4, 6), Scope(dtype="float64"))
    norm.initialize(squeezed(authors["y"]))
    x, _ = norm.inverse_and_log_det(squeezed(authors["y"]))
    mixed = x[..., :3] @ authors["weights/Pointwise/W0"]
    network = their_network(unset)
    seen = tf.concat([mixed, features.parameters(image, Context())], -1)
    assert network.needs_data
    network.initialize(seen, Context())
    assert not network.needs_data
    for weight, name in zip(network.trainable_variables, OF_NETWORK, strict=True):
        started = authors.get(f"started/{name}", authors[f"weights/{name}"])
        same(np.ravel(weight), np.ravel(started), STARTED)


def test_columns_are_halves_of_the_channels(rng):
    y = rng.normal(size=(2, 3, 4, 2))
    x = squeezed(y)
    np.testing.assert_array_equal(x[..., :2], y[:, :, 0::2])
    np.testing.assert_array_equal(x[..., 2:], y[:, :, 1::2])
    with pytest.raises(ValueError, match=r"A squeeze needs an even width, got .* \(4, 3, 1\)"):
        Squeeze(order="columns").build((4, 3, 1))
    with pytest.raises(ValueError, match=r"a multiple of 2 channels, got .* \(4, 4, 3\)"):
        Squeeze(order="columns").forward(np.zeros([1, 4, 4, 3]))


def test_blocks_do_not_see_each_other():
    mixing = Blockwise([InvertibleConv(), InvertibleConv()])
    y = np.random.default_rng(0).normal(size=(1, 2, 2, 6))
    x = mixing.inverse(y).numpy()
    y[..., 4] += 1
    changed = mixing.inverse(y).numpy() != x
    assert not changed[..., :3].any() and changed[..., 3:].all()
    assert mixing.latent_sizes == [24]
    with pytest.raises(ValueError, match=r"channels into 2 equal blocks, got .* \(2, 2, 5\)"):
        Blockwise([ActNorm(), ActNorm()]).build((2, 2, 5))
    with pytest.raises(ValueError, match="Blocks need at least one bijector"):
        Blockwise([])
    with pytest.raises(ValueError, match=r"keep the shape \(2, 2, 2\) of their blocks, got one"):
        Blockwise([Squeeze(), Squeeze()]).build((2, 2, 4))


def test_each_element_has_its_own_norm(rng):
    y = rng.normal(size=(50, 2, 3, 2)) * rng.uniform(1, 5, (2, 3, 2)) + rng.normal(size=(2, 3, 2))
    norm = ActNorm(elementwise=True)
    norm.initialize(y)
    x = norm.inverse(y)
    np.testing.assert_allclose(np.mean(x, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(x, 0), 1, atol=1e-5)


def test_features_run_once_for_all_couplings_and_go_into_every_block(monkeypatch):
    dist = small(noise_couplings=3, noise_blocks=2)
    runs = []
    run = GatedFeatures.run

    def counted(self, *args):
        runs.append(self)
        return run(self, *args)

    monkeypatch.setattr(GatedFeatures, "run", counted)
    dist.log_prob(images_of((4, 4, 2), 2))
    assert len(runs) == 1
    networks = [b.conditioner for b in dist.quantizer.submodules if isinstance(b, Coupling)]
    for network in networks:
        assert network.start[0].shape[2] == 2  # of the half that it sees, none of the features
        assert [block["condition"][0].shape[2] for block in network.residual] == [4, 4]


def test_noise_sees_the_image_and_trains_its_features():
    dist = small()
    y = images_of((4, 4, 2), 8)
    with tf.GradientTape() as tape:
        u, log_q = dist.quantizer.noise_and_log_q(
            tf.cast(y, tf.float32), tf.fill(y.shape, 0.3), Context()
        )
        loss = tf.reduce_sum(tf.sin(u)) + tf.reduce_sum(log_q)
    assert (u.numpy()[0] != u.numpy()[1]).any()
    variables = dist.quantizer.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, variable.name


def test_a_network_for_conditions_needs_one():
    couplings = [Coupling(ChannelHalves(), GatedAttention(width=4, blocks=1))]
    with pytest.raises(ValueError, match=r"for bijectors that see a condition, .* none here"):
        Encoded(GatedFeatures(width=2), couplings).build((2, 2, 2))
    with pytest.raises(TypeError, match="Encoded needs network to be a Conditioner, got 'x'"):
        Encoded("x", couplings)
    with pytest.raises(ValueError, match="needs outputs="):
        VariationalDequantization([Encoded(MLP(), couplings)]).build((2, 2, 2))


def test_a_flow_of_one_channel_mixes_where_there_is_something_to_mix():
    dist = nvp.flows.build("flowpp", (4, 4, 1), **FLOWPP)
    columns, _, *rest = dist.bijector.bijectors[2:]
    assert not any(isinstance(b, InvertibleConv) for b in columns.submodules)
    assert sum(isinstance(b, Blockwise) for b in rest) == 1


def test_dropout_is_in_all_networks_in_training_alone():
    dist = small(dropout=0.5)
    y = images_of((4, 4, 2), 4)

    def log_prob(seed, *, training):
        # The same noise: dropout alone follows the seed, and only in training.
        base = tf.fill(y.shape, 0.3)
        context = Context(seed=seed, training=training)
        u, log_q = dist.quantizer.noise_and_log_q(tf.cast(y, tf.float32), base, context)
        _, log_det = dist.continuous.inverse_and_log_det(y + u, context)
        return log_q, log_det

    for one, other in zip(log_prob(1, training=False), log_prob(2, training=False), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(log_prob(1, training=True), log_prob(2, training=True), strict=True):
        assert (one.numpy() != other.numpy()).all()


def test_labels_reach_the_networks():
    dist = nvp.flows.build("flowpp", (4, 4, 2), levels=8, num_classes=2, **FLOWPP)
    y = images_of((4, 4, 2), 4)
    dist.initialize(y, [0, 1, 0, 1])
    perturb_weights(dist.bijector)
    kwargs = [{"labels": np.full(4, label), "seed": 1} for label in (0, 1)]
    first, second = (dist.log_prob(y, bijector_kwargs=each).numpy() for each in kwargs)
    assert (first != second).all()


def test_fits_in_bfloat16_saves_and_serves(tmp_path):
    images, _ = nvp.datasets.load_arrays("digits", "train")
    options = {**FLOWPP, "width": 8, "heads": 2}
    dist = nvp.flows.build(
        "flowpp", (8, 8, 1), levels=17, conditioner_dtype="mixed_bfloat16", **options
    )
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(3e-3, global_clipnorm=1.0))
    losses = model.fit(images[:256], batch_size=64, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not dist.bijector.needs_data
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    kwargs = {"bijector_kwargs": {"seed": (1, 2)}}
    expected = dist.log_prob(images[:3], **kwargs)
    np.testing.assert_array_equal(loaded.log_prob(images[:3], **kwargs), expected)
    served = tf.saved_model.load(str(nvp.export(dist, tmp_path / "served"))).signatures
    got = served["log_prob"](images=images[:3], seed=tf.constant([1, 2]))["log_prob"]
    np.testing.assert_allclose(got, expected, rtol=2e-2)
    latents = served["encode"](images=images[:3])["latents"]
    np.testing.assert_array_equal(served["decode"](latents=latents)["images"], images[:3])


def test_the_condition_is_squeezed_like_the_columns():
    coupling = Coupling(ChannelHalves(), GatedAttention(width=4, blocks=1))
    quantizer = VariationalDequantization([Squeezed([coupling], order="columns")], levels=8)
    quantizer.build((4, 4, 3))
    assert coupling.conditioner.condition_channels == 6
