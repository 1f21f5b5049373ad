"""The image files of a folder or a zip: each once, and what else was there."""

from __future__ import annotations

import os
import posixpath
import stat
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfp_realnvp.core.archives import check_members
from tfp_realnvp.datasets.base import DatasetError, reason
from tfp_realnvp.datasets.cache import file_identity

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the names of files that are read."""


@dataclass
class Listing:
    """Image files by their paths.

    Attributes:
        place: What changes when the folder or zip does.
        read: Gives the bytes of a path.
        files: What changes when a file does, by relative path with forward slashes.
        skipped: Paths of what else was there, by what it is, in the plural.
        notes: Sentences on what was read in another way than it was written.
    """

    place: Any
    read: Callable[[str], bytes]
    files: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def takes(self, path: str) -> bool:
        """Whether a relative path is one of an image; adds it to `skipped` if not."""
        is_image = path.lower().endswith(SUFFIXES)
        is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.split("/"))
        if is_image and is_hidden:
            self.skipped["hidden images"].append(path)
        elif not is_image and not is_hidden:
            self.skipped["files of other types"].append(path)
        return is_image and not is_hidden

    def said_of_skipped(self) -> str:
        """How many files were skipped, by what they are, with the first of each."""
        return ", ".join(
            f"{what} ({len(paths)}, first {paths[0]})"
            for what, paths in sorted(self.skipped.items())
        )


@contextmanager
def opened(name: str, path: Path) -> Iterator[Listing]:
    """Lists the images of a folder or zip, which can be read as long as this is open.

    Args:
        name: What the user called it, for the error.
        path: The folder or zip.

    Raises:
        DatasetError: It holds no images, is damaged or encrypted, or is a zip with links, with
            paths that lead out of it, or with little that unpacks to much.
        OSError: The system does not let it be read.
    """
    if path.is_dir():
        yield _checked(name, _list_folder(path))
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # damage makes zipfile raise errors of many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetError(f"{name} is damaged, or is no zip.") from error
    with archive:
        try:
            check_members(archive)
        except ValueError as error:
            raise DatasetError(f"{name} is not opened: {error}.") from error
        yield _checked(name, _list_zip(name, path, archive))


def _checked(name: str, listing: Listing) -> Listing:
    if not listing.files:
        but = f", but {listing.said_of_skipped()}" if listing.skipped else ""
        raise DatasetError(
            f"{name} holds no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} files{but}."
        )
    return listing


def _list_folder(folder: Path) -> Listing:
    """Takes each file once, under a name of its own rather than that of a link to it."""
    listing = Listing(str(folder.resolve()), read=lambda relative: (folder / relative).read_bytes())
    # Places by device and number. A link to what holds the folder leads back into it.
    seen = {_inode(parent.stat()) for parent in folder.resolve().parents}
    starts = [folder]
    while starts:
        links: list[Path] = []
        for start in starts:
            try:
                status = start.stat()
            except OSError:
                listing.skipped["links that lead nowhere"].append(_relative(start, folder))
                continue
            if not stat.S_ISDIR(status.st_mode):
                _take(listing, _relative(start, folder), status, seen)
            elif _inode(status) in seen:
                listing.skipped["links to folders seen already"].append(_relative(start, folder))
            else:
                for path, status in _walk(start, seen, links):
                    _take(listing, _relative(path, folder), status, seen)
        starts = sorted(links)
    return listing


def _walk(
    start: Path, seen: set[tuple[int, int]], links: list[Path]
) -> Iterator[tuple[Path, os.stat_result]]:
    """Files below a folder, in order; adds links to `links`, and folders to `seen`."""
    for inner, folders, files in os.walk(start, onerror=_raise):
        here = Path(inner)
        inode = _inode(here.stat())
        folders.sort()
        if inode in seen:
            folders.clear()
            continue
        seen.add(inode)
        links += [path for name in folders if (path := here / name).is_symlink()]
        for name in sorted(files):
            status = (here / name).lstat()
            if stat.S_ISLNK(status.st_mode):
                links.append(here / name)
            else:
                yield here / name, status


def _take(
    listing: Listing, relative: str, status: os.stat_result, seen: set[tuple[int, int]]
) -> None:
    if not listing.takes(relative):
        return
    inode = _inode(status)
    if not stat.S_ISREG(status.st_mode):
        listing.skipped["special files"].append(relative)
    elif inode in seen:
        listing.skipped["other names of the same files"].append(relative)
    else:
        seen.add(inode)
        listing.files[relative] = [status.st_size, status.st_mtime_ns]


def _list_zip(name: str, path: Path, archive: zipfile.ZipFile) -> Listing:
    members: dict[str, zipfile.ZipInfo] = {}

    def read(inner: str) -> bytes:
        try:
            return archive.read(members[inner])
        except Exception as error:  # damage makes zipfile raise errors of many kinds
            raise DatasetError(
                f"The file {inner} in {name} cannot be read: {reason(error)}."
            ) from error

    listing = Listing(file_identity(path), read)
    backslashes = 0
    for member in archive.infolist():
        # Some programs of Windows write the separators of Windows.
        inner = posixpath.normpath(member.filename.replace("\\", "/")).lstrip("/")
        if member.filename.endswith(("/", "\\")) or not listing.takes(inner):
            continue
        if member.flag_bits & 1:
            raise DatasetError(f"{name} is encrypted: unpack it, or give a zip without a password.")
        if inner in members:
            listing.skipped["files of a name that comes again"].append(inner)
        backslashes += "\\" in member.filename
        members[inner] = member
        listing.files[inner] = [member.file_size, member.CRC]
    if backslashes:
        listing.notes.append(f"{name}: names with backslashes read as slashes: {backslashes}.")
    return listing


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _raise(error: OSError) -> None:
    raise error
