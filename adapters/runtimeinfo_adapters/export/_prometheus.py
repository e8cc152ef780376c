"""Offer the samples to Prometheus: as a collector, over HTTP, and as a text file for its node exporter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample as FamilySample

from runtimeinfo_adapters.export._metrics import METRICS, Metric
from runtimeinfo_adapters.export._samples import RunSamples

TEXTFILE = "runtimeinfo.prom"
"""The name of the text file; the node exporter reads files that end so."""


class RunCollector(Collector):
    """A collector of `prometheus_client` that reads the boards at each scrape.

    Register it in a registry of yours to export the runs beside your own metrics.

    Args:
        samples: What to export.

    Example:
        >>> from prometheus_client import CollectorRegistry, generate_latest
        >>> from runtimeinfo_adapters.top import Runs
        >>> registry = CollectorRegistry()
        >>> registry.register(RunCollector(RunSamples(Runs())))
        >>> b"runtimeinfo_exporter_folder_usable 1.0" in generate_latest(registry)
        True
    """

    def __init__(self, samples: RunSamples) -> None:
        self._samples = samples

    def describe(self) -> Iterator[Family]:
        """Yield the metrics without samples: registering the collector reads no board."""
        return map(_family, METRICS.values())

    def collect(self) -> Iterator[Family]:
        """Yield the metrics as of now."""
        for metric, samples in self._samples.take().items():
            family = _family(metric)
            # Not family.add_metric: it copies each label once more, which is a third of a scrape.
            family.samples = [
                FamilySample(metric.name, _without_empty(metric.labels, labels), float(value))
                for labels, value in samples
            ]
            yield family


def _without_empty(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    # To Prometheus, an empty label is no label, but it would take a tenth of a scrape to write each.
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _family(metric: Metric) -> Family:
    # The type "info" adds the suffix by itself.
    if metric.name.endswith("_info"):
        return InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
    return GaugeMetricFamily(metric.name, metric.help)


def make_registry(samples: RunSamples, *, process: bool = False) -> CollectorRegistry:
    """Return a registry with the runs.

    Args:
        samples: What to export.
        process: Whether to add the memory and the CPU time of this process. They are not for a text file: the node
            exporter has its own under the same names, and logs an error at each scrape.
    """
    registry = CollectorRegistry()
    registry.register(RunCollector(samples))
    if process:
        ProcessCollector(registry=registry)
    return registry


def text_of(registry: CollectorRegistry) -> str:
    """Return the metrics in the text format of Prometheus."""
    return generate_latest(registry).decode()


def write_textfile(folder: Path, registry: CollectorRegistry) -> Path:
    """Write the metrics for the text file collector of the node exporter, and return the file.

    It is replaced as a whole: no reader sees a half of it.

    Raises:
        OSError: If it cannot be written.
    """
    path = folder / TEXTFILE
    write_to_textfile(str(path), registry)
    return path
