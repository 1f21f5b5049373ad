"""What a request is answered with where it can't be served."""

from __future__ import annotations

# TensorFlow's codes and HTTP's, as TensorFlow Serving pairs them; the last three are HTTP's alone.
HTTP = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "PAYLOAD_TOO_LARGE": 413,
}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of the server
    """A request that is refused.

    Args:
        sentence: what is wrong with it.
        code: a key of `HTTP`.
    """

    def __init__(self, sentence: str, code: str = "INVALID_ARGUMENT"):
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code

    @property
    def status(self) -> int:
        """HTTP's code."""
        return HTTP[self.code]

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"
