"""The data of a training run, read and looked at before it begins."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from typing import Any

import numpy as np

from tfp_realnvp import datasets
from tfp_realnvp.core.stored import IN_MEMORY, Rows, StoredRows, parts_of
from tfp_realnvp.flow import Flow
from tfp_realnvp.training.evaluation import arrays_for, check_split
from tfp_realnvp.training.run_config import RunConfig

Arrays = tuple[Rows, np.ndarray | None, np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class RunData:
    """The splits that a run trains on, validates and tests with.

    Attributes:
        train: examples, and labels and conditions where the flow is conditional on them.
        validation: the same; None where there is no such split.
        test: the same.
        columns: names of the coordinates of vectors; None where they have none.
    """

    train: Arrays
    validation: Arrays | None
    test: Arrays | None
    columns: list[str] | None

    def description(self) -> dict[str, Any]:
        """Returns what a run directory keeps of its data: columns, and fingerprints of splits."""
        splits = {split: getattr(self, split) for split in datasets.SPLITS}
        return {
            "columns": self.columns,
            "splits": {
                k: None if arrays is None else _fingerprint(*arrays) for k, arrays in splits.items()
            },
        }


def read(
    config: RunConfig, info: datasets.DatasetInfo, dist: Flow, *, memory: float = IN_MEMORY
) -> RunData:
    """Reads every split that there is, and checks it for a flow.

    Args:
        config: of the run.
        info: of its data set.
        dist: the flow to train.
        memory: bytes of examples that are loaded at most; what goes beyond stays on disk.

    Raises:
        ValueError: a split that the flow cannot be trained, validated or tested with.
    """
    found: dict[str, Arrays | None] = dict.fromkeys(datasets.SPLITS)
    there = datasets.splits(config.dataset, config.data_dir, **config.data_options)
    for split in dict.fromkeys(("train", *there)):
        arrays = arrays_for(
            dist, config.dataset, split, config.data_dir, config.data_options, memory=memory
        )
        memory -= 0 if isinstance(arrays[0], StoredRows) else arrays[0].nbytes
        check_split(dist, *arrays, dataset=config.dataset, split=split)
        found[split] = arrays
    assert found["train"] is not None
    columns = info.columns
    return RunData(
        train=found["train"],
        validation=found["validation"],
        test=found["test"],
        columns=list(columns) if columns else None,
    )


def _fingerprint(x: Rows, *given: np.ndarray | None) -> dict[str, Any]:
    digest = hashlib.sha256()
    for part in itertools.chain(parts_of(x), given):
        if part is not None:
            digest.update(np.ascontiguousarray(part).data)
    return {
        "examples": len(x),
        "shape": list(x.shape[1:]),
        "dtype": x.dtype.name,
        "sha256": digest.hexdigest(),
    }
