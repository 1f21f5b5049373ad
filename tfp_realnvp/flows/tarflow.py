"""TarFlow (arXiv:2412.06329): causal transformers over the patches of an image."""

from __future__ import annotations

import math

from tfp_realnvp.bijectors import (
    ActNorm,
    AutoregressivePixels,
    Dequantization,
    Logit,
    Squeeze,
)
from tfp_realnvp.bijectors.autoregressive_pixels import ORDERS
from tfp_realnvp.conditioners import CausalTransformer
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.mixture_noise import mixture_noise
from tfp_realnvp.flows.registry import register, require_sides
from tfp_realnvp.flows.uva import ALPHA

# With a smaller one, uniform noise in the bins at both ends has a long tail behind the logit.
UNIFORM_ALPHA = 0.05
DEQUANTIZATIONS = ("variational", "uniform")


@register("tarflow", ndims=3)
def tarflow(
    event_shape,
    *,
    levels: int,
    patch: int = 4,
    width: int = 128,
    blocks: int = 4,
    layers: int = 4,
    heads: int = 2,
    dequantization: str = "variational",
) -> list:
    """Blocks that go through the patches in turn from the first to the last and back.

    The form is STARFlow's (arXiv:2506.06276), which trains steadily where TarFlow's may not:
    bounded outputs, a softplus for the scale, a last norm in the networks. A likelihood takes one
    run of each block, a sample a step for each patch. The size is that of the authors' MNIST
    notebook.

    Options: side of a `patch`; `width`, `layers` and `heads` of the transformer in each of the
    `blocks`; `dequantization` by `"variational"` noise, from mixture couplings at half resolution,
    or by `"uniform"` noise, as in the paper, which costs a quarter of a bit for each pixel in a
    flat black or white neighbourhood.
    """
    if dequantization not in DEQUANTIZATIONS:
        raise ValueError(f"Unknown dequantization {dequantization!r}; there are {DEQUANTIZATIONS}.")
    is_variational = dequantization == "variational"
    arguments.whole("tarflow", "patch", patch, least=2)
    require_sides("tarflow", event_shape, divisor=math.lcm(2, patch) if is_variational else patch)
    return [
        mixture_noise(levels) if is_variational else Dequantization(levels=levels),
        Logit(high=levels, alpha=ALPHA if is_variational else UNIFORM_ALPHA),
        Squeeze(side=patch),
        ActNorm(),
        *(
            AutoregressivePixels(
                CausalTransformer(width=width, depth=layers, heads=heads), order=ORDERS[i % 2]
            )
            for i in range(blocks)
        ),
    ]
