"""A real Prometheus scrapes real trainings: what it answers, and which alerts it fires."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtimeinfo.board import read_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import RULES, shipped_text
from runtimeinfo_adapters.export._labels import label_value

from .conftest import TRAINING
from .test_prometheus import HOSTILE
from .test_shipped import queries_of_dashboard

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus, a package of Debian")
needs_node_exporter = pytest.mark.skipif(
    shutil.which("prometheus-node-exporter") is None, reason="no prometheus-node-exporter, a package of Debian"
)

Start = Callable[..., subprocess.Popen[str]]

CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: trainings
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API; None while it does not answer."""
        try:
            with urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}", timeout=60) as response:
                answer = json.load(response)
        except OSError:
            return None
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values by labels, without those that the result lacks."""
        data = self.ask("query", query=expression) or {"result": []}
        return {
            tuple(each["metric"].get(label, "") for label in labels): float(each["value"][1]) for each in data["result"]
        }

    def firing(self) -> set[tuple[str, str, str, str]]:
        """Return the alerts that fire, each as its name, experiment, rank and scalar."""
        alerts = (self.ask("alerts") or {"alerts": []})["alerts"]
        return {
            tuple(each["labels"].get(label, "") for label in ("alertname", "experiment", "rank", "scalar"))
            for each in alerts
            if each["state"] == "firing"
        }


@pytest.fixture
def prometheus(exporter: Any, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes an exporter, and has the shipped rules with a shorter time."""
    _, line = exporter("--port", 0, "--stalled-after", 1)
    target = re.search(r"//(.*)/metrics", line)
    assert target is not None
    rules = shipped_text(RULES)
    assert rules.count("for: 5m") == 1
    (tmp_path / "rules.yml").write_text(rules.replace("for: 5m", "for: 1s"), encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.format(target=target[1]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = (tmp_path / "prometheus.log").open("w")
    process = subprocess.Popen(
        [
            *("prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address={address}"),
            *(f"--storage.tsdb.path={tmp_path / 'data'}", "--log.level=warn"),
        ],
        stdout=log,
        stderr=log,
    )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.kill()
        process.wait()
        log.close()


@needs_prometheus
def test_four_ranks_of_which_one_is_killed_and_one_stalls(
    start: Start, board_of: Callable[..., Path], prometheus: Prometheus, wait_until: Callable[..., Any]
) -> None:
    ranks = [
        start(TRAINING, "digits", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="4", RUNTIMEINFO_JOB="job-7")
        for rank in range(4)
    ]
    diverging = start(TRAINING, "diverging", "30")
    boards = [board_of(process) for process in (*ranks, diverging)]

    of_digits = '{experiment="digits",job_id="job-7"}'
    wait_until(lambda: len(prometheus.query(f"runtimeinfo_run_iterations_per_second{of_digits}", "rank")) == 4)
    rates = prometheus.query(f"runtimeinfo_run_iterations_per_second{of_digits}", "rank")
    assert rates.keys() == {("0",), ("1",), ("2",), ("3",)}
    assert all(0 < rate < 500 for rate in rates.values())  # it sleeps for 20 ms in each iteration
    about = prometheus.query(f"runtimeinfo_run_info{of_digits}", "rank", "pid", "host", "local_rank", "world_size")
    host = os.uname().nodename
    assert about.keys() == {(str(n), str(ranks[n].pid), host, str(n), "4") for n in range(4)}
    assert prometheus.query(f"runtimeinfo_run_max_iters{of_digits}", "rank").keys() == rates.keys()
    assert set(prometheus.query("runtimeinfo_run_max_iters").values()) == {10_000}

    ranks[2].kill()
    ranks[2].wait()
    ranks[3].send_signal(signal.SIGSTOP)
    try:
        expected = {
            ("RuntimeinfoRunDead", "digits", "2", ""),
            ("RuntimeinfoRunStalled", "digits", "3", ""),
            ("RuntimeinfoLossNotFinite", "diverging", "", "train/loss"),
        }
        wait_until(lambda: expected == prometheus.firing(), what=prometheus.firing)
        states = prometheus.query(f"runtimeinfo_run_state{of_digits} == 1", "rank", "state")
        assert states.keys() == {("0", "live"), ("1", "live"), ("2", "dead"), ("3", "live")}
        assert prometheus.query("runtimeinfo_run_stalled == 1", "rank").keys() == {("3",)}
        # Those two write no more: what is on their boards is what Prometheus has.
        of_rank = {rank: f'{{experiment="digits",rank="{rank}"}}' for rank in (2, 3)}
        last = {rank: read_board(boards[rank]) for rank in (2, 3)}
        wait_until(
            lambda: all(
                prometheus.query(f"runtimeinfo_run_iter{of_rank[rank]}") == {(): last[rank].infos["iter"]}
                for rank in last
            )
        )
        for rank, board in last.items():
            assert prometheus.query(f"runtimeinfo_run_epoch{of_rank[rank]}") == {(): board.infos["epoch"]}
            assert prometheus.query(f"runtimeinfo_run_scalar{of_rank[rank]}", "scalar") == {
                (key,): scalar.value for key, scalar in board.scalars.items()
            }
        # The slowest rank that lives, as a user would ask for it.
        slowest = prometheus.query(
            f'bottomk(1, runtimeinfo_run_iter{of_digits} unless on(run) (runtimeinfo_run_state{{state="dead"}} == 1))',
            "rank",
        )
        assert slowest.keys() == {("3",)}
        (loss,) = prometheus.query('runtimeinfo_run_scalar{experiment="diverging",scalar="train/loss"}').values()
        assert math.isnan(loss)
        assert prometheus.query("runtimeinfo_exporter_boards") == {(): 5}
        for query in queries_of_dashboard():
            if not query.startswith("label_values"):
                assert prometheus.ask("query", query=re.sub(r"\$\w+", ".*", query)) is not None
    finally:
        ranks[3].send_signal(signal.SIGCONT)
    stalled = ("RuntimeinfoRunStalled", "digits", "3", "")
    wait_until(lambda: stalled not in prometheus.firing(), what=prometheus.firing)


@needs_prometheus
def test_hostile_names_arrive_apart(
    prometheus: Prometheus, shared: Callable[..., MessageHub], wait_until: Callable[..., Any]
) -> None:
    shared({name: float(number) for number, name in enumerate(HOSTILE)}, experiment_name='\x00\n"{}\\' * 100)
    expected = {(label_value(name),): float(number) for number, name in enumerate(HOSTILE)}
    wait_until(lambda: prometheus.query("runtimeinfo_run_scalar", "scalar"))
    assert prometheus.query("runtimeinfo_run_scalar", "scalar") == expected
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    (labels,) = prometheus.query("runtimeinfo_run_info", "experiment")
    assert labels == (label_value('\x00\n"{}\\' * 100),)


@needs_node_exporter
def test_a_node_exporter_takes_the_textfile(
    exporter: Any, shared: Callable[..., MessageHub], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    shared({name: float(number) for number, name in enumerate(HOSTILE)}, experiment_name="digits", epoch=3)
    out = tmp_path / "textfiles"
    out.mkdir()
    exporter("--textfile", out)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={out}")
    node = subprocess.Popen(
        ["prometheus-node-exporter", *options, f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def scraped() -> str | None:
        try:
            with urlopen(f"http://{address}/metrics", timeout=60) as response:
                return response.read().decode()
        except HTTPError as error:
            with error:
                pytest.fail(error.read().decode())
        except OSError:  # it does not listen yet
            return None

    try:
        text = wait_until(scraped)
    finally:
        node.kill()
        _, log = node.communicate()
    assert "level=error" not in log
    assert "node_textfile_scrape_error 0\n" in text
    values = {sample.labels["scalar"]: sample.value for sample in samples_of(text, "runtimeinfo_run_scalar")}
    assert values == {label_value(name): float(number) for number, name in enumerate(HOSTILE)}
    ((epoch,),) = [[sample.value] for sample in samples_of(text, "runtimeinfo_run_epoch")]
    assert epoch == 3


def samples_of(text: str, name: str) -> list[Any]:
    return [
        sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name
    ]
