"""Over HTTP: cases of http_rest_api_handler_test.cc, limits, batches, versions, abuse."""

import concurrent.futures
import contextlib
import http.client
import json
import random
import shutil
import socket
import threading

import numpy as np
import pytest
from rest_server import half, running, until

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.loaded import Loaded
from tfp_realnvp.serving.rest.model import Model
from tfp_realnvp.serving.rest.model_config import ModelConfig, models_of

LIMITS = Limits(max_body_bytes=20_000, max_rows=64, max_num_samples=10, timeout_seconds=30)
CONFIG = """
model_config_list {
  config {
    name: "two" base_path: "%s" model_platform: "tensorflow"
    model_version_policy { specific { versions: 123 versions: 124 } }
    version_labels { key: "stable" value: 123 }
  }
}
"""
OK = {"error_code": "OK", "error_message": ""}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "half"
    base.mkdir()
    for version in (122, 123, 124):
        half(base, version, add=version - 121)
    (base.parent / "models").write_text(CONFIG % base)
    app = application(models_of([base], base.parent / "models"), limits=LIMITS, poll_seconds=0.05)
    with running(app) as server:
        until(lambda: len(app.state.server.models["two"].available) == 2)
        yield server


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("half", {"instances": [1.0, 2.0]}, {"predictions": [3.5, 4.0]}),
        ("half/versions/124", {"instances": [1]}, {"predictions": [3.5]}),
        ("two/versions/123", {"instances": [1]}, {"predictions": [2.5]}),
        ("two/labels/stable", {"instances": [1]}, {"predictions": [2.5]}),
        ("two", {"inputs": [1]}, {"outputs": [3.5]}),
        ("two", {"inputs": {"x": [1]}}, {"outputs": [3.5]}),
        ("two", {"signature_name": "serving_default", "inputs": []}, {"outputs": []}),
        (
            "two",
            {"signature_name": "total", "instances": [[1, 2, 3], [4, 5, 6]]},
            {"predictions": [{"size": 2, "y": 6.0}, {"size": 2, "y": 15.0}]},
        ),
        (
            "two",
            {"signature_name": "total", "inputs": [[1, 2, 3]]},
            {"outputs": {"size": [1], "y": [6.0]}},
        ),
        ("half", {"signature_name": "sample", "inputs": 3}, {"outputs": [0, 1, 2]}),
    ],
)
def test_predictions(served, path, body, expected):
    assert served.predict(path, body) == (200, expected)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "sentence"),
    [
        ("GET", "/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", "", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/debug/name", None, 400, "Malformed request"),
        ("POST", "/v1/models", "", 400, "Malformed request"),
        ("GET", "/v1/models/half:predict", None, 400, "Malformed request"),
        ("GET", "/v1/models/half/version/50:predict", None, 400, "Malformed request"),
        ("POST", "/v1/models/half/version/50:predict", "", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/HELLO:predict", "", 400, "Malformed request"),
        ("POST", f"/v1/models/half/versions/{2**63}:predict", "", 400, "Failed to convert version"),
        ("POST", "/v1/models/half/metadata", "", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/1/labels/a:predict", "", 400, "Malformed request"),
        ("PUT", "/v1/models/half", "", 400, "Malformed request: PUT /v1/models/half"),
        ("POST", "/v1/models/half:regress", "{}", 400, "Expected regress signature method_name"),
        ("POST", "/v1/models/foo:predict", '{"instances": [1]}', 404, "request: Latest(foo)"),
        (
            "POST",
            "/v1/models/half/versions/50:predict",
            '{"instances": [1]}',
            404,
            "Servable not found for request: Specific(half, 50)",
        ),
        # TensorFlow Serving reads a request before it looks for the model.
        ("POST", "/v1/models/foo:predict", "", 400, "JSON Parse error: The document is empty"),
        ("POST", "/v1/models/two:predict", "instances = [1, 2]", 400, "Parse error: Invalid value"),
        ("POST", "/v1/models/two:predict", '{"instances": ["x"]}', 400, "of expected type: float"),
        (
            "POST",
            "/v1/models/two/labels/next:predict",
            '{"instances": [1]}',
            400,
            "Unrecognized servable version label: next",
        ),
        (
            "POST",
            "/v1/models/two:predict",
            '{"signature_name": "b", "instances": [1]}',
            400,
            'Serving signature name: "b" not found in signature def',
        ),
        (
            "POST",
            "/v1/models/two:predict",
            '{"instances": [[1]]}',
            400,
            "tensor x [1,1] is not com",
        ),
        ("GET", "/v1/models/foo", None, 404, "Could not find any versions of model foo"),
        ("GET", "/v1/models/two/versions/1", None, 404, "Could not find version 1 of model two"),
        (
            "GET",
            "/v1/models/foo/metadata",
            None,
            404,
            "Servable not found for request: Latest(foo)",
        ),
        ("GET", "/elsewhere", None, 404, "Malformed request: GET /elsewhere"),
        ("POST", "/v2/health/live", "", 405, "Malformed request: POST /v2/health/live"),
    ],
)
def test_what_is_refused(served, method, path, body, code, sentence):
    got, reply = served.ask(method, path, body)
    assert got == code and sentence in reply["error"] and reply.keys() == {"error"}


def test_status_and_metadata(served):
    def status(version):
        return {"version": str(version), "state": "AVAILABLE", "status": OK}

    assert served.ask("GET", "/v1/models/two") == (
        200,
        {"model_version_status": [status(124), status(123)]},
    )
    for where in ("versions/123", "labels/stable"):
        code, reply = served.ask("GET", f"/v1/models/two/{where}")
        assert (code, reply) == (200, {"model_version_status": [status(123)]})
    code, reply = served.ask("GET", "/v1/models/two/labels/stable/metadata")
    assert code == 200
    assert reply["model_spec"] == {"name": "two", "signature_name": "", "version": "123"}
    default = reply["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    x = default["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT" and x["name"] == "serving_default_x:0"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_origin_may_read_nothing(served, method):
    headers = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    with contextlib.closing(connection):
        for path in ("/v1/models/half", "/v1/models/half:predict", "/v2/health/ready"):
            connection.request(method, path, b'{"instances": [1]}', headers)
            answer = connection.getresponse()
            answer.read()
            names = {name.lower() for name in answer.headers}
            assert not {name for name in names if name.startswith("access-control")}


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


def test_metrics_and_health(served):
    served.predict("half", {"instances": [1]})
    code, page = served.ask("GET", "/monitoring/prometheus/metrics")
    assert code == 200
    for line in (
        b'tfp_realnvp_requests_total{code="200",model="half"}',
        b'tfp_realnvp_batch_rows_count{model="half",signature="serving_default"}',
        b"tfp_realnvp_requests_in_flight 0.0",
        b'tfp_realnvp_request_seconds_bucket{le="0.1",model="half"}',
        b'tfp_realnvp_version_available{model="two",version="123"} 1.0',
    ):
        assert line in page
    assert b'model="foo"' not in page  # what is asked for does not make new series
    assert served.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert served.ask("GET", "/v2/health/ready") == (200, {"ready": True})


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


def test_versions_are_published_under_load(tmp_path):
    base = tmp_path / "half"
    base.mkdir()
    half(base, 1, add=1)
    app = application(models_of([base]), poll_seconds=0.02)
    stop, answers = threading.Event(), []

    def ask(server):
        while not stop.is_set():
            answers.append(server.predict("half", {"instances": [0]}))

    with running(app) as server:
        threads = [threading.Thread(target=ask, args=[server]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in range(2, 7):
            half(base, version, add=version)
            shutil.rmtree(base / str(version - 1))
            until(lambda version=version: answers[-1][1] == {"predictions": [float(version)]})
        stop.set()
        for thread in threads:
            thread.join(30)
        assert {code for code, _ in answers} == {200}
        states = server.ask("GET", "/v1/models/half")[1]["model_version_status"]
        assert [s["version"] for s in states] == ["6", "5", "4", "3", "2", "1"]
        until(
            lambda: (
                [
                    s["state"]
                    for s in server.ask("GET", "/v1/models/half")[1]["model_version_status"]
                ]
                == ["AVAILABLE"] + ["END"] * 5
            )
        )


def test_a_version_that_does_not_load_leaves_the_old_one(tmp_path):
    half(tmp_path, 1)
    model = Model(ModelConfig(name="half", base=tmp_path))
    model.refresh()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"damaged")
    for _ in range(2):
        model.refresh()
    new, old = model.status()
    assert old["state"] == "AVAILABLE" and model.find()[0] == 1
    assert new["state"] == "END" and new["status"]["error_code"] == "INTERNAL"
    assert new["status"]["error_message"]
    shutil.rmtree(tmp_path / "2")
    half(tmp_path, 2)
    model.refresh()
    assert model.find()[0] == 2
    shutil.rmtree(tmp_path / "2")
    shutil.rmtree(tmp_path / "1")
    model.refresh()
    assert model.find()[0] == 2  # nothing is there any more: it goes on


def test_the_application_can_be_mounted(tmp_path, monkeypatch):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from tfp_realnvp import serving

    (tmp_path / "half").mkdir()
    half(tmp_path / "half", 1)
    monkeypatch.setenv("TFP_REALNVP_BASE", str(tmp_path / "half"))
    app = Starlette(routes=[Mount("/flows", serving.app)])
    monkeypatch.delitem(vars(serving), "app")
    with running(app, ready=False) as server:
        until(lambda: server.ask("GET", "/flows/v2/health/ready")[0] == 200)
        assert server.predict("half", {"instances": [1]})[0] == 404
        body = json.dumps({"instances": [1]})
        got = server.ask("POST", "/flows/v1/models/half:predict", body)
        assert got == (200, {"predictions": [2.5]})


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("what", ValueError, "is no model config: "),
        ("", ValueError, "There is nothing to serve"),
        ("model_config_list { config { name: 'a/b' } }", ValueError, "has no slashes, colons or"),
        (
            "model_config_list { config { name: 'a' base_path: '/missing' } }",
            FileNotFoundError,
            "There is no directory /missing",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '.' model_platform: 'torch' } }",
            ValueError,
            "a is of platform 'torch'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '.' } "
            "config { name: 'a' base_path: '.' } }",
            ValueError,
            "More than one model is called a.",
        ),
    ],
)
def test_configs_that_are_refused(tmp_path, text, error, sentence):
    (tmp_path / "models").write_text(text)
    with pytest.raises(error, match=sentence):
        models_of([], tmp_path / "models")


def test_a_saved_model_is_no_base(tmp_path):
    half(tmp_path, 1)
    with pytest.raises(ValueError, match="is a SavedModel and has no versions: export it with"):
        models_of([tmp_path / "1"])
    assert np.array_equal(ModelConfig(name="a", base=tmp_path, latest=0).wanted([1, 2]), [1, 2])
