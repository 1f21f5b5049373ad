"""Times this package and the installed peers in turn, and prints a table with the bar of each row.

    python -m benchmarks.run --peer_python PATH --rows train logprob

Every task is a process of its own, ours and each peer's one after the other. Peers that are not
installed are skipped by name. Figures mean something on an idle machine only.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from benchmarks import groups, resources
from benchmarks.table import Row, table
from tfp_realnvp.cli.main import quiet

GROUPS = {
    "train": groups.train,
    "logprob": groups.logprob,
    "saved": groups.saved,
    "sample": groups.sample,
    "vector": groups.vector,
    "networks": groups.networks,
    "memory": resources.memory,
    "startup": resources.startup,
    "precision": resources.precision,
}


def main() -> None:
    """Runs the groups that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--peer_python", default=sys.executable, metavar="PATH", help="interpreter of the peers")
    add("--peer_scripts", metavar="DIR", help="folder with uva_torch.py and tabular.py: timed too")
    add("--rows", nargs="+", choices=GROUPS, default=list(GROUPS), help="groups; all by default")
    add("--short", action="store_true", help="tiny batches, few steps: to see that all runs")
    add("--out", default="runs/bench.json", metavar="FILE.json")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        importlib.import_module("tensorflow")
    scripts = Path(args.peer_scripts).resolve() if args.peer_scripts else None
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    bench = groups.Bench(args.peer_python, args.short, scripts)
    rows: list[Row] = []
    start, load = time.perf_counter(), os.getloadavg()[0]
    for name in args.rows:
        began = time.perf_counter()
        new = GROUPS[name](bench)
        rows.extend(new)
        print(table(new), flush=True)
        print(f"\n{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
        content = {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": load,
            "short": args.short,
            "rows": [{**dataclasses.asdict(row), "met": row.met} for row in rows],
            "reports": bench.reports,
        }
        out.write_text(json.dumps(content, indent=2) + "\n")
    print(f"# All rows, {time.perf_counter() - start:.0f} s\n\n{table(rows)}")


if __name__ == "__main__":
    main()
