"""What constructors and named flows refuse, in one sentence: what was expected, what came."""

import re

import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
    BatchNorm,
    ChannelHalves,
    Checkerboard,
    CheckerboardHalves,
    Composition,
    Coupling,
    Dequantization,
    FactorOut,
    Flatten,
    Halves,
    Invert,
    InvertibleConv,
    Logit,
    MixtureLogistic,
    NeuralODE,
    Permutation,
    Planar,
    RationalQuadraticSpline,
    Rescale,
    RowHalves,
    ShuffledChannelHalves,
    Squeeze,
    TanhAffine,
    Unsqueeze,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import (
    MADE,
    MLP,
    GatedAttention,
    GatedConv,
    GatedFeatures,
    GlowConv,
    ResNet,
    Velocity,
    ViT,
)
from tfp_realnvp.core.arguments import annotated

NAN, INFINITE = float("nan"), float("inf")
WIDTHS = "a sequence of positive whole numbers"


def mlp() -> MLP:
    return MLP(widths=(2,))


def made(**options) -> MADE:
    return MADE(widths=(2,), **options)


def ode(**options) -> NeuralODE:
    return NeuralODE(Velocity(widths=(2,)), **options)


def conv() -> GatedConv:
    return GatedConv(width=2, blocks=1)


def initialized(bijector):
    bijector.initialize([[0.0], [1.0]])
    return bijector


def built(bijector, shape):
    bijector.build(shape)
    return bijector


# One argument at a time: the constructor, the argument, what it must be, bad values.
ARGUMENTS = [
    (RationalQuadraticSpline, "bins", "a whole number of at least 2", [1, 2.5, "8", None]),
    (RationalQuadraticSpline, "bound", "a finite number above 0", [0, -1, NAN, INFINITE, "a"]),
    (MixtureLogistic, "components", "a whole number of at least 1", [0, 1.5, "a", True]),
    (Affine, "bound", "a finite number above 0", [-1, 0, NAN, INFINITE, "a"]),
    (TanhAffine, "l2", "a finite number of at least 0", [-1, NAN]),
    (TanhAffine, "weight_norm", "a bool", ["yes", 1]),
    (MADE, "widths", "a sequence of at least 1 positive whole numbers", [(), (0,), 8, (2.5,), "a"]),
    (MLP, "widths", WIDTHS, [8, (0,), (2.5,), "ab", None]),
    (MLP, "outputs", "a whole number of at least 1", [0, -2, 1.5]),
    (Velocity, "widths", WIDTHS, [8, (-1,), (2.5,)]),
    (GatedConv, "width", "a whole number of at least 1", [0, 2.5, "a"]),
    (GatedConv, "blocks", "a whole number of at least 1", [0]),
    (GatedConv, "heads", "a whole number of at least 0", [-1, 1.5]),
    (GatedConv, "positions", "a bool", [1]),
    (GatedConv, "dropout", "a finite number of at least 0 and below 1", [-0.1, 1.0, "a"]),
    (GatedConv, "last", "a whole number of at least 1", [0]),
    (GatedAttention, "blocks", "a whole number of at least 1", [0]),
    (GatedAttention, "heads", "a whole number of at least 1", [0, 1.5]),
    (GatedFeatures, "width", "a whole number of at least 1", [0]),
    (GlowConv, "width", "a whole number of at least 1", [0, 2.5]),
    (ResNet, "width", "a whole number of at least 1", [0, 2.5]),
    (ResNet, "blocks", "a whole number of at least 1", [0, 1.5]),
    (ResNet, "l2", "a finite number of at least 0", [-1, NAN]),
    (ResNet, "double_input", "a bool", ["no"]),
    (ode, "tolerance", "a finite number above 0", [0, NAN, INFINITE]),
    (ode, "max_steps", "a whole number of at least 1", [0, 2.5]),
    (ode, "exact_trace", "a bool", ["no"]),
    (BatchNorm, "momentum", "a finite number of at least 0 and below 1", [1.0, -0.1, NAN, "a"]),
    (BatchNorm, "epsilon", "a finite number of at least 0", [-1, NAN]),
    *((made, "ndims", "a whole number of at least 1", [0, "a"]) for made in (ActNorm, BatchNorm)),
    (ActNorm, "elementwise", "a bool", [1, "yes"]),
    (InvertibleConv, "ndims", "a whole number of at least 1", [0, 1.5]),
    *((made, "ndims", "a whole number of at least 1", [0, "a"]) for made in (Logit, Rescale)),
    *(
        (made, end, "a finite number", [NAN, INFINITE, "a", None, True])
        for made in (Logit, Rescale)
        for end in ("low", "high")
    ),
    (Logit, "alpha", "a finite number of at least 0 and below 1", [-0.1, 1, NAN, INFINITE, "a"]),
    (Rescale, "radius", "a finite number above 0", [0, -1, NAN]),
    (Squeeze, "side", "a whole number of at least 2", [1, 2.5]),
    (ShuffledChannelHalves, "seed", "a whole number of at least 0", [-1, "a"]),
    *(
        (ViT, name, "a whole number of at least 1", [0, 1.5])
        for name in ("width", "depth", "heads")
    ),
    (Checkerboard, "inverted", "a bool", ["no"]),
]


@pytest.mark.parametrize(
    ("make", "name", "expected", "value"),
    [(make, name, expected, v) for make, name, expected, values in ARGUMENTS for v in values],
)
def test_an_argument_out_of_range(make, name, expected, value):
    owner = "NeuralODE" if make is ode else make.__name__
    sentence = f"{owner} needs {name} to be {expected}, got {value!r}."
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
        make(**{name: value})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ResNet(normalization="layer"), "Unknown normalization 'layer'; there are"),
        (lambda: Affine(shift="first"), "Affine is 'before' or 'after' its scale, got 'first'"),
        (lambda: Permutation(order=[0, 1]), "Unknown order [0, 1] of a permutation; the orders"),
        (lambda: ViT(width=6, heads=4), "width that its heads divide, got width=6 and heads=4"),
        (lambda: Squeeze(order="alternative", side=4), "order is of blocks of side 2, got side=4"),
        (lambda: Unsqueeze(order="snake"), "Unknown squeeze order 'snake'; the orders are"),
        (lambda: Coupling("halves", mlp()), "partition to be a Partition, got 'halves'"),
        (lambda: Coupling(Halves, mlp()), "partition to be a Partition, got <class"),
        (lambda: Coupling(Halves(), "mlp"), "conditioner to be a Layer, got 'mlp'"),
        (
            lambda: Coupling(Halves(), mlp(), transformer="affine"),
            "Coupling needs transformer to be a Transformer, got 'affine'",
        ),
        (lambda: Autoregressive(mlp()), "conditioner to be a MADE, got MLP(widths=[2])"),
        (lambda: Autoregressive(made(), transformer=Affine), "to be a Transformer, got <class"),
        (lambda: NeuralODE(mlp()), "velocity to be a Velocity, got MLP(widths=[2])"),
        (lambda: Invert("maf"), "bijector to be a FlowBijector, got 'maf'"),
        (lambda: Invert(ActNorm()), "Only a bijector that needs no data can be inverted"),
        (
            lambda: Invert(initialized(ActNorm(ndims=1))),
            "Only a bijector that needs no data can be inverted, got ActNorm(ndims=1,",
        ),
        (lambda: Invert(Dequantization()), "Only a bijector that loses nothing can be inverted"),
        (
            lambda: Invert(FactorOut([Dequantization()])),
            "Only a bijector that loses nothing can be inverted",
        ),
        (
            lambda: VariationalDequantization([Dequantization()]),
            "The noise flow of variational dequantization must lose nothing, got Composition(",
        ),
        (lambda: Composition([]), "A composition needs at least one bijector"),
        (lambda: Composition([1]), "A composition is made of bijectors, got 1"),
        (lambda: Composition([Squeeze]), "A composition is made of bijectors, got <class"),
        (lambda: Composition(Squeeze()), "is made of a list of bijectors, got Squeeze("),
        (lambda: FactorOut(Squeeze()), "is made of a list of bijectors, got Squeeze("),
        (lambda: VariationalDequantization([]), "A composition needs at least one bijector"),
        (
            lambda: VariationalDequantization([Planar()], alpha=2),
            "finite number above 0 and below 1, got 2",
        ),
        (
            lambda: VariationalDequantization([Planar()], alpha=0.0),
            "VariationalDequantization needs alpha to be a finite number above 0 and below 1",
        ),
        (lambda: Logit(alpha=1e-46).build((2, 2, 1)), "alpha to be 0 or at least 2.4e-38, the"),
        (lambda: Logit(low=-1e308, high=1e308), "Logit needs low < high, a finite distance apart"),
        (lambda: nvp.Flow("planar", (2,)), "is made of a list of bijectors, got 'planar'"),
    ],
)
def test_members_of_another_kind(make, sentence):
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        make()


@pytest.mark.parametrize(
    ("make", "shape", "sentence"),
    [
        (lambda: Coupling(Halves(), mlp()), (1,), "vectors of at least 2 dimensions, got shape"),
        (lambda: Coupling(Halves(), conv()), (4,), "sees events of rank 3, got shape (4,)"),
        (
            lambda: Coupling(ChannelHalves(), conv()),
            (4, 4, 1),
            "A channel split needs at least 2 channels, got shape (4, 4, 1)",
        ),
        (lambda: Coupling(Checkerboard(), conv()), (1, 1, 3), "at least 2 pixels, got shape"),
        (lambda: Autoregressive(made()), (1,), "at least 2 inputs and a multiple of them"),
        (lambda: Autoregressive(made(outputs=5)), (3,), "outputs=5, its coupling needs 6"),
        (lambda: Autoregressive(made()), (4, 4, 1), "takes events of rank 1, got shape (4, 4, 1)"),
        (Planar, (4, 4, 1), "Planar takes events of rank 1, got shape (4, 4, 1)"),
        (Planar, (0,), "An event shape has positive whole sides, got (0,)"),
        (ode, (2, 2), "NeuralODE takes events of rank 1, got shape (2, 2)"),
        (ActNorm, (3,), "ActNorm takes events of rank 3, got shape (3,)"),
        (InvertibleConv, (4, 4, 1), "mixes at least 2 channels, got shape (4, 4, 1)"),
        (
            lambda: Coupling(RowHalves(), conv()),
            (3, 4, 2),
            "RowHalves needs two equal halves of the pixels and an even number of channels, got",
        ),
        (lambda: Coupling(CheckerboardHalves(), conv()), (2, 2, 3), "even number of channels, got"),
        (lambda: Squeeze(side=4), (8, 6, 1), "needs multiples of 4 as sides, got events of shape"),
        (Squeeze, (5, 4, 1), "even height and width, got events of shape (5, 4, 1)"),
        (Unsqueeze, (4, 4, 5), "multiple of 4 channels, got events of shape (4, 4, 5)"),
        (lambda: FactorOut([]), (4, 4, 1), "at least 2 channels, got shape (4, 4, 1)"),
        (lambda: Invert(Squeeze()), (4, 4, 1), "keeps the event shape can be inverted"),
        (
            lambda: VariationalDequantization([Squeeze()]),
            (4, 4, 1),
            "keeps the shape (4, 4, 1) of the image, got a noise flow to (2, 2, 4)",
        ),
    ],
)
def test_shapes_of_members(make, shape, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make().build(shape)


UNSQUEEZE = "An unsqueeze needs a multiple of 4 channels, got events of shape (2, 2, 6)."


@pytest.mark.parametrize(
    ("shape_of", "shape", "sentence"),
    [
        (Squeeze().forward_event_shape, (2, 2, 6), UNSQUEEZE),
        (Unsqueeze().inverse_event_shape, (2, 2, 6), UNSQUEEZE),
        (Squeeze().forward_event_shape_tensor, (2, 2, 6), UNSQUEEZE),
        (
            Squeeze().inverse_event_shape,
            (3, 2, 1),
            "A squeeze needs even height and width, got events of shape (3, 2, 1).",
        ),
        (
            built(Flatten(), (2, 2, 3)).forward_event_shape,
            (11,),
            "flatten was built for latents of shape (12,), got (11,).",
        ),
        (
            built(FactorOut([Squeeze()]), (2, 2, 3)).forward_event_shape,
            (13,),
            "factor_out was built for latents of shape (12,), got (13,).",
        ),
    ],
)
def test_event_shapes_that_do_not_fit(shape_of, shape, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        shape_of(shape)


IMAGE, VECTOR = (4, 4, 1), (2,)
AT_LEAST_1 = "a whole number of at least 1"


@pytest.mark.parametrize(
    ("name", "shape", "option", "value", "expected"),
    [
        ("maf", VECTOR, "layers", 0, AT_LEAST_1),
        ("maf", VECTOR, "widths", 4, WIDTHS),
        ("iaf", VECTOR, "layers", 1.5, AT_LEAST_1),
        ("planar", VECTOR, "layers", "a", AT_LEAST_1),
        ("planar", VECTOR, "layers", None, AT_LEAST_1),
        ("neural_ode", VECTOR, "widths", 3, WIDTHS),
        ("neural_ode", VECTOR, "tolerance", "small", "a finite number"),
        ("neural_ode", VECTOR, "exact_trace", "x", "a bool"),
        ("nsf", VECTOR, "couplings", 0, AT_LEAST_1),
        ("nsf", VECTOR, "hidden", (0,), WIDTHS),
        ("nsf", IMAGE, "widths", (4,), "a sequence of 3 positive whole numbers"),
        ("nsf", IMAGE, "widths", (4, 4, 4, 4), "a sequence of 3 positive whole numbers"),
        ("uva_multiscale", IMAGE, "widths", 4, "a sequence of 3 positive whole numbers"),
        ("uva_simple", IMAGE, "couplings", -1, AT_LEAST_1),
        ("uva_vardeq", IMAGE, "width", 0, AT_LEAST_1),
        ("glow", IMAGE, "scales", 0, AT_LEAST_1),
        ("glow", IMAGE, "scales", -1, AT_LEAST_1),
        ("glow", IMAGE, "steps", 0, AT_LEAST_1),
        ("glow", IMAGE, "learned_prior", "no", "a bool"),
        ("realnvp", VECTOR, "couplings", 0, AT_LEAST_1),
        ("realnvp", IMAGE, "scales", -1, AT_LEAST_1),
        ("realnvp", IMAGE, "l2", NAN, "a finite number"),
        ("realnvp", IMAGE, "normalization", 3, "a str"),
        ("lecture_realnvp", IMAGE, "scales", 1.5, AT_LEAST_1),
        ("lecture_realnvp", IMAGE, "blocks", 0, AT_LEAST_1),
        ("realnvp", IMAGE, "l2", -1.0, "a finite number of at least 0"),
        *(
            (name, IMAGE, "alpha", value, "a finite number above 0 and below 1")
            for name in ("glow", "lecture_realnvp", "nsf", "realnvp")
            for value in (0.0, -0.1, 1, 2.0)
        ),
        *(
            (name, VECTOR, "levels", value, "a whole number of at least 2")
            for name, value in (("realnvp", -3), ("planar", 1), ("nsf", 2.5), ("maf", True))
        ),
    ],
)
def test_options_of_flows(name, shape, option, value, expected):
    sentence = f"{name} needs {option} to be {expected}, got {value!r}."
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
        nvp.flows.build(name, shape, **{option: value})


@pytest.mark.parametrize(
    ("name", "shape", "options", "sentence"),
    [
        ("realnvp", IMAGE, {"penalty": "all"}, "Unknown penalty 'all'; there are"),
        ("realnvp", IMAGE, {"normalization": "layer"}, "Unknown normalization 'layer'"),
        ("realnvp", IMAGE, {"momentum": 1}, "momentum to be a finite number of at least 0 and"),
        ("realnvp", IMAGE, {"scales": 3}, "A checkerboard needs at least 2 pixels"),
        ("lecture_realnvp", IMAGE, {"l2": -1}, "ResNet needs l2 to be a finite number of at least"),
        ("glow", IMAGE, {"scales": 5}, "height and width to be multiples of 32, got (4, 4, 1)"),
        ("nsf", IMAGE, {"levels": 1}, "levels to be a whole number of at least 2, got 1."),
        *(
            (
                "planar",
                VECTOR,
                {"name": name},
                "planar needs name to be letters, digits and underscores from a letter on, got "
                f"{name!r}.",
            )
            for name in ("", "two moons", "a/b", "2d", "été")
        ),
        ("nsf", (6, 6, 1), {}, "height and width to be multiples of 4, got (6, 6, 1)"),
        (
            "nsf",
            (4, 4),
            {},
            "nsf models vectors of shape (D,) or images of shape (H, W, C), got event",
        ),
        *(
            (
                name,
                (1,),
                {},
                f"{name} models vectors of at least 2 dimensions, got event shape (1,)",
            )
            for name in ("maf", "iaf", "nsf", "glow", "realnvp")
        ),
        *(
            (name, IMAGE, {}, f"{name} models vectors of shape (D,), got event shape (4, 4, 1).")
            for name in ("maf", "iaf", "planar", "neural_ode")
        ),
        ("planar", 2, {}, "An event shape has positive whole sides, got 2."),
        ("planar", (2.5,), {}, "An event shape has positive whole sides, got (2.5,)."),
        ("planar", None, {}, "An event shape has positive whole sides, got None."),
        ("planar", VECTOR, {"num_classes": 0}, "num_classes to be a whole number of at least 1"),
        ("planar", VECTOR, {"num_classes": 1.5}, "num_classes to be a whole number of at least 1"),
        ("planar", VECTOR, {"seed": 1.5}, "Flow needs seed to be a whole number, got 1.5."),
        ("planar", VECTOR, {"seed": None}, "Flow needs seed to be a whole number, got None."),
        ("planar", VECTOR, {"dtype": "float16"}, "float32 or float64, got dtype 'float16'."),
        ("planar", VECTOR, {"dtype": "banana"}, "float32 or float64, got dtype 'banana'."),
        ("planar", VECTOR, {"conditioner_dtype": "bfloat17"}, "Keras dtype policy such as"),
        ("planar", VECTOR, {"conditioner_dtype": "int32"}, "Keras dtype policy such as"),
    ],
)
def test_shapes_and_choices_of_flows(name, shape, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nvp.flows.build(name, shape, **options)


@pytest.mark.parametrize(
    ("name", "shape", "options", "sentence"),
    [
        (
            "realnvp",
            VECTOR,
            {"width": 999, "penalty": "nonsense"},
            "realnvp has no option penalty, width for vectors; its options are ['couplings', 'widt",
        ),
        ("realnvp", IMAGE, {"couplings": 2}, "no option couplings for images; its options are ["),
        ("glow", VECTOR, {"scales": 2}, "no option scales for vectors; its options are ['steps'"),
        ("glow", VECTOR, {"alpha": 0.1}, "no option alpha for vectors; its options are ['steps'"),
        ("nsf", VECTOR, {"widths": (4, 4, 4)}, "no option widths for vectors; its options are ["),
        ("nsf", IMAGE, {"hidden": (4,)}, "no option hidden for images; its options are ['alpha'"),
        ("maf", VECTOR, {"width": 4}, "maf has no option width; its options are ['layers', 'wi"),
    ],
)
def test_options_of_the_other_kind_of_data_are_refused(name, shape, options, sentence):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        nvp.flows.build(name, shape, **options)


def test_options_are_those_of_all_ranks_or_of_one():
    assert list(nvp.flows.options("nsf")) == ["couplings", "hidden", "widths", "alpha"]
    assert list(nvp.flows.options("nsf", VECTOR)) == ["couplings", "hidden"]
    assert list(nvp.flows.options("nsf", IMAGE)) == ["widths", "alpha"]
    with pytest.raises(ValueError, match=r"maf models vectors of shape \(D,\), got event shape"):
        nvp.flows.options("maf", IMAGE)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "planar"}, "A flow named 'planar' is registered already."),
        ({"name": "planar", "ndims": 1}, "A flow named 'planar' is registered already."),
        ({"name": "two moons"}, "register needs name to be letters, digits and underscores"),
        ({"name": "new", "ndims": 4}, "A flow is of events of rank 1, 2, 3, or None for any, got"),
        ({"name": "new", "sharded": "yes"}, "register needs sharded to be a bool, got 'yes'."),
    ],
)
def test_registering_is_checked(arguments, sentence):
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        nvp.flows.register(**arguments)(lambda event_shape: [])


def test_an_option_cannot_be_an_argument_of_build():
    with pytest.raises(ValueError, match="new cannot have the options seed: they are arguments"):
        nvp.flows.register("new")(lambda event_shape, *, seed=1: [])
    assert "new" not in nvp.flows.names()


@pytest.mark.parametrize("name", nvp.flows.names())
def test_options_have_annotations_that_take_their_defaults(name):
    import typing

    from tfp_realnvp.flows import registry

    for definition in registry._definitions(name).values():
        hints = typing.get_type_hints(definition)
        for option, default in registry._options(definition).items():
            assert annotated(name, option, default, hints[option]) == default
            bad = object()
            with pytest.raises((ValueError, TypeError), match=rf"^{name} needs {option} to be"):
                annotated(name, option, bad, hints[option])


def test_other_spellings_of_a_dtype_are_taken():
    for dtype in ("float64", tf.float64, tf.float64.as_numpy_dtype):
        assert nvp.flows.build("planar", VECTOR, layers=1, dtype=dtype).dtype == tf.float64
