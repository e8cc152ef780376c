"""The order in which hooks run."""

from __future__ import annotations

from enum import IntEnum

from runtimeinfo._shown import shown


class Priority(IntEnum):
    """When a hook runs among the others: lower values first.

    The levels and their values are mmengine's, so that one hook runs in the same place under both.
    """

    HIGHEST = 0
    VERY_HIGH = 10
    HIGH = 30
    ABOVE_NORMAL = 40
    NORMAL = 50
    BELOW_NORMAL = 60
    LOW = 70
    VERY_LOW = 90
    LOWEST = 100


PriorityLike = Priority | int | str
"""A level, its name in any case (``"very_high"``), or a number from 0 to 100."""


def get_priority(priority: object, /) -> int:
    """Return the number of a priority.

    Args:
        priority: A `PriorityLike`, or an enum member whose value is one (mmengine's own `Priority`).

    Raises:
        ValueError: If it is no level's name, or a number outside 0 to 100.
        TypeError: If it is something else altogether.

    Example:
        >>> get_priority("very_high"), get_priority(Priority.NORMAL), get_priority(7)
        (10, 50, 7)

    Source: ORDER-01.
    """
    if isinstance(priority, str):
        try:
            return Priority[priority.upper()].value
        except KeyError:
            levels = ", ".join(Priority.__members__)
            raise ValueError(
                f"unknown priority {priority!r}: give a number from 0 to 100, or one of {levels}"
            ) from None
    number = priority if isinstance(priority, int) else getattr(priority, "value", None)
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a priority cannot be {shown(priority)}: give a level, its name, or a number from 0 to 100")
    if not 0 <= number <= 100:
        raise ValueError(f"a priority cannot be {number}: give a number from 0 to 100")
    return int(number)
