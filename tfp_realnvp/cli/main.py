"""Entry points of the command line; TensorFlow is imported only after the arguments are parsed."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

COMMANDS = (
    *("train", "evaluate", "sample", "export", "serve"),
    *("compress", "decompress", "list", "test"),
)


def main(argv: Sequence[str] | None = None, *, command: str | None = None) -> int:
    """Runs a command.

    Args:
        argv: arguments; None for those of the process.
        command: name of the command; None when the first argument is that.

    Returns:
        The exit status: 0; 2 after an error that was printed in one sentence; 128 and the signal's
        number after one that stopped it.
    """
    parser = Parser(
        prog="tfp_realnvp" if command is None else f"{command}.py",
        description="Normalizing flows of the RealNVP family.",
    )
    if command is None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name in COMMANDS:
            _fill(commands.add_parser(name, help=_module(name).DESCRIPTION), name)
    else:
        _fill(parser, command)
    args = parser.parse(argv)
    module = _module(command or args.command)
    return guarded(module.run, args, tensorflow=getattr(module, "NEEDS_TENSORFLOW", True))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, as all others are, and whose help has defaults."""

    def __init__(self, **kwargs: Any):
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, **kwargs)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Parses the arguments, of which none may be an empty text."""
        self.parse_args(argv)  # an argument may have set the others' defaults
        args = self.parse_args(argv)
        for name, value in vars(args).items():
            if value == "":
                self.error(f"{name} is empty: leave it out, or give it a value.")
        return args

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(2, f"error: {message}\n")


def guarded(
    run: Callable[[argparse.Namespace], int | None],
    args: argparse.Namespace,
    *,
    tensorflow: bool = True,
) -> int:
    """Runs a command on a clean screen: errors are one sentence, unless `args.debug` is set.

    Args:
        run: what to run.
        args: its arguments, with `debug` among them.
        tensorflow: whether it needs TensorFlow, which is started for it.

    Returns:
        The exit status.
    """
    try:
        if tensorflow:
            with quiet(), no_garbage_collection():
                importlib.import_module("tensorflow_probability")
        return run(args) or 0
    except KeyboardInterrupt as stop:
        print(f"\n{stop if str(stop) else 'Interrupted.'}", file=sys.stderr)
        return 128 + getattr(stop, "signal", signal.SIGINT)
    except BrokenPipeError:
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2


def _fill(parser: argparse.ArgumentParser, command: str) -> None:
    module = _module(command)
    parser.description = module.DESCRIPTION
    module.add_arguments(parser)
    add_debug(parser)


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that every command has."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _module(command: str):
    return importlib.import_module(f"tfp_realnvp.cli.{command}")


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
        return ": ".join([error.strerror, *paths])
    # TensorFlow says where in a graph it was before it says what it was.
    where = ("Graph execution error:", "Detected at node", "<stack traces", " ", "\t")
    lines = [line for line in str(error).splitlines() if line and not line.startswith(where)]
    return lines[0] if lines else type(error).__name__


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Leaves what is imported out of garbage collection, now and when the process ends.

    TensorFlow's modules are some million objects that stay: searching them for garbage takes longer
    than half of a second while they are imported, and a second at the end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def quiet() -> Iterator[None]:
    """Imports TensorFlow without its start-up chatter, which C++ writes past Python's streams."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        from tfp_realnvp.execution import device

        device.has_gpu()  # the devices' own chatter
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
