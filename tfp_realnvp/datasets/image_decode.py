"""From the bytes of image files to one uint8 array."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tfp_realnvp.datasets.base import DatasetError, reason

if TYPE_CHECKING:
    from PIL import Image

Images = TypeVar("Images", bound=Any)

# A JPEG of several pictures turns out to be an MPO upon opening.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA"})
_DEEP_MODES = ("I", "F")
_ORIENTATION = 0x0112
_TIFF_BITS = 258
# Where the header of a PNG says how many bits a channel has.
_PNG_BITS = 24


@dataclass(frozen=True)
class Decoding:
    """What is done to images because it was asked for.

    Attributes:
        image_size: Height and width in pixels to bring all to; None keeps them as they are.
        channels: 1 makes all grey and 3 all colour; None takes what the first has.
        background: Colour that transparent images are laid on, as `"white"` or `"#ff0000"`.

    Raises:
        DatasetError: One of them is something else.
    """

    image_size: tuple[int, int] | None = None
    channels: int | None = None
    background: str | None = None

    def __post_init__(self) -> None:
        from PIL import ImageColor

        if self.image_size is not None:
            try:
                height, width = (int(side) for side in self.image_size if side == int(side))
            except (TypeError, ValueError, OverflowError):
                height = width = 0
            if min(height, width) < 1:
                raise DatasetError(
                    "image_size must be (height, width) in pixels, integers from 1; got "
                    f"{self.image_size!r}."
                )
            object.__setattr__(self, "image_size", (height, width))
        if self.channels not in (None, 1, 3):
            raise DatasetError(f"channels must be 1 (grey) or 3 (colour); got {self.channels!r}.")
        if self.background is not None:
            try:
                ImageColor.getrgb(self.background)
            except (AttributeError, TypeError, ValueError) as error:
                raise DatasetError(
                    "background must be a colour such as 'white' or '#ff0000'; got "
                    f"{self.background!r}."
                ) from error


def decode_images(
    read: Callable[[str], bytes],
    paths: Sequence[str],
    decoding: Decoding,
    *,
    like: str,
    make: Callable[[tuple[int, ...]], Images],
) -> tuple[Images, Counter[str]]:
    """Decodes files that are all of one shape.

    Args:
        read: Gives the bytes of a path; it is called from several threads.
        paths: The files, N of them.
        decoding: What was asked for.
        like: The file that decides on the shape.
        make: Makes of a shape [N, H, W, C] what uint8 images are put into, as into an array, from
            several threads; C is 1 or 3.

    Returns:
        What was made, with the images in it, each turned as its EXIF orientation says, and how many
        were changed in which way.

    Raises:
        DatasetError: A file cannot be decoded without a loss that was not asked for, or is of
            another size than the first.
    """
    first, _ = _decode(read(like), like, decoding, None)
    images = make((len(paths), *first.shape))

    def decode(start: int) -> Counter[str]:
        changes: Counter[str] = Counter()
        for row in range(start, min(start + chunk, len(paths))):
            path = paths[row]
            image, changed = _decode(read(path), path, decoding, first.shape[-1])
            if image.shape != first.shape:
                raise DatasetError(
                    f"The image {path} has {image.shape[0]}x{image.shape[1]} pixels, where all "
                    f"must have the {first.shape[0]}x{first.shape[1]} of {like}; image_size "
                    "brings them to one size."
                )
            images[row] = image
            changes.update(changed)
        return changes

    chunk = 256
    with ThreadPoolExecutor() as pool:
        return images, sum(pool.map(decode, range(0, len(paths), chunk)), Counter())


def _decode(
    data: bytes, path: str, decoding: Decoding, channels: int | None
) -> tuple[np.ndarray, list[str]]:
    """Decodes one file to uint8 [H, W, C], upright, and says what was changed."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _refuse_loss(image, data, path, decoding)
            converted, changed = _convert(image, path, decoding, channels)
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DatasetError(f"The image {path} has more than the {limit} pixels allowed.") from error
    except Image.UnidentifiedImageError as error:
        known = f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
        raise DatasetError(f"The image {path} cannot be decoded: it is no {known}.") from error
    except Exception as error:  # damage makes Pillow raise errors of many kinds
        raise DatasetError(f"The image {path} cannot be decoded: {reason(error)}.") from error
    if decoding.image_size is not None:
        converted = crop_and_resize(converted, decoding.image_size)
    pixels = np.asarray(converted)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels, changed


def _refuse_loss(image: Image.Image, data: bytes, path: str, decoding: Decoding) -> None:
    """Refuses what 8 bits per channel of one picture cannot hold."""
    bits = 8
    if image.format == "PNG":
        bits = data[_PNG_BITS]
    elif image.format == "TIFF":
        bits = max(np.ravel(image.tag_v2.get(_TIFF_BITS, 1)))  # type: ignore[attr-defined]
    if bits > 8 or image.mode.startswith(_DEEP_MODES):
        raise DatasetError(
            f"The image {path} has more than 8 bits per channel (mode {image.mode})."
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise DatasetError(f"The image {path} has {frames} frames, where one was expected.")
    if image.mode not in _GREY_MODES | _COLOUR_MODES and decoding.channels is None:
        raise DatasetError(
            f"The image {path} is in mode {image.mode}, where grey, RGB or a palette were "
            "expected; channels=3 converts it."
        )


def _convert(
    image: Image.Image, path: str, decoding: Decoding, channels: int | None
) -> tuple[Image.Image, list[str]]:
    """Brings an image to mode L or RGB, upright and on its background."""
    from PIL import ImageOps

    changed = []
    mode, is_mpo = image.mode, image.format == "MPO"
    channels = decoding.channels or channels or (1 if mode in _GREY_MODES else 3)
    # Asked before the pixels are loaded, upon which TIFF files are turned.
    if image.getexif().get(_ORIENTATION, 1) in range(2, 9):
        image = ImageOps.exif_transpose(image)
        changed.append("turned as their EXIF orientation says")
    if is_mpo:
        changed.append("taken as the first of several pictures in their files")
    if image.has_transparency_data:
        image, laid = _without_transparency(image, path, decoding.background)
        changed += [f"laid on {decoding.background}"] if laid else []
    if channels == 3:
        converted = image.convert("RGB")
    elif decoding.channels == 1 or mode in _GREY_MODES:
        converted = image.convert("L")
    else:
        pixels = np.asarray(image.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            raise DatasetError(
                f"The image {path} is in colour, where the first is grey; channels=3 makes all "
                "colour and channels=1 all grey."
            )
        converted = image.convert("L")
    if mode != converted.mode:
        changed.append(f"converted from {mode} to {converted.mode}")
    return converted, changed


def _without_transparency(
    image: Image.Image, path: str, background: str | None
) -> tuple[Image.Image, bool]:
    """Lays an image on its background, and says whether that is to be seen anywhere."""
    from PIL import Image

    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image, False
    if background is None:
        raise DatasetError(
            f"The image {path} is transparent in places; background='white', or another colour, "
            "lays it on that."
        )
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image), True


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns uint8 [H, W, C], C = 1 or 3, as `crop_and_resize` brings it to a size."""
    from PIL import Image

    grey = image.shape[-1] == 1
    picture = crop_and_resize(Image.fromarray(image[..., 0] if grey else image), size)
    return np.asarray(picture).reshape(*size, image.shape[-1])


def crop_and_resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Takes the largest centred crop of the proportions of (H, W), and resizes it to that.

    Bilinear, with antialiasing when it shrinks.
    """
    from PIL import Image

    height, width = size
    scale = min(image.height / height, image.width / width)
    crop_height, crop_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (image.height - crop_height) // 2, (image.width - crop_width) // 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
