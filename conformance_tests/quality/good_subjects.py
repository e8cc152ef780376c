"""Runners and hubs that are right: none of them may ever come out red."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from runtimeinfo_conformance._subject import AnySubject, HubSubject
from runtimeinfo_conformance.command_line._target import find_subjects
from runtimeinfo_conformance.subjects import mmengine, pytorch, reference_hub

ROOT = Path(__file__).resolve().parents[2]


def good_subjects() -> Iterator[tuple[str, AnySubject]]:
    """Yield each, with what its structure is."""
    sys.path.insert(0, str(ROOT / "conformance_tests" / "tests"))
    from odd_numbers import ODD_NUMBERS
    from odd_runners import ODD
    from simple_hub import SimpleHub
    from simple_trainer import correct, subject_of

    yield "iterators around a hand-written loop", pytorch.subject()
    yield "a framework that calls hooks, with its own hub", mmengine.subject()
    yield "the same with the reference hub", mmengine.subject_with_reference_hub()
    yield "functions run between two events", correct()
    (third_party,) = find_subjects(str(ROOT / "docs" / "examples" / "third_party" / "test_conformance.py"))
    yield "context managers", third_party
    for kind in (*ODD, *ODD_NUMBERS):
        yield f"odd: {(kind.__doc__ or kind.__name__).strip().splitlines()[0]}", subject_of(kind)
    yield "rings of numbers, thread-safe", reference_hub.subject()
    yield "lists in dictionaries", HubSubject("SimpleHub", "1", make=SimpleHub)
