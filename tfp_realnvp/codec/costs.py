"""Where in an image an archive's bits go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfp_realnvp.codec import frames, steps
from tfp_realnvp.codec.codec import Codec
from tfp_realnvp.codec.grid import FRACTION_BITS, real
from tfp_realnvp.codec.stack import ShortStackError, Stack

LOG_2_OF_ROOT_OF_2_PI = 0.5 * np.log2(2 * np.pi)


def bits_by_pixel(codec: Codec, images: Any, labels: Any = None) -> np.ndarray:
    """Returns the bits that each pixel of images takes in an archive.

    A latent is where the pixel was that it is made of, whatever is squeezed or leaves on the way:
    so what its noise, its maps and the base cost is that pixel's. Couplings spend in one place what
    they have learned from others; the sum over an image is what it costs.

    Args:
        codec: the codec.
        images: whole numbers `[N, H, W, C]`.
        labels: `[N]`, of a class-conditional flow.

    Returns:
        Bits `[N, H, W, C]`, below 0 where a pixel gives more noise back than it takes.

    Raises:
        ValueError: images or labels that the flow does not take, or an image that can't be coded.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=2, blocks=1)
        >>> nvp.bits_by_pixel(nvp.Codec.of(dist), np.zeros([5, 4, 4, 1], "uint8")).shape
        (5, 4, 4, 1)
    """
    model = codec.model
    images = codec.checked_images(images)
    labels = codec.checked_labels(labels, len(images))
    words = 4 * images.size
    while True:  # until the noise has bits enough
        batch = steps.Batch(Stack(frames.seed(words)), labels, costs=[])
        try:
            numbers = images.reshape(len(images), -1).astype(np.float64)
            rest = steps.encode(model.steps, numbers, batch)
            break
        except ShortStackError:
            words *= 2
    bits = np.zeros((len(images), numbers.shape[1]))
    places = np.arange(numbers.shape[1])
    left: list[np.ndarray] = []
    for own, costs in zip(_places(model.steps, places, left), batch.costs or [], strict=True):
        bits[:, own] += costs
    for own, latents in zip(left, [*batch.latents, rest], strict=True):
        base = 0.5 / np.log(2) * real(latents) ** 2 + LOG_2_OF_ROOT_OF_2_PI
        bits[:, own] += base + FRACTION_BITS
    return bits.reshape(-1, *model.shape)


def _places(
    own: list[steps.Step], places: np.ndarray, left: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yields the places in the image of what each step costs, and notes those of what leaves."""
    places = yield from _walk(own, places, left)
    left.append(places)


def _walk(own: list[steps.Step], places: np.ndarray, left: list[np.ndarray]) -> Any:
    for step in own:
        if isinstance(step, steps.Reorder):
            places = places[step.order]
        elif isinstance(step, steps.Leave):
            left.append(places[step.leaving])
            places = places[step.staying]
        elif isinstance(step, steps.Elements):
            yield places[step.places()]
        elif isinstance(step, steps.Dequantize):
            yield places
            yield from _walk(step.noise or [], places, left)
        elif isinstance(step, steps.Seeing):
            places = yield from _walk(step.steps, places, left)
        elif isinstance(step, steps.Blocks):
            places = places.copy()
            for block, inside in zip(step.places, step.steps, strict=True):
                places[block] = yield from _walk(inside, places[block], left)
    return places
