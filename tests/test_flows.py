"""Flows by name: shapes, parameter counts, options, summaries, reproducible initial values."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import FLOWPP, JET, MIXTURE_MULTISCALE, TARFLOW, perturb_weights

import tfp_realnvp as nvp

PARAMETERS = {"uva_simple": 556_312, "uva_vardeq": 628_388, "uva_multiscale": 1_711_818}
SMALL = {
    "uva_simple": {"width": 4, "couplings": 2, "blocks": 1},
    "uva_vardeq": {"width": 4, "couplings": 2, "blocks": 1},
    "uva_multiscale": {"widths": (4, 4, 4), "blocks": 1},
    "flowpp": FLOWPP,
    "mixture_multiscale": MIXTURE_MULTISCALE,
    "jet": JET,
    "tarflow": TARFLOW,
    "lecture_realnvp": {"width": 2, "blocks": 1},
    "glow": {"width": 4, "steps": 1},
    "realnvp": {"couplings": 2, "widths": (8,), "width": 2, "blocks": 1},
    "planar": {"layers": 2},
    "maf": {"layers": 2, "widths": (8,)},
    "iaf": {"layers": 2, "widths": (8,)},
    "neural_ode": {"widths": (8,)},
    "nsf": {"couplings": 2, "hidden": (8,), "widths": (4, 4, 4)},
    "nice": {"couplings": 2, "widths": (8,)},
    "radial": {"layers": 2},
    "residual": {"blocks": 1, "widths": (8,), "width": 4},
    "sets": {"couplings": 2, "widths": (8,)},
}
VECTORS = ["realnvp", "planar", "radial", "nice", "maf", "iaf", "neural_ode"]
# Round trip of float32 vectors of size up to 4: some roundings of layers near the identity; the
# solver's own error where there is one.
ROUND_TRIP, ROUND_TRIP_OF_A_SOLVER = 2e-6, 1e-5


def shape_of(name, vector=(3,)):
    """The event shape that a flow is tested with, where one is enough."""
    return vector if name in VECTORS else (4, 3) if name == "sets" else (4, 4, 1)


def options_of(name, shape):
    """The small options that a flow has for such events."""
    known = nvp.flows.options(name, shape)
    return {option: value for option, value in SMALL[name].items() if option in known}


def test_names():
    names = nvp.flows.names()
    assert names == sorted(names)
    assert set(SMALL) == set(names)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_of_the_tutorial(name, count):
    dist = nvp.flows.build(name, (28, 28, 1))
    assert sum(np.prod(v.shape) for v in dist.trainable_variables) == count
    assert f"{count:,} parameters" in nvp.summary(dist)


@pytest.mark.parametrize("name", SMALL)
def test_is_a_transformed_distribution(name):
    dist = small(name)
    # What the constructor returns for bijectors that are no composite tensors.
    stock = tfp.distributions.TransformedDistribution(dist.distribution, dist.bijector)
    assert isinstance(dist, type(stock))
    assert isinstance(dist.bijector, tfp.bijectors.Bijector)
    assert isinstance(dist.distribution, tfp.distributions.Distribution)
    assert dist.dtype == tf.float32
    assert dist.batch_shape == [] and dist.batch_shape_tensor().numpy().size == 0
    assert tuple(dist.event_shape) == tuple(dist.event_shape_tensor().numpy())


@pytest.mark.parametrize("name", SMALL)
def test_trainable_variables_are_complete_and_those_of_keras(name):
    dist = small(name)
    model = nvp.FlowModel(dist)
    keras_view = [v.value for v in model.trainable_variables]
    assert {id(v) for v in keras_view} == {id(v) for v in dist.trainable_variables}
    assert len(keras_view) == len(dist.trainable_variables)
    holder = tf.Module()
    holder.inside = {"deep": [dist]}
    assert {id(v) for v in holder.trainable_variables} == {id(v) for v in keras_view}


@pytest.mark.parametrize("name", [n for n in SMALL if n.startswith("uva")])
@pytest.mark.parametrize(
    ("shape", "levels"), [((8, 4, 3), 2), ((4, 12, 1), 1000), ((4, 4, 2), 256), ((4, 4, 1), 3)]
)
def test_any_image_shape_and_number_of_levels(name, shape, levels):
    dist = nvp.flows.build(name, shape, levels=levels, **SMALL[name])
    images = np.random.default_rng(0).integers(0, levels, (3, *shape))
    assert np.isfinite(dist.log_prob(images)).all()
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)
    assert sum(dist.latent_sizes) == np.prod(shape)


@pytest.mark.parametrize("name", ["flowpp", "mixture_multiscale", "nsf", "tarflow"])
def test_pixels_come_back_through_mixtures_and_splines(name):
    dist = small(name)
    perturb_weights(dist.bijector)
    images = np.random.default_rng(0).integers(0, 8, (20, 4, 4, 1))
    context = nvp.Context(noise="centre", exact=True)
    z, _ = dist.bijector.inverse_and_log_det(images, context)
    again, _ = dist.bijector.forward_and_log_det(z, context)
    np.testing.assert_array_equal(again, images)


@pytest.mark.parametrize("name", ["glow", "lecture_realnvp", "nsf", "realnvp", "residual"])
def test_alpha_of_the_logit_is_an_option(name):
    """Images at both ends of the range, whose logits go from -12 to 12, come back."""
    dist = nvp.flows.build(name, (4, 4, 1), alpha=1e-5, **options_of(name, (4, 4, 1)))
    images = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 255.0)] * 2)
    dist.initialize(images)
    perturb_weights(dist.bijector)
    np.testing.assert_array_equal(nvp.decode(dist, nvp.encode(dist, images)), images)
    logits = [b for b in dist.bijector.submodules if isinstance(b, nvp.bijectors.Logit)]
    assert [logit.alpha for logit in logits] == [1e-5]


def test_without_alpha_there_is_no_logit(tmp_path):
    """Pixels at both ends of the range come back, from a file too."""
    dist = nvp.flows.build("realnvp", (4, 4, 1), alpha=None, **options_of("realnvp", (4, 4, 1)))
    perturb_weights(dist.bijector)
    images = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 255.0)] * 2)
    loaded = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    assert not any(isinstance(b, nvp.bijectors.Logit) for b in loaded.bijector.submodules)
    np.testing.assert_array_equal(nvp.decode(loaded, nvp.encode(loaded, images)), images)
    with pytest.raises(ValueError, match="realnvp needs alpha to be a finite number above 0"):
        nvp.flows.build("realnvp", (4, 4, 1), alpha=0.0)


@pytest.mark.parametrize("name", [*VECTORS, "nsf", "residual"])
@pytest.mark.parametrize("size", [2, 3, 10])
def test_any_size_of_vectors(name, size):
    dist = nvp.flows.build(name, (size,), **options_of(name, (size,)))
    perturb_weights(dist.bijector)
    x = dist.sample(5, seed=(0, 0))
    assert x.shape == (5, size)
    atol = ROUND_TRIP_OF_A_SOLVER if name == "neural_ode" else ROUND_TRIP
    np.testing.assert_allclose(nvp.decode(dist, nvp.encode(dist, x)), x, atol=atol)


@pytest.mark.parametrize("name", SMALL)
def test_initial_values_are_a_function_of_the_seed(name):
    first, again, other = (small(name, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    pairs = zip(first.variables, other.variables, strict=True)
    assert any((a.numpy() != b.numpy()).any() for a, b in pairs)


def test_initial_values_differ_between_places():
    dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=3)
    kernels = [np.asarray(b.conditioner.start[0]) for b in dist.bijector.bijectors[2:5]]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[0], kernels[2])


def test_scales_of_a_multiscale_flow_split_and_join():
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1), **SMALL["uva_multiscale"])
    assert dist.latent_sizes == [32, 32]
    latents = np.arange(128.0).reshape(2, 64)
    parts = nvp.split_scales(dist, latents)
    assert [part.shape for part in parts] == [(2, 32), (2, 32)]
    np.testing.assert_array_equal(nvp.join_scales(parts), latents)


def test_temperature_scales_the_latents():
    dist = small("uva_multiscale")
    cold = nvp.sample(dist, 50, temperature=0.0, seed=1)
    assert (cold == cold[0]).all()
    np.testing.assert_array_equal(
        nvp.sample(dist, 4, temperature=[0.7, 0.7], seed=1),
        nvp.sample(dist, 4, temperature=0.7, seed=1),
    )
    warm = dist.sample(300, seed=(1, 2), temperature=1.0).numpy()
    cool = dist.sample(300, seed=(1, 2), temperature=0.3).numpy()
    assert cool.std() < warm.std()


def test_interpolation_ends_at_its_ends():
    dist = small("uva_multiscale")
    images = np.random.default_rng(0).integers(0, 8, (2, 4, 4, 1))
    path = nvp.interpolate(dist, images[0], images[1], steps=5)
    assert path.shape == (5, 4, 4, 1)
    np.testing.assert_array_equal(path[[0, -1]], images)


def test_summary_lists_every_member_with_shapes():
    text = nvp.summary(nvp.flows.build("uva_multiscale", (8, 8, 1), **SMALL["uva_multiscale"]))
    for part in ("variational_dequantization_0", "coupling_0", "squeeze_0", "(4, 4, 4)", "(64,)"):
        assert part in text
    assert len([line for line in text.splitlines() if "Checkerboard" in line]) == 6


def test_register_adds_a_flow_and_refuses_a_taken_name():
    from tfp_realnvp.flows import registry

    @nvp.flows.register("test_only")
    def definition(event_shape, *, width: int = 4):
        return [
            nvp.bijectors.Coupling(nvp.bijectors.Halves(), nvp.conditioners.MLP(widths=(width,)))
        ]

    try:
        assert "test_only" in nvp.flows.names()
        assert nvp.flows.options("test_only") == {"width": 4}
        dist = nvp.flows.build("test_only", (3,), width=2)
        assert dist.sample(2, seed=(0, 0)).shape == (2, 3)
        with pytest.raises(ValueError, match="'test_only' is registered already"):
            nvp.flows.register("test_only")(lambda event_shape: [])
    finally:
        del registry._DEFINITIONS["test_only"]


def test_a_name_tells_two_flows_of_a_joint_apart():
    first, second = (nvp.flows.build("planar", (2,), layers=1, name=n) for n in ("a", "b"))
    assert (first.name, second.name, small("planar").name) == ("a", "b", "planar")
    joint = tfp.distributions.JointDistributionSequential([first, second])
    draws = joint.sample(3, seed=(0, 1))
    expected = first.log_prob(draws[0]) + second.log_prob(draws[1])
    np.testing.assert_allclose(joint.log_prob(draws), expected)


def test_class_conditional_flow_needs_and_uses_labels():
    dist = small("uva_vardeq", num_classes=3)
    for v in dist.trainable_variables:
        v.assign_add(0.1 * tf.random.stateless_normal(v.shape, (1, 2)))
    images = np.zeros([3, 4, 4, 1], "uint8")
    kwargs = {"seed": (0, 0)}
    nats = [
        dist.log_prob(images, bijector_kwargs={**kwargs, "labels": np.full(3, k)}).numpy()
        for k in range(3)
    ]
    assert (nats[0] != nats[1]).all() and (nats[1] != nats[2]).all()
    mixed = dist.log_prob(images, bijector_kwargs={**kwargs, "labels": [0, 1, 2]})
    np.testing.assert_allclose(mixed, np.diag(nats), rtol=1e-5)
    labels = [2, 0, 1]
    np.testing.assert_array_equal(
        nvp.decode(dist, nvp.encode(dist, images, labels), labels), images
    )
    samples = dist.sample(4, seed=(0, 1), bijector_kwargs={"labels": [0, 1, 2, 0]})
    assert samples.shape == (4, 4, 4, 1)
    with pytest.raises(ValueError, match="conditional on 3 classes: give labels"):
        dist.log_prob(images)
    with pytest.raises(ValueError, match="not conditional on classes, but labels were given"):
        small("uva_vardeq").log_prob(images, bijector_kwargs={"labels": [0, 1, 2]})


def test_learned_prior_of_what_leaves_depends_on_the_class():
    dist = nvp.flows.build("glow", (4, 4, 1), levels=8, num_classes=2, scales=2, steps=1, width=4)
    images = np.random.default_rng(0).integers(0, 8, (8, 4, 4, 1))
    dist.initialize(images, np.zeros(8, "int32"))
    # All other couplings still start from zero: whatever depends on the label does so here.
    prior = dist.bijector.bijectors[-2]
    assert isinstance(prior, nvp.bijectors.Coupling)
    perturb_weights(prior)
    first, second = (
        dist.bijector.inverse_and_log_det(
            images, nvp.Context(labels=np.full(8, k), noise="centre")
        )[0].numpy()
        for k in range(2)
    )
    leaving = dist.latent_sizes[0]
    assert (first[:, :leaving] != second[:, :leaving]).all()
    np.testing.assert_array_equal(first[:, leaving:], second[:, leaving:])


def small(name, **kwargs):
    shape = shape_of(name)
    dist = nvp.flows.build(name, shape, levels=8, **options_of(name, shape), **kwargs)
    if name == "glow":
        dist.initialize(np.random.default_rng(0).integers(0, 8, (8, *shape)))
    return dist


def test_public_names_do_not_depend_on_the_order_of_imports():
    import importlib

    for name, module in nvp._PUBLIC.items():
        importlib.import_module(f"tfp_realnvp.{module}")
        assert callable(getattr(nvp, name)) and module != name
