"""Images as archives take and give them: folders, arrays in files, standard input and output."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfp_realnvp.core.files import folder_beside, replacing
from tfp_realnvp.core.stored import StoredRows

STREAM = "-"
MODES = {"L": 1, "RGB": 3}
LONGEST_NAME = 1024


@dataclasses.dataclass(frozen=True)
class Found:
    """Images that were found.

    Attributes:
        images: `[N, H, W, C]`, read when they are asked for.
        labels: `[N]`, or None.
        names: relative paths, of images in files of their own; or None.
        kind: `"folder"`, `"npy"` or `"npz"`.
    """

    images: Any
    labels: np.ndarray | None
    names: list[str] | None
    kind: str


@contextlib.contextmanager
def opened(path: str) -> Iterator[Found]:
    """Yields the images of a folder, a zip, a `.npy` or `.npz` file, or of standard input.

    Args:
        path: where they are; `-` for a `.npy` file from standard input.

    Raises:
        ValueError: there are none, or some that are not taken as they are.
        OSError: the system does not let them be read.
    """
    if path == STREAM:
        with _readable("standard input"):
            yield _of_array(np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False), "npy")
    elif path.endswith(".npy"):
        with _readable(path):
            found = _of_array(np.load(path, mmap_mode="r", allow_pickle=False), "npy")
        yield found
    elif path.endswith(".npz"):
        with _readable(path), np.load(path, allow_pickle=False) as arrays:
            found = _of_arrays(path, {name: arrays[name] for name in arrays.files})
        yield found
    else:
        with _of_files(path) as found:
            yield found


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyError) as error:
        raise ValueError(f"{path} is damaged, or no array of NumPy's.") from error
    except ValueError as error:
        if "pickle" in str(error) or "magic" in str(error) or "header" in str(error):
            raise ValueError(f"{path} is damaged, or no array of NumPy's.") from error
        raise


def _of_array(array: np.ndarray, kind: str, labels: np.ndarray | None = None) -> Found:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.dtype.kind not in "iu":
        raise ValueError(
            "Images are whole numbers [N, H, W] or [N, H, W, C], got an array of dtype "
            f"{array.dtype} and shape {array.shape}."
        )
    return Found(array, labels, None, kind)


def _of_arrays(path: str, arrays: dict[str, np.ndarray]) -> Found:
    extra = {name: array for name, array in arrays.items() if array.ndim not in (3, 4)}
    images = [array for name, array in arrays.items() if name not in extra]
    labels = [array for array in extra.values() if array.ndim == 1]
    if len(images) != 1 or len(labels) != len(extra) or len(labels) > 1:
        raise ValueError(
            f"{path} has to have one array of images, and at most one of labels [N]; it has "
            f"{', '.join(f'{name} {array.shape}' for name, array in arrays.items()) or 'none'}."
        )
    return _of_array(images[0], "npz", labels[0] if labels else None)


@contextlib.contextmanager
def _of_files(path: str) -> Iterator[Found]:
    from tfp_realnvp.datasets import image_listing

    with image_listing.opened(path, Path(path)) as listing:
        names = sorted(listing.files)
        if listing.skipped:
            print(f"Left out: {listing.said_of_skipped()}.", file=sys.stderr)
        shape = _shape_of(names[0], listing.read(names[0]))
        for name in names[1:]:
            if (own := _shape_of(name, listing.read(name))) != shape:
                raise ValueError(
                    f"An archive has images of one shape: {names[0]} is {shape}, {name} is {own}."
                )

        def read(rows: np.ndarray) -> np.ndarray:
            return np.stack([_pixels(listing.read(names[row])) for row in rows])

        yield Found(StoredRows(read, (len(names), *shape), np.uint8), None, names, "folder")


def _shape_of(name: str, data: bytes) -> tuple[int, int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, (width, height) = image.mode, image.size
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{name} is damaged, or no image.") from error
    if mode not in MODES:
        raise ValueError(
            f"{name} is of mode {mode}, of which not every pixel would come back: images are grey "
            "(L) or colour (RGB), 8 bits each."
        )
    return height, width, MODES[mode]


def _pixels(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@contextlib.contextmanager
def written(path: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Yields a file to write to, which takes its place when the block succeeds.

    Args:
        path: where to; `-` for standard output.
        force: whether what is there is replaced.

    Raises:
        ValueError: something is there.
        OSError: the system does not let it be written.
    """
    if path == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    _check_free(path, force=force)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield file


def _check_free(path: str, *, force: bool) -> None:
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder, which is not replaced.")
    if Path(path).exists() and not force:
        raise ValueError(f"{path} is there already: --force replaces it.")


def write_images(
    path: str,
    parts: Iterator[tuple[np.ndarray, np.ndarray | None]],
    *,
    shape: tuple[int, ...],
    dtype: str,
    names: list[str] | None,
    force: bool,
) -> None:
    """Writes images, all of them or none.

    Args:
        path: a `.npy` or `.npz` file, `-` for a `.npy` file to standard output, else a folder.
        parts: images and labels, some at a time.
        shape: of all images, `(N, H, W, C)`.
        dtype: their dtype.
        names: their names; None for numbers.
        force: whether a file that is there is replaced.

    Raises:
        ValueError: something is there, or names that lead out of the folder.
    """
    if path == STREAM or path.endswith(".npy"):
        with written(path, force=force) as file:
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for images, _ in parts:
                file.write(np.ascontiguousarray(images).tobytes())
    elif path.endswith(".npz"):
        with written(path, force=force) as file:
            pairs = list(parts)
            x = _joined([images for images, _ in pairs], shape, dtype)
            labels = [labels for _, labels in pairs if labels is not None]
            if labels:
                np.savez_compressed(file, x=x, labels=np.concatenate(labels))
            else:
                np.savez_compressed(file, x=x)
    else:
        _write_folder(Path(path), parts, _checked(names, shape[0]))


def _joined(parts: list[np.ndarray], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(shape, dtype)


def _checked(names: list[str] | None, count: int) -> list[str]:
    """Returns names of PNG files that stay within a folder, each once."""
    if names is None:
        return [f"{i:0{len(str(count))}d}.png" for i in range(count)]
    result = [name if name.lower().endswith(".png") else f"{name}.png" for name in names]
    for name in names:
        parts = name.replace("\\", "/").split("/")
        leads_out = not all(parts) or any(part in (".", "..") or ":" in part for part in parts)
        if leads_out or not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"The archive has an image called {name[:80]!r}, which is refused.")
    if len(set(result)) != len(result) or len(result) != count:
        raise ValueError("The archive has two images of one name, which is refused.")
    return result


def _write_folder(
    folder: Path, parts: Iterator[tuple[np.ndarray, np.ndarray | None]], names: list[str]
) -> None:
    from PIL import Image

    if folder.exists():
        raise ValueError(f"{folder} is there already: give the images another folder.")
    with folder_beside(folder) as scratch:
        inside = scratch / folder.name
        inside.mkdir()
        waiting = iter(names)
        for images, _ in parts:
            for image in images:
                path = inside / next(waiting)
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = image.astype(np.uint8)
                Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
        inside.rename(folder)
