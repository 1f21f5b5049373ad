"""The directory of a training run: who may write there, and what it says of the run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfp_realnvp.core.files import replacing
from tfp_realnvp.core.locks import release, try_lock
from tfp_realnvp.training.run_config import RunConfig
from tfp_realnvp.training.saving import BEST

CONFIG, DATA, LOG, LAST = "config.json", "data.json", "log.csv", "last.npz"
RESULTS, CURVES, SAMPLES, TENSORBOARD = "results.json", "curves.png", "samples", "tensorboard"
# What training leaves: with any of these there is something to go on from, or to lose.
_TRAINED = (LOG, BEST, LAST, RESULTS)


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keeps a run directory to this process during the block, and makes it if need be.

    Where the block fails before anything has been learnt, what it has written is removed again,
    and the directory as well if it was made here.

    Raises:
        ValueError: another process trains there.
        OSError: it cannot be written.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    handle = _locked(out)
    try:
        before = {path.name for path in out.iterdir()}
        try:
            yield
        except BaseException:
            if not is_trained(out):
                for name in {CONFIG, DATA, CURVES, SAMPLES, TENSORBOARD} - before:
                    _remove(out / name)
            raise
    finally:
        if handle is not None:
            release(out, handle)
        with contextlib.suppress(OSError):  # as soon as one is not empty
            for folder in made:
                folder.rmdir()


def is_trained(out: Path) -> bool:
    """Returns whether a directory holds anything of a run that has been trained."""
    return any((out / name).exists() for name in _TRAINED)


def agree(out: Path, config: RunConfig, *, resume: bool) -> None:
    """Checks that a run may be begun in a directory, or the one that is there resumed.

    Raises:
        ValueError: there is a run and `resume` is not set, or one with other settings, or
            something else of the same name.
    """
    for name in (SAMPLES, TENSORBOARD):
        if (out / name).exists() and not (out / name).is_dir():
            raise ValueError(f"{out / name} is in the way of a run's directory of that name.")
    if not (out / CONFIG).exists():
        if is_trained(out):
            raise ValueError(f"{out} holds a run without its {CONFIG}: give another directory.")
        return
    there = read_config(out)
    if not resume:
        if is_trained(out):
            raise ValueError(
                f"{out} holds a run already: go on with --resume, or give another --out."
            )
        return
    asked = dataclasses.replace(config, epochs=there.epochs, data_dir=there.data_dir)
    for field in dataclasses.fields(there):
        begun, now = getattr(there, field.name), getattr(asked, field.name)
        if begun != now:
            raise ValueError(
                f"The run in {out} has {field.name}={begun!r}, not {now!r}: resume it as it was "
                "begun."
            )


def agree_on_data(out: Path, splits: dict[str, Any]) -> None:
    """Checks that the data of a run that is resumed are those that it was begun with.

    Args:
        out: the run directory; runs of versions that kept no fingerprint pass.
        splits: fingerprints by split, None where there is no such split.

    Raises:
        ValueError: they have changed.
    """
    kept = _read_data(out)
    if kept is None:
        return
    try:
        changes = [
            f"split {split!r} had {_described(begun)}, and has {_described(now, begun)} now"
            for split, now in splits.items()
            if (begun := kept["splits"][split]) != now
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{out / DATA} is damaged: it has no fingerprints.") from error
    if changes:
        raise ValueError(f"The data of the run in {out} have changed: {'; '.join(changes)}.")


def forget_start(out: Path) -> None:
    """Removes what a start that was killed before the end of an epoch has left of its logs."""
    if (out / CONFIG).exists():
        _remove(out / TENSORBOARD)


def read_config(run: str | os.PathLike[str]) -> RunConfig:
    """Reads a run directory's configuration.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    path = Path(run) / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run} is no run directory: it has no {CONFIG}.")
    content = _read_json(path)
    try:
        return RunConfig(**content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or of no run: {error}") from error


def read_results(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what a finished run has reached.

    Raises:
        FileNotFoundError: it is not finished.
        ValueError: the file is damaged.
    """
    path = Path(run) / RESULTS
    if not path.exists():
        raise FileNotFoundError(f"The run in {run} is not finished: it has no {RESULTS}.")
    return _read_json(path)


def read_columns(run: str | os.PathLike[str]) -> list[str] | None:
    """Reads the names of the columns of the vectors that a run was trained on.

    Returns:
        The names, or None where the data have none, or `run` is no run directory.

    Raises:
        ValueError: the file that holds them is damaged.
    """
    return (_read_data(Path(run)) or {}).get("columns")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes strict JSON: what is not finite becomes null."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content) + "\n")


def json_text(content: Any) -> str:
    """Returns strict JSON, in which NaN and infinities are null."""
    return json.dumps(finite(content), indent=2, allow_nan=False)


def finite(content: Any) -> Any:
    """Returns what is made of dicts and lists with None for what is not finite."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _locked(out: Path) -> int | None:
    try:
        while True:
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):  # written now rather than after an epoch
                pass
            try:
                handle = try_lock(out)
            except OSError as error:
                warnings.warn(
                    f"{out} cannot be locked ({error.strerror}): see to it yourself that no other "
                    "process trains there.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return None
            if handle is not None:
                return handle
            if out.exists():
                raise ValueError(f"Another process trains in {out}: give another --out.")
    except OSError as error:
        raise OSError(error.errno, f"Cannot write to {out}: {error.strerror}.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    return content


def _read_data(out: Path) -> dict[str, Any] | None:
    return _read_json(out / DATA) if (out / DATA).exists() else None


def _described(split: dict[str, Any] | None, other: dict[str, Any] | None = None) -> str:
    if split is None:
        return "no examples"
    text = f"{split['examples']:,} examples of shape {tuple(split['shape'])}"
    same = other and all(other[key] == split[key] for key in ("examples", "shape"))
    return f"other values in {text}" if same else text
