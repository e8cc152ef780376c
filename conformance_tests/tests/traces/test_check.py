from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trace_examples import HEADER, failed, find, lines, training

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance import observation, traces
from runtimeinfo_conformance.traces import RULES, TraceError, TraceReport, check_trace, run_check_trace


def notes(report: TraceReport) -> list[str]:
    return [str(note) for note in report.notes]


def test_a_good_trace_is_conformant(path: Path) -> None:
    path.write_text("".join(lines(training())))
    report = check_trace(path)
    assert report.violated == ()
    assert report.not_exercised == ("FAIL-02", "FAIL-03", "FAIL-04")
    assert report.events == len(training()) - 2
    assert report.runs == 1
    assert report.lines == len(training())
    assert report.notes == []


def test_a_failed_run_is_conformant() -> None:
    report = check_trace(lines(failed()))
    assert report.violated == ()
    assert {"FAIL-02", "FAIL-03", "FAIL-04"}.isdisjoint(report.not_exercised)


def test_lines_can_be_bytes_text_and_blank() -> None:
    text = lines(training())
    assert check_trace(line.encode() for line in text).violated == ()
    assert check_trace([line.strip() for line in text]).violated == ()
    assert check_trace([*text, "\n", ""]).notes == []


def test_a_trace_decides_only_rules_that_there_are() -> None:
    report = check_trace(lines(training()))
    assert tuple(report.rules) == tuple(RULES)
    assert "SCALAR-04" in report.not_decidable
    assert "HUB-01" not in report.not_decidable
    assert set(RULES).isdisjoint(report.not_decidable)


# -- each violation, by an edit of a good trace


def drop(records: list[dict[str, Any]], at: int) -> None:
    del records[at]


def double(records: list[dict[str, Any]], at: int) -> None:
    records.insert(at, dict(records[at]))


def swap(records: list[dict[str, Any]], at: int) -> None:
    records[at], records[at + 1] = records[at + 1], records[at]


def changed(**values: Any) -> Any:
    def edit(records: list[dict[str, Any]], at: int) -> None:
        records[at].update(values)

    return edit


@pytest.mark.parametrize(
    ("event", "occurrence", "edit", "broken"),
    [
        ("before_run", 0, drop, {"LIFE-01", "LIFE-02"}),
        ("after_run", 0, drop, {"LIFE-02", "LIFE-05"}),
        ("before_train_epoch", 1, drop, {"LIFE-01"}),
        ("after_train_epoch", 0, drop, {"LIFE-01", "LIFE-05"}),
        ("before_train_iter", 1, drop, {"LIFE-01"}),
        ("after_train_iter", 1, drop, {"LIFE-01", "LIFE-05"}),
        ("after_val", 0, drop, {"LIFE-01", "LIFE-05"}),
        ("after_test", 0, drop, {"LIFE-01", "LIFE-05"}),
        ("before_train_iter", 1, double, {"LIFE-01", "LIFE-05"}),
        ("after_train_iter", 1, double, {"LIFE-01"}),
        ("after_run", 0, double, {"LIFE-01", "LIFE-02"}),
        ("after_train_iter", 0, swap, {"LIFE-01"}),
        ("before_train_iter", 1, changed(b=5), {"LIFE-08"}),
        ("after_train_iter", 1, changed(b=0), {"LIFE-08"}),
        ("before_val_iter", 1, changed(b=None), {"LIFE-08"}),
        ("before_train_epoch", 1, changed(s="val"), {"STAGE-01"}),
        ("before_train_iter", 0, changed(s=None), {"STAGE-01"}),
        ("before_val_iter", 0, changed(s="train"), {"STAGE-02"}),
        ("after_val", 0, changed(s="val"), {"STAGE-03"}),
        ("before_test", 0, changed(s="train"), {"STAGE-04"}),
        ("after_test", 0, changed(s="train"), {"STAGE-05"}),
        ("after_train", 0, changed(s="train"), {"STAGE-06"}),
        ("after_run", 0, changed(s="test"), {"STAGE-06"}),
        ("after_train_iter", 0, changed(ri=1, hi=1), {"COUNT-02"}),
        ("before_train_epoch", 1, changed(re=0, he=0), {"COUNT-03", "COUNT-04"}),
        ("after_train_epoch", 0, changed(re=1, he=1), {"COUNT-04"}),
        ("before_train_iter", 1, changed(hi=0), {"COUNT-05"}),
        ("before_val", 0, changed(hi=2), {"COUNT-05"}),
        ("before_val", 0, changed(he=0), {"COUNT-06"}),
        ("after_val", 0, changed(ri=4, hi=4), {"COUNT-11"}),
    ],
)
def test_an_edit_of_a_good_training_is_found(event: str, occurrence: int, edit: Any, broken: set[str]) -> None:
    records = training()
    at = find(records, event, occurrence)
    edit(records, at)
    report = check_trace(lines(records))
    assert broken <= set(report.violated)
    # A superfluous, missing or misplaced event can break these, too, and nothing else.
    assert set(report.violated) <= broken | {"LIFE-05", "LIFE-08", "COUNT-02"}
    first = min(violation.line for id in broken for violation in report.rules[id].violations)
    # An epoch that was left open shows only when the next one begins.
    assert at + 1 <= first <= (at + 2 if (event, edit) != ("after_train_epoch", drop) else at + 10)


@pytest.mark.parametrize(
    ("event", "edit", "broken"),
    [
        ("on_exception", double, "FAIL-02"),
        ("after_train_epoch", drop, "FAIL-03"),
        ("after_train_epoch", double, "FAIL-03"),
        ("after_train_iter", swap, "FAIL-03"),
        ("after_run", drop, "FAIL-03"),
        ("after_train_iter", changed(ri=2, hi=2), "FAIL-04"),
        ("after_run", changed(ri=2, hi=2), "FAIL-04"),
        ("after_train_epoch", changed(re=1, he=1), "FAIL-04"),
    ],
)
def test_an_edit_of_a_failed_run_is_found(event: str, edit: Any, broken: str) -> None:
    records = failed()
    edit(records, find(records, event, -1))
    assert broken in check_trace(lines(records)).violated


def test_an_iteration_that_is_missing_as_a_whole_is_found() -> None:
    records = training(epochs=1)
    at = find(records, "before_train_iter", 1)
    del records[at : at + 2]
    report = check_trace(lines(records))
    assert report.violated == ("LIFE-08", "COUNT-01")
    assert str(report.rules["COUNT-01"].violations[0]) == (
        f"line {at + 1}, before_train_iter: expected iter 1, observed iter 2"
    )


def test_counters_off_by_one_from_the_beginning_to_the_end_are_found() -> None:
    records = training()
    for record in records:
        if record.get("e") == "before_train_iter":
            record["ri"] = record["hi"] = record["ri"] + 1
    report = check_trace(lines(records))
    assert report.violated == ("COUNT-01", "COUNT-02")
    assert report.rules["COUNT-01"].violated == 6
    assert len(report.rules["COUNT-01"].violations) == 3


def test_only_the_first_violations_are_kept() -> None:
    records = [record | {"s": "x"} if "e" in record else record for record in training(epochs=50)]
    rule = check_trace(lines(records)).rules["STAGE-01"]
    assert rule.violated == rule.occurrences > 300
    assert [violation.line for violation in rule.violations] == [3, 4, 5]


def test_counters_that_are_not_numbers_are_not_judged() -> None:
    records = training()
    for record in records:
        if "e" in record:
            record.update(ri="nan", hi="nan")
    assert check_trace(lines(records)).violated == ()
    for record in records[3:]:
        if "e" in record:
            record["ri"] = record["hi"] = None
    assert check_trace(lines(records)).violated == ()


# -- legal, and rare


def test_a_resumed_run_begins_where_the_other_ended() -> None:
    records = training()
    for record in records:
        if "e" in record:
            record.update({key: record[key] + 7 for key in ("re", "ri", "he", "hi")})
    assert check_trace(lines(records)).violated == ()


def test_a_checkpoint_loaded_amid_a_run_brings_its_counters() -> None:
    records = training()
    at = find(records, "before_train_epoch", 1)
    for record in records[at:]:
        if "e" in record:
            record.update({key: record[key] + 7 for key in ("re", "ri", "he", "hi")})
    assert "COUNT-01" in check_trace(lines(records)).violated
    records.insert(at, {"e": "after_load_checkpoint"})
    assert check_trace(lines(records)).violated == ()


def test_a_handled_exception_repeats_what_it_ended() -> None:
    ended = failed()
    closed = find(ended, "after_train_epoch") + 1
    again = training()
    again = again[find(again, "before_train_epoch") :]
    for record in again:
        if "e" in record:
            record.update({key: record[key] + 1 for key in ("ri", "hi")})
    assert check_trace(lines([*ended[:closed], *again])).violated == ()
    for record in again:
        if "e" in record:
            record.update({key: record[key] + 1 for key in ("ri", "hi")})
    assert check_trace(lines([*ended[:closed], *again])).violated == ("COUNT-01",)


@pytest.mark.parametrize("counter", ["train_iter", "train_epoch"])
def test_a_hook_after_the_trace_can_raise_at_the_close_that_counts(counter: str) -> None:
    records = training()
    at = find(records, f"after_{counter}")
    close = records[at]
    end = {"e": "on_exception", **{key: close[key] for key in ("re", "ri", "he", "hi")}, "x": ["ValueError", 1]}
    closes = [end | {"e": "after_train_epoch"}] * (counter == "train_iter")
    closes += [end | {"e": event} for event in ("after_train", "after_run")]
    assert check_trace(lines([*records[: at + 1], end, *closes])).violated == ()


def test_a_second_exception_can_follow_the_first() -> None:
    records = failed()
    at = find(records, "on_exception")
    records.insert(at + 2, records[at] | {"x": ["KeyError", 2]})
    assert check_trace(lines(records)).violated == ()


# -- runs one after the other


def test_each_run_is_judged_by_itself() -> None:
    first, second = training()[:-1], training()[1:]
    report = check_trace(lines([*first, *second]))
    assert report.runs == 2
    assert report.violated == ()


def test_a_run_left_open_before_the_next_is_a_violation() -> None:
    first, second = training()[:-2], training()[1:]
    report = check_trace(lines([*first, *second]))
    assert report.violated == ("LIFE-02", "LIFE-05")
    assert str(report.rules["LIFE-05"].violations[0]) == (
        f"line {len(first) + 1}, before_run: expected no scope left open, observed left open: run"
    )


def test_another_process_can_go_on_in_the_file_of_one_that_was_killed() -> None:
    first, second = training(), training()
    report = check_trace(lines([*first[:8], *second]))
    assert report.violated == ()
    assert notes(report) == [
        (
            "line 8: the trace breaks off inside run > train > train_epoch: the process was killed, or is still at "
            "work; whether these scopes were closed is not judged"
        )
    ]
    half = ['{"e":"after_tr\n']
    report = check_trace([*lines(first[:8]), *half, *lines(second)])
    assert report.violated == ()
    assert notes(report)[0] == "line 9: truncated: the process that wrote it was killed, or its disk was full"
    assert report.not_judged == 0


def test_events_after_the_end_are_noted() -> None:
    report = check_trace(lines([*training(), *training()[1:]]))
    assert report.violated == ()
    assert "two hooks have written into one file" in notes(report)[0]


# -- damage


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_truncated_last_line_is_not_a_violation(path: Path, cut: int) -> None:
    text = "".join(lines(training()[:-1]))
    path.write_text(text[:-cut])
    report = check_trace(path)
    assert report.violated == ()
    if cut > 1:  # without its newline alone it is whole
        assert notes(report)[0].startswith(f"line {len(training()) - 1}: truncated")
        assert notes(report)[1].startswith(f"line {len(training()) - 1}: the trace breaks off inside run:")
    else:
        assert report.notes == []


@pytest.mark.parametrize(
    "damaged",
    [
        b"{\n",
        b"\0\0\0\0\n",
        b'{"e":"before_\xff"}\n',
        b'{"e":"before_nothing"}\n',
        b'{"e":["before_run"]}\n',
        b'{"other":1}\n',
        b"[1]\n",
        b"7\n",
        b'{"e":"before_run"}{"e":"before_train"}\n',
        b"[" * 100_000 + b"\n",
        b"1" * 10_000 + b"\n",
        b'{"e":"' + b"x" * 3_000_000 + b'"}\n',
    ],
)
def test_after_a_damaged_line_nothing_is_judged_before_the_next_epoch(path: Path, damaged: bytes) -> None:
    records = training(epochs=3)
    at, epoch = find(records, "after_train_iter", 1), find(records, "before_train_epoch", 1)
    content = [line.encode() for line in lines(records)]
    content[at] = damaged
    path.write_bytes(b"".join(content))
    report = check_trace(path)
    assert report.violated == ()
    assert report.not_judged == epoch - at - 1
    assert report.events == len(records) - 2 - (epoch - at)
    assert notes(report) == [
        (
            f"line {at + 1}: damaged; from there to line {epoch} nothing is judged ({epoch - at - 1} events), and "
            "counting restarts after it"
        )
    ]


def test_a_fault_within_a_gap_is_not_judged_and_one_after_it_is() -> None:
    records = training()
    at, epoch = find(records, "after_train_iter", 1), find(records, "before_train_epoch", 1)
    text = lines(records)
    text[at] = "{\n"
    del text[at + 1]
    assert check_trace(text).violated == ()
    records[epoch + 3]["s"] = "val"
    text = lines(records)
    text[at] = "{\n"
    assert check_trace(text).violated == ("STAGE-01",)


def test_a_gap_can_end_with_a_run_or_with_the_trace() -> None:
    records = training()
    text = [*lines(records[:-1]), *lines(records[1:])]
    text[-20:-18] = ["{\n", "}\n"]
    report = check_trace(text)
    assert report.violated == ()
    assert report.not_judged == 17
    assert notes(report)[0].endswith("damaged as well")
    last_epoch = find(records, "before_train_epoch", 1)
    text = [*lines(records[: last_epoch + 2]), "{\n", *lines(records[last_epoch + 3 : -1]), *lines(records[1:])]
    report = check_trace(text)
    assert report.violated == ()
    assert report.runs == 2


def test_notes_do_not_grow_without_bound() -> None:
    text = lines(training(epochs=100))
    for at in range(5, len(text) - 1, 15):
        text[at] = "damaged\n"
    report = check_trace(text)
    assert len(report.notes) == 20
    assert report.more_notes > 50
    assert report.violated == ()


# -- files that are not traces


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty: give the file that a TraceHook wrote"),
        (b"\n", "line 1: it is not a trace: the first line must be a header with 'runtimeinfo_trace'"),
        (b"epoch 1, loss 0.3\nepoch 2, loss 0.2\n", "line 1: it is not a trace"),
        (b"\x80\x02}q\x00.", "line 1: it is not a trace"),
        (b"\x00" * 5_000_000, "line 1: it is not a trace"),
        (b'{"loss": 0.3}\n', "line 1: it is not a trace"),
        (b"[1, 2]\n", "line 1: it is not a trace"),
        (b'{"runtimeinfo_trace": 1}\n', "it holds no event that can be judged, in 1 lines"),
        (b'{"runtimeinfo_trace": 1}\n{\n{\n', "it holds no event that can be judged, in 3 lines"),
        (b'{"runtimeinfo_trace": 2}\n', "line 1: format version 2 is unknown"),
        (b'{"runtimeinfo_trace": true}\n', "line 1: format version True is unknown"),
        (b'{"runtimeinfo_trace": null}\n', "line 1: format version None is unknown"),
    ],
)
def test_a_file_that_is_not_a_trace_is_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(TraceError) as caught:
        check_trace(path)
    assert str(caught.value).startswith(message)
    assert caught.value.line == (1 if message.startswith("line 1") else None)


def test_a_later_header_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(TraceError, match="line 36: format version 2 is unknown"):
        check_trace(lines([*training()[:35], HEADER | {"runtimeinfo_trace": 2}]))


def test_a_file_that_is_not_there_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_trace(path)


# -- the command


def test_the_command_prints_the_verdict_on_a_good_trace(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("".join(lines(training())))
    assert run_check_trace(path) == 0
    output = capsys.readouterr()
    assert output.err == ""
    first, second, *_, last = output.out.splitlines()
    assert first == f"{path}: torch 2, experiment 'test', spec 0.1"
    assert second == "44 events of 1 run judged"
    assert last == f"{path}: conformant, as far as a trace tells"
    assert "LIFE-01   MUST   pass " in output.out
    assert "FAIL-04   MUST   not exercised " in output.out
    assert "not decidable from a trace: LIFE-03, LIFE-04" in output.out


def test_the_command_prints_the_violations_of_a_bad_trace(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = training(epochs=5)
    for occurrence in range(4):
        records[find(records, "after_val", occurrence)]["s"] = "val"
    text = lines(records)
    text[find(records, "after_val_epoch", 4)] = "damaged\n"
    path.write_text("".join(text))
    assert run_check_trace(str(path)) == 1
    out = capsys.readouterr().out.splitlines()
    at = out.index("STAGE-03  MUST   fail                          4 of 4  at the events only, not between them")
    assert out[at + 1 : at + 6] == [
        "    line 19, after_val: expected stage 'train', observed stage 'val'",
        "    line 35, after_val: expected stage 'train', observed stage 'val'",
        "    line 51, after_val: expected stage 'train', observed stage 'val'",
        "    and 1 more",
        "    more: runtimeinfo explain STAGE-03",
    ]
    assert out[-1] == f"{path}: not conformant: STAGE-03; 11 events were not judged"


def test_a_trace_of_another_spec_is_noted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("".join(lines([HEADER | {"spec": "9.9"}, *training()[1:]])))
    assert run_check_trace(path) == 0
    assert f"note: it was written under spec 9.9, and is judged by {SPEC_VERSION}" in capsys.readouterr().out


def test_many_notes_are_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lines(training(epochs=60))
    text[5::15] = ["damaged\n"] * len(text[5::15])
    path.write_text("".join(text))
    assert run_check_trace(path) == 0
    assert any(line.startswith("note: and ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file or directory"), (b"", "it is empty"), (b"hello", "line 1: it is not a trace")],
)
def test_the_command_refuses_a_file_that_is_not_a_trace(
    path: Path, content: bytes | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        path.write_bytes(content)
    assert run_check_trace(path) == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"runtimeinfo: {path}: {message}")


def test_the_command_refuses_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check_trace(tmp_path) == 4
    assert "Is a directory" in capsys.readouterr().err


# -- memory


def events(iterations: int) -> Iterator[str]:
    head, tail = training(epochs=0)[:3], training(epochs=0)[-2:]
    yield from lines([*head, head[2] | {"e": "before_train_epoch"}])
    for index in range(iterations):
        yield (
            f'{{"e":"before_train_iter","re":0,"ri":{index},"s":"train","he":0,"hi":{index + index % 2},"b":{index}}}\n'
        )
        yield f'{{"e":"after_train_iter","re":0,"ri":{index},"s":"train","he":0,"hi":{index},"b":{index}}}\n'
        if index % 100 == 7:
            yield "damaged\n"
            yield from lines([head[2] | {"e": "before_train_epoch", "ri": index + 1, "hi": index + 1}])
    yield from lines(tail)


def test_memory_does_not_grow_with_the_trace() -> None:
    # Blocks that other threads allocate, and those that Python keeps to use them again, do not count.
    modules = [Path(traces.__file__).with_name("*.py"), Path(observation.__file__).with_name("_model.py")]
    only_of_checks = [tracemalloc.Filter(inclusive=True, filename_pattern=str(pattern)) for pattern in modules]

    def retained(iterations: int) -> int:
        """Return the bytes that a check holds at the end of a trace."""
        sizes: list[int] = []

        def measured() -> Iterator[str]:
            yield from events(iterations)
            snapshot = tracemalloc.take_snapshot().filter_traces(only_of_checks)
            sizes.append(sum(trace.size for trace in snapshot.traces))

        tracemalloc.start()
        try:
            report = check_trace(measured())
        finally:
            tracemalloc.stop()
        assert report.events > 1.9 * iterations
        assert report.rules["COUNT-05"].violated >= iterations // 2 - 1
        (size,) = sizes
        return size

    retained(100)  # fills the caches
    short = retained(2_000)
    # Eight bytes for each gap would be more than that; for each record, much more.
    assert 0 < retained(20_000) < short + 1_000
