"""Finished runs side by side: their results in a table, and how their validation went."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.training.run_directory import DATA, LOG, RESULTS

HEADER = (
    "run", "flow", "parameters", "examples seen", "minutes", "validation", "test", "log_prob, ms",
    "sample, ms",
)  # fmt: skip


def table(folders: Sequence[str | os.PathLike[str]]) -> str:
    """Returns the results of finished runs, in Markdown.

    Figures are bits per dimension with the most samples of the noise that were taken, or nats,
    behind "±" their standard errors; times are of a batch of 64.

    Args:
        folders: run directories.

    Raises:
        ValueError: a directory that holds no finished run.
    """
    rows = [_row(_read(folder)) for folder in folders]
    lines = [f"| {' | '.join(row)} |" for row in (HEADER, ("---",) * len(HEADER), *rows)]
    return "\n".join(lines)


def validations(
    folders: Sequence[str | os.PathLike[str]],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns how the validation of runs went: examples seen and figures, by run and flow.

    Args:
        folders: run directories.

    Raises:
        ValueError: a directory that holds no finished run.
    """
    lines = {}
    for run in map(_read, folders):
        rows = [row for row in run["log"] if row.get("val_loss")]
        seen = run["examples"] * np.array([int(row["epoch"]) for row in rows])
        figures = np.array([float(row["val_loss"]) for row in rows])
        lines[f"{run['name']} ({run['results']['flow']})"] = seen, figures
    return lines


def _read(folder: str | os.PathLike[str]) -> dict[str, Any]:
    folder = Path(folder)
    if missing := [name for name in (RESULTS, DATA, LOG) if not (folder / name).exists()]:
        raise ValueError(f"{folder} is no finished run: it has no {missing[0]}.")
    with (folder / LOG).open() as log:
        return {
            "name": folder.name,
            "results": json.loads((folder / RESULTS).read_text()),
            "examples": json.loads((folder / DATA).read_text())["splits"]["train"]["examples"],
            "log": list(csv.DictReader(log)),
        }


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    results = run["results"]
    return (
        run["name"],
        f"`{results['flow']}`",
        f"{results['parameters']:,}",
        f"{run['examples'] * results['epochs']:,}",
        f"{results['wall_seconds'] / 60:.1f}",
        _figure(results.get("validation") or {}),
        _figure(results if results["split"] == "test" else {}),
        str(results.get("log_prob_ms", "-")),
        str(results.get("sample_ms", "-")),
    )


def _figure(figures: dict[str, Any]) -> str:
    """Returns the figure with the most samples of the noise, and its standard error."""
    for name in ("bits_per_dim_8", "bits_per_dim_1", "nats"):
        if name in figures:
            return f"{figures[name]:.4f} ± {figures[f'{name}_standard_error'] or 0:.4f}"
    return "-"
