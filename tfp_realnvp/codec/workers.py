"""Frames worked on side by side, each in a process of its own.

Threads would wait for each other: what NumPy does at a time here takes less time than a change of
threads.
"""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tfp_realnvp.codec import frames, model_file
from tfp_realnvp.codec.model import Model

SECONDS_BETWEEN_LOOKS = 0.2


def encoded(
    data: bytes,
    parts: Iterable[tuple[np.ndarray, np.ndarray | None]],
    *,
    number: int,
    advance: Callable[[int], None],
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray | None], bytes]]:
    """Yields images and labels, and the frame that they become, in their order.

    Args:
        data: the model as bytes.
        parts: images and labels of each frame.
        number: how many frames there are.
        advance: told how many more images are done.
    """

    def tasks():
        for part in parts:
            waiting.append(part)
            yield data, *part

    waiting: list[tuple[np.ndarray, np.ndarray | None]] = []
    for result in _in_processes(_encode, tasks(), number=number, advance=advance):
        yield waiting.pop(0), result


def decoded(
    data: bytes,
    parts: Iterable[tuple[bytes, int]],
    *,
    number: int,
    advance: Callable[[int], None],
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields the images and labels of frames, in their order.

    Args:
        data: the model as bytes.
        parts: each frame as bytes, and how many bytes its images take as they are.
        number: how many frames there are.
        advance: told how many more images are done.

    Raises:
        ValueError: a frame is damaged, or another model's.
    """
    tasks = ((data, *part) for part in parts)
    yield from _in_processes(_decode, tasks, number=number, advance=advance)


@functools.lru_cache(maxsize=2)
def _model(data: bytes) -> Model:
    return model_file.from_bytes(data)


def _encode(
    data: bytes,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    advance: Callable[[int], None],
) -> bytes:
    return frames.encode(_model(data), images, labels, advance=advance).to_bytes()


def _decode(
    data: bytes, frame: bytes, most_plain: int, *, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray | None]:
    opened = frames.Frame.from_bytes(frame, most_plain=most_plain)
    return frames.decode(_model(data), opened, advance=advance)


def _in_processes(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    *,
    number: int,
    advance: Callable[[int], None],
) -> Iterator[Any]:
    """Yields `function(*task, advance=...)` of tasks, of one in this process."""
    if number < 2:
        for task in tasks:
            yield function(*task, advance=advance)
        return
    try:
        import joblib
    except ImportError as error:
        raise ImportError("Archives need joblib: pip install 'tfp_realnvp[codec]'.") from error
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "done")
        done = np.memmap(path, np.int64, "w+", shape=(number,))
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(done, over, advance), daemon=True)
        watch.start()
        try:
            run = joblib.delayed(_counted)
            yield from joblib.Parallel(n_jobs=-1, return_as="generator")(
                run(function, task, path, number, k) for k, task in enumerate(tasks)
            )
        finally:
            over.set()
            watch.join()


def _counted(function: Callable[..., Any], task: tuple, path: str, number: int, k: int) -> Any:
    """Runs a task, and counts what it has done in a file's k-th number."""
    done = np.memmap(path, np.int64, "r+", shape=(number,))

    def advance(count: int) -> None:
        done[k] += count

    return function(*task, advance=advance)


def _watch(done: np.ndarray, over: threading.Event, advance: Callable[[int], None]) -> None:
    told = 0
    while True:
        last = over.wait(SECONDS_BETWEEN_LOOKS)
        if (count := int(done.sum())) > told:
            advance(count - told)
            told = count
        if last:
            return
