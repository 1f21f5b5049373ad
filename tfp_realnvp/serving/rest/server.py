"""Models in memory, and requests to them; knows nothing of HTTP but codes."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tfp_realnvp.serving.rest.batches import Batches
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.loaded import Loaded
from tfp_realnvp.serving.rest.metrics import Metrics
from tfp_realnvp.serving.rest.model import LOG, Model
from tfp_realnvp.serving.rest.model_config import ModelConfig
from tfp_realnvp.serving.rest.predict import read_request, write_reply
from tfp_realnvp.serving.rest.refusal import Refusal
from tfp_realnvp.serving.rest.tensors import to_json
from tfp_realnvp.serving.warmup import read_warmup

# How many times a new version answers each of its warm-up requests at once.
WARM = 4
_MODEL = r"(?i)models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + ":(?P<method>classify|regress|predict)")
_STATUS = re.compile(_MODEL + "(?P<metadata>/metadata)?")


class Server:
    """Serves models.

    Args:
        models: what to serve.
        limits: what is taken at once.
        poll_seconds: how often the base directories are looked at.
    """

    def __init__(self, models: Sequence[ModelConfig], *, limits: Limits, poll_seconds: float = 1.0):
        self.limits = limits
        self.models = {
            config.name: Model(config, load=functools.partial(self._load, config.name))
            for config in models
        }
        self.metrics = Metrics(
            lambda: [(name, v) for name, m in self.models.items() for v in m.available]
        )
        self._poll_seconds = poll_seconds
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="batch")
        self._batches: weakref.WeakKeyDictionary[Loaded, dict[str, Batches]] = (
            weakref.WeakKeyDictionary()
        )
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None

    def start(self) -> None:
        """Begins to load, and to follow the directories; once is enough, more does nothing."""
        if self._watch is None:
            self._watch = threading.Thread(target=self._follow, name="versions", daemon=True)
            self._watch.start()

    def stop(self) -> None:
        """Ends what `start` began."""
        self._stop.set()
        self._pool.shutdown(wait=False)

    def is_ready(self) -> bool:
        """Returns whether every model has a version that is ready, and nothing is ending."""
        return not self._stop.is_set() and all(m.available for m in self.models.values())

    def drain(self) -> None:
        """Says of itself that it is not ready any more; requests are answered all the same."""
        self._stop.set()

    def _follow(self) -> None:
        while True:
            for model in self.models.values():
                try:
                    model.refresh()
                except OSError:  # of a directory that can't be read just now
                    LOG.exception("versions")
            if self._stop.wait(self._poll_seconds):
                return

    def _load(self, name: str, directory: str | os.PathLike[str]) -> Loaded:
        loaded = Loaded(directory)
        asyncio.run(self._warm(name, loaded, directory))
        return loaded

    async def _warm(self, name: str, loaded: Loaded, directory: str | os.PathLike[str]) -> None:
        """Answers warm-up requests the way that all are answered: one by one, and then together.

        The version has run each of them. What is slow the first time is beside that: threads of the
        pool, and what TensorFlow keeps for each; rows of several requests; JSON in and out.
        """
        bodies = []
        for signature, inputs in read_warmup(directory):
            columns = {key: to_json(value, as_bytes=True) for key, value in inputs.items()}
            bodies.append(json.dumps({"signature_name": signature, "inputs": columns}).encode())
        for at_once in (*([body] for body in bodies), bodies * WARM):
            answers = (self._answer(name, body, lambda _: loaded) for body in at_once)
            # Here the limits may refuse some: they are the callers', and no reason not to serve.
            await asyncio.gather(*answers, return_exceptions=True)

    def inspect(self, path: str, seen: dict[str, Any]) -> dict[str, Any]:
        """Answers GET: the status or the metadata of a model.

        Args:
            path: what follows `/v1/`.
            seen: what is found out of it for the log, filled in.

        Raises:
            Refusal: there is no such thing.
        """
        if path.lower() == "models":
            raise Refusal("Missing model name in request.")
        found = _STATUS.fullmatch(path)
        if not found:
            raise Refusal(f"Malformed request: GET /v1/{path}")
        name, version, label = _parts(found)
        model = self._known(name, version, status=not found["metadata"])
        seen.update(model=name)
        if not found["metadata"]:
            return {"model_version_status": model.status(version, label)}
        number, loaded = model.find(version, label)
        return {
            "model_spec": {"name": name, "signature_name": "", "version": str(number)},
            "metadata": {"signature_def": {"signature_def": loaded.metadata}},
        }

    async def call(self, path: str, body: bytes, seen: dict[str, Any]) -> bytes:
        """Answers POST.

        Args:
            path: what follows `/v1/`.
            body: the request.
            seen: what is found out of it for the log, filled in.

        Raises:
            Refusal: it can't be served.
        """
        found = _CALL.fullmatch(path)
        if not found:
            raise Refusal(f"Malformed request: POST /v1/{path}")
        name, version, label = _parts(found)
        if (method := found["method"].lower()) != "predict":
            raise Refusal(
                f"Expected {method} signature method_name to be tensorflow/serving/{method}. "
                "Was: tensorflow/serving/predict"
            )

        def find(signature: str) -> Loaded:
            number, loaded = self._known(name, version).find(version, label)
            seen.update(model=name, version=number, signature=signature)
            return loaded

        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                return await self._answer(name, body, find)
        except TimeoutError:
            raise Refusal("Deadline exceeded", "DEADLINE_EXCEEDED") from None

    async def _answer(self, name: str, body: bytes, find: Callable[[str], Loaded]) -> bytes:
        chosen: list[Loaded] = []

        def dtypes_of(signature: str):
            chosen.append(find(signature))
            return {key: spec.dtype for key, spec in sorted(chosen[0].specs(signature).items())}

        request = read_request(body, dtypes_of)
        batches = self._batches_of(name, chosen[0], request.signature)
        results = await batches.run(request.inputs)
        return write_reply(results, in_rows=request.in_rows)

    def _known(self, name: str, version: int | None = None, *, status: bool = False) -> Model:
        if name not in self.models:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refusal(
                f"Could not find any versions of model {name}"
                if status
                else f"Servable not found for request: {wanted}",
                "NOT_FOUND",
            )
        return self.models[name]

    def _batches_of(self, name: str, loaded: Loaded, signature: str) -> Batches:
        of_version = self._batches.setdefault(loaded, {})
        if signature not in of_version:
            observe = self.metrics.batch_rows.labels(name, signature).observe
            of_version[signature] = Batches(
                weakref.proxy(loaded),
                signature,
                limits=self.limits,
                pool=self._pool,
                observe=observe,
            )
        return of_version[signature]


def _parts(found: re.Match[str]) -> tuple[str, int | None, str | None]:
    version = None if found["version"] is None else int(found["version"])
    if version is not None and version >= 2**63:
        raise Refusal(f"Failed to convert version: {version} to numeric.")
    return found["name"], version, found["label"]
