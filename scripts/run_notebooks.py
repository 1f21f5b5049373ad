"""Runs notebooks from top to bottom, in place; what they print and draw is kept in them."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LOGGED = re.compile(r"(INFO|WARNING):(tensorflow|absl):")


def main() -> int:
    """Runs the notebooks that the command line names; returns the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for a cell")
    arguments = parser.parse_args()
    failures = 0
    for path in arguments.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        start = time.monotonic()
        failed = run(path, timeout=arguments.timeout)
        print(f"{path.name}: {failed or 'ok'} ({time.monotonic() - start:.0f} s)", flush=True)
        failures += failed is not None
    return failures


def run(path: Path, *, timeout: int) -> str | None:
    """Executes one notebook and writes it back; returns the error, or None."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        return str(error)
    clean(notebook)
    nbformat.write(notebook, path)
    return None


def clean(notebook: Any) -> None:
    """Keeps what cells print and draw; drops what libraries log, which is about the machine."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept: list[Any] = []
        for output in cell.outputs:
            if output.get("name") == "stderr":
                continue
            if output.get("name") == "stdout":
                lines = output.text.splitlines(keepends=True)
                output.text = "".join(line for line in lines if not LOGGED.match(line))
                if kept and kept[-1].get("name") == "stdout":
                    kept[-1].text += output.text
                    continue
            kept.append(output)
        cell.outputs = kept


if __name__ == "__main__":
    sys.exit(main())
