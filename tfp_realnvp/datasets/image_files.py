"""Folders and zips of images as data sets."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfp_realnvp.datasets.base import SPLITS, Arrays, DatasetError, DatasetInfo, Source
from tfp_realnvp.datasets.cache import cache_root, cached, file_identity
from tfp_realnvp.datasets.image_decode import decode_image, decode_images
from tfp_realnvp.datasets.image_layout import Layout, read_layout

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_Size = tuple[int, int] | None


def source(name: str, path: Path) -> Source:
    """The source of a folder or zip of images; `image_layout` has its splits and classes.

    Args:
        name: What the user called it.
        path: The folder or zip.
    """

    def arrays(
        split: str, data_dir: str | os.PathLike[str] | None, *, image_size: _Size = None
    ) -> Arrays:
        image_size = _checked_size(image_size)
        with _opened(name, path) as files:
            return cached(
                split if split in files.layout.paths else _missing(name, split, files.layout),
                lambda scratch: _decode(files, image_size),
                root=cache_root(data_dir),
                label=path.stem,
                identity=[files.identity, image_size],
            )

    def info(data_dir: str | os.PathLike[str] | None, *, image_size: _Size = None) -> DatasetInfo:
        del data_dir
        with _opened(name, path) as files:
            first = files.layout.first
            shape = decode_image(
                files.read(first), first, image_size=_checked_size(image_size)
            ).shape
            classes = len(files.layout.classes) or None
            return DatasetInfo(name, shape, levels=256, num_classes=classes, kind="image")

    def splits(
        data_dir: str | os.PathLike[str] | None, *, image_size: _Size = None
    ) -> tuple[str, ...]:
        del data_dir, image_size
        with _opened(name, path) as files:
            return tuple(split for split in SPLITS if files.layout.paths.get(split))

    return Source(arrays=arrays, info=info, options=frozenset({"image_size"}), splits=splits)


class _Files:
    """The image files of one place."""

    def __init__(
        self, name: str, sizes: dict[str, Any], read: Callable[[str], bytes], place: Any
    ) -> None:
        if not sizes:
            raise DatasetError(f"{name} holds no {', '.join(_SUFFIXES[:-1])} or .bmp files.")
        self.layout: Layout = read_layout(list(sizes), name)
        self.read = read
        self.identity = [place, sorted(sizes.items())]


def _decode(files: _Files, image_size: _Size) -> dict[str, Arrays]:
    layout = files.layout
    return {
        split: (
            decode_images(files.read, paths, like=layout.first, image_size=image_size),
            layout.labels[split],
        )
        for split, paths in layout.paths.items()
    }


@contextmanager
def _opened(name: str, path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Files(
            name, _walk(path), lambda inner: (path / inner).read_bytes(), str(path.resolve())
        )
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError(f"{name} is damaged, or is no zip.") from error
    with archive:
        members = {
            member.filename: member.CRC for member in archive.infolist() if _wanted(member.filename)
        }

        def read(inner: str) -> bytes:
            try:
                return archive.read(inner)
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise DatasetError(f"The file {inner} in {name} is damaged.") from error

        yield _Files(name, members, read, file_identity(path))


def _walk(folder: Path) -> dict[str, Any]:
    sizes = {}
    for inner, _, names in os.walk(folder, followlinks=True):
        for file in names:
            path = Path(inner, file)
            relative = path.relative_to(folder).as_posix()
            if _wanted(relative):
                status = path.stat()
                sizes[relative] = [status.st_size, status.st_mtime_ns]
    return sizes


def _wanted(path: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.split("/"))
    return path.lower().endswith(_SUFFIXES) and not hidden


def _missing(name: str, split: str, layout: Layout) -> str:
    raise DatasetError(f"{name} has no folder {split} beside {' and '.join(layout.paths)}.")


def _checked_size(size: _Size) -> _Size:
    if size is None:
        return None
    if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
        raise DatasetError(f"image_size must be (height, width) in pixels; got {size!r}.")
    return int(size[0]), int(size[1])
