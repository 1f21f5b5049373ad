"""`list`: what is in an archive."""

from __future__ import annotations

import argparse

from tfp_realnvp.cli import decompress

DESCRIPTION = "Say what is in an archive."
NEEDS_TENSORFLOW = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    decompress.add_archive(parser)
    parser.add_argument("--names", action="store_true", help="the images' names, a line each")


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    with decompress.opened(args) as archive:
        print(decompress.described(args.archive, archive))
        if args.names:
            print("\n".join(archive.content.names or []))
