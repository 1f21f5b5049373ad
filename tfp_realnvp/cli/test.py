"""`test`: whether every pixel of an archive comes back."""

from __future__ import annotations

import argparse

from tfp_realnvp.cli import decompress

DESCRIPTION = "Test whether every pixel of an archive comes back."
NEEDS_TENSORFLOW = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    decompress.add_archive(parser)


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    with decompress.opened(args) as archive:
        decompress.tested(args.archive, archive)
