"""Workers without Ray: when they save, what they check, what they say."""

import errno
import itertools
import os
import types

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import callbacks, runs
from tfp_realnvp.training import cluster, gang, sharing
from tfp_realnvp.uses import likelihood


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self.pass_)

    def pass_(self, seconds):
        self.now += seconds


def saves(tmp_path, clock, of_chief, *, seconds, step_seconds, steps):
    """The steps behind which a checkpoint is written."""
    model = types.SimpleNamespace(step=types.SimpleNamespace(numpy=lambda: step))
    made = callbacks.Checkpoint(
        tmp_path / "last.npz", steps_per_epoch=1000, seconds=seconds, of_chief=of_chief
    )
    made.set_model(model)
    saved, step = [], 0

    def save():
        saved.append(step)
        made._last = clock.now

    made.save = save
    made.on_train_begin()
    for step in range(1, steps + 1):
        clock.pass_(step_seconds(step))
        made.on_train_batch_end(step)
    return saved


def test_workers_save_together_by_the_chief_s_clock(tmp_path, monkeypatch):
    clock, told = Clock(monkeypatch), []
    options = {"seconds": 60.0, "steps": 200}
    # The first step traces.
    chief = saves(
        tmp_path,
        clock,
        lambda own: told.append(own) or own,
        step_seconds=lambda step: 20.0 if step == 1 else 1.0,
        **options,
    )
    assert chief[0] == 41 and all(60 <= b - a <= 62 for a, b in itertools.pairwise(chief))
    assert len(told) < 20
    answers = iter(told)
    other = saves(
        tmp_path, clock, lambda own: next(answers), step_seconds=lambda step: 0.3, **options
    )
    assert other == chief and not list(answers)


def test_a_directory_that_workers_do_not_see(tmp_path):
    settings = {"name": "ours", "versions": {}}
    with pytest.raises(ValueError, match="does not see the run directory"):
        gang._look_around(settings, tmp_path)
    (tmp_path / ".gang").write_text("ours")
    gang._look_around(settings, tmp_path)
    with pytest.raises(ValueError, match=r"has keras .*, where 2\.0 was expected"):
        gang._look_around({**settings, "versions": {"keras": "2.0"}}, tmp_path)


def test_a_worker_leaves_word_where_starting_again_would_not_help(tmp_path):
    (tmp_path / ".gang-reason").write_text(" " * 4096)
    for lost in (OSError(errno.ESTALE, "stale"), ConnectionError("gone"), RuntimeError("ended")):
        gang._tell(tmp_path, lost)
        assert not gang._reason(tmp_path)
    sentence = f"Cannot write last.npz: {os.strerror(errno.ENOSPC)}."
    gang._tell(tmp_path, OSError(errno.ENOSPC, sentence))
    assert gang._reason(tmp_path) == sentence
    assert (tmp_path / ".gang-reason").stat().st_size == 4096
    gang._tell(tmp_path / "not here", ValueError("what is wrong"))
    told = types.SimpleNamespace(worker_failures={0: OSError("gone"), 1: ValueError("not here")})
    assert gang._told_to_ray(told) == "not here"
    assert gang._told_to_ray(RuntimeError()) == ""


def test_what_no_gang_can_do_is_refused_before_it_starts(tmp_path):
    config = runs.RunConfig(flow="uva_simple", ema=0.9)
    with pytest.raises(ValueError, match="Keras does not keep averaged weights right"):
        gang.train(config, tmp_path / "out", workers=2)
    config = runs.RunConfig(flow="uva_simple", batch_size=2)
    with pytest.raises(ValueError, match="a batch_size of 3 or more, got 2"):
        gang.train(config, tmp_path / "out", workers=3)
    assert not (tmp_path / "out").exists()


def test_a_worker_has_the_likelihood_of_its_rows(tmp_path):
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,), num_classes=2)
    content = nvp.save(dist, tmp_path / "flow.keras").read_bytes()
    x, labels = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 2
    own = sharing._Worker(content, cluster.versions()).log_prob(
        x[4:], labels[4:], None, first_row=4
    )
    np.testing.assert_allclose(own, likelihood.log_prob(dist, x, labels)[4:], rtol=1e-6)
    other = sharing._Worker(content, {**cluster.versions(), "python": "2.7"})
    with pytest.raises(ValueError, match=r"has python .*, where 2\.7 was expected"):
        other.log_prob(x, labels, None)


def test_machines_that_join_late_are_waited_for(monkeypatch):
    clock = Clock(monkeypatch)
    ray = types.SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0 if clock.now < 30 else 4.0})
    cluster._wait_for_cpus(ray, 4)
    assert clock.now == 30
    with pytest.raises(ValueError, match="has CPUs for 4 workers, and 5 were asked for: add mach"):
        cluster._wait_for_cpus(ray, 5)
    assert 90 <= clock.now <= 92
