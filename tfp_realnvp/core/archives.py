"""Zips from elsewhere: what is refused before any of it is unpacked."""

from __future__ import annotations

import stat
import zipfile

# What few bytes unpack to at most: a bomb is more, and more than so many times as much.
FEW, TIMES = 2**26, 500
LONGEST_NAME = 1024


def check_members(archive: zipfile.ZipFile) -> None:
    """Refuses an archive that holds what no honest one does.

    Args:
        archive: open for reading; only its directory is read.

    Raises:
        ValueError: a member whose path leads out of the archive, that is a link, that has a name
            of more than 1,024 characters or of some that can't be printed, or that unpacks to more
            than 64 MiB and 500 times what it takes.
    """
    for member in archive.infolist():
        name = member.filename
        if len(name) > LONGEST_NAME:
            raise ValueError(f"it holds a name of {len(name):,} characters")
        if not name.isprintable():
            raise ValueError(f"it holds a name with control characters, {name!r}")
        if ".." in name.replace("\\", "/").split("/"):
            raise ValueError(f"it holds {name}, a path that leads out of it")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"it holds {name}, which is a link")
        if member.file_size > max(FEW, TIMES * member.compress_size):
            raise ValueError(
                f"it holds {name}, of which {member.compress_size:,} bytes unpack to "
                f"{member.file_size:,}"
            )
