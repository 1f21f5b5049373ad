"""What two workers send in a step, on two hosts made of network namespaces with a limited rate.

    python -m benchmarks.hosts --rate 1gbit

It needs Linux, root, and `ip` and `tc` of iproute2. Each host has a Ray node of one CPU; between
them is a link of that rate. `scripts/train.py` trains on both, and what the link has carried
from the end of the first epoch to that of the last one counts, beside what `benchmarks.workers`
reckons. Compare `seconds_per_step` at two rates: the difference is what the bytes take.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOSTS = {"flow0": "10.77.0.1", "flow1": "10.77.0.2"}
PORT = 6399
BURST = "256kb"


@contextlib.contextmanager
def hosts(rate: str) -> Iterator[None]:
    """Makes two hosts that are linked, each with an end of the link that has the host's name."""
    first, second = HOSTS
    ends = ["type", "veth", "peer", "name", second, "netns", second]
    try:
        for host in HOSTS:
            _run("ip", "netns", "add", host)
        _run("ip", "link", "add", first, "netns", first, *ends)
        for host, address in HOSTS.items():
            _run("ip", "-n", host, "address", "add", f"{address}/24", "dev", host)
            for device in ("lo", host):
                _run("ip", "-n", host, "link", "set", device, "up")
            # Ray finds a host's address by its way to the world.
            other = next(own for own in HOSTS.values() if own != address)
            _run("ip", "-n", host, "route", "add", "default", "via", other)
            limit = ["tbf", "rate", rate, "burst", BURST, "latency", "100ms"]
            _run("tc", "-n", host, "qdisc", "add", "dev", host, "root", *limit)
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Starts a Ray node on each host; yields the cluster's address."""
    ray, address = str(Path(sys.executable).with_name("ray")), f"{HOSTS['flow0']}:{PORT}"
    nodes: list[subprocess.Popen] = []
    try:
        for host, own in HOSTS.items():
            place = ["--address", address] if nodes else ["--head", "--port", str(PORT)]
            command = [ray, "start", *place, "--node-ip-address", own, "--num-cpus", "1"]
            command += ["--object-store-memory", "200000000"]
            options = ["--include-dashboard", "false"] if not nodes else []
            nodes.append(_on(host, *command, *options, "--block", quiet=True))
            time.sleep(15)
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait()


def sent(host: str) -> int:
    """Returns the bytes that a host has sent over the link."""
    shown = _run("ip", "-n", host, "-j", "-s", "link", "show", "dev", host)
    return json.loads(shown)[0]["stats64"]["tx"]["bytes"]


def train(address: str, out: Path, epochs: int, options: list[str]) -> list[tuple[float, dict]]:
    """Trains; returns the time, and what each host has sent, at the end of each epoch."""
    command = [sys.executable, "scripts/train.py", "--out", str(out), "--epochs", str(epochs)]
    command += ["--workers", "2", "--ray", address, "--checkpoint_seconds", "1e6", *options]
    marks: list[tuple[float, dict]] = []
    process, log = _on("flow0", *command), out / "log.csv"
    while process.poll() is None:
        done = len(log.read_text().splitlines()) - 1 if log.exists() else 0
        if done > len(marks):
            marks.append((time.monotonic(), {host: sent(host) for host in HOSTS}))
        time.sleep(0.05)
    if process.returncode or len(marks) < 2:
        sys.exit(f"Training ended with status {process.returncode} after {len(marks)} epochs.")
    return marks


def main() -> None:
    """Trains and prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", default="1gbit", help="of the link, as tc has it")
    parser.add_argument("--flow", default="uva_multiscale")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    options = ["--flow", args.flow, "--dataset", args.dataset, "--precision", "float32"]
    options += ["--batch_size", str(args.batch_size), "--test_examples", "64"]
    with tempfile.TemporaryDirectory() as folder, hosts(args.rate), cluster() as address:
        out = Path(folder) / "run"
        (begin, before), *_, (end, after) = train(address, out, args.epochs, options)
        results = json.loads((out / "results.json").read_text())
        examples = json.loads((out / "data.json").read_text())["splits"]["train"]["examples"]
    steps = (args.epochs - 1) * (examples // args.batch_size)
    report = {
        "rate": args.rate,
        "steps": steps,
        "seconds_per_step": (end - begin) / steps,
        "megabytes_per_step": {host: (after[host] - before[host]) / steps / 1e6 for host in HOSTS},
        # Of two workers each sends all gradients, twice, as they are clipped.
        "megabytes_reckoned": 2 * 4 * results["parameters"] / 1e6,
    }
    print(json.dumps(report))


def _run(*command: str) -> str:
    return subprocess.check_output(command, text=True)


def _on(host: str, *command: str, quiet: bool = False) -> subprocess.Popen:
    output = subprocess.DEVNULL if quiet else sys.stderr
    within = ["ip", "netns", "exec", host, *command]
    # Nobody else reaches these hosts.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(within, cwd=ROOT, stdout=output, stderr=output, env=environment)


if __name__ == "__main__":
    main()
