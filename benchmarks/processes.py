"""Timed scripts as processes of their own, each of which prints a line of JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tfp_realnvp.precision import best_precision

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Peer:
    """A script of another library, and one way to run it.

    Attributes:
        name: how the table calls it.
        needs: the package that it needs.
        command: what follows `python`.
    """

    name: str
    needs: str
    command: tuple[str, ...]


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


def image_peers() -> list[Peer]:
    """Returns the peers of `uva_multiscale`, in every mode that this machine is good for."""
    script = ("-m", "benchmarks.peers.image_torch")
    peers = [
        Peer(f"PyTorch, {n} thread{'s' * (n > 1)}", "torch", (*script, "--threads", str(n)))
        for n in (1, 2)
    ]
    if best_precision() == "bfloat16":
        peers += [
            Peer(f"{p.name}, bfloat16", p.needs, (*p.command, "--precision", "bfloat16"))
            for p in peers
        ]
    return [*peers, Peer("JAX", "flax", ("-m", "benchmarks.peers.image_jax"))]


def vector_peers() -> list[Peer]:
    """Returns the libraries of vector flows."""
    script = ("-m", "benchmarks.peers.vector", "--lib")
    torch = [
        Peer(f"{lib}, {n} thread{'s' * (n > 1)}", lib, (*script, lib, "--threads", str(n)))
        for lib in ("zuko", "nflows", "normflows")
        for n in (1, 2)
    ]
    return [*torch, *(Peer(lib, lib, (*script, lib)) for lib in ("flowjax", "distrax"))]


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
