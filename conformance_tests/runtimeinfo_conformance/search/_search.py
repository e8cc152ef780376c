"""The order in which plans are run."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase

from runtimeinfo_conformance._profile import Progress, silent
from runtimeinfo_conformance._subject import AnySubject, HubSubject, ReduceSubject, Subject
from runtimeinfo_conformance.search._apart import apart
from runtimeinfo_conformance.search._covering import covering_plans
from runtimeinfo_conformance.search._fixed_plans import fault_plans, fixed_plans
from runtimeinfo_conformance.search._hub_plans import hub_plans, reduce_plans
from runtimeinfo_conformance.search._strategies import plans

# The strategies may filter and grow as they like: nothing slow happens while plans are drawn.
_HEALTH_CHECKS: Any = list(HealthCheck)


# Each of them makes a process group, which takes a while.
_MOST_FOR_RANKS = 100

# Some seconds of drawing. Fewer plans, as `quick` and `ci` have, are there before it is worth a word.
_TOLD_EVERY = 500


def draw_plans(
    subject: AnySubject, most: int, *, seed: int | None = None, fixed: bool = True, progress: Progress = silent
) -> list[Any]:
    """Return plans that use nothing but what a subject has declared.

    They are drawn before the first one is run: Hypothesis need not know what a subject raises, or how long it takes.

    Args:
        subject: The subject.
        most: How many; the plans that are always tried come first, and all of them.
        seed: The seed of the search; None for the same plans each time.
        fixed: Whether the plans that are always tried come along.
        progress: Told now and then how many there are.
    """
    drawn: list[Any] = _Counted(fixed_plans(subject) if fixed else [], most, progress)
    if fixed and seed is not None:
        drawn.extend(fault_plans(subject))
    if isinstance(subject, Subject) and seed is None and fixed:
        covering = covering_plans(subject.capabilities, list(drawn), max(most - len(drawn), 0))
        # Few plans need not fail at each place: the last of them make room for those that do.
        places = {plan.fault.event for plan in (*drawn, *covering) if plan.fault is not None}
        missing = [plan for plan in fault_plans(subject) if plan.fault is not None and plan.fault.event not in places]
        drawn.extend([*covering[: max(len(covering) - len(missing), 0)], *missing])
        if len(drawn) >= most:
            return list(drawn)
    if isinstance(subject, ReduceSubject):
        return [*drawn, *_for_ranks(min(most - len(drawn), _MOST_FOR_RANKS), seed)]

    # Without a seed, the text of `draw` is the seed, decorators included: leave it as it is.
    # Settings of the kit's own: neither the user's profile nor their database has a say here.
    @hypothesis.settings(
        max_examples=max(most - len(drawn), 1),
        derandomize=seed is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=_HEALTH_CHECKS,
    )
    @hypothesis.given(hub_plans() if isinstance(subject, HubSubject) else plans(subject.capabilities))
    def draw(plan: Any) -> None:
        drawn.append(plan)

    with apart():
        (draw if seed is None else hypothesis.seed(seed)(draw))()
    return list(drawn)


class _Counted(list[Any]):
    """Plans that tell how many they are, since `draw` must not: its text is a seed."""

    def __init__(self, plans: list[Any], most: int, progress: Progress) -> None:
        super().__init__(plans)
        self._most = most
        self._progress = progress

    def append(self, plan: Any, /) -> None:
        super().append(plan)
        if len(self) % _TOLD_EVERY == 0:
            self._progress("drawing plans", len(self), self._most)


def _for_ranks(most: int, seed: int | None) -> list[Any]:
    drawn: list[Any] = []

    @hypothesis.settings(
        max_examples=max(most, 1),
        derandomize=seed is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=_HEALTH_CHECKS,
    )
    @hypothesis.given(reduce_plans())
    def draw(plan: Any) -> None:
        drawn.append(plan)

    with apart():
        (draw if seed is None else hypothesis.seed(seed)(draw))()
    return drawn
