"""Bijectors for flows put together by hand: `tfb.Bijector`s with fused value and log-det."""

from tfp_realnvp.bijectors.act_norm import ActNorm
from tfp_realnvp.bijectors.autoregressive import Autoregressive
from tfp_realnvp.bijectors.autoregressive_pixels import AutoregressivePixels
from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.bijectors.batch_norm import BatchNorm
from tfp_realnvp.bijectors.blockwise import Blockwise
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.conditional import Conditional
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.bijectors.coupling import Coupling
from tfp_realnvp.bijectors.dequantization import Dequantization
from tfp_realnvp.bijectors.encoded import Encoded
from tfp_realnvp.bijectors.factor_out import FactorOut
from tfp_realnvp.bijectors.flatten import Flatten
from tfp_realnvp.bijectors.foreign import Foreign
from tfp_realnvp.bijectors.invert import Invert
from tfp_realnvp.bijectors.invertible_conv import InvertibleConv
from tfp_realnvp.bijectors.logit import Logit
from tfp_realnvp.bijectors.mean_scale import MeanScale
from tfp_realnvp.bijectors.mixture_logistic import MixtureLogistic
from tfp_realnvp.bijectors.neural_ode import NeuralODE
from tfp_realnvp.bijectors.partitions import (
    Alternating,
    ChannelHalves,
    Channels,
    Checkerboard,
    Halves,
    Partition,
    PointHalves,
)
from tfp_realnvp.bijectors.permutation import Permutation
from tfp_realnvp.bijectors.planar import Planar
from tfp_realnvp.bijectors.radial import Radial
from tfp_realnvp.bijectors.rescale import Rescale
from tfp_realnvp.bijectors.residual import Residual
from tfp_realnvp.bijectors.scale import Scale
from tfp_realnvp.bijectors.spline import RationalQuadraticSpline
from tfp_realnvp.bijectors.squeeze import Squeeze, Unsqueeze
from tfp_realnvp.bijectors.squeezed import Squeezed
from tfp_realnvp.bijectors.standardize import Standardize
from tfp_realnvp.bijectors.token_partitions import (
    CheckerboardHalves,
    ColumnHalves,
    RowHalves,
    ShuffledChannelHalves,
)
from tfp_realnvp.bijectors.transformers import (
    Additive,
    Affine,
    SigmoidAffine,
    SoftplusAffine,
    TanhAffine,
    Transformer,
)
from tfp_realnvp.bijectors.variational_dequantization import VariationalDequantization
from tfp_realnvp.core.context import Context, Scope

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Alternating",
    "Autoregressive",
    "AutoregressivePixels",
    "BatchNorm",
    "Blockwise",
    "ChannelHalves",
    "Channels",
    "Checkerboard",
    "CheckerboardHalves",
    "ColumnHalves",
    "Composition",
    "Conditional",
    "Container",
    "Context",
    "Coupling",
    "Dequantization",
    "Encoded",
    "FactorOut",
    "Flatten",
    "FlowBijector",
    "Foreign",
    "Halves",
    "Invert",
    "InvertibleConv",
    "Logit",
    "MeanScale",
    "MixtureLogistic",
    "NeuralODE",
    "Partition",
    "Permutation",
    "Planar",
    "PointHalves",
    "Radial",
    "RationalQuadraticSpline",
    "Rescale",
    "Residual",
    "RowHalves",
    "Scale",
    "Scope",
    "ShuffledChannelHalves",
    "SigmoidAffine",
    "SoftplusAffine",
    "Squeeze",
    "Squeezed",
    "Standardize",
    "Step",
    "TanhAffine",
    "Transformer",
    "Unsqueeze",
    "VariationalDequantization",
]
