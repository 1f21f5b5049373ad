"""Requests with seeds go together, and each gets what it would get alone; warm before ready."""

import concurrent.futures
import json
import re
import threading

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from rest_server import running, until
from tolerances import FLOAT32

import tfp_realnvp as nvp

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.loaded import Loaded
from tfp_realnvp.serving.rest.model_config import models_of

SHAPE, LEVELS, CLASSES = (4, 4, 1), 8, 3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    options = {"levels": LEVELS, "width": 4, "couplings": 1, "blocks": 1, "num_classes": CLASSES}
    dist = nvp.flows.build("uva_simple", SHAPE, **options)
    perturb_weights(dist.bijector)
    base = tmp_path_factory.mktemp("rows") / "flow"
    nvp.export(dist, base, version=1)
    return base


class Seen:
    """What a server computed: the thread, the signature, and the rows of each run."""

    def __init__(self):
        self.runs, self.hold = [], None

    def run(self, loaded, name, inputs):
        rows = max((len(v) for v in inputs.values() if np.ndim(v)), default=0)
        self.runs.append((threading.current_thread().name, name, rows))
        if self.hold is not None:
            self.hold.wait(60)
        return RUN(loaded, name, inputs)


RUN = Loaded.run


@pytest.fixture(scope="module")
def served(base):
    seen = Seen()
    patch = pytest.MonkeyPatch()
    patch.setattr(Loaded, "run", lambda *args: seen.run(*args))
    with running(
        application(models_of([base]), limits=Limits(workers=1, timeout_seconds=600))
    ) as server:
        server.seen, server.warm = seen, list(seen.runs)
        server.loaded = tf.saved_model.load(str(base / "1")).signatures
        yield server
    patch.undo()


def test_a_version_is_warm_in_the_threads_that_answer_before_it_is_ready(served):
    for name in served.loaded:
        own = [rows for thread, run, rows in served.warm if run == name and "batch" in thread]
        merged = f"{name}_rows" if f"{name}_rows" in served.loaded else name
        together = [rows for thread, run, rows in served.warm if run == merged]
        assert own and max(together) > 2, (name, own, together)


def request(signature, seed, *, rows=1, label=0, pixel=None, temperature=1.0):
    labels = [label] * rows
    if signature == "sample":
        inputs = {"num_samples": rows, "temperature": temperature, "labels": labels}
    else:
        images = np.arange(16 * rows).reshape(rows, *SHAPE) % LEVELS
        if pixel is not None:
            images[0, 0, 0, 0] = pixel
        inputs = {"images": images.tolist(), "labels": labels}
    return {"signature_name": signature, "inputs": {**inputs, "seed": [0, seed]}}


def together(served, requests):
    """Returns the answers to requests that come while the first is computed, and what was run."""
    served.seen.hold = threading.Event()
    start = len(served.seen.runs)
    pool = concurrent.futures.ThreadPoolExecutor(len(requests))
    try:
        first = pool.submit(served.predict, "flow", requests[0])
        until(lambda: len(served.seen.runs) > start)
        rest = [pool.submit(served.predict, "flow", body) for body in requests[1:]]

        def in_flight():
            page = served.ask("GET", "/monitoring/prometheus/metrics")[1].decode()
            return float(re.search(r"requests_in_flight ([\d.]+)", page)[1])

        until(lambda: in_flight() == len(requests))
    finally:
        served.seen.hold.set()
    answers = [first.result(), *(each.result() for each in rest)]
    return answers, served.seen.runs[start:]


@pytest.mark.parametrize("signature", ["log_prob", "sample"])
def test_requests_of_several_seeds_go_together_and_get_what_they_get_alone(served, signature):
    requests = [
        request(signature, seed, rows=1 + seed % 3, label=seed % CLASSES) for seed in range(9)
    ]
    answers, runs = together(served, requests)
    assert len(runs) < len(requests) and f"{signature}_rows" in {name for _, name, _ in runs}
    for body, (code, reply) in zip(requests, answers, strict=True):
        assert code == 200, reply
        inputs = {
            key: tf.constant(value, spec.dtype)
            for key, spec in served.loaded[signature].structured_input_signature[1].items()
            for value in [body["inputs"][key]]
        }
        (alone,) = served.loaded[signature](**inputs).values()
        np.testing.assert_allclose(reply["outputs"], alone, rtol=FLOAT32)
    values = [json.dumps(reply["outputs"]) for _, reply in answers]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("signature", "bad", "sentence"),
    [
        ("log_prob", {"label": 7}, "labels must be integers from 0 to 2"),
        ("log_prob", {"pixel": 200}, "images must hold integers from 0 to 7"),
        ("sample", {"temperature": -1.0}, "temperature must be finite and at least 0, got -1"),
        ("sample", {"rows": -1}, "num_samples must be from 0 to"),
    ],
)
def test_a_bad_request_fails_alone(served, signature, bad, sentence):
    requests = [request(signature, seed) for seed in range(8)]
    requests[5] = request(signature, 5, **bad)
    expected = [served.predict("flow", body) for body in requests]
    answers, _ = together(served, requests)
    assert answers[5] == expected[5] and answers[5][0] == 400
    assert sentence in answers[5][1]["error"]
    for i, (answer, alone) in enumerate(zip(answers, expected, strict=True)):
        if i != 5:
            assert answer[0] == alone[0] == 200
            np.testing.assert_allclose(
                answer[1]["outputs"], alone[1]["outputs"], rtol=FLOAT32, atol=0
            )


def test_a_seed_for_each_row(served):
    log_prob, by_rows = served.loaded["log_prob"], served.loaded["log_prob_rows"]
    rng = np.random.default_rng(0)
    data = {
        "images": tf.constant(rng.integers(0, LEVELS, [5, *SHAPE]), tf.uint8),
        "labels": tf.constant([0, 1, 2, 0, 1]),
    }
    seed = tf.constant([3, -7])
    whole = log_prob(**data, seed=seed)["log_prob"]
    rows = by_rows(**data, seed=tf.tile(seed[None], [5, 1]), row=tf.range(5))["log_prob"]
    np.testing.assert_allclose(rows, whole, rtol=1e-6)
    order = [4, 0, 3]
    mixed = {key: tf.gather(value, order) for key, value in data.items()}
    rows = by_rows(**mixed, seed=tf.tile(seed[None], [3, 1]), row=tf.constant(order))["log_prob"]
    np.testing.assert_allclose(rows, tf.gather(whole, order), rtol=1e-6)
    draw = {"seed": seed, "labels": data["labels"]}
    whole = served.loaded["sample"](
        num_samples=tf.constant(5), temperature=tf.constant(0.5), **draw
    )["images"]
    rows = served.loaded["sample_rows"](
        temperature=tf.fill([5], 0.5),
        seed=tf.tile(seed[None], [5, 1]),
        row=tf.range(5),
        labels=data["labels"],
    )["images"]
    np.testing.assert_array_equal(rows, whole)
