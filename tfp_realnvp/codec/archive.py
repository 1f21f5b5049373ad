"""The file: frames, where each begins, and the model that reads them.

    "NVPA", version, 1 byte | frames, and the model where it is embedded | index |
    its length, 4 bytes, its digest, 16 bytes, "NVPA"

The index is JSON, deflated: the events' `shape`, their `levels` and `dtype`, `names` where they
have any, the `model` by `name` and `sha256`, with `offset` and `length` where it is embedded, and
of each of the `frames` its `offset`, its `length`, its number of `images`, a digest of its bytes,
and one of the pixels that it stands for. Numbers are little-endian, digests BLAKE2b of 16 bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np

from tfp_realnvp.codec import workers
from tfp_realnvp.codec.model import Model

MAGIC, VERSION = b"NVPA", 1
_TAIL = struct.Struct("<I16s4s")
# Names and frames of more text are refused: what little unpacks to so much is no archive's index.
_MOST_TEXT = 2**28

Advance = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Content:
    """What an archive says of itself.

    Attributes:
        shape: of an image, `(H, W, C)`.
        levels: of its pixels.
        dtype: of the images that come out.
        classes: number of classes; None where there are no labels.
        model: `name` and `sha256`, and `offset` and `length` of one that is embedded.
        frames: `offset`, `length`, `images`, `digest` and `pixels` of each.
        names: of the images; None where they have none.
        kind: what the images came as, such as `"folder"`.
    """

    shape: tuple[int, ...]
    levels: int
    dtype: str
    classes: int | None
    model: dict[str, Any]
    frames: list[dict[str, Any]]
    names: list[str] | None = None
    kind: str = "array"

    def __len__(self) -> int:
        """The number of images."""
        return sum(frame["images"] for frame in self.frames)


def write(
    file: IO[bytes],
    model: Model,
    parts: Iterable[tuple[np.ndarray, np.ndarray | None]],
    *,
    number: int,
    model_data: bytes,
    identity: dict[str, Any],
    embed: bool,
    dtype: str,
    names: Sequence[str] | None = None,
    kind: str = "array",
    advance: Advance = lambda count: None,
) -> Content:
    """Writes an archive.

    Args:
        file: what is written to; it is not read, nor gone back in.
        model: what codes the images.
        parts: images `[N, *shape]` and their labels or None, for each frame.
        number: how many frames there are.
        model_data: the model as bytes.
        identity: its `name` and `sha256`.
        embed: whether these bytes go into the archive.
        dtype: of the images.
        names: of the images, in their order.
        kind: what the images came as.
        advance: told how many more images are done.
    """
    offset = file.write(MAGIC + bytes([VERSION]))
    index = []
    coded = workers.encoded(model_data, parts, number=number, advance=advance)
    for (images, labels), data in coded:
        index.append(
            {
                "offset": offset,
                "length": len(data),
                "images": len(images),
                "digest": _digest(data),
                "pixels": _digest_of(images, labels),
            }
        )
        offset += file.write(data)
    if embed:
        identity = {**identity, "offset": offset, "length": len(model_data)}
        file.write(model_data)
    content = Content(
        model.shape,
        model.levels,
        dtype,
        model.num_classes,
        identity,
        index,
        None if names is None else list(names),
        kind,
    )
    packed = zlib.compress(json.dumps(dataclasses.asdict(content)).encode(), 9)
    file.write(packed + _TAIL.pack(len(packed), bytes.fromhex(_digest(packed)), MAGIC))
    return content


def read_content(file: IO[bytes]) -> Content:
    """Reads what an archive says of itself.

    Args:
        file: the archive; it is gone back and forth in.

    Raises:
        ValueError: it is no archive, damaged, or of a version that is not known.
    """
    start = file.read(len(MAGIC) + 1)
    if start[:-1] != MAGIC:
        raise ValueError("This is no archive of images.")
    if start[-1] != VERSION:
        raise ValueError(
            f"The archive is of version {start[-1]}, where {VERSION} is the newest that is known."
        )
    size = file.seek(0, 2)
    try:
        file.seek(size - _TAIL.size)
        length, digest, magic = _TAIL.unpack(file.read(_TAIL.size))
        file.seek(size - _TAIL.size - length)
        packed = file.read(length)
        if magic != MAGIC or bytes.fromhex(_digest(packed)) != digest:
            raise ValueError("its index is damaged")
        fields = json.loads(zlib.decompressobj().decompress(packed, _MOST_TEXT))
        fields["shape"] = tuple(fields["shape"])
        content = Content(**fields)
        if np.dtype(content.dtype).kind not in "iuf" or not _are_within(content, size):
            raise ValueError("its index is no archive's")
        return content
    except (OSError, ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise ValueError("The archive is damaged: its index is not whole.") from error


def _are_within(content: Content, size: int) -> bool:
    """Whether frames and model lie within a file of so many bytes."""
    blobs = [*content.frames, *([content.model] if "offset" in content.model else [])]
    numbers = [blob[key] for blob in blobs for key in ("offset", "length")]
    return all(isinstance(number, int) and 0 <= number <= size for number in numbers)


def read_embedded(file: IO[bytes], content: Content) -> bytes | None:
    """Returns the bytes of the model that is in an archive, or None.

    Raises:
        ValueError: they are damaged.
    """
    if "offset" not in content.model:
        return None
    data = _read(file, content.model)
    if hashlib.sha256(data).hexdigest() != content.model["sha256"]:
        raise ValueError("The archive is damaged: its codec is not whole.")
    return data


def read_frames(
    file: IO[bytes],
    content: Content,
    numbers: Sequence[int],
    *,
    model_data: bytes,
    advance: Advance = lambda count: None,
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields the images of frames, in the dtype that they had, and their labels or None.

    Args:
        file: the archive.
        content: see `read_content`.
        numbers: of the frames, from 0.
        model_data: the model that coded them, as bytes.
        advance: told how many more images are done.

    Raises:
        ValueError: a frame is damaged, or was coded by another model.
    """
    described = [content.frames[number] for number in numbers]

    def parts() -> Iterator[tuple[bytes, int]]:
        for number, frame in zip(numbers, described, strict=True):
            data = _read(file, frame)
            if _digest(data) != frame["digest"]:
                raise ValueError(f"The archive is damaged: frame {number} is not whole.")
            yield data, 4 * frame["images"] * (math.prod(content.shape) + 1)

    results = workers.decoded(model_data, parts(), number=len(described), advance=advance)
    for number, frame, (images, labels) in zip(numbers, described, results, strict=True):
        images = images.astype(content.dtype)
        if _digest_of(images, labels) != frame["pixels"]:
            raise ValueError(f"Frame {number} gives other pixels than it was written for.")
        yield images, labels


def _read(file: IO[bytes], described: dict[str, Any]) -> bytes:
    file.seek(described["offset"])
    return file.read(described["length"])


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _digest_of(images: np.ndarray, labels: np.ndarray | None) -> str:
    arrays = [images] if labels is None else [images, labels]
    return _digest(b"".join(array.astype("<i4").tobytes() for array in arrays))
