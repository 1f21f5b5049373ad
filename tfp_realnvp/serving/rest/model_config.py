"""Which models are served, and which of their versions: from a base directory or a config file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format

from tfp_realnvp.serving.messages import ModelServerConfig

# What the paths of the interface can name.
_NAME = re.compile(r"[^/:\s]{1,255}")


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Args:
        name: what it is called in paths.
        base: directory of its versions.
        latest: how many of the highest versions are served; 0 for all.
        specific: these versions alone, where any are given.
        labels: names of versions.

    Raises:
        ValueError: a name that no path can have, or a base directory that is a SavedModel.
        FileNotFoundError: there is no base directory.
    """

    name: str
    base: Path
    latest: int = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"A model's name has no slashes, colons or spaces and is not empty, got "
                f"{self.name!r}."
            )
        if not self.base.is_dir():
            raise FileNotFoundError(f"There is no directory {self.base}.")
        if (self.base / "saved_model.pb").exists():
            raise ValueError(
                f"{self.base} is a SavedModel and has no versions: export it with --version, and "
                "give the directory that the version is in."
            )

    def wanted(self, versions: Sequence[int]) -> list[int]:
        """Returns which versions are to be served, of those that there are, ascending."""
        if self.specific:
            return [version for version in versions if version in self.specific]
        return list(versions[-self.latest :]) if self.latest else list(versions)


def models_of(
    bases: Sequence[str | os.PathLike[str]], model_config: str | os.PathLike[str] | None = None
) -> list[ModelConfig]:
    """Returns the models of base directories, called as these, and those of a file.

    Args:
        bases: base directories, of each of which the latest version is served.
        model_config: see `read_model_config`.

    Raises:
        ValueError: no models, a name twice, or see `ModelConfig` and `read_model_config`.
        OSError: a directory or the file is not there.
    """
    models = [ModelConfig(name=Path(base).resolve().name, base=Path(base)) for base in bases]
    if model_config is not None:
        models += read_model_config(model_config)
    if not models:
        raise ValueError("There is nothing to serve: give a base directory or a model config.")
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"More than one model is called {', '.join(twice)}.")
    return models


def read_model_config(path: str | os.PathLike[str]) -> list[ModelConfig]:
    """Reads a file in the form of TensorFlow Serving's `--model_config_file`.

    Args:
        path: text of a `ModelServerConfig`; relative base paths are relative to the working
            directory.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another form.
    """
    try:
        config = text_format.Parse(Path(path).read_text(), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no model config: {error}.") from error
    models = []
    for entry in config.model_config_list.config:
        if entry.model_platform not in ("", "tensorflow"):
            raise ValueError(f"{path}: {entry.name} is of platform {entry.model_platform!r}.")
        policy = entry.model_version_policy
        models.append(
            ModelConfig(
                name=entry.name,
                base=Path(entry.base_path),
                latest=0 if policy.HasField("all") else policy.latest.num_versions or 1,
                specific=tuple(policy.specific.versions),
                labels={label.key: label.value for label in entry.version_labels},
            )
        )
    return models
