"""Traces to edit: written by hand, and from real runs."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.subjects import pytorch
from runtimeinfo_conformance.traces import TraceHook

HEADER = {
    "runtimeinfo_trace": 1,
    "spec": "0.1",
    "framework": "torch",
    "framework_version": "2",
    "experiment_name": "test",
}


def training(epochs: int = 2, batches: int = 3) -> list[dict[str, Any]]:
    """Return the header and the events of a training with a validation each epoch, and a test."""
    records: list[dict[str, Any]] = [dict(HEADER)]

    def add(event: str, stage: str | None, epoch: int, iteration: int, batch_idx: int | None = None) -> None:
        record: dict[str, Any] = {"e": event, "re": epoch, "ri": iteration, "he": epoch, "hi": iteration}
        if stage is not None:
            record["s"] = stage
        if batch_idx is not None:
            record["b"] = batch_idx
        records.append(record)

    def evaluate(stage: str, outside: str | None, epoch: int, iteration: int) -> None:
        add(f"before_{stage}", stage, epoch, iteration)
        add(f"before_{stage}_epoch", stage, epoch, iteration)
        for batch in range(2):
            add(f"before_{stage}_iter", stage, epoch, iteration, batch)
            add(f"after_{stage}_iter", stage, epoch, iteration, batch)
        add(f"after_{stage}_epoch", stage, epoch, iteration)
        add(f"after_{stage}", outside, epoch, iteration)

    iteration = 0
    add("before_run", None, 0, 0)
    add("before_train", "train", 0, 0)
    for epoch in range(epochs):
        add("before_train_epoch", "train", epoch, iteration)
        for batch in range(batches):
            add("before_train_iter", "train", epoch, iteration, batch)
            add("after_train_iter", "train", epoch, iteration, batch)
            iteration += 1
        add("after_train_epoch", "train", epoch, iteration)
        evaluate("val", "train", epoch + 1, iteration)
    add("after_train", None, epochs, iteration)
    evaluate("test", None, epochs, iteration)
    add("after_run", None, epochs, iteration)
    return [*records, {"end": True}]


def failed() -> list[dict[str, Any]]:
    """Return a training of which the second iteration ends with an exception."""
    records = training()
    at = find(records, "after_train_iter", 1)
    inside = records[at]
    closes = ("on_exception", "after_train_iter", "after_train_epoch", "after_train", "after_run")
    ends = [{**inside, "e": event} for event in closes]
    ends[0]["x"] = ["ValueError", 1]
    for end in ends:
        if not end["e"].endswith("iter"):
            del end["b"]
    del ends[-2]["s"], ends[-1]["s"]
    return [*records[:at], *ends, {"end": True}]


def find(records: list[dict[str, Any]], event: str, occurrence: int = 0) -> int:
    """Return the index of an event; its line number is one more."""
    return [index for index, record in enumerate(records) if record.get("e") == event][occurrence]


def lines(records: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(record) + "\n" for record in records]


def write(path: Path, plan: Plan, run: Any = pytorch.run, *others: Any, append: bool = False) -> list[dict[str, Any]]:
    """Do a plan with a trace, and return what the trace says."""
    hook: Any = TraceHook(path, append=append)
    try:
        run(plan, [hook, *others])
    finally:
        del hook
        gc.collect()
    return [json.loads(line) for line in path.read_text().splitlines()]
