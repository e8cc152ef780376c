"""DIST: comparison of each rank's results with the model, turn by turn.

Each turn, and each scalar in it, is judged under the one requirement that covers its special case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from runtimeinfo_conformance._subject import ReduceSubject
from runtimeinfo_conformance.judges._judge import Finding, RuleFinding
from runtimeinfo_conformance.judges._reduce_model import Demand, Entries, ReduceModel, statistics
from runtimeinfo_conformance.plans import RANKS, ReducePlan, Turn
from runtimeinfo_conformance.ranks import Answer, shared_ranks

_RESULT = "a result"
_ERROR = "an error"


def judge_reduce(subject: ReduceSubject, plan: ReducePlan) -> Iterator[RuleFinding]:
    """Run a plan on real ranks, and compare each rank's result with the model after each turn.

    Stop when a rank hangs or dies, returns a result where it must fail, or fails where it must return one.
    """
    ranks, model = shared_ranks(), ReduceModel()
    ranks.begin(subject.reduce)
    for at, turn in enumerate(plan.turns):
        demand = model.begin(turn)
        answers = ranks.turn(turn)
        findings = list(_judge_turn(turn, demand, model, answers, at))
        yield from findings
        if any(not finding.holds for _, finding in findings):
            return
        model.end(demand)


def _judge_turn(
    turn: Turn, demand: Demand, model: ReduceModel, answers: list[Answer], at: int
) -> Iterator[RuleFinding]:
    faulty = None if turn.fault is None else turn.at % RANKS
    others = {rank: answer for rank, answer in enumerate(answers) if rank != faulty}
    if turn.fault == "absent":
        yield from (RuleFinding("DIST-07", Finding(at, *_beside(rank, _ERROR, each))) for rank, each in others.items())
    elif turn.fault == "unreadable":
        yield from (_names("DIST-06", at, rank, each, f"rank {faulty}") for rank, each in others.items())
        yield RuleFinding("DIST-06", Finding(at, *_beside(turn.at % RANKS, _ERROR, answers[turn.at % RANKS])))
    elif demand.scalars is None:
        for rank, answer in others.items():
            yield _names_one_of("DIST-05", at, rank, answer, demand.lacking)
    else:
        yield from _judge_results(demand.scalars, model, answers, at)
    for rank, answer in enumerate(answers):
        if answer.is_there:
            held = f"the hub of rank {rank} is as it was"
            yield RuleFinding("DIST-11", Finding(at, held, held if answer.is_hub_unchanged else "it is changed"))


def _judge_results(
    demanded: dict[str, Entries], model: ReduceModel, answers: list[Answer], at: int
) -> Iterator[RuleFinding]:
    usual = "DIST-12" if model.idle else _special(model) or "DIST-02"
    for rank, answer in enumerate(answers):
        if answer.scalars is None:
            yield RuleFinding(usual, Finding(at, *_beside(rank, _RESULT, answer)))
            continue
        if model.idle:
            additional = sorted(answer.scalars.keys() - demanded.keys())
            yield RuleFinding("DIST-12", Finding(at, f"rank {rank}: no more scalars", _more(rank, additional)))
        for key, entries in demanded.items():
            got = answer.scalars.get(key)
            for requirement, names in _judged_under(key, entries, model):
                expected = {name: value for name, value in statistics(entries).items() if name in names}
                observed = got and {name: _close(value, got[name], entries) for name, value in expected.items()}
                yield RuleFinding(
                    requirement, Finding(at, {f"rank {rank}: {key}": expected}, _shown(rank, key, observed))
                )
    results = [answer.scalars for answer in answers]
    if all(result is not None for result in results):
        yield RuleFinding(
            "DIST-04", Finding(at, [_to_the_bit(results[0])] * RANKS, [_to_the_bit(each) for each in results])
        )


def _special(model: ReduceModel) -> str | None:
    if model.has_failed:
        return "DIST-08"
    return "DIST-09" if model.reduced else None


def _judged_under(key: str, entries: Entries, model: ReduceModel) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the requirements that a scalar is judged under, each with the statistics that it covers."""
    if any(math.isnan(value) for value, _ in entries):
        yield "DIST-10", ("sum", "mean", "min", "max")
        return
    special = "DIST-12" if key in model.idle else _special(model)
    if special == "DIST-09" and key not in model.reduced:
        special = None  # it is new, so no value can be reduced twice
    if special is not None:
        yield special, ("sum", "count", "min", "max") if special == "DIST-12" else ("sum",)
    else:
        yield "DIST-01", ("mean",)
        yield "DIST-02", ("sum", "count")
        yield "DIST-03", ("min", "max")


def _close(expected: float, observed: float, entries: Entries) -> float:
    """Return the expected statistics if the difference is within the effect of the order of additions."""
    magnitude = sum(abs(value) for value, _ in entries)
    return expected if math.isclose(expected, observed, rel_tol=1e-12, abs_tol=1e-12 * magnitude) else observed


def _names_one_of(
    requirement: str, at: int, rank: int, answer: Answer, lacking: dict[int, tuple[str, ...]]
) -> RuleFinding:
    for culprit, keys in lacking.items():
        for key in keys:
            named = _names(requirement, at, rank, answer, f"rank {culprit}", key)
            if named.finding.holds:
                return named
    culprit, keys = next(iter(lacking.items()))
    return _names(requirement, at, rank, answer, f"rank {culprit}", keys[0])


def _names(requirement: str, at: int, rank: int, answer: Answer, *names: str) -> RuleFinding:
    expected = f"rank {rank}: an error that names {' and '.join(names)}"
    is_named = answer.is_there and answer.error is not None and all(_has(answer.error, name) for name in names)
    return RuleFinding(requirement, Finding(at, expected, expected if is_named else _beside(rank, "", answer)[1]))


def _has(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _beside(rank: int, expected: str, answer: Answer) -> tuple[str, str]:
    """Return the expected and the observed result of a rank as text."""
    if not answer.is_there:
        got = str(answer.error)
    elif answer.error is None:
        got = _RESULT
    else:
        got = _ERROR if expected == _ERROR else answer.error
    return f"rank {rank}: {expected}", f"rank {rank}: {got}"


def _more(rank: int, additional: list[str]) -> str:
    return f"rank {rank}: {', '.join(additional) or 'no more scalars'}"


def _shown(rank: int, key: str, observed: dict[str, float] | None) -> Any:
    return {f"rank {rank}: {key}": "it is not in the result" if observed is None else observed}


def _to_the_bit(scalars: Any) -> Any:
    return {key: {name: value.hex() for name, value in each.items()} for key, each in scalars.items()}
