"""`decompress`: the images of an archive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

DESCRIPTION = "Give back the images of an archive."
#: An archive says by itself what to compute, and NumPy does it.
NEEDS_TENSORFLOW = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_archive(parser)
    add = parser.add_argument
    add(
        "out",
        metavar="OUT",
        nargs="?",
        help="folder, .npy or .npz file, or - for a .npy file to standard output; what the images "
        "came as, beside the archive, if not given",
    )
    add("-t", "--test", action="store_true", help="only test whether every pixel comes back")
    add("-l", "--list", action="store_true", help="only say what is in the archive")
    add("-f", "--force", action="store_true", help="replace OUT, where that is a file")
    add("-k", "--keep", action="store_true", help="keep the archive, which is done anyway")
    add("--rm", action="store_true", help="remove the archive once OUT is written")


def add_archive(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which archive it is, and whose."""
    parser.add_argument("archive", metavar="ARCHIVE", help="the archive; - for standard input")
    parser.add_argument(
        "--model",
        help="codec file (.nvpm), run directory or .keras file that wrote it, where it neither has "
        "its codec nor names a pretrained one",
    )


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.cli import images_on_disk

    with opened(args) as archive:
        if args.list:
            print(described(args.archive, archive))
            return
        if args.test:
            tested(args.archive, archive)
            return
        content = archive.content
        out = args.out or _beside(args.archive, content.kind)
        parts = archive.frames(advance=_countdown("decompressing", len(content)))
        images_on_disk.write_images(
            out,
            parts,
            shape=(len(content), *content.shape),
            dtype=content.dtype,
            names=content.names,
            force=args.force,
        )
    if out != images_on_disk.STREAM:
        print(f"{out}: {len(content):,} images")
    if args.rm and args.archive != images_on_disk.STREAM:
        Path(args.archive).unlink()


def opened(args: argparse.Namespace) -> Any:
    """Returns the archive that the command line names."""
    import io

    from tfp_realnvp.codec.codec import Archive, Codec

    codec = None
    if args.model is not None:
        if args.model.endswith(".nvpm"):
            codec = Codec.load(args.model)
        else:
            from tfp_realnvp.training import saving

            codec = Codec.of(saving.load(args.model))
    file = args.archive if args.archive != "-" else io.BytesIO(sys.stdin.buffer.read())
    return Archive(file, codec=codec)


def described(name: str, archive: Any) -> str:
    """Returns what is in an archive, in a few words."""
    content = archive.content
    size = sum(frame["length"] for frame in content.frames)
    pixels = len(content) * content.shape[0] * content.shape[1] * content.shape[2]
    bits = f", {8 * size / pixels:.4f} bits/dim" if pixels else ""
    model, where = content.model, ", embedded" if "offset" in content.model else ""
    classes = f", labels of {content.classes} classes" if content.classes is not None else ""
    return (
        f"{name}: {len(content):,} images of {'x'.join(map(str, content.shape))}, {content.dtype}"
        f"{classes}, {len(content.frames)} frames{bits}, codec {model['name'] or 'without a name'} "
        f"({model['sha256'][:12]}{where})"
    )


def tested(name: str, archive: Any) -> None:
    """Decodes all that is in an archive, and says so."""
    count = len(archive)
    for _ in archive.frames(advance=_countdown("testing", count)):
        pass
    print(f"{name}: {count:,} images, every pixel comes back")


def _countdown(what: str, count: int) -> Any:
    from tfp_realnvp.core.status_line import Countdown

    return Countdown(what, count, unit="images", stream=sys.stderr).advance


def _beside(archive: str, kind: str) -> str:
    if archive == "-":
        return "-"
    stem = archive.removesuffix(".nvp")
    if kind in ("npy", "npz"):
        return f"{stem}.{kind}"
    return stem if stem != archive else f"{archive}.images"
