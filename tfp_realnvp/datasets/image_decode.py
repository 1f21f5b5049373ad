"""From the bytes of image files to one uint8 array."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tfp_realnvp.datasets.base import DatasetError

if TYPE_CHECKING:
    from PIL import Image

_GREY_MODES = frozenset({"1", "L", "LA"})
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})


def decode_images(
    read: Callable[[str], bytes],
    paths: Sequence[str],
    *,
    like: str,
    image_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Decodes files that are all of one shape.

    Args:
        read: Gives the bytes of a path; it is called from several threads.
        paths: The files, N of them.
        like: The file that decides on the shape, and whether all are grey or colour.
        image_size: Height and width in pixels to bring all to; None keeps them as they are.

    Returns:
        uint8 [N, H, W, C] with C = 1 or 3; transparency is dropped.

    Raises:
        DatasetError: A file cannot be decoded, or is of another size than the first.
    """
    first = decode_image(read(like), like, image_size=image_size)
    mode = "L" if first.shape[-1] == 1 else "RGB"
    images = np.empty([len(paths), *first.shape], np.uint8)

    def decode(start: int) -> None:
        for row in range(start, min(start + chunk, len(paths))):
            path = paths[row]
            image = decode_image(read(path), path, image_size=image_size, mode=mode)
            if image.shape != first.shape:
                raise DatasetError(
                    f"The image {path} has {image.shape[0]}x{image.shape[1]} pixels, where all "
                    f"must have the {first.shape[0]}x{first.shape[1]} of {like}; image_size "
                    "brings them to one size."
                )
            images[row] = image

    chunk = 256
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # A list, so that an error in a thread is raised here.
        list(pool.map(decode, range(0, len(paths), chunk)))
    return images


def decode_image(
    data: bytes, path: str, *, image_size: tuple[int, int] | None = None, mode: str | None = None
) -> np.ndarray:
    """Decodes one file.

    Args:
        data: Its bytes.
        path: Its name, for the error.
        image_size: Height and width in pixels to bring it to.
        mode: `"L"` (grey) or `"RGB"`; None takes what the file has.

    Returns:
        uint8 [H, W, C].

    Raises:
        DatasetError: It cannot be decoded, or has more than 8 bits per channel.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in _DEEP_MODES:
                raise DatasetError(
                    f"The image {path} has more than 8 bits per channel (mode {image.mode})."
                )
            converted = image.convert(mode or ("L" if image.mode in _GREY_MODES else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"The image {path} cannot be decoded.") from error
    if image_size is not None:
        converted = crop_and_resize(converted, image_size)
    pixels = np.asarray(converted)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def crop_and_resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Takes the largest centred crop of the wanted proportions, and resizes it.

    Args:
        image: A PIL image.
        size: Height and width in pixels of the result.

    Returns:
        The image; bilinear, with antialiasing when it shrinks.
    """
    from PIL import Image

    height, width = size
    scale = min(image.height / height, image.width / width)
    crop_height, crop_width = round(height * scale), round(width * scale)
    top, left = (image.height - crop_height) // 2, (image.width - crop_width) // 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
