"""A server in a thread of the tests or in a process, and small models that load at once."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "serve.py"
# Two versions of a model, the first with a label.
CONFIG = """
model_config_list {
  config {
    name: "two" base_path: "%s" model_platform: "tensorflow"
    model_version_policy { specific { versions: 123 versions: 124 } }
    version_labels { key: "stable" value: 123 }
  }
}
"""


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


class Process:
    """`serve.py`, once it is ready; its log is read line by line."""

    def __init__(self, *args, cwd=None):
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, args), "--port", "0", "--poll_seconds", "0.1"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        self.log = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            found = re.search(r'{"time".*}$', line)  # Ray writes before it whose line it is
            self.log.append(json.loads(found[0]) if found else {"event": line})

    def wait_for(self, event, count=1, seconds=180):
        end = time.monotonic() + seconds
        while True:
            found = [line for line in self.log if line["event"] == event]
            if len(found) >= count:
                return found[-1]
            assert self.process.poll() is None and time.monotonic() < end, self.log
            time.sleep(0.05)


@contextlib.contextmanager
def serving_halves(folder):
    """Yields a server, with small limits, of `half`, the latest of three versions, and of `two`."""
    from tfp_realnvp.serving.rest.application import application
    from tfp_realnvp.serving.rest.limits import Limits
    from tfp_realnvp.serving.rest.model_config import models_of

    base = folder / "half"
    base.mkdir()
    for version in (122, 123, 124):
        half(base, version, add=version - 121)
    (folder / "models").write_text(CONFIG % base)
    limits = Limits(max_body_bytes=20_000, max_rows=64, max_num_samples=10, timeout_seconds=30)
    app = application(models_of([base], folder / "models"), limits=limits, poll_seconds=0.05)
    with running(app) as server:
        until(lambda: len(app.state.server.models["two"].available) == 2)
        yield server


def until(true, seconds=120):
    """Waits."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
