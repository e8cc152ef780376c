"""The commands of docs/export.md show four ranks, and its tables are those of the code."""

import contextlib
import inspect
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runtimeinfo.board import FOLDER_VARIABLE
from runtimeinfo_adapters.export import Limits
from runtimeinfo_adapters.export._labels import MAX_LENGTH
from runtimeinfo_adapters.export._metrics import METRICS, RUN_LABELS
from runtimeinfo_adapters.export._prometheus import TEXTFILE
from runtimeinfo_adapters.export._shipped import RULES, shipped_text
from runtimeinfo_adapters.top import Runs
from runtimeinfo_conformance.command_line import _export_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")

PATIENCE_S = 120.0


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]


def file_of_page(name):
    return re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]


def command(begin):
    (found,) = [each for each in COMMANDS if each.startswith(begin)]
    return found


def shown_after(begin):
    """Return the command of the page that begins so, and what the page shows after it."""
    (block,) = [block for block in blocks("console") if block.startswith(f"$ {begin}")]
    line, _, shown = block.partition("\n")
    return line.removeprefix("$ "), shown


def shape(text):
    """Return what is shown, whatever the ids and the numbers are, in order of the ranks."""
    for pattern, mark in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", "ID"),
        (r"(?<=[ @\[])[\d.]+", "#"),
    ):
        text = re.sub(pattern, mark, text)
    return sorted(text.splitlines())


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def output_of(line):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "boards"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "RUNTIMEINFO_JOB", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("train.py", "prometheus.yml"):
        Path(name).write_text(file_of_page(name), encoding="utf-8")
    return tmp_path


@pytest.fixture
def start():
    """Return a function that starts a command in a session of its own, which is killed when the test ends."""
    with contextlib.ExitStack() as ends:

        def begin(line, **options):
            process = subprocess.Popen(["bash", "-c", f"exec {line}"], start_new_session=True, text=True, **options)

            def end():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

            ends.callback(end)
            return process

        yield begin


def test_the_commands_of_the_page_show_four_ranks(folder, start, wait_until):
    pytest.importorskip("torch")
    start(command("torchrun "), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len([run for run in Runs().look() if run.scalars]) == 4, seconds=PATIENCE_S)

    assert "digits" in output_of(command("runtimeinfo top"))

    (serving,) = [each for each in COMMANDS if each == "runtimeinfo export"]
    exporter = start(f"{serving} --port 0", stderr=subprocess.PIPE)
    line = exporter.stderr.readline()
    _, shown = shown_after("runtimeinfo top")
    (expected,) = [each for each in shown.splitlines() if not each.startswith("$")]
    url = line.split()[-1]
    default = f"{_export_command.DEFAULT_ADDRESS}:{_export_command.DEFAULT_PORT}"
    address = re.search("//(.*)/", url)[1]
    assert line.replace(address, default) == f"{expected}\n"

    curl, shown = shown_after("curl ")
    assert shape(output_of(curl.replace(default, address))) == shape(shown)

    # The plot watches while Prometheus begins.
    plot = start(command("runtimeinfo plot").replace("--for 10", "--for 3"))
    if shutil.which("prometheus") and shutil.which("promtool"):
        _ask_prometheus(folder, start, wait_until, default, address)
    assert plot.wait(timeout=PATIENCE_S) == 0
    assert (folder / "digits.png").read_bytes().startswith(b"\x89PNG")
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus, a package of Debian: all but its part of the page was tried")


def _ask_prometheus(folder, start, wait_until, default, address):
    output_of(command("runtimeinfo export --rules"))
    Path("prometheus.yml").write_text(file_of_page("prometheus.yml").replace(default, address))
    output_of("promtool check config prometheus.yml")
    listening = free_address()
    line = command("prometheus ").replace("127.0.0.1:9090", listening)
    start(f"{line} --storage.tsdb.path={folder / 'data'} --log.level=error")
    query, shown = shown_after("promtool ")
    query = query.replace("127.0.0.1:9090", listening)

    def answer():
        done = subprocess.run(["bash", "-c", query], capture_output=True, text=True, check=False)
        return done.stdout if done.stdout.count("\n") == 4 else None

    assert shape(wait_until(answer, seconds=PATIENCE_S)) == shape(shown)


def test_the_code_of_the_page_prints_what_it_shows(folder):
    training, in_python = blocks("python")
    assert "Loop(" in training
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(in_python, {})
    assert output.getvalue().strip() == re.search(r"print\(.*\)  # (.*)", in_python)[1]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool, which the package prometheus has")
def test_the_configurations_are_those_that_prometheus_takes(folder):
    Path("runtimeinfo-rules.yml").write_text(shipped_text(RULES))
    Path("password-of-prometheus").write_text("word")
    output_of(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=node7 -keyout key.pem -out cert.pem 2>/dev/null"
    )
    assert len(blocks("yaml")) == 2
    for block in blocks("yaml"):
        Path("prometheus.yml").write_text(block)
        output_of("promtool check config prometheus.yml")


def test_the_join_of_the_page_names_what_is_exported():
    (query,) = blocks("text")
    joined = re.search(r"(\w+) \* on\((.*)\) group_left\((.*)\) (\w+)", query)
    assert {joined[1], joined[4]} <= METRICS.keys()
    assert tuple(joined[2].split(", ")) == RUN_LABELS
    assert set(joined[3].split(", ")) <= set(METRICS[joined[4]].labels)


def test_the_table_is_that_of_the_metrics():
    rows = [
        f"| `{metric.name}` | {', '.join(f'`{label}`' for label in metric.labels if label not in RUN_LABELS)} "
        f"| {metric.help} |"
        for metric in METRICS.values()
    ]
    table = PAGE.partition("| metric | labels beside those of the run | meaning |\n|---|---|---|\n")[2]
    assert table.partition("\n\n")[0] == "\n".join(rows)
    named = re.findall(r"^\| `(\w+)` \|", PAGE.partition("| label | |")[2].partition("\n\n")[0], re.MULTILINE)
    assert tuple(named) == RUN_LABELS


def test_each_alert_is_in_the_table():
    named = re.findall(r"^\| `(Runtimeinfo\w+)` \|", PAGE, re.MULTILINE)
    assert named == re.findall(r"alert: (\w+)", shipped_text(RULES))


def test_the_figures_are_those_of_the_code():
    from runtimeinfo_adapters.top import _watch

    parameters = inspect.signature(_export_command.export).parameters
    assert f"`--max-scalars` limits those of each run, {Limits().max_scalars} by default" in PAGE
    assert f"`--max-runs` the runs, {Limits().max_runs} by default" in PAGE
    assert (parameters["max_scalars"].default, parameters["max_runs"].default) == (
        Limits().max_scalars,
        Limits().max_runs,
    )
    assert PAGE.count(f"every {parameters['interval'].default:g} seconds (`--interval`)") == 2
    assert f"a text of more than {MAX_LENGTH} characters" in PAGE
    assert f"`<folder>/{TEXTFILE}`" in PAGE
    assert "than ten of its usual pauses" in PAGE
    assert _watch._TIMES_USUAL == 10


def test_the_options_and_extras_that_are_named_are_there():
    from typer.main import get_command

    from runtimeinfo_conformance.command_line._commands import app

    options = {option for each in get_command(app).commands["export"].params for option in each.opts}
    of_others = {
        *("--config.file", "--web.listen-address", "--standalone", "--nproc-per-node"),
        *("--collector.textfile.directory", "--for", "--scalar"),
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]+", PAGE))
    assert named - of_others <= options
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    installed = re.findall(r"pip install '\.\[(.*)\]'", PAGE)
    assert installed
    assert {extra for each in installed for extra in each.split(",")} <= extras.keys()
