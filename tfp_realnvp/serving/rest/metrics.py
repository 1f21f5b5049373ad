"""What Prometheus reads of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one application.

    Args:
        available: gives names of models with numbers of their versions that are ready.
    """

    def __init__(self, available: Callable[[], Iterable[tuple[str, int]]]):
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tfp_realnvp_requests",
            "Requests that were answered.",
            ["model", "code"],
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "tfp_realnvp_requests_in_flight",
            "Requests that have come and are not answered yet.",
            registry=self._registry,
        )
        self.seconds = Histogram(
            "tfp_realnvp_request_seconds",
            "From the first byte of a request to its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batch_rows = Histogram(
            "tfp_realnvp_batch_rows",
            "Rows that were computed together.",
            ["model", "signature"],
            buckets=_ROWS,
            registry=self._registry,
        )
        self._registry.register(_Versions(available))

    def page(self) -> bytes:
        """Returns them in Prometheus' text format."""
        return generate_latest(self._registry)


class _Versions(Collector):
    def __init__(self, available: Callable[[], Iterable[tuple[str, int]]]):
        self._available = available

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "tfp_realnvp_version_available",
            "1 for versions that are ready.",
            labels=["model", "version"],
        )
        for model, version in self._available():
            family.add_metric([model, str(version)], 1)
        yield family
