from __future__ import annotations

import math
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import __version__
from runtimeinfo.board import BoardIdentity, make_board_folder
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import Limits, RunSamples
from runtimeinfo_adapters.export._metrics import METRICS, RUN_LABELS
from runtimeinfo_adapters.export._samples import with_labels
from runtimeinfo_adapters.top import Run, Runs

Taken = Callable[[RunSamples], dict[str, list[tuple[dict[str, str], float]]]]
Shared = Callable[..., MessageHub]


def values(taken: dict[str, list[tuple[dict[str, str], float]]], name: str) -> list[float]:
    return [value for _, value in taken[f"runtimeinfo_{name}"]]


def a_run(number: int, *, run_id: str = "", state: Any = "live", started: int | None = None, **more: Any) -> Run:
    return Run(
        path=Path(f"{number}-0.board"),
        pid=number,
        state=state,
        started_ns=number if started is None else started,
        identity=BoardIdentity("host", run_id=run_id),
        **more,
    )


def test_samples_are_what_the_board_says(shared: Shared, taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "3"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "4"), ("RUNTIMEINFO_JOB", "job")):
        monkeypatch.setenv(name, value)
    hub = shared(
        {"train/loss": 0.25, "val/acc": math.nan},
        experiment_name="digits",
        loop_stage="train",
        epoch=2,
        max_epochs=5,
        iter=30,
        max_iters=120,
    )
    found = taken(RunSamples(Runs()))
    labels = {"experiment": "digits", "run": hub.run_id, "rank": "3", "job_id": "job"}
    assert list(labels) == list(RUN_LABELS)
    assert {tuple(each.items())[:4] for name, samples in found.items() if "_run_" in name for each, _ in samples} == {
        tuple(labels.items())
    }
    ((info, one),) = found["runtimeinfo_run_info"]
    about = {
        "host": os.uname().nodename,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "pid": str(os.getpid()),
        "local_rank": "1",
        "world_size": "4",
    }
    assert (info, one) == (labels | about | {"scheduler": ""}, 1)
    assert {labels["state"]: value for labels, value in found["runtimeinfo_run_state"]} == {
        "live": 1,
        "ended": 0,
        "dead": 0,
    }
    stages = {labels["stage"]: value for labels, value in found["runtimeinfo_run_stage"]}
    assert stages == {"train": 1, "val": 0, "test": 0, "other": 0}
    for name, value in (
        ("epoch", 2),
        ("max_epochs", 5),
        ("iter", 30),
        ("max_iters", 120),
        ("progress_ratio", 0.25),
        ("stalled", 0),
        ("scalars_left_out", 0),
    ):
        assert values(found, f"run_{name}") == [value]
    scalars = {labels["scalar"]: value for labels, value in found["runtimeinfo_run_scalar"]}
    assert scalars == {"train/loss": 0.25, "val/acc": pytest.approx(math.nan, nan_ok=True)}
    assert found["runtimeinfo_run_scalar_not_finite"] == [(labels | {"scalar": "val/acc"}, 1)]
    assert values(found, "run_update_age_seconds")[0] >= 0
    assert values(found, "run_iterations_per_second") == values(found, "run_remaining_seconds") == []  # not known yet
    assert (values(found, "exporter_boards"), values(found, "exporter_folder_usable")) == ([1], [1])
    assert found["runtimeinfo_exporter_info"] == [({"version": __version__}, 1)]


def test_rate_is_that_between_looks(shared: Shared, taken: Taken) -> None:
    hub = shared(loop_stage="train", iter=0, max_iters=100)
    samples = RunSamples(Runs())
    for iter in range(1, 4):
        samples.take()
        hub.update_info("iter", iter)
    found = taken(samples)
    (rate,), (remaining,) = values(found, "run_iterations_per_second"), values(found, "run_remaining_seconds")
    assert rate > 0
    assert remaining == pytest.approx(97 / rate)


def test_run_without_infos_has_the_samples_that_are_known(shared: Shared, taken: Taken) -> None:
    hub = shared()
    found = taken(RunSamples(Runs()))
    (labels,) = [labels for labels, _ in found["runtimeinfo_run_stalled"]]
    assert labels == {"experiment": "", "run": hub.run_id, "rank": "", "job_id": ""}
    assert {name for name, samples in found.items() if "_run_" in name and samples} == {
        f"runtimeinfo_run_{name}"
        for name in ("info", "state", "stalled", "update_age_seconds", "start_timestamp_seconds", "scalars_left_out")
    }


def test_a_stage_of_any_text_is_other(shared: Shared, taken: Taken) -> None:
    shared(loop_stage="distill")
    found = taken(RunSamples(Runs()))
    stages = {labels["stage"]: value for labels, value in found["runtimeinfo_run_stage"]}
    assert stages == {"train": 0, "val": 0, "test": 0, "other": 1}


@pytest.mark.parametrize(("done", "total"), [(5, 0), (11, 10), (-1, 10), (5, -10)])
def test_no_ratio_of_impossible_counts(shared: Shared, taken: Taken, done: int, total: int) -> None:
    shared(iter=done, max_iters=total)
    assert values(taken(RunSamples(Runs())), "run_progress_ratio") == []


@pytest.mark.parametrize(
    ("limits", "expected", "left_out"),
    [
        (Limits(), ["a/loss", "b/loss", "lr"], 0),
        (Limits(max_scalars=2), ["a/loss", "b/loss"], 1),
        (Limits(scalars=("*/loss",)), ["a/loss", "b/loss"], 0),
        (Limits(scalars=("lr", "b/*"), max_scalars=1), ["b/loss"], 1),
        (Limits(max_scalars=0), [], 3),
        (Limits(scalars=("LR",)), [], 0),
    ],
)
def test_scalars_are_selected_and_bounded(
    shared: Shared, taken: Taken, limits: Limits, expected: list[str], left_out: int
) -> None:
    shared({"a/loss": 1.0, "b/loss": 2.0, "lr": 3.0})
    found = taken(RunSamples(Runs(), limits))
    assert [labels["scalar"] for labels, _ in found["runtimeinfo_run_scalar"]] == expected
    assert values(found, "run_scalars_left_out") == [left_out]


def test_runs_are_bounded_and_an_exported_one_stays(shared: Shared, taken: Taken) -> None:
    samples = RunSamples(Runs(), Limits(max_runs=2))
    for name in ("first", "second", "third"):
        shared(experiment_name=name)
    found = taken(samples)
    assert [labels["experiment"] for labels, _ in found["runtimeinfo_run_info"]] == ["first", "second"]
    assert found["runtimeinfo_exporter_runs_left_out"] == [({"reason": "limit"}, 1), ({"reason": "superseded"}, 0)]
    assert values(found, "exporter_boards") == [3]


@pytest.mark.parametrize("wrong", [{"max_scalars": -1}, {"max_runs": -1}, {"scalars": ()}])
def test_limits_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"maximum is not negative|no pattern"):
        Limits(**wrong)


def test_a_resumed_run_supersedes_the_one_that_was_killed() -> None:
    killed, resumed = a_run(1, run_id="same", state="dead"), a_run(2, run_id="same")
    for runs in ([killed, resumed], [resumed, killed]):
        labelled, superseded = with_labels(runs)
        assert [run for run, _ in labelled] == [resumed]
        assert superseded == 1
    later = a_run(3, run_id="same", state="dead")
    ((kept, _),), superseded = with_labels([killed, later])
    assert (kept, superseded) == (later, 1)


def test_live_runs_with_one_id_are_told_apart_and_the_older_keeps_its_labels() -> None:
    older, younger = a_run(1, run_id="same"), a_run(2, run_id="same")
    labelled, superseded = with_labels([younger, older])
    assert [(run.pid, labels[1]) for run, labels in labelled] == [(1, "same"), (2, "same~2-0")]
    assert superseded == 0


def test_ranks_of_one_run_are_told_apart_by_their_ranks() -> None:
    runs = [
        Run(Path(f"{rank}-0.board"), rank, "live", identity=BoardIdentity("", rank=rank, run_id="same"))
        for rank in range(4)
    ]
    labelled, superseded = with_labels(runs)
    assert sorted(labels[1:3] for _, labels in labelled) == [("same", str(rank)) for rank in range(4)]
    assert superseded == 0


def test_a_board_without_identity_is_named_by_its_file() -> None:
    ((_, labels),), _ = with_labels([Run(Path("4711-0.board"), 4711, "live")])
    assert labels == ("", "4711-0", "", "")


def test_runs_of_the_conformance_kit_are_hidden(shared: Shared, taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIMEINFO_CHECK", "1")
    shared(experiment_name="checked")
    assert values(taken(RunSamples(Runs())), "exporter_boards") == [0]


def test_unreadable_boards_are_counted_beside_the_others(shared: Shared, taken: Taken) -> None:
    shared(experiment_name="good")
    boards = make_board_folder()
    contents = {
        "1-0.board": b"",
        "2-0.board": b"RTINFO\r\n",
        "3-0.board": os.urandom(1 << 16),
        "4-0.board": b"\x00" * (1 << 16),
    }
    for name, content in contents.items():
        (boards / name).write_bytes(content)
        (boards / name).chmod(0o600)
    (boards / "5-0.board").mkdir()
    (boards / "6-0.board").symlink_to("/etc/passwd")
    (boards / "7-0.board").write_bytes(b"")
    (boards / "7-0.board").chmod(0o666)  # of anybody
    for path in boards.iterdir():
        if path.name[0] in "1234567" and path.name[1] == "-":
            os.utime(path, (0, 0), follow_symlinks=False)  # one of the last seconds might be about to be made
    found = taken(RunSamples(Runs()))
    assert [labels["experiment"] for labels, _ in found["runtimeinfo_run_info"]] == ["good"]
    assert values(found, "exporter_boards_unreadable") == [7]


def test_a_folder_that_is_open_to_others_is_a_metric(folder: Path, taken: Taken) -> None:
    samples = RunSamples(Runs())
    make_board_folder()
    assert values(taken(samples), "exporter_folder_usable") == [1]
    folder.chmod(0o777)
    assert values(taken(samples), "exporter_folder_usable") == [0]
    folder.chmod(0o700)
    assert values(taken(samples), "exporter_folder_usable") == [1]


def test_every_metric_has_samples_with_its_labels(shared: Shared) -> None:
    shared({"loss": math.inf}, loop_stage="train", iter=0, max_iters=9, epoch=0, max_epochs=1)
    hub = shared(loop_stage="train", iter=0, max_iters=9)
    samples = RunSamples(Runs())
    for iter in range(1, 4):
        samples.take()
        hub.update_info("iter", iter)
    found = samples.take()
    assert list(found) == list(METRICS.values())
    assert all(found.values())
    assert all(len(labels) == len(metric.labels) for metric, each in found.items() for labels, _ in each)
