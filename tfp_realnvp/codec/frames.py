"""A frame: images on a stack of their own, so that it is read without those before it."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from collections.abc import Callable

import numpy as np

from tfp_realnvp.codec.grid import OffGridError
from tfp_realnvp.codec.model import Model
from tfp_realnvp.codec.stack import ShortStackError, Stack

# Images on the way at once. The first are few: their noise is made of the bits of those before.
MOST_IMAGES = 64
# What the noise of an image takes from a stack and then gives back, for each latent, or so.
BITS_ON_THE_WAY = 24
_SEED, _FIRST_SEED_WORDS, _MOST_SEED_WORDS = b"tfp_realnvp", 1024, 2**26
_HEAD = struct.Struct("<5I")


@dataclasses.dataclass(frozen=True)
class Frame:
    """Coded images.

    Attributes:
        seed_words: how many words were on the stack before; see `seed`.
        kept_words: how many of them, from the bottom, are there still.
        words: what is on the stack above these, 32 bits each.
        batches: how many images went onto it together, the first first.
        apart: numbers of the images that are not on it; they are kept as they are.
        plain: these, and what labels there are.
    """

    seed_words: int
    kept_words: int
    words: np.ndarray
    batches: list[int]
    apart: np.ndarray
    plain: bytes

    def to_bytes(self) -> bytes:
        """Returns the frame as bytes."""
        packed = zlib.compress(self.apart.astype("<u4").tobytes() + self.plain, 9)
        counts = (len(self.batches), len(self.apart), len(packed))
        head = _HEAD.pack(self.seed_words, self.kept_words, *counts)
        return head + bytes(self.batches) + packed + self.words.astype("<u4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, most_plain: int) -> Frame:
        """Makes a frame of what `to_bytes` made of it.

        Args:
            data: the bytes.
            most_plain: how many bytes all its images take as they are.

        Raises:
            ValueError: they are no frame's.
        """
        try:
            seed_words, kept_words, batches, apart, packed = _HEAD.unpack_from(data)
            start = _HEAD.size + batches
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(data[start : start + packed], most_plain + 4 * apart + 1)
            words = np.frombuffer(data[start + packed :], "<u4").astype(np.uint32)
            numbers = np.frombuffer(plain[: 4 * apart], "<u4").astype(np.int64)
        except (struct.error, zlib.error, ValueError) as error:
            raise ValueError("A frame is damaged.") from error
        rest = plain[4 * apart :]
        if len(rest) > most_plain or not kept_words <= seed_words <= _MOST_SEED_WORDS:
            raise ValueError("A frame is damaged.")
        return cls(seed_words, kept_words, words, list(data[_HEAD.size : start]), numbers, rest)


def seed(count: int) -> np.ndarray:
    """Returns words that look random; the last of more words are those of fewer."""
    drawn = hashlib.shake_256(_SEED).digest(4 * count)
    return np.frombuffer(drawn, "<u4")[::-1].astype(np.uint32)


def encode(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Frame:
    """Codes images.

    Args:
        model: what codes them.
        images: whole numbers `[N, H, W, C]`.
        labels: `[N]`; None of a model without classes.
        advance: told how many more are done, again and again.
    """
    seed_words = _FIRST_SEED_WORDS
    stack = Stack(seed(seed_words))
    bits_of_row = sum(model.latent_sizes) * BITS_ON_THE_WAY
    batches: list[int] = []
    apart: list[int] = []
    waiting = np.arange(len(images))
    most = MOST_IMAGES
    while len(waiting):
        own_bits = stack.bits - 32 * seed_words
        rows = waiting[: max(1, min(most, own_bits // bits_of_row))]
        tried = stack.clone()
        try:
            model.encode(images[rows], None if labels is None else labels[rows], tried)
        except ShortStackError:
            if len(rows) == 1:  # more of the seed beneath
                stack = Stack(np.concatenate([seed(2 * seed_words)[:seed_words], stack.words()]))
                seed_words *= 2
            most = max(1, len(rows) // 2)
            continue
        except OffGridError as error:
            apart.extend(rows[error.rows].tolist())
            waiting = np.setdiff1d(waiting, rows[error.rows])
            advance(int(error.rows.sum()))
            continue
        stack = tried
        batches.append(len(rows))
        most = MOST_IMAGES
        waiting = waiting[len(rows) :]
        advance(len(rows))
    plain = _bytes_of(images[apart]) + (b"" if labels is None else _bytes_of(labels[apart]))
    words, lowest = stack.words(), seed(seed_words)
    count = min(len(words), seed_words)
    differ = np.flatnonzero(words[:count] != lowest[:count])
    kept = int(differ[0]) if len(differ) else count
    return Frame(seed_words, kept, words[kept:], batches, np.array(sorted(apart), int), plain)


def decode(
    model: Model,
    frame: Frame,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the images of a frame, and their labels or None.

    Args:
        model: what coded them.
        frame: the frame.
        advance: see `encode`.

    Raises:
        ValueError: the frame is damaged, or another model's.
    """
    lowest = seed(frame.seed_words)
    stack = Stack(np.concatenate([lowest[: frame.kept_words], frame.words]))
    count = sum(frame.batches) + len(frame.apart)
    images = np.empty((count, *model.shape), np.int32)
    labels = None if model.num_classes is None else np.empty(count, np.int32)
    waiting = np.setdiff1d(np.arange(count), frame.apart)
    for size in reversed(frame.batches):
        rows, waiting = waiting[len(waiting) - size :], waiting[: len(waiting) - size]
        try:
            own, own_labels = model.decode(size, stack)
        except (ShortStackError, ValueError, KeyError, OverflowError, MemoryError) as error:
            raise ValueError("A frame is damaged, or another codec's.") from error
        images[rows] = own
        if labels is not None and own_labels is not None:
            labels[rows] = own_labels
        advance(size)
    if not np.array_equal(stack.words(), lowest):
        raise ValueError("A frame is damaged, or another codec's.")
    plain = np.frombuffer(frame.plain, "<i4")
    pixels = len(frame.apart) * int(np.prod(model.shape))
    images[frame.apart] = plain[:pixels].reshape(-1, *model.shape)
    if labels is not None:
        labels[frame.apart] = plain[pixels:]
    return images, labels


def _bytes_of(values: np.ndarray) -> bytes:
    return values.astype("<i4").tobytes()
