"""A flow served from the command line, and the client; the end of the process."""

import concurrent.futures
import re
import signal
import urllib.request

import numpy as np
import pytest
from constructors import perturb_weights
from rest_server import Process
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.cli.main import main
from tfp_realnvp.serving import Client

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

LEVELS, CLASSES = 8, 3


@pytest.fixture(scope="module")
def flows():
    images = {"levels": LEVELS, "width": 4, "couplings": 1, "blocks": 1, "num_classes": CLASSES}
    found = {
        "images": nvp.flows.build("uva_simple", (4, 4, 1), **images),
        "vectors": nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,)),
    }
    for dist in found.values():
        perturb_weights(dist.bijector)
    return found


@pytest.fixture(scope="module")
def served(flows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    for name, dist in flows.items():
        nvp.export(dist, folder / name, version="next")
    server = Process(
        *(folder / name for name in flows), "--max_num_samples", 1_000, "--max_rows", 1_000
    )
    server.url = f"http://127.0.0.1:{server.wait_for('listening')['port']}"
    server.wait_for("version ready", count=2)
    yield server
    server.process.kill()


@pytest.fixture(scope="module")
def images(served):
    return Client(served.url, "images")


@pytest.fixture(scope="module")
def vectors(served):
    return Client(served.url, "vectors")


def test_a_client_gives_what_the_flow_does(images, flows, rng):
    dist, labels = flows["images"], [0, 2, 1]
    data = rng.integers(0, LEVELS, [3, 4, 4, 1])
    expected = nvp.bits_per_dim(dist, data, labels, seed=0)
    assert images.bits_per_dim(data, labels).dtype == np.float32
    assert images.bits_per_dim(data, labels).shape == expected.shape
    context = {"seed": (0, 4), "labels": labels, "exact": True}
    seeded = dist.log_prob(data.astype("uint8"), bijector_kwargs=context)
    np.testing.assert_allclose(images.log_prob(data, labels, seed=4), seeded, rtol=FLOAT32)
    latents = images.encode(data, labels)
    np.testing.assert_allclose(latents, nvp.encode(dist, data, labels), rtol=1e-4, atol=1e-4)
    decoded = images.decode(latents, labels)
    assert decoded.dtype == np.uint8 and np.array_equal(decoded, data)
    draws = images.sample(3, labels, temperature=0.7, seed=(1, 2))
    assert draws.shape == (3, 4, 4, 1) and draws.dtype == np.uint8
    assert np.array_equal(draws, images.sample(3, labels, temperature=0.7, seed=(1, 2)))
    assert images.sample(0, []).shape == (0, 4, 4, 1)
    assert set(images.signatures()) >= {"encode", "decode"}


def test_vectors(vectors, flows, rng):
    x = rng.normal(size=[5, 2]).astype("float32")
    np.testing.assert_allclose(vectors.log_prob(x), flows["vectors"].log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(vectors.decode(vectors.encode(x)), x, rtol=1e-4, atol=1e-5)
    with pytest.raises(LookupError, match="vectors does not give bits_per_dim"):
        vectors.bits_per_dim(x)


def test_errors_are_pythons(served, images, vectors):
    data = np.zeros([1, 4, 4, 1], int)
    for call, error, sentence in (
        (lambda: images.log_prob(data + LEVELS, [0]), ValueError, "integers from 0 to 7"),
        (lambda: images.log_prob(data + 0.5, [0]), ValueError, "is not of expected type: uint8"),
        (lambda: images.log_prob(data, [3]), ValueError, "labels must be integers from 0 to 2"),
        (lambda: images.log_prob(data), ValueError, "Missing named input: labels"),
        (lambda: images.log_prob(data[0], [0]), ValueError, "is not compatible with expected"),
        (lambda: images.sample(1, [0], temperature=-1), ValueError, "temperature must be finite"),
        (lambda: vectors.log_prob([[np.nan, 0]]), ValueError, "x must be finite"),
        (lambda: Client(served.url, "none").encode(data), LookupError, "Latest(none)"),
        (lambda: Client(served.url, "images", version=9).encode(data), LookupError, "images, 9"),
        (lambda: Client(served.url, "images", label="a").encode(data), ValueError, "label: a"),
        (lambda: Client("http://127.0.0.1:9", "a").encode(data), ConnectionError, "No answer from"),
        (lambda: Client("ftp://a", "a"), ValueError, "A server's URL is such as"),
        (lambda: Client(served.url, "a", version=1, label="b"), ValueError, "not both"),
    ):
        with pytest.raises(error, match=re.escape(sentence)):
            call()


def test_the_log_is_one_object_a_line(served, vectors):
    vectors.log_prob([[0.0, 1.0]])
    line = served.wait_for("request")
    assert line["code"] == 200 and line["method"] in ("GET", "POST") and line["ms"] > 0
    assert {"time", "level", "path", "bytes", "model"} <= line.keys()
    assert all(isinstance(line, dict) and "time" in line for line in served.log), served.log


def test_a_new_version_is_picked_up(served, flows, tmp_path):
    base = tmp_path / "vectors"
    nvp.export(flows["vectors"], base, version=1)
    server = Process(base)
    try:
        flow = Client(f"http://127.0.0.1:{server.wait_for('listening')['port']}", "vectors")
        server.wait_for("version ready")
        flow.log_prob([[0.0, 1.0]])
        nvp.export(flows["vectors"], base, version="next", keep=1)
        server.wait_for("version ended")
        assert server.wait_for("version ready", count=2)["version"] == 2
        flow.log_prob([[0.0, 1.0]])
    finally:
        server.process.kill()


def test_sigterm_answers_what_has_come(served, images):
    """The last test: it ends the server."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(images.sample, 1_000, np.zeros(1_000, int)) for _ in range(4)]
        page = f"{served.url}/monitoring/prometheus/metrics"
        while not re.search(rb"in_flight [2-4]", urllib.request.urlopen(page).read()):
            assert not any(answer.done() for answer in answers)
        served.process.send_signal(signal.SIGTERM)
        for answer in answers:
            assert answer.result().shape == (1_000, 4, 4, 1)
    assert served.process.wait(60) == 0
    last = served.log[[line["event"] for line in served.log].index("ending") :]
    assert {line["code"] for line in last if line["event"] == "request"} == {200}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "There is nothing to serve: give a base directory or a model config."),
        (["missing"], "There is no directory missing."),
        (["--model_config", "missing"], "No such file or directory: missing"),
        ([".", "--max_rows", "0"], "Limits needs max_rows to be a whole number of at least 1"),
        ([".", "--timeout_seconds", "nan"], "Limits needs timeout_seconds to be a finite number"),
        ([".", "--port", "70000"], "serve needs --port to be a whole number of at least 0 and of"),
    ],
)
def test_an_error_is_one_sentence(args, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args, command="serve") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {sentence}") and captured.err.count("\n") == 1
