"""Limits of a server: how much it takes at once, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tfp_realnvp.core import arguments


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Args:
        max_body_bytes: of a request's body; more is answered by 413.
        max_rows: examples of one request; more is answered by 400.
        max_num_samples: samples of one request; more is answered by 400.
        max_batch_size: rows of requests that are computed together.
        max_queue: requests that wait for one signature of a version; more are answered by 503.
        timeout_seconds: for the body to arrive, 408, and then for the result, 504.
        workers: batches, of different signatures, that are computed side by side.

    Raises:
        ValueError: a number that is not positive.
    """

    max_body_bytes: int = 2**25
    max_rows: int = 1024
    max_num_samples: int = 1024
    max_batch_size: int = 64
    max_queue: int = 256
    timeout_seconds: float = 60.0
    workers: int = 2

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "timeout_seconds":
                arguments.real("Limits", field.name, value, above=0)
            else:
                arguments.whole("Limits", field.name, value)


LIMITS = tuple(field.name for field in fields(Limits))
