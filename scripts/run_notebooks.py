"""Runs notebooks from top to bottom, in place; what they print and draw is kept in them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


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
    # Warnings of libraries are about the machine that ran the notebook, not about flows.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [o for o in cell.outputs if o.get("name") != "stderr"]
            cell.outputs = kept
    nbformat.write(notebook, path)
    return None


if __name__ == "__main__":
    sys.exit(main())
