"""A flow of images as a codec: steps, which need NumPy alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfp_realnvp.codec import steps
from tfp_realnvp.codec.stack import Stack
from tfp_realnvp.codec.steps import Batch, Step


@dataclasses.dataclass(frozen=True)
class Model:
    """What codes images.

    Attributes:
        steps: from images to latents.
        shape: of an image, `(H, W, C)`.
        levels: of its pixels.
        num_classes: number of classes; None for none.
        latent_sizes: of the latents, in the order in which they leave.
    """

    steps: list[Step]
    shape: tuple[int, ...]
    levels: int
    num_classes: int | None
    latent_sizes: list[int]

    def encode(self, images: np.ndarray, labels: np.ndarray | None, stack: Stack) -> None:
        """Pushes images.

        Args:
            images: whole numbers `[N, *shape]`.
            labels: `[N]`, or None.
            stack: the bits; what is on it makes the noise.

        Raises:
            ShortStackError: there is too little on it.
            OffGridError: some rows can't be coded.
        """
        batch = Batch(stack, labels)
        numbers = images.reshape(len(images), -1).astype(np.float64)
        numbers = steps.encode(self.steps, numbers, batch)
        stack.push_base(np.concatenate([*batch.latents, numbers], 1))
        if labels is not None:
            stack.push(labels, np.full(len(labels), max(2, self.num_classes or 0)))

    def decode(self, count: int, stack: Stack) -> tuple[np.ndarray, np.ndarray | None]:
        """Pops images.

        Returns:
            The images, and their labels or None.

        Raises:
            ShortStackError: the bits are not of so many images.
        """
        labels = None
        if self.num_classes is not None:
            labels = stack.pop(np.full(count, max(2.0, self.num_classes))).astype(np.int64)
        latents = stack.pop_base((count, sum(self.latent_sizes)))
        *left, numbers = np.split(latents, np.cumsum(self.latent_sizes)[:-1], 1)
        numbers = steps.decode(self.steps, numbers, Batch(stack, labels, latents=left))
        return numbers.reshape(-1, *self.shape), labels
