"""Timed scripts as processes of their own, each of which prints a line of JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfp_realnvp.execution.device import best_precision

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Peer:
    """A script of another library, and one way to run it.

    Attributes:
        name: how the table calls it.
        needs: the package that it needs.
        command: what follows `python`.
        renamed: options that it spells otherwise, as pairs of ours and its own.
    """

    name: str
    needs: str
    command: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] = ()

    def line(self, options: Sequence[str]) -> list[str]:
        """Returns what follows `python` for a task."""
        words = " ".join(options)
        for ours, own in self.renamed:
            words = words.replace(ours, own)
        return [*self.command, *words.split()]


def run(command: list[str], *, python: str = sys.executable, seconds: float = 900) -> Any:
    """Returns what the process prints last, read as JSON; None, with a sentence, if it fails."""
    try:
        done = subprocess.run(
            [python, *command], cwd=ROOT, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        print(f"{' '.join(command)} took more than {seconds:.0f} s.", flush=True)
        return None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"{' '.join(command)} failed: {reason}", flush=True)
        return None
    return json.loads(lines[-1])


def ours(module: str, *options: str) -> Any:
    """Runs one of our scripts."""
    return run(["-m", f"benchmarks.{module}", *options])


def image_peers(scripts: Path | None = None) -> list[Peer]:
    """Returns the peers of `uva_multiscale`, in every mode that this machine is good for.

    Args:
        scripts: a folder with more of them: `uva_torch.py`, which is timed too.
    """
    files: dict[str, tuple[str, ...]] = {"PyTorch": ("-m", "benchmarks.peers.image_torch")}
    faster: dict[str, tuple[str, ...]] = {"PyTorch": ("--precision", "bfloat16")}
    if scripts:
        name = "PyTorch (uva_torch.py)"
        files[name] = (str(scripts / "uva_torch.py"), "--model", "multiscale")
        faster[name] = ("--bf16",)
    peers = []
    for name, command in files.items():
        for n in (1, 2):
            own = (*command, "--threads", str(n))
            peers.append(Peer(f"{name}, {threads(n)}", "torch", own))
            if best_precision() == "bfloat16":
                label = f"{name}, {threads(n)}, bfloat16"
                peers.append(Peer(label, "torch", (*own, *faster[name])))
    return [*peers, Peer("JAX", "flax", ("-m", "benchmarks.peers.image_jax"))]


def vector_peers(scripts: Path | None = None) -> list[Peer]:
    """Returns the libraries of vector flows.

    Args:
        scripts: a folder with more of them: `tabular.py`, which is timed too.
    """
    files: dict[str, tuple[tuple[str, ...], tuple]] = {
        "": (("-m", "benchmarks.peers.vector"), ()),
    }
    if scripts:
        sets = (("--size 2", "--set moons"), ("--size 43", "--set rand43"))
        files[" (tabular.py)"] = ((str(scripts / "tabular.py"),), sets)
    peers = []
    for suffix, (command, renamed) in files.items():
        for lib in ("zuko", "nflows", "normflows"):
            for n in (1, 2):
                own = (*command, "--lib", lib, "--threads", str(n))
                peers.append(Peer(f"{lib}{suffix}, {threads(n)}", lib, own, renamed))
        for lib in ("flowjax", "distrax"):
            peers.append(Peer(f"{lib}{suffix}", lib, (*command, "--lib", lib), renamed))
    return peers


def threads(count: int) -> str:
    """Returns a number of threads in words."""
    return f"{count} thread{'s' * (count > 1)}"


def installed(peers: list[Peer], python: str) -> list[Peer]:
    """Returns the peers whose packages the interpreter has; names the others in a sentence each."""
    needed = sorted({peer.needs for peer in peers})
    code = (
        "import importlib.util as u, json, sys;"
        "print(json.dumps([bool(u.find_spec(name)) for name in sys.argv[1:]]))"
    )
    found = run(["-c", code, *needed], python=python) or [False] * len(needed)
    there = dict(zip(needed, found, strict=True))
    for name in needed:
        if not there[name]:
            print(f"{name} is not installed for {python}: its rows are skipped.", flush=True)
    return [peer for peer in peers if there[peer.needs]]
