"""The registry of constructors: a new bijector or flow costs one line and gets all tests.

Each entry makes a `Case`: a bijector from nothing, and the event shape at its data side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tolerances import FLOAT64, ODE

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import (
    ActNorm,
    Additive,
    Affine,
    Alternating,
    Autoregressive,
    AutoregressivePixels,
    BatchNorm,
    Blockwise,
    ChannelHalves,
    Channels,
    Checkerboard,
    CheckerboardHalves,
    ColumnHalves,
    Composition,
    Conditional,
    Coupling,
    FactorOut,
    Flatten,
    FlowBijector,
    Halves,
    Invert,
    InvertibleConv,
    Logit,
    MeanScale,
    MixtureLogistic,
    NeuralODE,
    Permutation,
    Planar,
    PointHalves,
    Radial,
    RationalQuadraticSpline,
    Rescale,
    Residual,
    RowHalves,
    Scale,
    ShuffledChannelHalves,
    SigmoidAffine,
    SoftplusAffine,
    Squeeze,
    Squeezed,
    Standardize,
    TanhAffine,
    Unsqueeze,
)
from tfp_realnvp.conditioners import (
    MADE,
    MLP,
    CausalTransformer,
    DeepSet,
    GatedAttention,
    GatedConv,
    GlowConv,
    LipschitzConv,
    LipschitzMLP,
    ResNet,
    Velocity,
    ViT,
)
from tfp_realnvp.core.context import Scope


@dataclasses.dataclass(frozen=True)
class Case:
    """What a property test needs to know.

    Attributes:
        make: makes the bijector.
        shape: event shape at the data side.
        low, high: interval of the data; None for all reals.
        num_classes: of a class-conditional bijector.
        condition_shape: of the condition, `(K,)` or `(H, W, K)`.
        tolerance: of log-det and round trip, looser where a solver approximates.
        no_gradient: endings of the paths of trainable variables that rightly get no gradient.
    """

    make: Callable[[], FlowBijector]
    shape: tuple[int, ...]
    high: float | None = None
    num_classes: int | None = None
    condition_shape: tuple[int, ...] | None = None
    tolerance: float = FLOAT64
    no_gradient: tuple[str, ...] = ()

    def build(self, dtype: str = "float64", *, perturb: bool = True) -> FlowBijector:
        """Makes and builds the bijector; all weights are then moved off their initial values."""
        bijector = self.make()
        shape = self.condition_shape or ()
        scope = Scope(
            dtype=dtype,
            num_classes=self.num_classes,
            condition_shape=self.condition_shape,
            condition_channels=shape[-1] if len(shape) == 3 else 0,
        )
        bijector.build(self.shape, scope)
        if bijector.needs_data:
            bijector.initialize(self.start_data(dtype), **self.kwargs(64))
        if perturb:
            perturb_weights(bijector)
        return bijector

    def data(self, count: int = 3, dtype: str = "float64") -> np.ndarray:
        """Draws data in the bijector's domain."""
        rng = np.random.default_rng(1)
        if self.high is not None:
            return rng.uniform(0.05 * self.high, 0.95 * self.high, (count, *self.shape)).astype(
                dtype
            )
        return rng.normal(size=(count, *self.shape)).astype(dtype)

    def start_data(self, dtype: str = "float64") -> np.ndarray:
        """Draws data to initialize from, off the standard normal's mean and scale."""
        data = self.data(64, dtype)
        return data if self.high is not None else data * 3 + 1

    def kwargs(self, count: int = 3) -> dict:
        """The context that the bijector needs."""
        found = {}
        if self.num_classes is not None:
            found["labels"] = tf.constant(np.arange(count) % self.num_classes, tf.int32)
        if self.condition_shape is not None:
            rng = np.random.default_rng(3)
            found["condition"] = tf.constant(rng.normal(size=(count, *self.condition_shape)))
        return found


def perturb_weights(module, scale: float = 0.1, seed: int = 7) -> None:
    """Adds normal noise to every trainable variable, so that nothing is the identity."""
    rng = np.random.default_rng(seed)
    for variable in module.trainable_variables:
        noise = rng.normal(size=variable.shape) * scale
        variable.assign_add(tf.cast(noise, variable.dtype))


def conv(width: int = 4, **options) -> GatedConv:
    return GatedConv(width=width, blocks=1, **options)


def mlp() -> MLP:
    return MLP(widths=(8, 8))


def resnet(**options) -> ResNet:
    return ResNet(width=4, blocks=1, **options)


def with_statistics(bijector: FlowBijector) -> FlowBijector:
    """Gives batch norms on the path running statistics that are not the identity's."""
    build = bijector.build

    def build_and_set(*args):
        latent = build(*args)
        for running in bijector.running_moments:
            size = running.mean.shape[0]
            running.mean.assign(np.linspace(-1, 1, size))
            running.variance.assign(np.linspace(0.5, 2, size))
        return latent

    bijector.build = build_and_set
    return bijector


def vit() -> ViT:
    return ViT(width=4, depth=1, heads=2)


def made() -> MADE:
    return MADE(widths=(8, 8))


def causal(depth: int = 1, **options) -> CausalTransformer:
    return CausalTransformer(width=4, depth=depth, heads=2, **options)


def spline() -> RationalQuadraticSpline:
    return RationalQuadraticSpline(bins=4, bound=2.0)


def ode(**options) -> NeuralODE:
    return NeuralODE(Velocity(widths=(6,)), tolerance=1e-9, **options)


def flow(name: str, shape: tuple[int, ...], **options) -> Callable[[], FlowBijector]:
    """A named flow without its quantizer, unbuilt."""

    def make() -> FlowBijector:
        members = list(nvp.flows.build(name, shape, **options).bijector.bijectors)
        if getattr(members[0], "is_surjective", False):
            members = members[1:]
        configs = [keras.saving.serialize_keras_object(b) for b in members]
        return Composition([keras.saving.deserialize_keras_object(c) for c in configs])

    return make


def residual(**options) -> Residual:
    return Residual(LipschitzMLP(widths=(8, 8)), **options)


IMAGE, VECTOR, POINTS = (4, 4, 2), (5,), (4, 3)
FLOWPP = {
    "couplings": (1, 1, 1),
    "width": 3,
    "blocks": 1,
    "heads": 1,
    "components": 2,
    "noise_couplings": 1,
    "noise_blocks": 1,
    "features": 2,
}
MIXTURE_MULTISCALE = {
    "couplings": (1, 1, 1, 1),
    "widths": (2, 2, 2),
    "blocks": 1,
    "components": 2,
    "heads": 1,
}
JET = {"couplings": 2, "depth": 1, "width": 4, "heads": 2, "patch": 2, "spatial": 2}

TARFLOW = {"patch": 2, "width": 4, "blocks": 2, "layers": 1, "dequantization": "uniform"}

BIJECTORS: dict[str, Case] = {
    "coupling_checkerboard": Case(lambda: Coupling(Checkerboard(), conv()), IMAGE),
    "coupling_checkerboard_inverted": Case(
        lambda: Coupling(Checkerboard(inverted=True), conv()), (2, 4, 1)
    ),
    "coupling_channels": Case(lambda: Coupling(Channels(), conv()), IMAGE),
    "coupling_channels_inverted": Case(
        lambda: Coupling(Channels(inverted=True), conv()), (2, 2, 3)
    ),
    "coupling_halves": Case(lambda: Coupling(Halves(), mlp()), VECTOR),
    "coupling_halves_inverted": Case(lambda: Coupling(Halves(inverted=True), mlp()), VECTOR),
    "coupling_alternating": Case(lambda: Coupling(Alternating(), mlp()), VECTOR),
    "coupling_alternating_inverted": Case(
        lambda: Coupling(Alternating(inverted=True), mlp()), (6,)
    ),
    "coupling_fixed_bound": Case(
        lambda: Coupling(Halves(), mlp(), transformer=Affine(bound=1.5)), VECTOR
    ),
    "coupling_shift_after": Case(
        lambda: Coupling(Halves(), mlp(), transformer=Affine(shift="after")), VECTOR
    ),
    "coupling_conditional": Case(
        lambda: Coupling(Checkerboard(), conv()), (2, 4, 1), num_classes=3
    ),
    "coupling_conditional_vector": Case(lambda: Coupling(Halves(), mlp()), VECTOR, num_classes=3),
    "coupling_attention": Case(
        lambda: Coupling(Checkerboard(), conv(heads=2, positions=True)), (2, 4, 1)
    ),
    "coupling_attention_conditional": Case(
        lambda: Coupling(ChannelHalves(), conv(heads=1, last=1)), (2, 2, 3), num_classes=3
    ),
    "coupling_gated_attention": Case(
        lambda: Coupling(ChannelHalves(), GatedAttention(width=4, blocks=1, heads=2)), (2, 2, 3)
    ),
    "coupling_gated_attention_conditional": Case(
        lambda: Coupling(Checkerboard(), GatedAttention(width=4, blocks=1, heads=1)),
        (2, 4, 1),
        num_classes=3,
    ),
    "squeeze_position_major": Case(Squeeze, IMAGE),
    "squeeze_channel_major": Case(lambda: Squeeze(order="channel_major"), IMAGE),
    "squeeze_3x3": Case(lambda: Squeeze(order="channel_major", side=3), (3, 6, 2)),
    "squeeze_alternative": Case(lambda: Squeeze(order="alternative"), IMAGE),
    "squeeze_columns": Case(lambda: Squeeze(order="columns"), (3, 4, 2)),
    "squeezed": Case(lambda: Squeezed([Coupling(ChannelHalves(), conv())]), (4, 2, 1)),
    "squeezed_3x3": Case(lambda: Squeezed([Coupling(ChannelHalves(), conv())], side=3), (3, 6, 1)),
    "squeezed_alternative": Case(
        lambda: Squeezed(
            [Squeeze(), Coupling(Channels(), conv()), Unsqueeze()], order="alternative"
        ),
        (4, 4, 1),
    ),
    "squeezed_columns": Case(
        lambda: Squeezed([Coupling(ChannelHalves(), conv())], order="columns"), (3, 2, 1)
    ),
    "blockwise": Case(lambda: Blockwise([InvertibleConv(), ActNorm()]), (2, 2, 4)),
    "flatten": Case(Flatten, IMAGE),
    "logit": Case(lambda: Logit(high=4.0, alpha=0.05), (2, 2, 1), high=4.0),
    "standardize": Case(Standardize, VECTOR),
    "factor_out": Case(lambda: FactorOut([Squeeze(), Coupling(Channels(), conv())]), (4, 4, 4)),
    "factor_out_odd_channels": Case(
        lambda: FactorOut([Coupling(Checkerboard(), conv())]), (2, 2, 3)
    ),
    "composition_nested": Case(
        lambda: Composition(
            [
                Coupling(Checkerboard(), conv()),
                Composition([Squeeze(), Coupling(Channels(), conv())]),
                FactorOut([FactorOut([])]),
            ]
        ),
        (2, 4, 1),
    ),
    "coupling_channel_halves": Case(lambda: Coupling(ChannelHalves(), conv()), (2, 2, 3)),
    "coupling_channel_halves_inverted": Case(
        lambda: Coupling(ChannelHalves(inverted=True), GlowConv(width=4)), IMAGE
    ),
    "coupling_shuffled_channels": Case(
        lambda: Coupling(ShuffledChannelHalves(seed=1), vit(), transformer=SigmoidAffine()),
        (2, 2, 3),
    ),
    "coupling_shuffled_channels_inverted": Case(
        lambda: Coupling(ShuffledChannelHalves(inverted=True), conv()), (2, 2, 3)
    ),
    "coupling_checkerboard_halves": Case(lambda: Coupling(CheckerboardHalves(), vit()), IMAGE),
    "coupling_row_halves_inverted": Case(
        lambda: Coupling(RowHalves(inverted=True), vit()), (4, 3, 2), num_classes=3
    ),
    "coupling_column_halves": Case(lambda: Coupling(ColumnHalves(), vit()), (1, 4, 2)),
    "coupling_tanh": Case(
        lambda: Coupling(Halves(), mlp(), transformer=TanhAffine(l2=1e-3)), VECTOR
    ),
    "coupling_resnet": Case(
        lambda: Coupling(
            Checkerboard(),
            resnet(double_input=True),
            transformer=TanhAffine(weight_norm=True),
        ),
        IMAGE,
        no_gradient=("scale_direction",),
    ),
    "coupling_resnet_instance": Case(
        lambda: Coupling(ChannelHalves(), resnet(normalization="instance")), IMAGE
    ),
    "coupling_resnet_conditional": Case(
        lambda: Coupling(ChannelHalves(), resnet(normalization="none", l2=1e-3)),
        IMAGE,
        num_classes=3,
    ),
    "coupling_glow_conditional": Case(
        lambda: Coupling(ChannelHalves(), GlowConv(width=4)), IMAGE, num_classes=3
    ),
    "unsqueeze_position_major": Case(Unsqueeze, (2, 2, 4)),
    "unsqueeze_channel_major": Case(lambda: Unsqueeze(order="channel_major"), (2, 2, 8)),
    "unsqueeze_columns": Case(lambda: Unsqueeze(order="columns"), (3, 2, 4)),
    "unsqueeze_alternative": Case(lambda: Unsqueeze(order="alternative"), (1, 2, 8)),
    "rescale": Case(lambda: Rescale(low=-1.0, high=3.0), (2, 2, 1)),
    "rescale_radius": Case(lambda: Rescale(high=3.0, radius=1.5), (2, 2, 1)),
    "act_norm": Case(ActNorm, IMAGE),
    "act_norm_elementwise": Case(lambda: ActNorm(elementwise=True), IMAGE),
    "act_norm_vector": Case(lambda: ActNorm(ndims=1), VECTOR),
    "batch_norm": Case(lambda: with_statistics(BatchNorm()), IMAGE),
    "batch_norm_vector": Case(lambda: with_statistics(BatchNorm(ndims=1, epsilon=0.1)), VECTOR),
    "invertible_conv": Case(InvertibleConv, IMAGE),
    "invertible_conv_vector": Case(lambda: InvertibleConv(ndims=1), VECTOR),
    "act_norm_nested": Case(
        lambda: Composition(
            [
                Composition([ActNorm(), Coupling(ChannelHalves(), GlowConv(width=4))]),
                FactorOut([Squeeze(), ActNorm(), InvertibleConv()]),
            ]
        ),
        IMAGE,
        num_classes=2,
    ),
    "uva_simple": Case(
        flow("uva_simple", (4, 4, 1), levels=4, width=4, couplings=2, blocks=1), (4, 4, 1), high=4.0
    ),
    "uva_vardeq": Case(
        flow("uva_vardeq", (3, 2, 3), levels=4, width=4, couplings=2, blocks=1), (3, 2, 3), high=4.0
    ),
    "uva_multiscale": Case(
        flow("uva_multiscale", (4, 4, 1), levels=4, widths=(4, 4, 4), blocks=1), (4, 4, 1), high=4.0
    ),
    "flowpp": Case(flow("flowpp", (4, 4, 1), levels=4, **FLOWPP), (4, 4, 1), high=4.0),
    "mixture_multiscale": Case(
        flow("mixture_multiscale", (4, 4, 1), levels=4, **MIXTURE_MULTISCALE), (4, 4, 1), high=4.0
    ),
    "jet": Case(flow("jet", (4, 4, 1), levels=4, **JET), (4, 4, 1), high=4.0),
    "tarflow": Case(flow("tarflow", (4, 4, 1), levels=4, **TARFLOW), (4, 4, 1), high=4.0),
    "lecture_realnvp": Case(
        flow("lecture_realnvp", (2, 2, 1), levels=4, width=2, blocks=1, scales=1),
        (2, 2, 1),
        high=4.0,
        no_gradient=("scale_direction",),
    ),
    "realnvp_image": Case(
        flow("realnvp", (2, 2, 3), levels=4, width=2, blocks=1), (2, 2, 3), high=4.0
    ),
    "glow": Case(
        flow("glow", (4, 4, 1), levels=4, width=4, steps=1, scales=2), (4, 4, 1), high=4.0
    ),
    "glow_vector": Case(flow("glow", (3,), steps=2, width=8), (3,)),
    "planar": Case(Planar, VECTOR),
    "planar_conditional": Case(Planar, (2,), num_classes=3),
    "radial": Case(Radial, VECTOR),
    "radial_conditional": Case(Radial, (2,), num_classes=3),
    "scale": Case(Scale, VECTOR),
    "coupling_additive": Case(
        lambda: Coupling(Alternating(), mlp(), transformer=Additive()), VECTOR
    ),
    "residual": Case(residual, VECTOR),
    "residual_conditional": Case(lambda: residual(lipschitz=0.9), (2,), num_classes=3),
    "residual_image": Case(lambda: Residual(LipschitzConv(width=4)), (2, 4, 1)),
    "residual_image_conditional": Case(
        lambda: Residual(LipschitzConv(width=4)), (2, 2, 2), num_classes=2
    ),
    "coupling_points": Case(lambda: Coupling(PointHalves(), DeepSet(widths=(8,))), POINTS),
    "coupling_points_conditional": Case(
        lambda: Coupling(PointHalves(inverted=True), DeepSet(widths=(8, 8))), (3, 2), num_classes=3
    ),
    "mean_scale": Case(MeanScale, POINTS),
    "flatten_points": Case(lambda: Flatten(ndims=2), POINTS),
    "permutation": Case(Permutation, VECTOR),
    "permutation_random": Case(lambda: Permutation(order="random"), VECTOR),
    "autoregressive": Case(lambda: Autoregressive(made()), VECTOR),
    "autoregressive_conditional": Case(lambda: Autoregressive(made()), (2,), num_classes=3),
    "autoregressive_inverted": Case(lambda: Invert(Autoregressive(made())), VECTOR),
    "autoregressive_spline": Case(lambda: Autoregressive(made(), transformer=spline()), (3,)),
    "autoregressive_pixels": Case(lambda: AutoregressivePixels(causal()), (2, 3, 2)),
    "autoregressive_pixels_conditional": Case(
        lambda: AutoregressivePixels(causal(2), order="reverse"), (2, 2, 1), num_classes=3
    ),
    "autoregressive_pixels_unbounded": Case(
        lambda: AutoregressivePixels(causal(last_norm=False), transformer=Affine()), (1, 3, 2)
    ),
    "autoregressive_pixels_mixture": Case(
        lambda: AutoregressivePixels(causal(), transformer=MixtureLogistic(components=2)),
        (2, 1, 2),
    ),
    "neural_ode": Case(ode, (3,), tolerance=ODE),
    "neural_ode_conditional": Case(ode, (2,), num_classes=3, tolerance=ODE),
    "coupling_spline": Case(lambda: Coupling(Halves(), mlp(), transformer=spline()), VECTOR),
    "coupling_spline_checkerboard": Case(
        lambda: Coupling(Checkerboard(), conv(), transformer=spline()), (2, 4, 1)
    ),
    "coupling_softplus": Case(
        lambda: Coupling(Halves(), mlp(), transformer=SoftplusAffine(bound=1.5)), VECTOR
    ),
    "coupling_mixture": Case(
        lambda: Coupling(Halves(), mlp(), transformer=MixtureLogistic(components=3)), VECTOR
    ),
    "coupling_mixture_checkerboard": Case(
        lambda: Coupling(Checkerboard(), conv(), transformer=MixtureLogistic(components=2)),
        (2, 2, 1),
    ),
    # Conditions that are vectors: every network sees them.
    "coupling_vector_condition": Case(
        lambda: Coupling(Checkerboard(), conv()), (2, 4, 1), num_classes=3, condition_shape=(2,)
    ),
    "coupling_mlp_condition": Case(
        lambda: Coupling(Halves(), mlp()), VECTOR, num_classes=3, condition_shape=(2,)
    ),
    "coupling_glow_condition": Case(
        lambda: Coupling(ChannelHalves(), GlowConv(width=4)), IMAGE, condition_shape=(2,)
    ),
    "coupling_resnet_condition": Case(
        lambda: Coupling(ChannelHalves(), resnet(normalization="none")), IMAGE, condition_shape=(2,)
    ),
    "coupling_vit_condition": Case(
        lambda: Coupling(ChannelHalves(), vit()), (2, 2, 2), num_classes=2, condition_shape=(2,)
    ),
    "planar_condition": Case(Planar, VECTOR, num_classes=3, condition_shape=(2,)),
    "autoregressive_condition": Case(lambda: Autoregressive(made()), (3,), condition_shape=(2,)),
    "autoregressive_inverted_condition": Case(
        lambda: Invert(Autoregressive(made())), (3,), num_classes=2, condition_shape=(1,)
    ),
    "neural_ode_condition": Case(ode, (3,), condition_shape=(2,), tolerance=ODE),
    "conditional": Case(
        lambda: Conditional([Standardize(), Coupling(Halves(), mlp())]),
        VECTOR,
        condition_shape=(2,),
    ),
    "radial_condition": Case(Radial, VECTOR, num_classes=3, condition_shape=(2,)),
    "residual_condition": Case(residual, (3,), num_classes=2, condition_shape=(2,)),
    "coupling_points_condition": Case(
        lambda: Coupling(PointHalves(), DeepSet(widths=(8,))), POINTS, condition_shape=(2,)
    ),
    "residual_pixels_condition": Case(
        lambda: Residual(LipschitzConv(width=4)), (2, 2, 1), condition_shape=(2, 2, 2)
    ),
    # Conditions of each pixel: they follow the event through all that changes its sides.
    "coupling_pixels_condition": Case(
        lambda: Coupling(Checkerboard(), conv()),
        (2, 4, 1),
        num_classes=3,
        condition_shape=(2, 4, 2),
    ),
    "squeezed_condition": Case(
        lambda: Squeezed([Coupling(ChannelHalves(), conv())], order="alternative"),
        (4, 2, 1),
        condition_shape=(4, 2, 3),
    ),
    "composition_condition": Case(
        lambda: Conditional(
            [
                Coupling(Checkerboard(), conv()),
                Composition([Squeeze(order="channel_major"), Coupling(Channels(), conv())]),
                Invert(Composition([Unsqueeze(), Coupling(Checkerboard(), conv()), Squeeze()])),
                FactorOut([Unsqueeze(), Coupling(Checkerboard(), conv()), Flatten()]),
                Permutation(),
                Coupling(Halves(), mlp()),
            ]
        ),
        (4, 2, 2),
        num_classes=2,
        condition_shape=(4, 2, 1),
    ),
    "unsqueeze_condition": Case(
        lambda: Composition([Unsqueeze(), Coupling(Checkerboard(), conv())]),
        (1, 2, 4),
        condition_shape=(1, 2, 3),
    ),
    "realnvp": Case(flow("realnvp", (3,), couplings=3, widths=(8,)), (3,)),
    "nice": Case(flow("nice", (3,), couplings=2, widths=(8,)), (3,)),
    "residual_vectors": Case(flow("residual", (3,), blocks=2, widths=(8,)), (3,)),
    "residual_images": Case(
        flow("residual", (4, 4, 1), levels=4, blocks=1, width=4, alpha=0.05), (4, 4, 1), high=4.0
    ),
    "realnvp_image_without_logit": Case(
        flow("realnvp", (2, 2, 3), levels=4, width=4, blocks=1, alpha=None), (2, 2, 3), high=4.0
    ),
    "sets": Case(flow("sets", POINTS, couplings=2, widths=(8,)), POINTS),
    "maf": Case(flow("maf", (3,), layers=2, widths=(8,)), (3,)),
    "iaf": Case(flow("iaf", (3,), layers=2, widths=(8,)), (3,)),
    "nsf": Case(flow("nsf", (3,), couplings=2, hidden=(8,)), (3,)),
    # The members of the image flow, fewer of each.
    "nsf_image": Case(
        lambda: Composition(
            [
                Logit(high=4.0, alpha=0.05),
                Coupling(Checkerboard(), conv(), transformer=RationalQuadraticSpline()),
                Squeeze(),
                FactorOut([Coupling(Channels(), conv(), transformer=RationalQuadraticSpline())]),
            ]
        ),
        (4, 4, 1),
        high=4.0,
    ),
}

CASES = [(name, case) for name, case in BIJECTORS.items()]
