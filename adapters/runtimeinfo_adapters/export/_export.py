"""Export until a signal comes: over HTTP, into a text file, or to an OpenTelemetry collector."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from runtimeinfo_adapters.export._prometheus import make_registry, write_textfile
from runtimeinfo_adapters.export._samples import RunSamples
from runtimeinfo_adapters.export._server import ExportError, MetricsServer, Security

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(samples: RunSamples, *, address: str, port: int, security: Security) -> None:
    """Serve the metrics until SIGTERM or Ctrl-C.

    Raises:
        ExportError: As `MetricsServer`.
    """
    with (
        _exporting() as stopped,
        MetricsServer(make_registry(samples, process=True), address=address, port=port, security=security) as server,
    ):
        if not server.is_loopback and not security.protects:
            _say(
                f"warning: {address} is not a loopback address: whoever reaches this machine can read the names and "
                "values of your runs. Use TLS with a password or with certificates of clients"
            )
        _say(f"serving {server.url}")
        stopped.wait()


def write_repeatedly(samples: RunSamples, folder: Path, *, interval: float) -> None:
    """Write the text file at each interval until SIGTERM or Ctrl-C, and then remove it.

    Raises:
        ExportError: If it cannot be written the first time. Later on that is a warning, and is tried again.
    """
    registry = make_registry(samples)
    with _exporting() as stopped:
        try:
            path = write_textfile(folder, registry)
        except OSError as error:
            raise ExportError(
                f"no text file can be written into {folder}: {error.strerror}. Give the folder that the node exporter "
                "has as --collector.textfile.directory"
            ) from None
        _say(f"writing {path} every {interval:g} s")
        try:
            _repeat(lambda: _written(folder, registry), stopped, interval)
        finally:
            # Or else the node exporter would go on to export what it says.
            path.unlink(missing_ok=True)


def _written(folder: Path, registry: CollectorRegistry) -> str | None:
    try:
        write_textfile(folder, registry)
    except OSError as error:
        return f"the text file cannot be written into {folder}: {error.strerror}"
    return None


def push(samples: RunSamples, endpoint: str, *, interval: float) -> None:
    """Send the metrics to an OpenTelemetry collector at each interval, until SIGTERM or Ctrl-C.

    Raises:
        ExportError: If the endpoint is not a URL. A collector that cannot be reached is a warning, and tried again.
        ModuleNotFoundError: If the extra ``otlp`` is missing.
    """
    from runtimeinfo_adapters.export._otlp import OtlpSender

    with _exporting() as stopped:
        sender = OtlpSender(samples, endpoint)
        _say(f"sending to {sender.url} every {interval:g} s")

        def close() -> None:
            stopped.wait()
            sender.close()

        # From a thread: the exporter tries for ten seconds to reach a collector, and closing it ends that.
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        _repeat(sender.send, stopped, interval)
        closing.join()


def _repeat(act: Callable[[], str | None], stopped: threading.Event, interval: float) -> None:
    """Act at each interval; say a fault when it begins, and when it is over."""
    fault: str | None = None
    while True:
        before, fault = fault, act()
        if stopped.is_set():
            return
        if fault is not None and before is None:
            _say(f"warning: {fault}. It is tried again every {interval:g} s")
        elif fault is None and before is not None:
            _say("it works again")
        if stopped.wait(interval):
            return


@contextmanager
def _exporting() -> Generator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set, instead of what they would do."""
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stderr.write(f"runtimeinfo export: {text}\n")
    sys.stderr.flush()
