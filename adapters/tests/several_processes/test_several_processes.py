"""Under a real torchrun with two ranks, each rank has its own hub, which is right; and no rank waits for ever.

One launch a framework, since its imports take longest: the script trains, resumes, and trains until rank 1 raises.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.spec import Lifecycle

HERE = Path(__file__).parent
HANG = 180  # seconds; a launch takes about ten
RANKS = (0, 1)
BATCHES = 5  # of a rank, in an epoch
FREE = {"before_save_checkpoint", "after_load_checkpoint"}


def launch(torchrun: Any, script: str, folder: Path) -> dict[str, list[Any]]:
    """Run a script under torchrun; return its records, by phase and rank."""
    ended = torchrun(HERE / script, folder, ranks=len(RANKS), hang=HANG)
    output = ended.stdout
    assert ended.returncode != 0, f"rank 1 has raised in {script}, and torchrun has not told:\n{output}"
    assert "UserError: rank 1" in output, output
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    phases = {name.rpartition("-")[0] for name in records}
    for phase in phases:
        for rank in RANKS:
            records[f"{phase}-{rank}"]["rows"] = rows_of(folder / f"{phase}-each.rank{rank}.jsonl")
        assert records[f"{phase}-0"]["rows"] == rows_of(folder / f"{phase}.jsonl"), "one file, of rank 0, each row once"
    files = {path.name for path in folder.glob("*.jsonl")}
    assert files <= {f"{phase}{end}.jsonl" for phase in phases for end in ("", "-each.rank0", "-each.rank1")}
    return {phase: [records[f"{phase}-{rank}"] for rank in RANKS] for phase in phases}


def rows_of(path: Path) -> list[Any]:
    """Return what a sink has written; without the time, in which two sinks may differ."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "time"} for row in rows]


def iterations(count: int) -> list[str]:
    return ["before_train_iter", "after_train_iter"] * count


def validation(*loaders: int) -> list[str]:
    """Return the events of a validation over loaders with so many batches for a rank."""
    epochs = [
        event
        for batches in loaders
        for event in ("before_val_epoch", *["before_val_iter", "after_val_iter"] * batches, "after_val_epoch")
    ]
    return ["before_val", *epochs, "after_val"]


def run(*epochs: list[str]) -> list[str]:
    inside = [event for epoch in epochs for event in epoch]
    return ["before_run", "before_train", *inside, "after_train", "after_run"]


def epoch(inside: list[str], after: list[str] | None = None) -> list[str]:
    return ["before_train_epoch", *inside, "after_train_epoch", *(after or [])]


def judge_stream(record: Any, events: list[str]) -> None:
    """Demand these events, a legal stream, the stage that goes with each, and the hub as the current one meanwhile."""
    heard = [note for note in record["events"] if note[0] not in FREE]
    assert [note[0] for note in heard] == events
    lifecycle = Lifecycle()
    for event, _, _, stage, is_current in heard:
        lifecycle.advance(event)
        assert stage == lifecycle.stage or event == "on_exception", event
        assert is_current, event
    assert lifecycle.open_scopes == ()
    assert not record["is_the_hub_current_still"]
    assert "loop_stage" not in record["infos"]


def judge_rows(record: Any) -> None:
    """Demand that a rank's sink has written each iteration and each validation once, with the values in its hub."""
    begun = next(note[2] for note in record["events"] if note[0] == "before_train")
    losses = [(row["iter"], row["train/loss"]) for row in record["rows"] if "train/loss" in row]
    assert losses == list(enumerate(record["scalars"]["train/loss"]))[begun:]
    rows = [row for row in record["rows"] if row["loop_stage"] == "val"]
    assert [[row["epoch"], row["iter"]] for row in rows] == [
        note[1:3] for note in record["events"] if note[0] == "after_val_epoch"
    ]
    for key, values in record["scalars"].items():
        if key.startswith("val/"):
            assert [row[key] for row in rows] == values[-len(rows) :], key


def judge(records: list[Any], events: list[str], *, epochs: int, completed: int, begun: int = 0) -> None:
    """Demand that both ranks have trained to the end, and that each hub has what its own rank has computed.

    Args:
        records: Of both ranks.
        events: What each has to hear.
        epochs: How many are completed at the end.
        completed: As many iterations.
        begun: With how many iterations this training has begun, because it was resumed.
    """
    for rank, record in enumerate(records):
        assert record["error"] is None, rank
        judge_stream(record, events)
        infos, scalars = record["infos"], record["scalars"]
        assert (infos["epoch"], infos["iter"]) == (epochs, completed), rank
        assert (infos["max_epochs"], infos["max_iters"]) == (epochs, epochs * BATCHES), rank
        assert infos["seed"] == 3
        assert infos["dataset_meta"] == {"classes": ["cat", "dog"]}
        assert len(record["losses"]) == completed - begun, rank
        assert scalars["train/loss"][begun:] == pytest.approx(record["losses"], rel=1e-6), rank
        assert scalars["train/lr"][begun:] == record["rates"], rank
        assert len(scalars["train/lr"]) == completed, rank
        assert len(set(scalars["train/lr"])) > 1, "a rate that stays cannot be wrong"
        judge_rows(record)
        assert record["collectives"]["ours"] == [], "our code must never make one rank wait for another"
    first, second = records
    assert shared(first) == shared(second)
    assert all(mine != yours for mine, yours in zip(first["losses"], second["losses"], strict=True))
    # They train on different items, and on all of them together.
    for begin in range(0, completed - begun, BATCHES):
        batches = [record["items"][begin : begin + BATCHES] for record in records]
        if len(batches[0]) == BATCHES:
            assert {item for rank in batches for batch in rank for item in batch} == set(range(18))


def shared(record: Any) -> list[Any]:
    """Return what does not differ between ranks: events, counters and stages. Rank 0 alone writes checkpoints."""
    return [note for note in record["events"] if note[0] not in FREE]


def judge_resumed(records: list[Any], original: list[Any], begun: int) -> None:
    """Demand the counters that go on, and of both ranks the past of rank 0: it has written the checkpoint."""
    for record in records:
        before_train = next(note for note in record["events"] if note[0] == "before_train")
        assert before_train[1:3] == [begun // BATCHES, begun]
        for key in ("train/loss", "train/lr"):
            assert record["scalars"][key][:begun] == original[0]["scalars"][key][:begun]


def judge_the_end_of_both(records: list[Any]) -> None:
    """Demand that every scope was closed on either rank: on rank 1, which has raised, and on rank 0, which was waiting.

    Rank 0 sees that its peer is gone, since torchrun cannot end it before that: see the fixture `torchrun`.
    """
    waiting, raising = records
    for rank, record in enumerate(records):
        # A rank waits where its model synchronises: in the next forward pass, or at the end of the accumulation.
        completed = 2 if rank == 1 or waiting["infos"]["iter"] == 2 else 3
        events = ["before_run", "before_train", "before_train_epoch", *iterations(completed), "before_train_iter"]
        events += ["on_exception", "after_train_iter", "after_train_epoch", "after_train", "after_run"]
        judge_stream(record, events)
        assert record["is_the_error_announced"] == [True], rank
        assert (record["infos"]["epoch"], record["infos"]["iter"]) == (0, completed), rank
        assert record["scalars"]["train/loss"] == pytest.approx(record["losses"][:completed], rel=1e-6), rank
        judge_rows(record)
        assert record["collectives"]["ours"] == [], rank
    assert raising["is_the_error_raised"]
    assert raising["error"] == "UserError: rank 1"
    assert waiting["is_a_runtime_error"], waiting["error"]


def judge_own_and_mean(records: list[Any], count: int) -> None:
    """Demand of a metric that nobody has reduced each rank's own, and of one that the script has, the mean of both."""
    own = [record["scalars"]["val/own"] for record in records]
    assert [len(values) for values in own] == [count] * 2
    assert all(mine != yours for mine, yours in zip(*own, strict=True))
    mean = [sum(values) / 2 for values in zip(*own, strict=True)]
    for record in records:
        assert record["scalars"]["val/mean"] == pytest.approx(mean, rel=1e-5)


def test_plain_pytorch(torchrun, tmp_path):
    phases = launch(torchrun, "train_pytorch.py", tmp_path)
    whole = epoch([*iterations(5), *validation(2)])
    judge(phases["train"], run(whole, whole), epochs=2, completed=10)
    judge_own_and_mean(phases["train"], 2)
    assert phases["train"][0]["collectives"]["all"] > 0
    rest = epoch([*iterations(3), *validation(2)])  # the checkpoint is of the middle of the second epoch
    judge(phases["resume"], run(rest, whole), epochs=3, completed=15, begun=7)
    judge_resumed(phases["resume"], phases["train"], begun=7)
    for original, record in zip(phases["train"], phases["resume"], strict=True):
        assert record["items"][:3] == original["items"][7:]
    # A hook that starts a collective shows here: so would we.
    for record in phases["control"]:
        assert record["collectives"]["ours"] == ["barrier from _dispatcher.py:dispatch"]
    judge_the_end_of_both(phases["raise"])


def test_lightning(torchrun, tmp_path):
    phases = launch(torchrun, "train_lightning.py", tmp_path)
    whole = epoch([*iterations(5), *validation(2, 1)])
    judge(phases["train"], run(whole, whole), epochs=2, completed=10)
    judge_own_and_mean(phases["train"], 4)  # of two loaders
    assert [record["handles_sigterm"] for record in phases["train"]] == [True, True]
    assert phases["train"][0]["collectives"]["all"] > 0
    judge(phases["resume"], run(whole, whole), epochs=3, completed=15, begun=5)
    judge_resumed(phases["resume"], phases["train"], begun=5)
    judge_the_end_of_both(phases["raise"])


def test_transformers(torchrun, tmp_path):
    phases = launch(torchrun, "train_transformers.py", tmp_path)
    whole = epoch(iterations(5), validation(2))
    judge(phases["train"], run(whole, whole), epochs=2, completed=10)
    # The Trainer itself gathers what the ranks have predicted, without what fills up the last batch.
    for record in phases["train"]:
        assert record["scalars"]["val/items"] == [7, 7]
    assert phases["train"][0]["scalars"]["val/loss"] == phases["train"][1]["scalars"]["val/loss"]
    assert [record["process_index"] for record in phases["train"]] == [0, 1]
    assert phases["train"][0]["collectives"]["all"] > 0
    saves = [[note for note in record["events"] if note[0] == "before_save_checkpoint"] for record in phases["train"]]
    assert [len(each) for each in saves] == [2, 0]
    judge(phases["resume"], run(whole, whole), epochs=3, completed=15, begun=5)
    judge_resumed(phases["resume"], phases["train"], begun=5)
    judge_shares(phases["shares"])
    judge_the_end_of_both(phases["raise"])


def judge_shares(records: list[Any]) -> None:
    """Demand of losses that count items: their mean over ranks and batches is the loss of the optimizer step."""
    for step in ((0, 1), (2, 3), (4,)):
        batches = [(record, index) for record in records for index in step]
        counts = [sum(item % 3 != 0 for item in record["items"][index]) for record, index in batches]
        assert len(set(counts)) > 1 or len(step) == 1, "equal shares would not show"
        own = [record["losses"][index] for record, index in batches]
        published = [record["scalars"]["train/loss"][index] for record, index in batches]
        trained_on = sum(count * loss for count, loss in zip(counts, own, strict=True)) / sum(counts)
        assert sum(published) / len(published) == pytest.approx(trained_on, rel=1e-5)
        assert published == pytest.approx(
            [loss * count * len(batches) / sum(counts) for count, loss in zip(counts, own, strict=True)], rel=1e-5
        )


def test_accelerate(torchrun, tmp_path):
    phases = launch(torchrun, "train_accelerate.py", tmp_path)
    whole = epoch([*iterations(5), *validation(2)])
    judge(phases["train"], run(whole, whole), epochs=2, completed=10)
    judge_own_and_mean(phases["train"], 2)
    # Of 7 items in batches of 2, one is there twice to fill up the last one; not in what is gathered for metrics.
    assert [record["gathered"] for record in phases["train"]] == [14, 14]
    assert phases["train"][0]["collectives"]["all"] > 0
    judge(phases["resume"], run(whole, whole), epochs=3, completed=15, begun=5)
    judge_resumed(phases["resume"], phases["train"], begun=5)
    dispatched = phases["dispatched"]  # from rank 0, which alone reads the data
    for record in dispatched:
        judge_stream(record, run(whole))
        assert record["infos"]["max_iters"] == record["infos"]["iter"] == BATCHES
        assert record["scalars"]["train/loss"] == record["losses"]
        assert record["collectives"]["ours"] == []
    assert dispatched[0]["losses"] != dispatched[1]["losses"]
    judge_the_end_of_both(phases["raise"])
