"""The samples arrive at a receiver of OTLP that decodes the protocol buffers."""

from __future__ import annotations

import gzip
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otlp is not installed")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import ExportError, RunSamples
from runtimeinfo_adapters.export._metrics import METRICS
from runtimeinfo_adapters.export._otlp import OtlpSender
from runtimeinfo_adapters.top import Runs

Point = tuple[dict[str, str], float]


class Receiver:
    """A receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.paths: list[str] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.status == 200:
                    receiver.requests.append(ExportMetricsServiceRequest.FromString(body))
                    receiver.paths.append(self.path)
                answer = ExportMetricsServiceResponse().SerializeToString()
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def points(self) -> dict[str, list[Point]]:
        """Return the points of the last request by the names of their metrics."""
        (of_resource,) = self.requests[-1].resource_metrics
        (of_scope,) = of_resource.scope_metrics
        return {
            metric.name: [
                (
                    {each.key: each.value.string_value for each in point.attributes},
                    getattr(point, point.WhichOneof("value")),
                )
                for point in metric.gauge.data_points
            ]
            for metric in of_scope.metrics
        }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def sender(receiver: Receiver) -> Iterator[OtlpSender]:
    sender = OtlpSender(RunSamples(Runs()), receiver.url)
    yield sender
    sender.close()


def test_the_same_samples_arrive_as_prometheus_gets(
    shared: Callable[..., MessageHub],
    taken: Callable[..., dict[str, list[Point]]],
    receiver: Receiver,
    sender: OtlpSender,
) -> None:
    shared({"train/loss": math.nan, "lr": math.inf, "acc": 0.5}, experiment_name="dïgits", epoch=3, iter=2, max_iters=8)
    assert sender.send() is None
    assert receiver.paths == ["/v1/metrics"]
    points = receiver.points()
    expected = taken(RunSamples(Runs()))
    changing = ("runtimeinfo_run_update_age_seconds", "runtimeinfo_exporter_look_seconds")
    for name, samples in expected.items():
        assert [labels for labels, _ in points.get(name, [])] == [
            {key: label for key, label in labels.items() if label} for labels, _ in samples
        ]
        if name not in changing:
            assert repr([value for _, value in points.get(name, [])]) == repr([value for _, value in samples])
    assert points.keys() <= expected.keys()


def test_a_loss_that_is_not_finite_does_not_look_healthy(
    shared: Callable[..., MessageHub], receiver: Receiver, sender: OtlpSender
) -> None:
    hub = shared({"loss": 0.5})
    sender.send()
    assert "runtimeinfo_run_scalar_not_finite" not in receiver.points()
    hub.update_scalar("loss", math.nan)
    hub.update_info("loop_stage", "val")  # writes all of the board
    sender.send()
    ((_, value),) = receiver.points()["runtimeinfo_run_scalar"]
    assert math.isnan(value)
    (((labels, one),)) = receiver.points()["runtimeinfo_run_scalar_not_finite"]
    assert (labels["scalar"], one) == ("loss", 1)


def test_a_run_that_has_ended_is_not_sent_for_ever(
    shared: Callable[..., MessageHub], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtimeinfo_adapters.top import _watch

    monkeypatch.setattr(_watch, "_LINGERS_S", 0.0)
    sender = OtlpSender(RunSamples(Runs()), receiver.url)
    hub = shared(epoch=3)
    sender.send()
    assert "runtimeinfo_run_epoch" in receiver.points()
    hub.unshare()
    sender.send()
    sender.close()
    assert "runtimeinfo_run_epoch" not in receiver.points()


def test_units_and_the_service_are_told(
    shared: Callable[..., MessageHub], receiver: Receiver, sender: OtlpSender
) -> None:
    shared(iter=1, max_iters=2)
    sender.send()
    (of_resource,) = receiver.requests[-1].resource_metrics
    attributes = {each.key: each.value.string_value for each in of_resource.resource.attributes}
    assert attributes["service.name"] == "runtimeinfo"
    units = {metric.name: metric.unit for metric in of_resource.scope_metrics[0].metrics}
    assert units == {name: METRICS[name].unit for name in units}
    assert units["runtimeinfo_run_update_age_seconds"] == "s"
    assert units["runtimeinfo_run_progress_ratio"] == "1"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_receiver_that_refuses_is_a_fault_and_the_next_time_is_tried(receiver: Receiver, sender: OtlpSender) -> None:
    receiver.status = 401
    fault = sender.send()
    assert fault == f"the collector at {receiver.url}/v1/metrics has not taken the metrics"
    receiver.status = 200
    assert sender.send() is None


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/metrics"),
        ("http://localhost:4318/", "http://localhost:4318/v1/metrics"),
        ("https://otel.example/a/v1/metrics?x=1", "https://otel.example/a/v1/metrics?x=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/metrics"),
    ],
)
def test_an_endpoint_needs_no_path(endpoint: str, url: str) -> None:
    sender = OtlpSender(RunSamples(Runs()), endpoint)
    sender.close()
    assert sender.url == url


@pytest.mark.parametrize(
    "endpoint", ["", "localhost:4318", "grpc://localhost:4317", "http://", "http://a:b", "http://[", "http://a:99999"]
)
def test_an_endpoint_that_is_not_a_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ExportError, match="is not the URL of a collector, such as http://localhost:4318"):
        OtlpSender(RunSamples(Runs()), endpoint)
