from __future__ import annotations

import gc
import json
import os
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trace_examples import write

from runtimeinfo.authoring import Dispatcher
from runtimeinfo.spec import EVENTS, SPEC_VERSION
from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance.subjects import mmengine, pytorch
from runtimeinfo_conformance.traces import TraceHook, TraceWarning, check_trace

pytestmark = [
    # mmengine 0.10.7 on torch 2.13
    pytest.mark.filterwarnings("ignore:.*DefaultScope.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:output 'text' is not published"),
]

EACH_ADAPTER = pytest.mark.parametrize("adapter", [pytorch, mmengine], ids=["pytorch", "mmengine"])

PLAN = Plan(
    max_epochs=2,
    batches=2,
    val_batches=1,
    test_batches=1,
    outputs=(("loss", "tensor_float32"), ("text", "text")),
    metrics=(("acc", "nan"),),
    experiment_name="round-trip",
)


class Failing:
    def __init__(self, event: str, priority: str) -> None:
        self.priority = priority

        def fail(runner: Any, **arguments: Any) -> None:
            raise ValueError(event)

        setattr(self, event, fail)


@EACH_ADAPTER
def test_a_real_run_comes_back(adapter: Any, path: Path) -> None:
    records = write(path, PLAN, adapter.run if adapter is pytorch else adapter.subject().run)
    header, *events, end = records
    assert header["runtimeinfo_trace"] == 1
    assert header["spec"] == SPEC_VERSION
    assert header["framework"] == ("torch" if adapter is pytorch else "mmengine")
    assert header["experiment_name"].startswith("round-trip")
    assert end == {"end": True}
    iterations = [record for record in events if record["e"] == "before_train_iter"]
    assert [(record["re"], record["ri"], record["b"]) for record in iterations] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 2, 0),
        (1, 3, 1),
    ]
    assert [record["p"] for record in events if "p" in record] == [
        ["train/loss", "train/lr"],
        ["train/loss", "train/lr", "val/acc"],
    ]
    report = check_trace(path)
    assert report.violated == ()
    assert report.notes == []
    assert report.not_exercised == ("FAIL-02", "FAIL-03", "FAIL-04")


@EACH_ADAPTER
@pytest.mark.parametrize("priority", ["HIGH", "LOWEST"])
@pytest.mark.parametrize("event", [event for event in EVENTS if not event.endswith("checkpoint")])
def test_a_run_in_which_a_hook_raises_is_conformant(adapter: Any, event: str, priority: str, path: Path) -> None:
    if event == "on_exception":
        pytest.skip("what a hook raises there is logged, and nothing else")
    with pytest.raises(ValueError, match=event):
        write(path, PLAN, adapter.subject().run, Failing(event, priority))
    gc.collect()  # the exception, which held the hook, is free now
    report = check_trace(path)
    # At after_run a hook in front of the trace's hides that it came: from what is left, it is missing.
    assert report.violated == (("LIFE-02", "LIFE-05") if (event, priority) == ("after_run", "HIGH") else ())


@EACH_ADAPTER
@pytest.mark.parametrize("kind", ["error", "interrupt"])
def test_an_abnormal_end_is_judged(adapter: Any, kind: Any, path: Path) -> None:
    class Stop:
        priority = "LOWEST"

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter == 3:
                raise KeyboardInterrupt if kind == "interrupt" else ValueError

    with pytest.raises(KeyboardInterrupt if kind == "interrupt" else ValueError):
        write(path, PLAN, adapter.subject().run, Stop())
    report = check_trace(path)
    assert report.violated == ()
    assert {"FAIL-02", "FAIL-03", "FAIL-04"}.isdisjoint(report.not_exercised)


def test_the_same_exception_has_the_same_number(path: Path) -> None:
    hook = TraceHook(path)
    first, second = ValueError(), KeyError()
    for exception in (first, first, second):
        note(hook, "on_exception", exception=exception)
    noted = [record["x"] for record in read(path)[1:]]
    assert noted == [["ValueError", 1], ["ValueError", 1], ["KeyError", 2]]


# -- a runner made by hand


def runner(**members: Any) -> Any:
    info: dict[str, Any] = {"loop_stage": "train", "epoch": 0, "iter": 0}
    hub = SimpleNamespace(get_info=info.get, log_scalars={})
    return SimpleNamespace(**({"message_hub": hub, "epoch": 0, "iter": 0} | members))


def note(hook: TraceHook, event: str, who: Any = None, **arguments: Any) -> None:
    getattr(hook, event)(who or runner(), **arguments)


def read(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_the_hook_can_be_registered_for_every_event(path: Path) -> None:
    hook = TraceHook(str(path))
    Dispatcher([hook])
    assert all(callable(getattr(hook, event)) for event in EVENTS)
    assert hook.path == path
    assert not path.exists()


def test_a_runner_that_lacks_members_is_noted_without(path: Path) -> None:
    hook = TraceHook(path)
    hub = SimpleNamespace(get_info=lambda key, default=None: default, log_scalars={})
    hook.note("before_val", SimpleNamespace(message_hub=hub), {})
    del hook
    header, event, end = read(path)
    assert header["framework"] == header["framework_version"] == "unknown"
    assert event == {"e": "before_val"}
    assert end == {"end": True}


@pytest.mark.parametrize(
    ("value", "noted"),
    [
        (np.int64(3), 3),
        (3.5, 3.5),
        (True, "True"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (None, None),
        ("x" * 1000, "x" * 200),
        ("\ud800", "\ud800"),
        ([1], "[1]"),
        (10**30, 10**30),
    ],
)
def test_any_value_makes_a_line_that_is_json(path: Path, value: Any, noted: Any) -> None:
    hook = TraceHook(path)
    note(hook, "before_run", runner(iter=value))
    note(hook, "after_run")
    assert read(path)[1]["ri"] == noted


def test_lines_are_written_at_the_latest_when_the_run_ends(path: Path) -> None:
    hook = TraceHook(path)
    note(hook, "before_run")
    note(hook, "before_train")
    assert len(read(path)) == 1
    note(hook, "on_exception", exception=ValueError())
    assert len(read(path)) == 4
    note(hook, "after_train")
    assert len(read(path)) == 4
    note(hook, "after_run")
    assert len(read(path)) == 6
    for index in range(2000):
        note(hook, "before_train_iter", batch_idx=index)
    assert 6 + 1000 <= len(read(path)) <= 6 + 2000


def test_a_new_hook_overwrites_the_file_or_appends(path: Path) -> None:
    for append, expected in ((False, 3), (False, 3), (True, 6)):
        hook = TraceHook(path, append=append)
        note(hook, "after_run")
        del hook
        assert len(read(path)) == expected


def test_half_a_line_does_not_become_part_of_the_next(path: Path) -> None:
    path.write_text('{"runtimeinfo_trace":1}\n{"e":"befo')
    hook = TraceHook(path, append=True)
    note(hook, "before_run")
    note(hook, "after_run")
    del hook
    assert len(path.read_text().splitlines()) == 6
    report = check_trace(path)
    assert report.notes[0].line == 2
    assert report.runs == 1


def test_missing_folders_are_made_and_the_working_folder_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hook = TraceHook("a/b/run.jsonl")
    (tmp_path / "c").mkdir()
    monkeypatch.chdir(tmp_path / "c")
    note(hook, "after_run")
    assert (tmp_path / "a/b/run.jsonl").exists()


def test_a_folder_in_place_of_the_file_is_one_warning(tmp_path: Path) -> None:
    hook = TraceHook(tmp_path)
    with pytest.warns(TraceWarning, match="cannot be written") as caught:
        note(hook, "after_run")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note(hook, "before_run")
        note(hook, "after_run")
        del hook
        gc.collect()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@EACH_ADAPTER
def test_a_full_disk_does_not_take_the_run_down(adapter: Any) -> None:
    seen: list[str] = []

    class Last:
        priority = "LOWEST"

        def after_run(self, runner: Any) -> None:
            seen.append("after_run")

    with pytest.warns(TraceWarning, match=r"/dev/full ends here, since it cannot be written: .*No space left"):
        adapter.subject().run(Plan(test_batches=1), [TraceHook("/dev/full"), Last()])
    assert "after_run" in seen


def test_a_forked_process_writes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = TraceHook(path)
    note(hook, "before_run")
    note(hook, "before_train")
    mine = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: mine + 1)
    note(hook, "after_run")
    assert len(read(path)) == 1
    monkeypatch.undo()
    note(hook, "after_run")
    assert [record.get("e") for record in read(path)] == [None, "before_run", "before_train", "after_run"]


def test_the_hook_can_be_pickled(path: Path) -> None:
    hook = pickle.loads(pickle.dumps(TraceHook(path)))
    note(hook, "after_run")
    assert len(read(path)) == 2


def test_a_process_that_ends_in_order_says_so(path: Path, in_process: Any) -> None:
    code = (
        "import os, sys\n"
        "from types import SimpleNamespace\n"
        "from runtimeinfo_conformance.traces import TraceHook\n"
        "hub = SimpleNamespace(get_info=lambda key, default=None: default, log_scalars={})\n"
        f"hook = TraceHook({str(path)!r})\n"
        "hook.before_run(SimpleNamespace(message_hub=hub))\n"
        "if sys.argv[1:]: os._exit(0)\n"
    )
    assert in_process("-c", code).returncode == 0
    assert check_trace(path).violated == ("LIFE-02", "LIFE-05")
    assert in_process("-c", code, "killed").returncode == 0
    with pytest.raises(Exception, match="no event"):
        check_trace(path)


def test_a_plan_with_a_fault_is_conformant(path: Path) -> None:
    plan = Plan(batches=2, fault=Fault("before_train_iter"))
    write(path, plan)
    assert check_trace(path).violated == ()
