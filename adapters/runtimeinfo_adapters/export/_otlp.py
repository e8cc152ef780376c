"""Send the samples to an OpenTelemetry collector, by OTLP over HTTP.

The data points are made here and handed to the SDK's exporter. The SDK's own instruments are not used: they drop a
value that is NaN or infinite and go on to export the last finite one, so that a training which diverged looks healthy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from runtimeinfo import __version__
from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.export._metrics import Metric
from runtimeinfo_adapters.export._samples import RunSamples, Sample
from runtimeinfo_adapters.export._server import ExportError

for _module, _distribution in (
    ("opentelemetry.sdk", "opentelemetry-sdk"),
    ("opentelemetry.exporter.otlp.proto.http", "opentelemetry-exporter-otlp-proto-http"),
):
    import_of_extra(_module, distribution=_distribution, extra="otlp", used_by="--otlp")

# After the message that names the extra.
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: E402
from opentelemetry.sdk.metrics.export import (  # noqa: E402
    Gauge,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Metric as SentMetric  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: E402

_PATH = "/v1/metrics"


class OtlpSender:
    """Send all samples to a collector.

    Environment variables of OpenTelemetry hold, such as ``OTEL_EXPORTER_OTLP_HEADERS`` and
    ``OTEL_RESOURCE_ATTRIBUTES``.

    Args:
        samples: What to send.
        endpoint: The URL of the collector, with or without ``/v1/metrics``.

    Raises:
        ExportError: If the endpoint is not an HTTP URL.
    """

    def __init__(self, samples: RunSamples, endpoint: str) -> None:
        self.url: str = _url_of(endpoint)
        """Where to send."""
        self._samples = samples
        self._exporter = OTLPMetricExporter(endpoint=self.url)
        self._resource = Resource.create({"service.name": "runtimeinfo"})
        self._scope = InstrumentationScope("runtimeinfo", __version__)

    def send(self) -> str | None:
        """Send the samples as of now; return the fault, or None if they have arrived."""
        now_ns = time.time_ns()
        metrics = [_sent(metric, samples, now_ns) for metric, samples in self._samples.take().items() if samples]
        data = MetricsData(
            [ResourceMetrics(self._resource, [ScopeMetrics(self._scope, metrics, schema_url="")], schema_url="")]
        )
        fault = f"the collector at {self.url} has not taken the metrics"
        try:
            result = self._exporter.export(data)  # pyright: ignore[reportUnknownMemberType]
        except OSError as error:  # of `requests`, which newer exporters catch
            return f"{fault}: {error}"
        return None if result is MetricExportResult.SUCCESS else fault

    def close(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType]


def _sent(metric: Metric, samples: list[Sample], now_ns: int) -> SentMetric:
    points = list(_points(metric, samples, now_ns))
    return SentMetric(metric.name, metric.help, metric.unit, Gauge(points))


def _points(metric: Metric, samples: list[Sample], now_ns: int) -> Iterator[NumberDataPoint]:
    for labels, value in samples:
        # As for Prometheus, where an empty label is no label.
        attributes: dict[str, Any] = {name: label for name, label in zip(metric.labels, labels, strict=True) if label}
        yield NumberDataPoint(attributes, start_time_unix_nano=now_ns, time_unix_nano=now_ns, value=float(value))


def _url_of(endpoint: str) -> str:
    fault = ExportError(f"{endpoint!r} is not the URL of a collector, such as http://localhost:4318")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise fault
    except ValueError:  # of the port, or of an IPv6 address
        raise fault from None
    return urlunsplit(parts._replace(path=_PATH)) if parts.path in ("", "/") else endpoint
