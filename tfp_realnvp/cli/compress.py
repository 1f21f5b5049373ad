"""`compress`: images to an archive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tfp_realnvp.codec import IMAGES_PER_FRAME

DESCRIPTION = "Compress images without loss, by a flow."
SUFFIX = ".nvp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add(
        "images",
        metavar="IMAGES",
        help="folder or zip of images, .npy or .npz file, or - for a .npy file from standard input",
    )
    add("out", metavar="OUT", nargs="?", help="the archive; IMAGES.nvp, or - for standard output")
    add(
        "--model",
        help="pretrained flow with a codec, run directory, .keras file or codec file (.nvpm); the "
        "pretrained one for such images if not given",
    )
    add("--labels", metavar="FILE.npy", help="of the images, for a class-conditional flow")
    add(
        "--embed",
        action=argparse.BooleanOptionalAction,
        help="put the codec into the archive; done if not given, where it is no pretrained one",
    )
    add("--images_per_frame", type=int, default=IMAGES_PER_FRAME, help="images read together")
    add("-f", "--force", action="store_true", help="replace OUT")
    add("-k", "--keep", action="store_true", help="keep IMAGES, which is done anyway")
    add(
        "--rm", action="store_true", help="remove IMAGES, where that is a file, once OUT is written"
    )


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    import numpy as np

    from tfp_realnvp.cli import images_on_disk
    from tfp_realnvp.core.status_line import Countdown

    if args.rm and (args.keep or not Path(args.images).is_file()):
        raise ValueError("--rm removes files alone, and not with --keep.")
    out = args.out or _beside(args.images)
    with images_on_disk.opened(args.images) as found:
        codec = codec_named(args.model, found.images.shape[1:])
        labels = found.labels if args.labels is None else np.load(args.labels, allow_pickle=False)
        if codec.model.num_classes is None and args.labels is None:
            labels = None  # of the file's own there is no need
        countdown = Countdown("compressing", len(found.images), unit="images", stream=sys.stderr)
        with images_on_disk.written(out, force=args.force) as file:
            content = codec.write(
                file,
                found.images,
                labels,
                images_per_frame=args.images_per_frame,
                embed=args.embed,
                names=found.names,
                kind=found.kind,
                advance=countdown.advance,
            )
            size = file.tell() if out != images_on_disk.STREAM else 0
    if out != images_on_disk.STREAM:
        pixels = len(content) * int(np.prod(content.shape))
        bits = f", {8 * size / pixels:.4f} bits/dim" if pixels else ""
        print(f"{out}: {len(content):,} images, {size:,} bytes{bits}")
    if args.rm:
        Path(args.images).unlink()


def _beside(images: str) -> str:
    """Returns where the archive goes that was given no place."""
    if images == "-":
        return "-"
    path = Path(images)
    name = path.stem if path.suffix in (".npy", ".npz", ".zip") else path.name
    return str(path.with_name(name or path.resolve().name)) + SUFFIX


def codec_named(model: str | None, shape: tuple[int, ...]) -> Any:
    """Returns the codec that a command line names.

    Args:
        model: a pretrained flow, a run, a `.keras` or a codec file; None for the pretrained one.
        shape: of the images that it is for.

    Raises:
        ValueError: there is none.
    """
    from tfp_realnvp.codec.codec import Codec, pretrained_codec, pretrained_codecs

    names = sorted(pretrained_codecs().values())
    if model is None:
        for name in names:
            codec = pretrained_codec(name)
            if codec.model.shape == tuple(shape):
                return codec
        size = "x".join(map(str, shape))
        raise ValueError(f"There is no pretrained codec for images of {size}: give one by --model.")
    if model in names:
        return pretrained_codec(model)
    if model.endswith(".nvpm"):
        return Codec.load(model)
    from tfp_realnvp.training import saving

    return Codec.of(saving.load(model))
