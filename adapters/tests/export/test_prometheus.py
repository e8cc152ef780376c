from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as families

from runtimeinfo.board import layout, make_board_folder
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import RunCollector, RunSamples, make_registry, text_of
from runtimeinfo_adapters.export._labels import label_value
from runtimeinfo_adapters.export._metrics import METRICS
from runtimeinfo_adapters.export._prometheus import TEXTFILE, write_textfile
from runtimeinfo_adapters.top import Runs

Shared = Callable[..., MessageHub]

# Each two of them differ in characters that a metric name lacks alone, or that a parser may take for its own.
HOSTILE = [
    "train/loss",
    "train.loss",
    "train_loss",
    "train loss",
    'quote"',
    "quote'",
    "back\\slash",
    "back\\\\slash",
    "line\nbreak",
    "line\\nbreak",
    "return\rhere",
    "nul\x00",
    "nul\\x00",
    "\x1b[31mred",
    "{a=",
    "}",
    "# HELP",
    "# EOF",
    "résumé",
    "re\u0301sume\u0301",
    "\u202egnp",
    "\u2028",
    "🔥",
    " ",
    "train/loss ",
]


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RunCollector(RunSamples(Runs())))
    return registry


def scalars_in(text: str, parse: Callable[[str], Any] = families) -> dict[str, float]:
    samples = [sample for family in parse(text) for sample in family.samples]
    return {sample.labels["scalar"]: sample.value for sample in samples if sample.name == "runtimeinfo_run_scalar"}


@pytest.mark.parametrize(
    ("generate", "parse"),
    [(generate_latest, families), (generate_openmetrics, openmetrics_families)],
    ids=["text", "openmetrics"],
)
def test_hostile_names_stay_apart(shared: Shared, registry: CollectorRegistry, generate: Any, parse: Any) -> None:
    shared({name: float(number) for number, name in enumerate(HOSTILE)}, experiment_name='"\n\\\x00\ud800' * 2000)
    text = generate(registry).decode()
    expected = {label_value(name): float(number) for number, name in enumerate(HOSTILE)}
    assert scalars_in(text, parse) == expected
    assert len(expected) == len(HOSTILE)


def test_each_metric_is_exported_under_its_name(shared: Shared, registry: CollectorRegistry) -> None:
    shared({"loss": 1.0})
    text = generate_latest(registry).decode()
    for name, metric in METRICS.items():
        assert f"# HELP {name} {metric.help}\n# TYPE {name} gauge\n" in text
    named = {sample.name for family in families(text) for sample in family.samples}
    assert named <= METRICS.keys()


def test_registering_reads_no_board_and_one_metric_can_be_asked_for(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared(epoch=3)
    samples = RunSamples(Runs())
    takes: list[int] = []
    take = samples.take
    monkeypatch.setattr(samples, "take", lambda: takes.append(1) or take())
    registry = CollectorRegistry()
    registry.register(RunCollector(samples))
    assert takes == []
    only = generate_latest(registry.restricted_registry(["runtimeinfo_run_epoch"])).decode()
    assert {line.partition("{")[0] for line in only.splitlines() if not line.startswith("#")} == {
        "runtimeinfo_run_epoch"
    }


def test_the_exporter_tells_its_own_memory(shared: Shared) -> None:
    shared()
    text = text_of(make_registry(RunSamples(Runs()), process=True))
    if Path("/proc/self/stat").exists():
        assert "\nprocess_resident_memory_bytes " in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool, which the package prometheus has")
def test_promtool_finds_no_fault_with_names_and_types(shared: Shared, registry: CollectorRegistry) -> None:
    shared({"loss": float("nan")}, loop_stage="train", iter=1, max_iters=2, epoch=0, max_epochs=1)
    text = generate_latest(registry)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_textfile_is_replaced_as_a_whole(shared: Shared, registry: CollectorRegistry, tmp_path: Path) -> None:
    out = tmp_path / "node"
    out.mkdir()
    hub = shared({"loss": 1.0})
    path = write_textfile(out, registry)
    assert path == out / TEXTFILE
    with path.open() as before:
        hub.update_scalar("loss", 2.0)
        hub.update_info("loop_stage", "val")  # writes all of the board
        write_textfile(out, registry)
        assert scalars_in(before.read()) == {"loss": 1.0}
    assert scalars_in(path.read_text()) == {"loss": 2.0}
    assert [each.name for each in out.iterdir()] == [TEXTFILE]


def test_a_textfile_that_cannot_be_written_leaves_nothing(registry: CollectorRegistry, tmp_path: Path) -> None:
    (tmp_path / TEXTFILE).mkdir()
    with pytest.raises(OSError):
        write_textfile(tmp_path, registry)
    assert [each.name for each in tmp_path.iterdir()] == [TEXTFILE]


MUTATED = 200
ODD = (0, 1, -1, 255, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1, 0x7FF8 << 48)


def test_boards_with_arbitrary_content_are_exported_or_counted(registry: CollectorRegistry) -> None:
    hub = MessageHub("image", runtime_info={"experiment_name": "image", "epoch": 3, "flag": True})
    for key in ("train/lr", "train/loss", "val/acc"):
        hub.update_scalar(key, 0.5)
    hub.update_info_dict({"loop_stage": "train", "iter": 7, "max_iters": 10, "max_epochs": 5})
    image = hub.share().path.read_bytes()
    hub.unshare()
    chance = random.Random(0)
    used = [*range(layout.IS_VERSION, layout.INFO_LENGTH + 1), *range(layout.entry_cell(0), layout.entry_cell(4))]
    boards = make_board_folder()
    counts: set[bool] = set()
    for number in range(MUTATED):
        content = bytearray(image)
        for _ in range(chance.randint(1, 4)):
            at = chance.choice(used) * layout.CELL
            if chance.random() < 0.5:
                content[at : at + layout.CELL] = chance.choice(ODD).to_bytes(layout.CELL, "little", signed=True)
            else:
                content[at + chance.randrange(layout.CELL)] = chance.randrange(256)
        for cell in (layout.SEQUENCE, layout.INFO_SEQUENCE):  # or else each look would wait for the writer
            content[cell * layout.CELL] &= 0xFE
        path = boards / f"{number + 1}-0.board"
        path.write_bytes(content)
        path.chmod(0o600)
        os.utime(path, (0, 0))
    text = generate_openmetrics(registry).decode()
    found = {sample.name: sample.value for family in openmetrics_families(text) for sample in family.samples}
    counts = found["runtimeinfo_exporter_boards"], found["runtimeinfo_exporter_boards_unreadable"]
    assert counts[0] == MUTATED
    assert 0 < counts[1] < MUTATED
