"""Tell a failure of a plan from the leak of a plan before it in the same process.

A runner that keeps something from one run to the next breaks rules on plans that are innocent: alone, each of them
holds. So what is broken is tried again as the first of a fresh process. Where it holds there, the plan before it is
found after which it does not, and the leak is reported under its own rule, with both plans.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._fresh import LEAK_RULE, FreshProcess, FreshProcessError, find_difference
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import Progress
from runtimeinfo_conformance._subject import AnySubject, ReduceSubject, is_upcoming
from runtimeinfo_conformance._verdict import Failure, Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.plans import AnyPlan, plan_text
from runtimeinfo_conformance.search import shrink

# How many plans may be run in a fresh process to find smaller ones; each of them may be run after another.
_SHRINK_PLANS = 60

_MOST_RUNS = 2000
"""After so many runs in fresh processes, which take a minute or two, no more leaks or smaller plans are looked for."""

_MOST_AGAIN = 60
"""How many plans are judged once more, each alone, after a leak was found."""

_CRASH = "crash"
"""Stands among the ids for an exception that was not planned."""

_STEP = "looking for the cause in a fresh process"


def blame(
    subject: AnySubject,
    tally: Tally,
    first: Mapping[str, Failure],
    tried: Sequence[AnyPlan],
    guard: Guard,
    progress: Progress,
    *,
    target: str | None,
) -> list[str]:
    """Try what is broken in a fresh process, and put what a leak has broken under the rule on leaks.

    Args:
        subject: The subject.
        tally: The failures, on smaller plans already; those that a leak explains are replaced.
        first: The failures to look at, as the search found them, by their ids.
        tried: The plans of the search, in their order.
        guard: The guard of this process.
        progress: Told how far it is.
        target: The name of the subject on a command line; None if it has none.

    Returns:
        What its author should know, a sentence each.
    """
    # A crash is looked at as well; the ranks of a reducer stay from one plan to the next, and are their own processes.
    if isinstance(subject, ReduceSubject) or not (first or tally.crash):
        return []
    if target is None:
        return _blame_here(subject, tally, first, guard, "it has no name on a command line")
    try:
        with FreshProcess(target, subject, guard.hang_seconds) as fresh:
            return _Blame(subject, tally, first, tried, fresh, progress).settle()
    except FreshProcessError as error:
        return _blame_here(subject, tally, first, guard, str(error))


class Leak(NamedTuple):
    """A plan that is run after others in the same process, and is not what it is alone."""

    after: tuple[AnyPlan, ...]
    later: AnyPlan


class _Blame:
    def __init__(
        self,
        subject: AnySubject,
        tally: Tally,
        first: Mapping[str, Failure],
        tried: Sequence[AnyPlan],
        fresh: FreshProcess,
        progress: Progress,
    ) -> None:
        self._subject = subject
        self._tally = tally
        self._tried = tried
        self._fresh = fresh
        self._progress = progress
        # What was found first, and the smaller plan that was found for it: the same one for a crash.
        self._notes: list[str] = []
        self._first: dict[str, AnyPlan] = {id: failure.plan for id, failure in first.items()}
        if tally.crash is not None:
            self._first[_CRASH] = tally.crash.plan

    def settle(self) -> list[str]:
        """Look at everything that is broken."""
        suspects = [id for id in self._first if not self._is_broken_at_once(id)]
        leaks: dict[str, Leak] = {}
        # The earliest first: what one leak breaks later it explains as well.
        for done, id in enumerate(sorted(suspects, key=self._place_of)):
            self._progress(_STEP, done, len(suspects))
            leak = self._explain_by(id, leaks.values()) or self._search(id)
            if leak is not None:
                leaks[id] = leak
        self._progress(_STEP, len(suspects), len(suspects))
        unclear = [id for id in suspects if id not in leaks]
        if leaks:
            self._report(leaks, unclear)
        else:
            self._notes += [self._doubt(id) for id in unclear if not self._is_broken_alone(id)]
        if self._is_over:
            self._notes.append(
                f"after {_MOST_RUNS:,} runs in fresh processes no more leaks or smaller plans were looked for"
            )
        return self._notes

    @property
    def _is_over(self) -> bool:
        return self._fresh.runs >= _MOST_RUNS

    def _doubt(self, id: str) -> str:
        name = "the exception" if id == _CRASH else id
        return (
            f"{name} does not come back on {plan_text(self._first[id])} in a fresh process, alone or after the plans "
            "before it: take chance, time and threads out of the subject"
        )

    def _smallest(self, id: str) -> AnyPlan:
        failure = None if id == _CRASH else self._tally.counts[id].failure
        return self._first[id] if failure is None else failure.plan

    def _place_of(self, id: str) -> int:
        """Return how many plans had been run before the one on which something was found."""
        first = self._first[id]
        return next((place for place, each in enumerate(self._tried) if each is first), len(self._tried))

    def _breaks(self, id: str, *plans: AnyPlan) -> bool:
        """Tell whether the last plan breaks something in a run that no other run of it came before."""
        judged = self._fresh.judge(*plans)
        return judged.crash is not None if id == _CRASH else id in judged.broken_at_once

    def _is_broken_at_once(self, id: str) -> bool:
        """Tell whether something is broken in the first run of a process.

        Where it is so on the plan of the search only, and not on the smaller one, a smaller one is found again.
        """
        smallest, first = self._smallest(id), self._first[id]
        if self._breaks(id, smallest):
            return True
        if smallest == first or not self._breaks(id, first):
            return False
        self._tally.counts[id].failure = self._smallest_alone(id, first)
        return True

    def _is_broken_alone(self, id: str) -> bool:
        """Tell whether something is broken on its plan in a fresh process, in any run of it."""
        return any(
            id in judged.failures or (id == _CRASH and judged.crash is not None)
            for judged in map(self._fresh.judge, self._later(id))
        )

    def _smallest_alone(self, id: str, plan: Any) -> Failure:
        smaller = shrink(plan, lambda each: not self._is_over and self._breaks(id, each), _SHRINK_PLANS)
        return self._fresh.judge(smaller).failures[id]

    def _leaks(self, id: str, after: Sequence[AnyPlan], later: AnyPlan) -> bool:
        """Tell whether a plan breaks something after other plans, and not alone; no, once it was asked too often."""
        return not self._is_over and self._breaks(id, *after, later) and not self._breaks(id, later)

    def _explain_by(self, id: str, known: Collection[Leak]) -> Leak | None:
        """Return a leak that is known already and breaks this as well."""
        leaks = (Leak(each.after, later) for each in known for later in self._later(id))
        return next((leak for leak in leaks if self._leaks(id, *leak)), None)

    def _later(self, id: str) -> Iterator[AnyPlan]:
        """Yield the plans on which something may be broken, the smaller one first."""
        smallest, first = self._smallest(id), self._first[id]
        yield smallest
        if first != smallest:
            yield first

    def _search(self, id: str) -> Leak | None:
        """Return the plans after which something is broken, one if possible, and the plan on which it is."""
        first = self._first[id]
        prefix = self._tried[: self._place_of(id)]
        # Most leaks need no more than that some plan was run before.
        for later in self._later(id):
            for earlier in (later, *prefix[-1:], *prefix[:1]):
                if self._leaks(id, (earlier,), later):
                    return self._smaller(id, Leak((earlier,), later))
        after = self._nearest(id, prefix, first)
        return None if after is None else self._smaller(id, Leak(tuple(self._narrowed(id, after, first)), first))

    def _nearest(self, id: str, prefix: Sequence[AnyPlan], later: AnyPlan) -> Sequence[AnyPlan] | None:
        """Return as many of the plans before one as it takes to break it, or up to twice as many."""
        length = 2
        while not self._leaks(id, prefix[-length:], later):
            if length >= len(prefix) or self._is_over:
                return None
            length *= 2
        return prefix[-length:]

    def _narrowed(self, id: str, after: Sequence[AnyPlan], later: AnyPlan) -> Sequence[AnyPlan]:
        """Return the one of some plans after which another one is broken; or a row of them, if it takes several."""
        while len(after) > 1:
            middle = len(after) // 2
            half = next((each for each in (after[:middle], after[middle:]) if self._leaks(id, each, later)), None)
            if half is None:
                break
            after = half
        if len(after) == 1 or self._is_over:
            return after
        after = after[_last(len(after), lambda begin: self._leaks(id, after[begin:], later)) :]
        cut = _last(len(after), lambda cut: self._leaks(id, after[: len(after) - cut], later))
        return after[: len(after) - cut]

    def _smaller(self, id: str, leak: Leak) -> Leak:
        after, smallest = leak.after, self._smallest(id)
        later: Any = smallest if self._leaks(id, after, smallest) else leak.later
        later = shrink(later, lambda plan: self._leaks(id, after, plan), _SHRINK_PLANS)
        if len(after) == 1:
            earlier: Any = after[0]
            after = (cast("AnyPlan", shrink(earlier, lambda plan: self._leaks(id, (plan,), later), _SHRINK_PLANS)),)
        return Leak(after, later)

    def _report(self, leaks: Mapping[str, Leak], unclear: Sequence[str]) -> None:
        """Put the leak under its rule; or name, where that does not apply, the plans before each failure.

        Args:
            leaks: For each id that a leak breaks, the plans that show it.
            unclear: The ids that are broken only after another run of the same plan, by a leak or otherwise.
        """
        rule = REQUIREMENTS[LEAK_RULE]
        if not self._subject.applies(rule) or is_upcoming(self._subject, rule):
            for id, (after, later) in leaks.items():
                if id != _CRASH:
                    failure = self._fresh.judge(*after, later).failures[id]
                    self._tally.counts[id].failure = replace(failure, after=after)
            return
        count = self._tally.counts[LEAK_RULE]
        for after, later in sorted(leaks.values(), key=lambda leak: len(repr(leak))):
            found = find_difference(self._fresh.judge(later), self._fresh.judge(*after, later))
            if found is not None:
                count.failure = Failure(later, *found, after)
                count.occurrences = max(count.occurrences, 1)
                break
        self._tally.leaks = True
        if _CRASH in leaks:
            self._tally.crash = None
        aside = {_CRASH, LEAK_RULE, *leaks, *unclear}
        for id in self._first.keys() - aside:
            # What the leak has done to the run in this process would only distract from it.
            count = self._tally.counts[id]
            count.failure = self._fresh.judge(self._smallest(id)).failures[id]
        self._judge_again([id for id in (*leaks, *unclear) if id not in {_CRASH, LEAK_RULE}])

    def _judge_again(self, ids: Sequence[str]) -> None:
        """Judge requirements on the first runs of plans, each as the first of a process: that counts.

        All plans would take many minutes. Most of them are those on which a requirement was broken.
        """
        broken_on = {id: self._tally.counts[id].broken_on for id in ids}
        chosen = self._chosen(broken_on)
        for id in ids:
            self._tally.counts[id].failure = None
            self._tally.counts[id].occurrences = 0
        for done, plan in enumerate(chosen):
            self._progress(f"{_STEP}: plans", done, len(chosen))
            judged = self._fresh.judge(plan)
            for id in ids:
                count = self._tally.counts[id]
                count.occurrences += judged.occurrences.get(id, 0)
                if id in judged.broken_at_once and count.failure is None:
                    count.failure = judged.failures[id]
        for id in ids:
            failure = self._tally.counts[id].failure
            if failure is not None:
                self._tally.counts[id].failure = self._smallest_alone(id, failure.plan)
        left = len({repr(plan) for plan in self._tried}) - len(chosen)
        if ids and left > 0:
            self._notes.append(
                f"{', '.join(ids)}: judged alone on {len(chosen)} plans, and not on {left} others, because of the "
                "leak: close it, and check again"
            )

    def _chosen(self, broken_on: Mapping[str, Sequence[AnyPlan]]) -> list[AnyPlan]:
        """Return the plans to be judged again: some on which each rule was broken, and others, spread over all."""
        chosen: set[str] = set()
        for plans in broken_on.values():
            chosen.update(map(repr, _spread(plans, max(_MOST_AGAIN // len(broken_on), 2))))
        if broken_on:
            chosen.update(map(repr, _spread(self._tried, _MOST_AGAIN - len(chosen))))
        return list({repr(plan): plan for plan in self._tried if repr(plan) in chosen}.values())


def _spread(plans: Sequence[AnyPlan], most: int) -> Sequence[AnyPlan]:
    """Return at most as many of some plans, from all over them."""
    return plans[:: -(-len(plans) // most)] if plans and most > 0 else ()


def _last(most: int, holds: Callable[[int], bool]) -> int:
    """Return the last place below `most` at which something holds that holds from 0 up to somewhere."""
    low, high = 0, max(most, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _blame_here(
    subject: AnySubject, tally: Tally, first: Mapping[str, Failure], guard: Guard, reason: str
) -> list[str]:
    """Run what is broken once more in this process, where a leak can be suspected, and not be shown."""
    untried = f"what is broken was not tried in a fresh process ({reason}), and may be a leak from another plan"
    warnings = [f"{untried}: name a file or module in which another process finds the subject"]
    known: dict[str, frozenset[str]] = {}
    for id in first:
        failure = tally.counts[id].failure or first[id]
        name = plan_text(failure.plan)
        if name not in known:
            again = Tally()
            judge_plan(subject, failure.plan, again, guard)
            known[name] = again.broken
        if id not in known[name]:
            warnings.append(f"{id} holds on {name} when that is run again: a run before it has broken it, or chance")
    return warnings
