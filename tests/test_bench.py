"""The benchmarks run, and their table says what is met."""

import json

import numpy as np
import pytest

from benchmarks import codecs, flows, groups, merge, ours_vector, processes, run, scaling, serving
from benchmarks.table import Row, faster, table


@pytest.mark.parametrize("what", ["train", "logprob", "sample"])
def test_our_script_reports_one_line(what, capsys):
    budget = "--batch 8 --steps 2 --warmup 0 --epochs 1 --steps_per_execution 2 --jit off"
    ours_vector.main(["--what", what, *budget.split()])
    report = json.loads(capsys.readouterr().out)
    assert report["samples_per_s"] > 0
    assert report["parameters"] == 136_208


def test_flows_are_timed_row_by_row(capsys):
    assert {"maf", "realnvp"} < set(flows.flows_of((2,))) and "flowpp" not in flows.flows_of((2,))
    flows.main(["--event", "2", "--flows", "planar"])
    *_, row = capsys.readouterr().out.splitlines()
    name, parameters, *times = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, parameters) == ("`planar`", "80") and all(float(time) > 0 for time in times)


def test_the_best_peer_counts():
    others = {"a": {"images_per_s": 20.0}, "b": {"images_per_s": 40.0}, "c": None}
    row = faster("train", {"images_per_s": 60.0}, others, 1.5, "images")
    assert row.line() == "| train | 60.0 images/s | b: 40.0 | 1.5 | >= 1.5 | met |"


def test_what_was_not_measured_is_neither_met_nor_missed():
    alone = faster("sample", {"images_per_s": 9.0}, {"c": None}, 1.5, "images")
    failed = faster("sample", None, {"c": {"images_per_s": 9.0}}, 1.5, "images")
    assert alone.met is None
    assert failed.met is None
    assert len(table([alone, failed]).splitlines()) == 4


def test_some_bars_are_upper_bounds():
    assert Row("memory", "2 MB", "3 MB", 0.7, 1.0, at_least=False).met
    assert not Row("memory", "4 MB", "3 MB", 1.3, 1.0, at_least=False).met


def test_runs_are_merged_row_by_row(tmp_path, capsys):
    for name, value in (("a", 1.25), ("b", 2.0)):
        row = Row("train", f"{value} images/s", "c: 1.0", value, 1.5)
        none = Row("sample", "1 images/s", None, None, 1.5)
        rows = [{**vars(each), "met": each.met} for each in (row, none)]
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))
    merge.main([str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "| train | 1.25 images/s | c: 1.0 | 1.25, 2 | >= 1.5 | met in 1 of 2 |",
        "| sample | 1 images/s | nothing to compare | - | >= 1.5 | - |",
    ]


def test_peers_that_are_missing_are_named(capsys):
    missing = processes.Peer("Gone", "no_such_package_at_all", ())
    there = processes.Peer("NumPy", "numpy", ())
    assert processes.installed([missing, there], processes.sys.executable) == [there]
    assert "no_such_package_at_all is not installed" in capsys.readouterr().out


def test_every_group_has_a_function():
    assert all(callable(group) for group in run.GROUPS.values())


def test_codecs_cost_what_their_files_hold(monkeypatch, capsys):
    images = np.zeros([5, 4, 4, 1], np.uint8)
    images[:, 1] = 200
    assert codecs.mosaic(images).shape == (2 * 4, 3 * 4, 1)
    np.testing.assert_array_equal(codecs.mosaic(images)[4:, 4:8], images[4])
    monkeypatch.setattr(codecs.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(codecs.shutil, "which", lambda name: None)
    bits = dict(codecs.figures(images, images))
    assert bits["PNG, one by one"] == 8 * len(codecs.png(images[0])) / 16
    assert bits["PNG, one mosaic"] < bits["PNG, one by one"]
    told = capsys.readouterr().out
    assert "zstd left out: pip install imagecodecs" in told and "zpaq left out" in told


def test_scaling_finds_a_known_slope():
    assert scaling.slope([1, 2, 4], [80, 20, 5]) == pytest.approx(-2)
    curves = {"depth": {"values": [1, 2], "images_per_s": [8.0, 4.0], "slope": -1.0}}
    assert "slope -1.00" in scaling.plot(curves).axes[0].get_title()


def test_every_group_makes_rows_of_reports(monkeypatch):
    """With the scripts' reports in their form, every row has a value."""
    commands = []

    def reported(command, **_):
        commands.append(" ".join(command))
        module = command[1].removeprefix("benchmarks.")
        rate = 10.0 if module.startswith("peers") else 15.0
        return {
            "saved_model": {"64": {k: {"step_ms_median": 9.0} for k in ("saved", "in_process")}},
            "alone": {"step_ms": 11.0, "in_order_ms": 10.0, "at_once_ms": 10.0},
            "precision": {"float32": 2.0, "bfloat16": 2.0},
            "startup": {
                "libraries_s": 8.0,
                "import_and_modules_s": 0.1,
                "sample_cold_s": 10.0,
                "pretrained_cold_s": 9.0,
                "sampling_s": 1.0,
            },
        }.get(
            module,
            {
                "images_per_s": rate,
                "samples_per_s": rate,
                "memory_mb": 100.0 + ("5" in command) * (9 if "--recompute" in command else 99),
            },
        )

    monkeypatch.setattr(processes, "run", reported)
    monkeypatch.setattr(groups, "run", reported)
    monkeypatch.setattr(groups, "installed", lambda peers, python: peers)
    bench = groups.Bench("python", short=False)
    rows = {name: group(bench) for name, group in run.GROUPS.items()}
    assert all(rows.values())
    assert all(row.met for group in rows.values() for row in group)
    assert rows["memory"][-1].value == pytest.approx(9 / 99)
    # What two groups ask for runs once.
    assert len(commands) == len(set(commands))


@pytest.mark.slow
def test_a_server_under_load_is_timed(capsys):
    pytest.importorskip("uvicorn")
    pytest.importorskip("ray.serve")
    rows = {row.what.split(",")[0]: row for row in serving.main(["--short"])}
    assert (
        len(rows) == len(serving.ROWS)
        and "| first request after ready |" in capsys.readouterr().out
    )
    assert rows["requests that fail while 2 versions are published"].met
    assert rows["requests taken up and not answered at SIGTERM"].met
    assert rows["requests that fail when one of 2 replicas is killed"].met
