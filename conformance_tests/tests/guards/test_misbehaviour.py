from __future__ import annotations

import pickle
import sys

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.guards import SubjectMisbehaved
from runtimeinfo_conformance.guards._misbehaviour import format_stack, place_of_call, place_of_error
from runtimeinfo_conformance.subjects import pytorch


def test_misbehaviour_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(SubjectMisbehaved("hang", "it did not come back")))
    assert (error.kind, str(error)) == ("hang", "it did not come back")


def test_a_place_is_a_line_and_a_function() -> None:
    frame = sys._getframe()
    assert place_of_call(frame) == f"{__file__}:{frame.f_lineno}, in test_a_place_is_a_line_and_a_function"


def test_a_stack_ends_where_the_kit_begins() -> None:
    def inner() -> str:
        return format_stack(sys._getframe(), outside)

    outside = sys._getframe()
    assert format_stack(outside, outside) == ""
    assert inner().count("File ") == 1
    assert "in inner" in inner()


def test_a_bundled_subject_is_not_part_of_the_kit() -> None:
    class Hook:
        def before_run(self, runner: object) -> None:
            raise ZeroDivisionError

    try:
        pytorch.run(Plan(), [Hook()])
    except ZeroDivisionError as error:
        trace = error.__traceback__
        assert trace is not None
        assert place_of_error(trace).endswith("in before_run")
        assert trace.tb_next is not None
        assert "subjects/pytorch.py" in place_of_call(trace.tb_next.tb_frame)
    else:
        raise AssertionError("the hook was not called")
