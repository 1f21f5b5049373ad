"""The benchmarks run, and their table says what is met."""

import json

import pytest

from benchmarks import ours_vector, processes, run, scaling
from benchmarks.table import Row, faster, table


@pytest.mark.parametrize("what", ["train", "logprob", "sample"])
def test_our_script_reports_one_line(what, capsys):
    budget = "--batch 8 --steps 2 --warmup 0 --epochs 1 --steps_per_execution 2 --jit off"
    ours_vector.main(["--what", what, *budget.split()])
    report = json.loads(capsys.readouterr().out)
    assert report["samples_per_s"] > 0
    assert report["parameters"] == 136_208


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


def test_peers_that_are_missing_are_named(capsys):
    missing = processes.Peer("Gone", "no_such_package_at_all", ())
    there = processes.Peer("NumPy", "numpy", ())
    assert processes.installed([missing, there], processes.sys.executable) == [there]
    assert "no_such_package_at_all is not installed" in capsys.readouterr().out


def test_every_group_has_a_function():
    assert all(callable(group) for group in run.GROUPS.values())


def test_scaling_finds_a_known_slope():
    assert scaling.slope([1, 2, 4], [80, 20, 5]) == pytest.approx(-2)
    curves = {"depth": {"values": [1, 2], "images_per_s": [8.0, 4.0], "slope": -1.0}}
    assert "slope -1.00" in scaling.plot(curves).axes[0].get_title()
