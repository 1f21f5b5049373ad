"""A client of a served flow, on NumPy arrays; of our server and of TensorFlow Serving's alike."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any

import numpy as np


class Client:
    """A flow that a server has.

    It needs neither TensorFlow nor the packages of the extra `serve`, and can be used by several
    threads.

    Args:
        url: the server's, such as "http://127.0.0.1:8501", with a path where it is mounted.
        model: name of the model.
        version: number of a version; None for the latest.
        label: name of a version, instead of its number.
        timeout_seconds: for an answer.

    Raises:
        ValueError: no http URL, or a version and a label.

    Example:
        >>> from tfp_realnvp.serving import Client
        >>> flow = Client("http://127.0.0.1:8501", "mnist")
        >>> flow
        Client('http://127.0.0.1:8501', 'mnist')

    Methods raise `ValueError` for what the server finds wrong with a request, `LookupError` where
    it has no such model, version or signature, `TimeoutError` where the answer takes too long, and
    `ConnectionError` where there is no server, or it has too much to do or fails.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float = 60.0,
    ):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"A server's URL is such as http://127.0.0.1:8501, got {url!r}.")
        if version is not None and label is not None:
            raise ValueError("A client takes a version or a label, not both.")
        self._url, self._model = url, model
        self._secure, self._host = parts.scheme == "https", parts.netloc
        self._timeout_seconds = timeout_seconds
        self._path = f"{parts.path.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        if label is not None:
            self._path += f"/labels/{urllib.parse.quote(label, safe='')}"
        self._signatures: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Client({self._url!r}, {self._model!r})"

    def log_prob(self, data: Any, labels: Any = None, *, seed: Any = None) -> np.ndarray:
        """Returns log-probabilities in nats, `[N]`.

        Args:
            data: images `[N, H, W, C]`, whole numbers, or vectors `[N, D]`.
            labels: `[N]` for class-conditional flows.
            seed: of the noise, a number or two; None for each example's own fixed noise.
        """
        if seed is None:
            return self._call("serving_default", data, labels)["log_prob"]
        return self._call("log_prob", data, labels, seed=_pair(seed))["log_prob"]

    def bits_per_dim(self, images: Any, labels: Any = None) -> np.ndarray:
        """Returns bits per dimension of images, `[N]`; see `log_prob`.

        Raises:
            LookupError: the flow is one of vectors.
        """
        return self._call("serving_default", images, labels)["bits_per_dim"]

    def sample(
        self, num_samples: int, labels: Any = None, *, temperature: float = 1.0, seed: Any = 0
    ) -> np.ndarray:
        """Draws images or vectors, `[num_samples, *event]`.

        Args:
            num_samples: how many.
            labels: `[num_samples]` for class-conditional flows.
            temperature: factor of the latents.
            seed: a number or two; the same seed gives the same samples.
        """
        inputs = {"num_samples": num_samples, "temperature": temperature, "seed": _pair(seed)}
        (samples,) = self._call("sample", None, labels, **inputs).values()
        return samples

    def encode(self, data: Any, labels: Any = None) -> np.ndarray:
        """Returns latents `[N, D]` of data; see `log_prob`."""
        return self._call("encode", data, labels)["latents"]

    def decode(self, latents: Any, labels: Any = None) -> np.ndarray:
        """Returns the data of latents `[N, D]`."""
        (data,) = self._call("decode", None, labels, latents=latents).values()
        return data

    def signatures(self) -> dict[str, Any]:
        """Returns the served signatures as TensorFlow Serving's metadata have them; asked once."""
        if self._signatures is None:
            metadata = self._ask("GET", "/metadata")["metadata"]
            self._signatures = metadata["signature_def"]["signature_def"]
        return self._signatures

    def _call(self, signature: str, data: Any, labels: Any, **inputs: Any) -> dict[str, np.ndarray]:
        definition = self.signatures().get(signature)
        if definition is None:
            raise LookupError(f"{self._model} has no signature {signature}.")
        if data is not None:
            inputs["images" if "images" in definition["inputs"] else "x"] = data
        if labels is not None:
            inputs["labels"] = labels
        body = {
            "signature_name": signature,
            "inputs": {key: np.asarray(value).tolist() for key, value in inputs.items()},
        }
        outputs = self._ask("POST", ":predict", json.dumps(body).encode())["outputs"]
        infos = definition["outputs"]
        if len(infos) == 1:  # then it has no name
            outputs = dict.fromkeys(infos, outputs)
        return _Results(
            {name: _array(outputs[name], info) for name, info in infos.items()}, model=self._model
        )

    def _ask(self, method: str, what: str, body: bytes | None = None) -> Any:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, timeout=self._timeout_seconds)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, self._path + what, body, headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except TimeoutError:
            raise TimeoutError(
                f"{self._url} did not answer in {self._timeout_seconds:g} s."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ConnectionError(f"No answer from {self._url}: {reason}.") from error
        finally:
            connection.close()
        if status == 200:
            return json.loads(content)
        raise _error(status, content, self._url)


class _Results(dict[str, np.ndarray]):
    def __init__(self, results: dict[str, np.ndarray], *, model: str):
        super().__init__(results)
        self._model = model

    def __missing__(self, key: str) -> np.ndarray:
        raise LookupError(f"{self._model} does not give {key}.")


def _array(value: Any, info: dict[str, Any]) -> np.ndarray:
    names = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64"}
    dtype = names.get(info["dtype"], info["dtype"].removeprefix("DT_").lower())
    found = np.asarray(value, dtype)
    if found.size:
        return found
    sides = [max(int(side["size"]), 0) for side in info["tensor_shape"]["dim"]]
    return found.reshape(sides)  # of no rows, JSON does not have the shape


def _pair(seed: Any) -> Any:
    return [0, seed] if np.ndim(seed) == 0 else seed


def _error(status: int, content: bytes, url: str) -> Exception:
    try:
        sentence = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"{url} answered {status}."
    kinds = {
        400: ValueError,
        413: ValueError,
        404: LookupError,
        408: TimeoutError,
        504: TimeoutError,
    }
    return kinds.get(status, ConnectionError)(sentence)
