"""A server in a thread of the tests, and small models that load at once."""

import contextlib
import http.client
import json
import threading
import time

import pytest
import tensorflow as tf


class Half(tf.Module):
    """x / 2 + add; and the sums of rows of three numbers, none of which may be negative."""

    def __init__(self, add):
        super().__init__()
        self.add = tf.Variable(float(add))

    @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
    def half(self, x):
        return {"y": x / 2 + self.add}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def total(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x >= 0), ["negative."])]):
            return {"y": tf.reduce_sum(x, -1), "size": tf.fill(tf.shape(x)[:1], tf.shape(x)[0])}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="num_samples")])
    def sample(self, num_samples):
        return {"y": tf.range(num_samples)}


def half(base, version, add=2):
    """Publishes a version as `nvp.export` does: written beside, renamed in."""
    module, temporary = Half(add), base / f".{version}"
    signatures = {"serving_default": module.half, "total": module.total, "sample": module.sample}
    tf.saved_model.save(module, str(temporary), signatures=signatures)
    temporary.rename(base / str(version))
    return base / str(version)


class Running:
    """An application that listens."""

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method, path, body=None, headers=None):
        """Returns the code and the reply."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            body = json.dumps(body) if isinstance(body, dict | list) else body
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
            kind = answer.headers["content-type"] or ""
            return answer.status, json.loads(content) if "json" in kind else content

    def predict(self, model, body, where=""):
        return self.ask("POST", f"/v1/models/{model}{where}:predict", body)


@contextlib.contextmanager
def running(app, ready=True):
    """Yields an application that listens, once it is ready."""
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    found = Running(server.servers[0].sockets[0].getsockname()[1])
    if ready:
        until(lambda: found.ask("GET", "/v2/health/ready")[0] == 200)
    yield found
    server.should_exit = True
    thread.join(30)


def until(true, seconds=120):
    """Waits."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
