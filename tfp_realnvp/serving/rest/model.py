"""A model and its versions: which are there, loaded, ready, gone."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfp_realnvp.serving.rest.loaded import Loaded
from tfp_realnvp.serving.rest.model_config import ModelConfig
from tfp_realnvp.serving.rest.refusal import Refusal
from tfp_realnvp.serving.versions import versions_of

LOG = logging.getLogger("tfp_realnvp.serving")


@dataclass
class Version:
    """A version: in memory from AVAILABLE on, until the last request after its end is answered."""

    number: int
    loaded: Loaded | None = None
    ended: weakref.ref[Loaded] | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """TensorFlow Serving's word for it."""
        if self.loaded is not None:
            return "AVAILABLE"
        if self.ended is not None:
            return "UNLOADING" if self.ended() is not None else "END"
        return "END" if self.error else "LOADING"

    def end(self) -> None:
        """Takes no more requests; those that have begun hold what they need."""
        if self.loaded is not None:
            self.ended, self.loaded = weakref.ref(self.loaded), None

    def status(self) -> dict[str, Any]:
        """Returns an entry of `model_version_status`."""
        code = "INTERNAL" if self.error else "OK"
        return {
            "version": str(self.number),
            "state": self.state,
            "status": {"error_code": code, "error_message": self.error},
        }


class Model:
    """A model whose versions follow its directory.

    Args:
        config: where it is, and which versions are served.
        load: makes a version of its directory.
    """

    def __init__(self, config: ModelConfig, *, load: Callable[[Any], Loaded] = Loaded):
        self.config = config
        self._load = load
        self._versions: dict[int, Version] = {}  # replaced whole, as others read it
        self._failed: dict[int, int] = {}  # when the files were written that did not load
        self._ending: list[weakref.ref[Loaded]] = []

    @property
    def available(self) -> dict[int, Loaded]:
        """Versions that are ready, ascending."""
        pairs = ((number, v.loaded) for number, v in sorted(self._versions.items()))
        return {number: loaded for number, loaded in pairs if loaded is not None}

    def find(self, version: int | None = None, label: str | None = None) -> tuple[int, Loaded]:
        """Returns a version that is ready, the highest if none is named.

        Raises:
            Refusal: there is none.
        """
        available = self.available
        if label is not None:
            version = self._labelled(label)
        if version is None and available:
            version = max(available)
        if version is None:
            wanted = f"Latest({self.config.name})"
        else:
            wanted = f"Specific({self.config.name}, {version})"
        if version is None or version not in available:
            raise Refusal(f"Servable not found for request: {wanted}", "NOT_FOUND")
        return version, available[version]

    def status(self, version: int | None = None, label: str | None = None) -> list[dict[str, Any]]:
        """Returns the states of all versions, or of one; the highest first.

        Raises:
            Refusal: there is none.
        """
        name = self.config.name
        if label is not None:
            version = self._labelled(label)
        versions = [v for v in self._versions.values() if version in (None, v.number)]
        if not versions:
            what = "any versions" if version is None else f"version {version}"
            raise Refusal(f"Could not find {what} of model {name}", "NOT_FOUND")
        return [v.status() for v in sorted(versions, key=lambda v: -v.number)]

    def _labelled(self, label: str) -> int:
        if label not in self.config.labels:
            raise Refusal(f"Unrecognized servable version label: {label}")
        return self.config.labels[label]

    def refresh(self) -> None:
        """Loads versions that are new in the directory, and ends those that are served no more.

        Old ones end once all new ones are ready; where one does not load, they stay. A directory
        without versions changes nothing.
        """
        busy = [ended for ended in self._ending if ended() is not None]
        if len(busy) < len(self._ending):
            self._ending = busy
            _collect()
        wanted = self.config.wanted(versions_of(self.config.base))
        if not wanted:
            return
        for number in wanted:
            if number not in self.available and not self._has_failed(number):
                self._start(number)
        if all(number in self.available for number in wanted):
            old = [v for v in self._versions.values() if v.loaded and v.number not in wanted]
            for version in old:
                version.end()
                self._tell("ended", version)
            self._ending += [version.ended for version in old if version.ended is not None]

    def _start(self, number: int) -> None:
        version = Version(number)
        self._versions = {**self._versions, number: version}
        written = self._written(number)
        try:
            loaded = self._load(self.config.base / str(number))
            _collect()
            version.loaded = loaded
            self._tell("ready", version)
        except Exception as error:  # whatever is wrong with the files
            version.error = str(error).partition("\n")[0] or type(error).__name__
            self._failed[number] = written
            self._tell("failed", version)

    def _has_failed(self, number: int) -> bool:
        return self._failed.get(number) == self._written(number) and number in self._versions

    def _written(self, number: int) -> int:
        try:
            return (self.config.base / str(number) / "saved_model.pb").stat().st_mtime_ns
        except OSError:
            return 0

    def _tell(self, event: str, version: Version) -> None:
        fields = {"event": f"version {event}", "model": self.config.name, "version": version.number}
        if version.error:
            fields["error"] = version.error
        LOG.log(
            logging.ERROR if version.error else logging.INFO, "version", extra={"fields": fields}
        )


def _collect() -> None:
    """Frees what is gone, where TensorFlow's objects hold each other, and lets the rest be.

    What is there is there to stay, and is millions of objects: to look through them again would
    hold a request up for many times its own time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
