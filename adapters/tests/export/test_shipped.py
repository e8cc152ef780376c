"""The alert rules and the dashboard name metrics and labels that are exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtimeinfo_adapters.export import DASHBOARD, RULES, shipped_text
from runtimeinfo_adapters.export._metrics import METRICS, STAGES, STATES

# What Prometheus itself attaches.
TARGET_LABELS = {"job", "instance"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool, which the package prometheus has"
)


def alerts() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(shipped_text(RULES))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def queries_of_dashboard() -> list[str]:
    dashboard = json.loads(shipped_text(DASHBOARD))
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return [*panels, *variables]


def faults(query: str) -> list[str]:
    """Return the metrics, labels and label values of a query that are not exported."""
    found: list[str] = []
    for name, selector in re.findall(r"\b(runtimeinfo_\w+)(?:\{([^}]*)\})?", query):
        if name not in METRICS:
            found.append(name)
            continue
        labels = re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', selector)
        found += [label for label, _ in labels if label not in METRICS[name].labels]
        values = {"state": STATES, "stage": STAGES}
        found += [value for label, value in labels if value not in values.get(label, (value,))]
    every = {label for metric in METRICS.values() for label in metric.labels} | TARGET_LABELS
    for listed in re.findall(r"\bby\s*\(([^)]*)\)|label_values\([^,]+(?:\{[^}]*\})?,\s*(\w+)\)", query):
        found += [label for label in re.findall(r"\w+", " ".join(listed)) if label not in every]
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("runtimeinfo_run_iter{rank='0'}", []),
        ('runtimeinfo_run_iters{rank="0"}', ["runtimeinfo_run_iters"]),
        ('runtimeinfo_run_iter{ranks=~"0"}', ["ranks"]),
        ('runtimeinfo_run_state{state="died"}', ["died"]),
        ("min by (job_id, task) (runtimeinfo_run_iter)", ["task"]),
        ("label_values(runtimeinfo_run_info, name)", ["name"]),
    ],
)
def test_missing_export_is_found(query: str, expected: list[str]) -> None:
    assert faults(query) == expected


def test_alerts_name_what_is_exported() -> None:
    found = alerts()
    assert list(found) == ["RuntimeinfoRunStalled", "RuntimeinfoLossNotFinite", "RuntimeinfoRunDead"]
    for rule in found.values():
        assert faults(rule["expr"]) == []
        (name,) = re.findall(r"\bruntimeinfo_\w+", rule["expr"])
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert shown <= {*METRICS[name].labels, *TARGET_LABELS}
    assert found["RuntimeinfoRunStalled"]["for"] == "5m"


@pytest.mark.parametrize(
    ("name", "is_loss"),
    [
        *((name, True) for name in ("loss", "train/loss", "Loss", "val_loss", "loss_ce", "train/box-loss", "losses")),
        *((name, True) for name in ("train.loss.total", "loss1")),
        *((name, False) for name in ("train/lr", "glossary", "acc", "lossless", "closs")),
    ],
)
def test_the_pattern_for_losses(name: str, is_loss: bool) -> None:
    (pattern,) = re.findall(r'scalar=~"(.*)"', alerts()["RuntimeinfoLossNotFinite"]["expr"])
    assert bool(re.fullmatch(pattern, name)) is is_loss


def test_the_dashboard_asks_for_what_is_exported() -> None:
    queries = queries_of_dashboard()
    assert len(queries) > 10
    assert [fault for query in queries for fault in faults(query)] == []


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads(shipped_text(DASHBOARD))
    assert dashboard["title"] == "runtimeinfo"
    assert "id" not in dashboard  # of one installation alone
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", " ".join(queries_of_dashboard()))) <= variables


UNIT_TESTS = """
rule_files: [{rules}]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - series: runtimeinfo_run_stalled{{experiment="a",run="1",rank="3",instance="node"}}
        values: 0 1x40
      - series: runtimeinfo_run_stalled{{experiment="b",run="2",rank="0",instance="node"}}
        values: 0 1x12 0x30
      - series: runtimeinfo_run_scalar_not_finite{{experiment="a",run="1",rank="3",scalar="train/loss",instance="node"}}
        values: _ _ _ _ 1x2
      - series: runtimeinfo_run_scalar_not_finite{{experiment="a",run="1",rank="3",scalar="grad_norm",instance="node"}}
        values: 1x40
      - series: runtimeinfo_run_state{{experiment="a",run="1",rank="2",state="dead",instance="node"}}
        values: 0x3 1x40
      - series: runtimeinfo_run_state{{experiment="a",run="1",rank="2",state="live",instance="node"}}
        values: 1x3 0x40
    alert_rule_test:
      - alertname: RuntimeinfoRunStalled
        eval_time: 5m
        exp_alerts: []
      - alertname: RuntimeinfoRunStalled
        eval_time: 5m15s
        exp_alerts:
          - exp_labels: {{severity: warning, experiment: a, run: "1", rank: "3", instance: node}}
            exp_annotations:
              summary: a (run 1, rank 3) on node has stalled
              description: {stalled}
      - alertname: RuntimeinfoLossNotFinite
        eval_time: 45s
        exp_alerts: []
      - alertname: RuntimeinfoLossNotFinite
        eval_time: 1m
        exp_alerts:
          - exp_labels:
              {{severity: critical, experiment: a, run: "1", rank: "3", scalar: train/loss, instance: node}}
            exp_annotations:
              summary: train/loss of a (run 1, rank 3) on node is not finite
              description: {not_finite}
      - alertname: RuntimeinfoRunDead
        eval_time: 45s
        exp_alerts: []
      - alertname: RuntimeinfoRunDead
        eval_time: 1m
        exp_alerts:
          - exp_labels: {{severity: critical, experiment: a, run: "1", rank: "2", state: dead, instance: node}}
            exp_annotations:
              summary: a (run 1, rank 2) on node is dead
              description: {dead}
"""


@needs_promtool
def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(shipped_text(RULES), encoding="utf-8")
    found = alerts()
    descriptions = {
        short: json.dumps(found[name]["annotations"]["description"])
        for short, name in (
            ("stalled", "RuntimeinfoRunStalled"),
            ("not_finite", "RuntimeinfoLossNotFinite"),
            ("dead", "RuntimeinfoRunDead"),
        )
    }
    tests = tmp_path / "tests.yml"
    tests.write_text(UNIT_TESTS.format(rules=rules, **descriptions))
    for command in (("check", "rules", rules), ("test", "rules", tests)):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
