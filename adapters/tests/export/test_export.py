"""The command ``runtimeinfo export`` as a process: signals, files, a collector that comes late."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export._prometheus import TEXTFILE

Exporter = Callable[..., tuple[subprocess.Popen[str], str]]

PATIENCE_S = 60.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server(exporter: Exporter, shared: Callable[..., MessageHub], number: int) -> None:
    shared(experiment_name="digits")
    process, line = exporter("--port", 0)
    assert line.startswith("runtimeinfo export: serving http://127.0.0.1:")
    with urlopen(line.split()[-1], timeout=PATIENCE_S) as response:
        assert b'experiment="digits"' in response.read()
    process.send_signal(number)
    assert (process.communicate(timeout=PATIENCE_S)[1], process.returncode) == ("", 0)


def test_another_address_is_served_with_a_warning(exporter: Exporter) -> None:
    process, line = exporter("--port", 0, "--address", "0.0.0.0")
    assert line.startswith("runtimeinfo export: warning: 0.0.0.0 is not a loopback address: ")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("runtimeinfo export: serving http://0.0.0.0:")


def test_the_options_reach_the_samples(exporter: Exporter, shared: Callable[..., MessageHub]) -> None:
    shared({"a": 1.0, "b": 2.0, "c": 3.0}, experiment_name="first")
    shared(experiment_name="second")
    _, line = exporter("--port", 0, "--max-runs", 1, "--max-scalars", 1, "--scalars", "[bc]", "--scalars", "none")
    with urlopen(line.split()[-1], timeout=PATIENCE_S) as response:
        text = response.read().decode()
    assert text.count("runtimeinfo_run_info{") == 1
    assert [name for name in "abc" if f'scalar="{name}"' in text] == ["b"]
    assert 'runtimeinfo_exporter_runs_left_out{reason="limit"} 1.0' in text


def test_a_port_in_use_is_named(exporter: Exporter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, line = exporter("--port", port)
        assert process.wait(timeout=PATIENCE_S) == 64
    assert f"'127.0.0.1', port {port}: Address already in use" in line


def test_a_folder_of_another_user_is_an_error_at_the_beginning(exporter: Exporter, folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    process, line = exporter("--port", 0)
    assert process.wait(timeout=PATIENCE_S) == 1
    assert str(folder) in line


def test_a_textfile_is_written_until_the_end_and_then_removed(
    exporter: Exporter, shared: Callable[..., MessageHub], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    out = tmp_path / "node"
    out.mkdir()
    hub = shared(epoch=1)
    process, line = exporter("--textfile", out, "--interval", 0.1)
    path = out / TEXTFILE
    assert line == f"runtimeinfo export: writing {path} every 0.1 s\n"
    hub.update_info("epoch", 2)
    wait_until(lambda: 'job_id=""} 2.0' in path.read_text() or "} 2.0" in path.read_text())
    process.terminate()
    assert (process.communicate(timeout=PATIENCE_S)[1], process.returncode) == ("", 0)
    assert list(out.iterdir()) == []


def test_a_textfile_that_cannot_be_written_for_a_while_is_a_warning(
    exporter: Exporter, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    out = tmp_path / "node"
    out.mkdir()
    process, _ = exporter("--textfile", out, "--interval", 0.1)
    assert process.stderr is not None
    out.rename(tmp_path / "away")
    assert "warning: the text file cannot be written" in process.stderr.readline()
    (tmp_path / "away").rename(out)
    assert process.stderr.readline() == "runtimeinfo export: it works again\n"


def test_a_folder_that_is_not_there_is_an_error(exporter: Exporter, tmp_path: Path) -> None:
    process, line = exporter("--textfile", tmp_path / "none")
    assert process.wait(timeout=PATIENCE_S) == 64
    assert f"no text file can be written into {tmp_path / 'none'}: No such file or directory" in line


def test_a_signal_ends_the_tries_to_reach_a_collector(exporter: Exporter) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        process, line = exporter("--otlp", url, "--interval", 0.1)
        assert line == f"runtimeinfo export: sending to {url}/v1/metrics every 0.1 s\n"
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        said = process.communicate(timeout=PATIENCE_S)[1]
    # Older exporters of OpenTelemetry try once.
    expected = "Shutdown in progress, aborting retry.\n" if "retrying in" in first else ""
    assert "retrying in" in first or "has not taken the metrics" in first
    assert (process.returncode, said) == (0, expected)
