"""Export the live runs of a machine to Prometheus or OpenTelemetry: the command ``runtimeinfo export``.

It reads only the boards of the runs, so it works under every framework. It needs the extra ``export``, and for an
OpenTelemetry collector the extra ``otlp``.
"""

from runtimeinfo_adapters._framework import import_of_extra

import_of_extra(
    "prometheus_client", distribution="prometheus-client", extra="export", used_by="runtimeinfo_adapters.export"
)

# After the message that names the extra.
from runtimeinfo_adapters.export._export import push, serve, write_repeatedly  # noqa: E402
from runtimeinfo_adapters.export._metrics import Metric  # noqa: E402
from runtimeinfo_adapters.export._prometheus import RunCollector, make_registry, text_of  # noqa: E402
from runtimeinfo_adapters.export._samples import Limits, RunSamples  # noqa: E402
from runtimeinfo_adapters.export._server import ExportError, MetricsServer, Security  # noqa: E402
from runtimeinfo_adapters.export._shipped import DASHBOARD, RULES, shipped_text  # noqa: E402

__all__ = [
    "DASHBOARD",
    "RULES",
    "ExportError",
    "Limits",
    "Metric",
    "MetricsServer",
    "RunCollector",
    "RunSamples",
    "Security",
    "make_registry",
    "push",
    "serve",
    "shipped_text",
    "text_of",
    "write_repeatedly",
]
