"""Replicas under Ray Serve: they answer as the flow does, and one that is killed comes back."""

import concurrent.futures
import os
import re
import signal
import socket
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from rest_server import Process, Running
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.cli.main import main
from tfp_realnvp.serving import Client

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

BODY = {"inputs": [[0.5, 1.0]]}
CLIENTS = 8


@pytest.fixture(scope="module")
def dist():
    return nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))


@pytest.fixture(scope="module")
def served(dist, tmp_path_factory):
    pytest.importorskip("ray.serve")
    base = tmp_path_factory.mktemp("ray") / "vectors"
    nvp.export(dist, base, version=1)
    limits = ("--max_num_samples", 2**20, "--max_body_bytes", 100_000)
    server = Process("vectors", "--replicas", 2, *limits, cwd=base.parent)
    try:
        server.url = f"http://127.0.0.1:{server.wait_for('listening')['port']}"
        server.wait_for("ready")
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)


@pytest.mark.slow
def test_replicas_answer_as_the_flow_does(served, dist, rng):
    flow = Client(served.url, "vectors")
    x = rng.normal(size=[5, 2]).astype("float32")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(flow.log_prob, [x] * 40):
            np.testing.assert_allclose(found, dist.log_prob(x), rtol=FLOAT32)
    with pytest.raises(ValueError, match="x must be finite"):
        flow.log_prob([[np.nan, 0]])
    with pytest.raises(LookupError, match=re.escape("Latest(none)")):
        Client(served.url, "none").log_prob(x)
    with pytest.raises(ValueError, match="at most 100000 bytes"):
        flow.log_prob(np.zeros([100_000, 2]))
    assert urllib.request.urlopen(served.url).headers["Content-Security-Policy"]
    assert urllib.request.urlopen(f"{served.url}/v2/health/ready").status == 200
    time.sleep(1)  # Ray collects the log
    lines = [line for line in served.log if line["event"] == "request"]
    assert len(lines) >= 40 and all("time" in line for line in lines)


@pytest.mark.slow
def test_a_replica_that_is_killed_costs_what_it_had_begun_and_comes_back(served):
    server, stop = Running(int(served.url.rpartition(":")[2])), threading.Event()

    def ask():
        codes = []
        while not stop.is_set():
            codes.append(server.predict("vectors", BODY)[0])
        return codes

    before = [line["pid"] for line in served.log if line["event"] == "replica ready"]
    assert len(before) == 2
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        try:
            clients = [pool.submit(ask) for _ in range(CLIENTS)]
            time.sleep(2)
            os.kill(before[0], signal.SIGKILL)
            new = served.wait_for("replica ready", count=3)["pid"]
            time.sleep(2)
        finally:
            stop.set()
        codes = [code for client in clients for code in client.result()]
    assert new not in before
    assert set(codes) <= {200, 500}
    assert codes.count(200) > 100 and codes.count(500) <= CLIENTS
    for _ in range(20):
        assert server.predict("vectors", BODY)[0] == 200


@pytest.mark.slow
def test_sigterm_answers_what_has_come(served):
    """The last test: it ends the server."""
    flow = Client(served.url, "vectors")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        flow.signatures()
        answers = [pool.submit(flow.sample, 2**18) for _ in range(4)]
        page = f"{served.url}/monitoring/prometheus/metrics"
        while not re.search(rb"in_flight [1-4]", urllib.request.urlopen(page).read()):
            assert not any(answer.done() for answer in answers)
        time.sleep(0.2)  # for the others to come
        served.process.send_signal(signal.SIGTERM)
        for answer in answers:
            assert answer.result().shape == (2**18, 2)
    assert served.process.wait(60) == 0


@pytest.fixture
def base(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # it sets variables of Ray's


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--replicas", "0"], "serve needs --replicas to be a whole number of at least 1, got 0."),
        (["--ray", "auto", "--port", "0"], "serve --ray needs --port to be a whole number of at"),
        (["--replicas", "2", "--max_rows", "0"], "Limits needs max_rows to be"),
    ],
)
def test_an_error_is_one_sentence(base, args, sentence, capsys):
    assert main(["base", *args], command="serve") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {sentence}") and captured.err.count("\n") == 1


def test_a_port_that_is_taken(base, capsys):
    pytest.importorskip("ray.serve")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["base", "--replicas", "2", "--port", port], command="serve") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Address already in use") and error.count("\n") == 1


def test_without_ray(base, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["base", "--replicas", "2"], command="serve") == 2
    error = capsys.readouterr().err
    assert error == "error: Replicas need Ray: pip install 'tfp_realnvp[ray]' first.\n"
