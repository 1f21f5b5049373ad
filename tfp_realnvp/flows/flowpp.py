"""Flow++ (arXiv:1902.00275): couplings by mixtures of logistics, their networks with attention."""

from __future__ import annotations

from tfp_realnvp.bijectors import (
    ActNorm,
    Blockwise,
    ChannelHalves,
    Encoded,
    InvertibleConv,
    Logit,
    MixtureLogistic,
    Squeeze,
    Squeezed,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import GatedAttention, GatedFeatures
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_sides
from tfp_realnvp.flows.uva import ALPHA


@register("flowpp", ndims=3, sharded=True)
def flowpp(
    event_shape,
    *,
    levels: int,
    couplings: tuple[int, int, int] = (4, 2, 3),
    width: int = 96,
    blocks: int = 10,
    heads: int = 4,
    components: int = 32,
    noise_couplings: int = 4,
    noise_blocks: int = 2,
    features: int = 32,
    dropout: float = 0.0,
    alpha: float = ALPHA,
) -> list:
    """Mixture couplings, each behind a norm and a mixing: of columns, of channels, of columns.

    Such couplings make the noise of the dequantizer too, given features of the image. What the
    paper calls a checkerboard is every other column in its authors' code, and here. Sizes are the
    paper's, 31,443,440 parameters at 32x32x3, for a GPU; with `width=16 blocks=1 noise_blocks=1
    components=8 features=8` two CPU cores train it on 28x28 images.

    Options: `couplings` of columns, of channels behind the squeeze, and of columns there; `width`,
    `blocks` and `heads` of their networks; `components` of the mixtures; `noise_couplings`, the
    `noise_blocks` of their networks, and how many `features` of the image they are given; `dropout`
    in training (the paper has 0.2 for CIFAR-10, none for ImageNet); and the `alpha` of the logit,
    in (0, 1): the paper's is 0.1, for natural images.
    """
    arguments.real("flowpp", "alpha", alpha, above=0, below=1)
    require_sides("flowpp", event_shape, divisor=4)

    def mixing(channels):
        # A half of one channel has nothing to mix.
        return [Blockwise([InvertibleConv(), InvertibleConv()])] if channels > 1 else []

    def run(count, channels, *, blocks=blocks):
        couplings = coupling_run(
            ChannelHalves,
            count,
            lambda: GatedAttention(width=width, blocks=blocks, heads=heads, dropout=dropout),
            lambda: MixtureLogistic(components=components),
        )
        return [
            member
            for coupling in couplings
            for member in (ActNorm(elementwise=True), *mixing(channels), coupling)
        ]

    channels = event_shape[-1]
    noise = Encoded(
        GatedFeatures(width=features, dropout=dropout),
        run(noise_couplings, channels, blocks=noise_blocks),
    )
    return [
        VariationalDequantization([Squeezed([noise], order="columns")], levels=levels, alpha=ALPHA),
        Logit(high=levels, alpha=alpha),
        Squeezed(run(couplings[0], channels), order="columns"),
        Squeeze(),
        *run(couplings[1], 2 * channels),
        Squeezed(run(couplings[2], 4 * channels), order="columns"),
    ]
