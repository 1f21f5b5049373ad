"""Puts a server under load, and prints a table: first requests, batches, memory, versions, ends.

    python -m benchmarks.serving
    python -m benchmarks.serving --model runs/mnist --rows first batches

The server is a process of its own, `scripts/serve.py`; the clients are threads of this one, each
with one connection and one example a request. Figures mean something on an idle machine only.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.processes import ROOT
from benchmarks.table import Row, table

NAME = "flow"
READY_SECONDS = 600
CLIENTS = 32


class Server:
    """A server of the versions in a base directory, once it is ready.

    Args:
        base: directory of versions, called `NAME`.
        options: what follows it on the command line.
    """

    def __init__(self, base: Path, *options: str):
        self.process = subprocess.Popen(
            [sys.executable, "scripts/serve.py", str(base), "--port", "0", *options],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self.wait_for("listening")["port"]
        self.wait_for("version ready")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = re.search(r'{"time".*}$', line)  # Ray writes before it whose line it is
            self.log.append(json.loads(found[0]) if found else {"event": line})

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Returns the line of the log that is the n-th of an event."""
        end = time.monotonic() + READY_SECONDS
        while len(found := [line for line in self.log if line["event"] == event]) < count:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The server said no {event!r}: {self.log[-3:]}")
            time.sleep(0.02)
        return found[count - 1]

    def megabytes(self) -> float:
        """Returns the memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> int:
        """Ends it, and returns its status once its whole log is read."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(READY_SECONDS)
        self._reader.join(30)
        return status


@contextlib.contextmanager
def serving(base: Path, *options: str) -> Iterator[Server]:
    """Yields a server, which ends at the end."""
    server = Server(base, *options)
    try:
        yield server
    finally:
        server.process.kill()


class Answer(NamedTuple):
    """What became of a request.

    Attributes:
        code: of the answer, 0 where there is none.
        seconds: until it came.
        at: when it came.
    """

    code: int
    seconds: float
    at: float


class Client:
    """One connection, which is made anew where the server has closed it."""

    def __init__(self, port: int, body: bytes):
        self._port, self._body = port, body
        self._connection: http.client.HTTPConnection | None = None

    def status(self) -> int:
        """Asks for the state of the model; returns the code of the answer."""
        return self._ask("GET", "", None).code

    def ask(self) -> Answer:
        """Asks for what the body is about."""
        return self._ask("POST", ":predict", self._body)

    def _ask(self, method: str, what: str, body: bytes | None) -> Answer:
        start = time.perf_counter()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
            self._connection.request(method, f"/v1/models/{NAME}{what}", body)
            answer = self._connection.getresponse()
            answer.read()
            code = answer.status
        except (OSError, http.client.HTTPException):
            self._connection, code = None, 0
        end = time.perf_counter()
        return Answer(code, end - start, end)


class Load:
    """Clients that ask one after the other until told to stop; their answers.

    Args:
        port: of the server.
        bodies: one for each client.
    """

    def __init__(self, port: int, bodies: list[bytes]):
        self._stop = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(len(bodies))
        self._answers = [self._pool.submit(self._ask, Client(port, body)) for body in bodies]

    def _ask(self, client: Client) -> list[Answer]:
        answers = []
        while not self._stop.is_set():
            answers.append(client.ask())
            if not answers[-1].code:
                time.sleep(0.01)
        return answers

    def stop(self) -> list[Answer]:
        """Returns all answers, once the last has come."""
        self._stop.set()
        found = [answer for each in self._answers for answer in each.result()]
        self._pool.shutdown()
        return found


def bodies_of(signature: str, shape: tuple[int, ...], levels: int | None) -> list[bytes]:
    """Returns a request with one example for each client, each with its own seed."""
    rng = np.random.default_rng(0)
    name = "x" if levels is None else "images"
    bodies = []
    for seed in range(CLIENTS):
        rows = (
            rng.normal(size=(1, *shape)) if levels is None else rng.integers(0, levels, (1, *shape))
        )
        inputs: dict[str, Any] = {name: rows.tolist()}
        if signature == "log_prob":
            inputs["seed"] = [0, seed]
        if signature == "sample":
            inputs = {"num_samples": 1, "temperature": 1.0, "seed": [0, seed]}
        bodies.append(json.dumps({"signature_name": signature, "inputs": inputs}).encode())
    return bodies


def first(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """The first request after ready beside the tenth, each the median of several servers."""
    times = []
    for _ in range(args.repeats):
        with serving(base) as server:
            client = Client(server.port, bodies[0])
            assert client.status() == 200
            times.append([client.ask().seconds for _ in range(10)])
    began, tenth = np.median(times, 0)[[0, 9]]
    what = "first request after ready"
    against = f"tenth: {1e3 * tenth:.1f} ms"
    return [Row(what, f"{1e3 * began:.1f} ms", against, began / tenth, 2.0, at_least=False)]


def batches(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """Requests in a second of many clients with batches and without, and the slowest hundredth."""
    rates, slowest = {}, {}
    for name, options in (("batched", ()), ("unbatched", ("--max_batch_size", "1"))):
        with serving(base, *options) as server:
            load = Load(server.port, bodies)
            time.sleep(args.seconds)
            answers = load.stop()
        seconds = [answer.seconds for answer in answers if answer.code == 200]
        rates[name] = len(seconds) / args.seconds
        slowest[name] = 1e3 * np.percentile(seconds, 99)
    ratio = rates["batched"] / rates["unbatched"]
    return [
        Row(
            f"log_prob, {CLIENTS} clients of one example each",
            f"{rates['batched']:.0f} requests/s, p99 {slowest['batched']:.0f} ms",
            f"unbatched: {rates['unbatched']:.0f} requests/s, p99 {slowest['unbatched']:.0f} ms",
            ratio,
            3.0,
        )
    ]


def memory(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """Memory after a tenth of many requests, and after all of them."""
    with serving(base) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [Client(server.port, body) for body in bodies[:8]]

        def each(client: Client, count: int) -> bool:
            return all(client.ask().code == 200 for _ in range(count))

        def ask(count: int) -> float:
            assert all(pool.map(each, clients, [count // 8] * 8))
            return server.megabytes()

        early, late = ask(args.requests // 10), ask(args.requests - args.requests // 10)
    return [
        Row(
            f"memory after {args.requests:,} requests",
            f"{late:.0f} MB",
            f"after {args.requests // 10:,}: {early:.0f} MB",
            late / early,
            1.02,
            at_least=False,
        )
    ]


def versions(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """Requests that fail while versions are published one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / NAME
        shutil.copytree(base, own)
        with serving(own, "--poll_seconds", "0.1") as server:
            load = Load(server.port, bodies[:8])
            before = server.megabytes()
            for version in range(2, 2 + args.versions):
                shutil.copytree(base / "1", own / ".beside")
                (own / ".beside").rename(own / str(version))
                server.wait_for("version ready", count=version)
            after = server.megabytes()
            answers = load.stop()
    failed = sum(answer.code != 200 for answer in answers)
    what = f"requests that fail while {args.versions} versions are published"
    memory = f"{len(answers):,} requests; memory from {before:.0f} to {after:.0f} MB"
    return [Row(what, str(failed), memory, failed, 0, at_least=False)]


def ending(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """Requests that the server has taken up and not answered when SIGTERM ends it under load."""
    with serving(base) as server:
        load = Load(server.port, bodies)
        time.sleep(args.seconds / 4)
        status = server.stop()
        answers = load.stop()
    # What is taken up is in the log; what came too late was never read.
    taken = sum(line["event"] == "request" for line in server.log)
    answered = sum(answer.code == 200 for answer in answers)
    return [
        Row(
            "requests taken up and not answered at SIGTERM",
            str(taken - answered),
            f"{taken:,} were taken up; status {status}",
            abs(taken - answered) + status,
            0,
            at_least=False,
        )
    ]


def replicas(base: Path, bodies: list[bytes], args: argparse.Namespace) -> list[Row]:
    """Requests that fail when one of two replicas under Ray is killed, and when both are back."""
    with serving(base, "--replicas", "2") as server:
        server.wait_for("ready")
        load = Load(server.port, bodies)
        time.sleep(args.seconds / 4)
        killed = time.perf_counter()
        os.kill(server.wait_for("replica ready")["pid"], signal.SIGKILL)
        server.wait_for("replica ready", count=3)
        back = time.perf_counter() - killed
        time.sleep(args.seconds / 4)
        answers = load.stop()
        status = server.stop()
    failed = [answer.at - killed for answer in answers if answer.code != 200]
    told = f", {min(failed):.2f} to {max(failed):.2f} s after it" if failed else ""
    return [
        Row(
            "requests that fail when one of 2 replicas is killed",
            f"{len(failed)}{told}",
            f"{len(answers):,} requests, {CLIENTS} at once; both back after {back:.1f} s",
            len(failed) + status,
            CLIENTS,
            at_least=False,
        )
    ]


ROWS = {
    "first": first,
    "batches": batches,
    "memory": memory,
    "versions": versions,
    "end": ending,
    "ray": replicas,
}


def main(arguments: list[str] | None = None) -> list[Row]:
    """Prints the rows that are asked for, and returns them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", help="a .keras file or run directory; by default an untrained flow of images")
    add("--signature", default="log_prob", choices=("serving_default", "log_prob", "sample"))
    add("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    add("--seconds", type=float, default=20, help="of load, with batches and without")
    add("--requests", type=int, default=20_000, help="after which memory is looked at")
    add("--versions", type=int, default=20, help="that are published under load")
    add("--repeats", type=int, default=3, help="servers whose first request is timed")
    add("--short", action="store_true", help="a tiny flow, few of everything: to see that all runs")
    args = parser.parse_args(arguments)
    if args.short:
        args.seconds, args.requests, args.versions, args.repeats = 1.0, 80, 2, 1
    import tfp_realnvp as nvp

    if args.model:
        dist = nvp.load(args.model)
    elif args.short:
        dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=1, blocks=1)
    else:
        dist = nvp.flows.build("uva_simple", (28, 28, 1))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / NAME
        nvp.export(dist, base, version=1)
        bodies = bodies_of(args.signature, tuple(dist.event_shape), dist.levels)
        for name in args.rows:
            new = ROWS[name](base, bodies, args)
            rows += new
            print(table(new), flush=True)
    print(f"\n# All rows, {dist.name}\n\n{table(rows)}")
    return rows


if __name__ == "__main__":
    main()
