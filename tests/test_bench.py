"""The table of the benchmarks."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "run.py"


def test_ratios_are_against_the_best_peer_that_ran():
    spec = importlib.util.spec_from_file_location("bench_run", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = [
        {"task": "train", "batch": 32, "ours": 60.0, "peers": {"a": 20.0, "b": 40.0, "c": None}},
        {"task": "sample", "batch": 1, "ours": 9.0, "peers": {"c": None}},
        {"task": "logprob", "batch": 1, "ours": None, "peers": {"a": 1.0}},
    ]
    assert module.table(rows).splitlines()[2:] == [
        "| train | 32 | 60.0 | b: 40.0 | 1.50 |",
        "| sample | 1 | 9.0 | none | - |",
        "| logprob | 1 | failed | a: 1.0 | - |",
    ]
