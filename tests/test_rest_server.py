"""Over HTTP: cases of http_rest_api_handler_test.cc, other origins, health, mounting."""

import contextlib
import http.client
import json

import pytest
from rest_server import half, running, serving_halves, until

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

OK = {"error_code": "OK", "error_message": ""}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving_halves(tmp_path_factory.mktemp("served")) as server:
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
