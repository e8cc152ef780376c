from __future__ import annotations

from enum import Enum, IntEnum

import pytest

from runtimeinfo import Priority
from runtimeinfo.authoring import get_priority

# Those of mmengine 0.10.7; adapters/tests/test_mmengine_structure.py compares with the real ones.
LEVELS = {
    "HIGHEST": 0,
    "VERY_HIGH": 10,
    "HIGH": 30,
    "ABOVE_NORMAL": 40,
    "NORMAL": 50,
    "BELOW_NORMAL": 60,
    "LOW": 70,
    "VERY_LOW": 90,
    "LOWEST": 100,
}


class ForeignPriority(Enum):
    VERY_HIGH = 10
    WORDY = "high"
    TOO_HIGH = 101


class ForeignIntPriority(IntEnum):
    LOW = 70


def test_the_levels_are_the_seeds() -> None:
    assert {level.name: level.value for level in Priority} == LEVELS


@pytest.mark.parametrize(("name", "number"), LEVELS.items())
def test_a_level_goes_by_its_name_in_any_case(name: str, number: int) -> None:
    answers = [get_priority(name), get_priority(name.lower()), get_priority(name.title()), get_priority(Priority[name])]
    assert answers == [number] * 4
    assert {type(answer) for answer in answers} == {int}


@pytest.mark.parametrize("number", [0, 1, 55, 100])
def test_a_number_is_its_own_priority(number: int) -> None:
    assert get_priority(number) == number


def test_another_packages_enum_goes_by_its_value() -> None:
    assert get_priority(ForeignPriority.VERY_HIGH) == 10
    assert type(get_priority(ForeignIntPriority.LOW)) is int
    assert get_priority(ForeignIntPriority.LOW) == 70


@pytest.mark.parametrize("number", [-1, 101, 10**9, ForeignPriority.TOO_HIGH])
def test_a_number_outside_0_to_100_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match=r"a number from 0 to 100$"):
        get_priority(number)


def test_an_unknown_name_is_refused_and_the_levels_are_listed() -> None:
    with pytest.raises(
        ValueError, match=r"unknown priority 'urgent': give a number from 0 to 100, or one of HIGHEST, .*LOWEST$"
    ):
        get_priority("urgent")


@pytest.mark.parametrize(
    "priority", [None, 1.0, True, False, [], pytest.param(object(), id="object"), ForeignPriority.WORDY], ids=repr
)
def test_anything_else_is_refused(priority: object) -> None:
    with pytest.raises(TypeError, match=r"give a level, its name, or a number from 0 to 100$"):
        get_priority(priority)
