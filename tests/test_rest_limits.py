"""What a server bears: more than its limits, slow clients, bad rows, and what is no request."""

import concurrent.futures
import contextlib
import json
import random
import socket
import threading

import pytest
from rest_server import half, running, serving_halves, until

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.loaded import Loaded
from tfp_realnvp.serving.rest.model_config import models_of


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving_halves(tmp_path_factory.mktemp("served")) as server:
        yield server


def test_limits_have_their_codes(served):
    large = json.dumps({"instances": [1.0] * 5000})
    code, reply = served.predict("half", large)
    assert code == 413 and "at most 20000 bytes" in reply["error"]
    chunks = (large[i : i + 100].encode() for i in range(0, len(large), 100))
    with contextlib.suppress(OSError):  # it was answered, and closed, before all was sent
        assert served.ask("POST", "/v1/models/half:predict", chunks)[0] == 413
    code, reply = served.predict("half", {"instances": [1] * 65})
    assert code == 400 and "at most 64 examples, this has 65" in reply["error"]
    code, reply = served.predict("half", {"signature_name": "sample", "inputs": 11})
    assert code == 400 and "num_samples is at most 10 here, got 11" in reply["error"]


def test_a_slow_body_and_a_slow_graph_end_in_time(tmp_path, monkeypatch):
    (tmp_path / "half").mkdir()
    half(tmp_path / "half", 1)
    limits = Limits(timeout_seconds=0.5, max_queue=1, workers=1)
    release = threading.Event()
    run = Loaded.run
    monkeypatch.setattr(Loaded, "run", lambda *a: release.wait(30) and run(*a))
    app = application(models_of([tmp_path / "half"]), limits=limits)
    with running(app) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
            slow.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: a\r\n")
            slow.sendall(b"Content-Length: 100\r\n\r\n{")
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: server.predict("half", {"instances": [1]}), range(6)))
        codes = [code for code, _ in answers]
        assert set(codes) <= {503, 504} and 504 in codes and 503 in codes
        release.set()
        until(lambda: server.predict("half", {"instances": [1]}) == (200, {"predictions": [2.5]}))


def test_a_bad_row_fails_alone_among_requests_that_go_together(served):
    def total(row):
        return served.predict("two", {"signature_name": "total", "instances": [row]})

    rows = [[i, 1, -1 if i % 8 == 5 else 1] for i in range(32)]
    sizes = set()
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(total, rows))
        for row, (code, reply) in zip(rows, answers, strict=True):
            if min(row) < 0:
                assert (code, reply) == (400, {"error": "negative."})
            else:
                assert code == 200 and reply["predictions"][0]["y"] == sum(row)
                sizes.add(reply["predictions"][0]["size"])
    good = [row for row in rows if min(row) >= 0]
    with concurrent.futures.ThreadPoolExecutor(28) as pool:
        sizes.update(r["predictions"][0]["size"] for _, r in pool.map(total, good * 4))
    assert max(sizes) > 1  # they did go together


GOOD = {"signature_name": "total", "instances": [[1.5, 2.0, 3.25]]}
SLOW = (
    b'POST /v1/models/two:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"instances": ['
)


def abused(rng):
    """Returns a body that was good."""
    body = bytearray(json.dumps(GOOD).encode())
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
    elif kind == 1:
        del body[rng.randrange(len(body)) :]
    elif kind == 2:
        at = rng.randrange(len(body))
        body[at:at] = rng.choice([b"[" * 3000, b"{", b"NaN", b"1e999", b"9" * 5000, b"\x00", b"-"])
    else:
        values = [None, True, "x", -1, 1e308, 2**70, float("nan"), [], {}, [[]], {"b64": "x"}]
        value = rng.choice(values)
        for _ in range(rng.randint(0, 5)):
            value = [value] * rng.randint(0, 3) if rng.random() < 0.7 else {"x": value}
        key = rng.choice(["instances", "inputs", "signature_name"])
        return json.dumps({**GOOD, key: value}).encode()
    return bytes(body)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_malformed_requests_break_nothing(served, count):
    rng = random.Random(0)
    bodies = [abused(rng) for _ in range(count)]
    expected = (200, {"predictions": [{"size": 1, "y": 6.75}]})
    stop, wrong = threading.Event(), []

    def neighbour():
        while not stop.is_set():
            code, reply = served.predict("two", GOOD)
            if (code, reply["predictions"][0]["y"]) != (200, 6.75):
                wrong.append((code, reply))

    thread = threading.Thread(target=neighbour)
    thread.start()
    with contextlib.ExitStack() as stack:
        for i in range(20):  # slow ones, that send a part of a request and no more
            address = ("127.0.0.1", served.port)
            slow = stack.enter_context(socket.create_connection(address, timeout=30))
            slow.sendall(SLOW[: (i + 1) * len(SLOW) // 20])
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(4))
        answers = list(pool.map(lambda body: served.predict("two", body), bodies))
    stop.set()
    thread.join(60)
    assert wrong == []
    codes = [code for code, _ in answers]
    assert set(codes) <= {200, 400}
    assert all(reply["error"] for code, reply in answers if code == 400)
    assert codes.count(400) > count // 2
    assert served.predict("two", GOOD) == expected


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"POST /v1/models/half:predict HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"POST /v1/models/half:predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/models/half:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{",
    ],
)
def test_what_is_no_http_is_no_matter(served, sent):
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(sent)
    assert served.predict("two", GOOD)[0] == 200
