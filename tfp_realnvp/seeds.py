"""Seeds: one rule for all that draws, whether latents or noise."""

from __future__ import annotations

from typing import Any

import numpy as np

_INT32 = np.iinfo(np.int32)
_WORD = 2**32


def stateless_seed(owner: str, seed: Any, *, noise: bool = False) -> np.ndarray:
    """Returns the stateless seed that is meant, for TensorFlow's `stateless_...` operations.

    Two int32 numbers are that seed themselves. A whole number s of up to 64 bits stands for
    `[s >> 32, s]`, so that below 2^31 it is `[0, s]`. Noise has its words the other way round,
    `[s, s >> 32]`: draws of noise are counted in the second one.

    Args:
        owner: who was given it, for the message.
        seed: a whole number, or two.
        noise: whether it is a seed of noise.

    Returns:
        int32 `[2]`.

    Raises:
        ValueError: anything else.

    Example:
        >>> from tfp_realnvp.seeds import stateless_seed
        >>> stateless_seed("sample", 5).tolist(), stateless_seed("sample", (1, 2)).tolist()
        ([0, 5], [1, 2])
    """
    words = np.asarray(seed)
    whole = words.dtype.kind in "iu"
    if whole and words.shape == (2,) and (words >= _INT32.min).all() and (words <= _INT32.max).all():
        return words.astype(np.int32)
    if not (whole and words.shape == ()):
        raise ValueError(
            f"{owner} needs seed to be a whole number of up to 64 bits, or two of 32 bits, got "
            f"{seed!r}."
        )
    pair = np.array([int(words) // _WORD % _WORD, int(words) % _WORD], np.uint32).view(np.int32)
    return pair[::-1].copy() if noise else pair


def draw_of(seed: np.ndarray, index: int) -> np.ndarray:
    """Returns the stateless seed of the draw of noise number `index`, int32 `[2]`."""
    return (seed.astype(np.int64) + [0, index]).astype(np.int32)
