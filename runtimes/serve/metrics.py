"""What is counted, for Prometheus; a registry of its own, so that two servers in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from edgepress.version import __version__

KIND = CONTENT_TYPE_LATEST.encode()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BYTES = tuple(float(1 << power) for power in range(8, 25, 2))


class Metrics:
    """The counts of one server.

    Args:
        bundle, identity: of what is served.
    """

    def __init__(self, bundle: str, identity: str) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)
        about = Gauge(
            "edgepress_served", "What is served.", ("bundle", "identity", "version"), registry=registry
        )
        about.labels(bundle, identity, __version__).set(1)
        self._requests = Counter(
            "edgepress_requests", "Requests by path and status; 'left': the client went away.",
            ("path", "status"), registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "edgepress_request_seconds", "From a request's head to its answer, of those answered with 200.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._waited = Histogram(
            "edgepress_wait_seconds",
            "That requests waited for a worker.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._worked = Histogram(
            "edgepress_work_seconds", "That workers took for a request.", buckets=_SECONDS, registry=registry
        )
        self._body = Histogram("edgepress_body_bytes", "Of bodies.", buckets=_BYTES, registry=registry)

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, what, registry=self._registry).set_function(read)

    def request(self, path: str, status: str) -> None:
        """A request is done."""
        self._requests.labels(path, status).inc()

    def answered(self, seconds: float) -> None:
        """A question was answered."""
        self._seconds.observe(seconds)

    def body(self, count: int) -> None:
        """A body has arrived."""
        self._body.observe(count)

    def worked(self, waited_s: float, worked_s: float) -> None:
        """A worker has done a task."""
        self._waited.observe(waited_s)
        self._worked.observe(worked_s)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
