from __future__ import annotations

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._verdict import Failure, Report
from runtimeinfo_conformance.judges import Finding
from runtimeinfo_conformance.observation._observation import Leg, Record
from runtimeinfo_conformance.reports._data import EventData, TimelineData, failure_data, report_data
from runtimeinfo_conformance.reports._picture import draw, scope_spans


def timeline_of(events: str, at: int | None = None) -> TimelineData:
    records = [Record(event, {}, 0, 0, {}, {}, {}, {}, (), {}) for event in events.split()]
    timeline = failure_data("LIFE-01", Failure(Plan(), Finding(at, 1, 2), Leg(Plan(), records=records)), None)[
        "timeline"
    ]
    assert timeline is not None
    return timeline


def spans_of(events: str) -> list[tuple[str, int, int, int]]:
    return [tuple(span) for span in scope_spans(timeline_of(events)["events"])]  # type: ignore[misc]


def test_a_scope_goes_from_the_event_that_opens_it_to_the_one_that_closes_it() -> None:
    assert spans_of("before_run before_train after_train before_train after_train after_run") == [
        ("run", 0, 0, 6),
        ("train", 1, 1, 3),
        ("train", 1, 3, 5),
    ]


def test_a_scope_that_is_never_closed_goes_to_the_end() -> None:
    assert spans_of("before_run before_train on_exception") == [("run", 0, 0, 3), ("train", 1, 1, 3)]


def test_missing_event_is_drawn_in_its_place() -> None:
    assert spans_of("before_train_iter after_run") == [
        ("run", 0, 0, 2),
        ("train", 1, 0, 1),
        ("train_epoch", 2, 0, 1),
        ("train_iter", 3, 0, 1),
    ]


def test_a_close_of_nothing_closes_nothing() -> None:
    assert spans_of("before_run after_val after_run") == [("run", 0, 0, 3)]


def test_no_event_at_all() -> None:
    picture = draw(timeline_of(""), "LIFE-02")
    assert (picture.boxes, picture.lines, picture.before, picture.after) == ([], [], 0, 0)
    assert "The run as a whole is at fault" in picture.description


def test_a_short_run_is_shown_whole() -> None:
    picture = draw(timeline_of("before_run before_val after_val after_run", at=2), "LIFE-01")
    assert [line.event for line in picture.lines] == ["before_run", "before_val", "after_val", "after_run"]
    assert [line.is_marked for line in picture.lines] == [False, False, True, False]
    assert picture.lines[2].note == "illegal here: 'val' must have held at least one 'val_epoch'"
    assert picture.strip == []
    assert "Event 3, after_val, is marked. It comes in val inside run" in picture.description


def test_of_a_long_run_the_part_around_the_event_is_shown_and_a_strip_of_it_all(failing: Report) -> None:
    requirement = next(each for each in report_data(failing)["requirements"] if each["id"] == "STAGE-05")
    assert requirement["failure"] is not None
    timeline = requirement["failure"]["timeline"]
    assert timeline is not None
    picture = draw(timeline, "STAGE-05")
    assert picture.before > 0
    assert picture.before + len(picture.lines) + picture.after == timeline["total"]
    assert sum(line.is_marked for line in picture.lines) == 1
    assert picture.strip_mark == timeline["offending"]
    assert {box.stage for box in picture.strip} == {"run", "train", "val", "test"}


def test_boxes_lie_inside_of_the_picture_and_of_one_another(failing: Report) -> None:
    for requirement in report_data(failing)["requirements"]:
        if requirement["failure"] is not None and requirement["failure"]["timeline"] is not None:
            picture = draw(requirement["failure"]["timeline"], requirement["id"])
            for box in picture.boxes:
                assert box.width > 0
                assert box.height > 0
                assert 0 <= box.y <= box.y + box.height <= picture.height
                assert 0 <= box.x <= box.x + box.width <= picture.width


def test_a_long_counter_has_some_room() -> None:
    timeline = timeline_of("before_run", at=0)
    wide: EventData = {**timeline["events"][0], "runner_epoch": "x" * 40, "stage": "y" * 40}
    picture = draw({**timeline, "events": [wide]}, "COUNT-01")
    assert draw(timeline, "COUNT-01").width < picture.width < 500
    assert picture.lines[0].runner == f"{'x' * 13}…/0"
    assert picture.lines[0].stage == f"{'y' * 13}…"
