"""Plans by a few values for each field, as a covering array takes them, and what the values leave open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from runtimeinfo_conformance.observation import HOOK_ORDERS
from runtimeinfo_conformance.plans import (
    BASE_KINDS,
    CHANGING_KIND,
    FAULT_KINDS,
    MOMENTS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    Fault,
    FaultKind,
    Plan,
    PlanError,
    Values,
    can_raise,
    is_available,
)
from runtimeinfo_conformance.search._occurrences import times_of

Choice = Mapping[str, Any]
"""A value for each field, or for some of them: the others have the usual one."""

FIELDS: Mapping[str, tuple[str | None, tuple[Any, ...]]] = MappingProxyType(
    {
        "max_epochs": (None, (1, 0, 2, 3)),
        "batches": (None, (1, 0, 2, 3)),
        "lengths": ("changing_length", (False, True)),
        "sized": ("unsized", (True, False)),
        "val_batches": ("val", (None, 0, 1, 2)),
        "val_loaders": ("val_loaders", (1, 2)),
        "val_interval": ("val_inside", (None, 1, 2, 3)),
        "val_before": ("val_before", (False, True)),
        "val_after": ("val_after", (False, True)),
        "test_batches": ("test", (None, 0, 1, 2)),
        "outputs": ("outputs", ("none", "scalars", "others")),
        "metrics": ("metrics", ("none", "scalars", "others")),
        "optimizers": ("optimizers", (False, True)),
        "groups": (None, (1, 2)),
        "schedule": ("scheduler", (False, True)),
        "accumulation": ("accumulation", (1, 2, 3)),
        "metainfo": ("metainfo", (False, True)),
        "iterations": ("iterations", (None, "fewer", "all")),
        "stop": ("early_stop", (None, "early", "last")),
        "resume": ("resume", (None, "epoch", "batch", "end", "twice")),
        "stopped_by": ("resume_mid_epoch", ("interrupt", "stop", "iterations")),
        "again": ("again", (False, True)),
        "repeat": (None, (False, True)),
        "fault": (None, (None, "opening", "closing", "moment")),
        "company": (None, (None, "strangers", "around", "beside", "nested", "in_turn")),
    }
)
"""For each field the capability that it takes, if any, and its values, the usual one first."""

# The fields whose values are those of the plan's field of that name.
_SAME = (
    "max_epochs", "batches", "sized", "val_batches", "val_loaders", "val_interval", "val_before", "val_after",
    "test_batches", "groups", "schedule", "accumulation", "stopped_by", "again", "repeat", "company",
)  # fmt: skip

_NAMES = ("loss", "acc", "aux/κ", "top 5/🐈 %", "text")

_STEP_PRIME = 7


def make_plan(choice: Choice, turn: int = 0) -> Plan:
    """Return a plan with some values.

    Args:
        choice: The values.
        turn: Decides what they leave open, such as the kind of an output, or after which iteration a training stops.

    Raises:
        PlanError: If there is no such training; or if a value is of no use there, and would not be tried in truth.
    """
    given = {name: choice[name] for name in _SAME if name in choice}
    of_validations = {name: value for name, value in given.items() if name.startswith("val_")}
    if given.get("val_batches") is None and any(value != FIELDS[name][1][0] for name, value in of_validations.items()):
        raise PlanError("without a validation nothing can be said of it: leave it out")
    if choice.get("lengths"):
        if given.get("batches", 1) != 1 or given.get("max_epochs", 1) < 2:
            raise PlanError("lengths takes the place of batches, and changes from epoch to epoch: give two epochs")
        given["lengths"] = tuple((1, 3, 2)[(turn + epoch) % 3] for epoch in range(given["max_epochs"]))
    if choice.get("optimizers"):
        given["optimizers"] = ("generator", "critic")
    if choice.get("metainfo"):
        given["metainfo"] = {"classes": ["cat", "dog"]}
    if choice.get("resume") and given.get("batches") == 0:
        # Lightning has no event for an epoch without a batch: what is saved after one depends on all else.
        raise PlanError("an epoch without a batch is not saved in each framework: give batches")
    resume, stopped_by = choice.get("resume"), given.pop("stopped_by", "interrupt")
    plan = Plan(outputs=_outputs(choice, turn), metrics=_metrics(choice, turn), **given)
    plan = _bounded(plan, choice.get("iterations"), turn)
    if resume is not None:
        plan = _resumed(plan, resume, stopped_by, turn)
    elif stopped_by != "interrupt":
        raise PlanError("stopped_by goes with a training that is resumed: leave it out")
    plan = _stopped(plan, choice.get("stop"), turn)
    if choice.get("fault") is not None:
        place = next(iter(_places(plan, choice["fault"])), None)
        if place is None:
            raise PlanError(f"nothing can go wrong in {choice['fault']}: leave out the fault")
        plan = replace(plan, fault=Fault(place))
    return plan


def choice_of(plan: Plan) -> Choice:
    """Return the values that a plan has; where it has another one, nothing."""
    total = plan.iteration_of(plan.max_epochs)
    choice = {name: getattr(plan, name) for name in _SAME}
    choice |= {
        "lengths": bool(plan.lengths),
        "outputs": _word_for(plan.outputs),
        "metrics": _word_for(plan.metrics),
        "optimizers": bool(plan.optimizers),
        "metainfo": plan.metainfo is not None,
        "iterations": plan.iterations and ("all" if plan.iterations >= total else "fewer"),
        "stop": plan.stop_after and ("last" if plan.stop_after == plan.max_iters else "early"),
        "resume": _resume_of(plan),
        "fault": plan.fault and _part_of(plan.fault.event),
    }
    if plan.val_batches is None:
        choice |= {"val_loaders": 1, "val_interval": None, "val_before": False, "val_after": False}
    return choice


def read_choice(line: str) -> Choice:
    """Return the values that a line has: the inverse of `write_choice`."""
    given = dict(word.split("=") for word in line.split())
    return {name: next(value for value in FIELDS[name][1] if str(value) == word) for name, word in given.items()}


def write_choice(choice: Choice) -> str:
    """Return the values that are not the usual ones as a line.

    Example:
        >>> write_choice({"max_epochs": 3, "batches": 1, "resume": "batch"})
        'max_epochs=3 resume=batch'
    """
    return " ".join(f"{name}={value}" for name, value in choice.items() if value != FIELDS[name][1][0])


class Filling:
    """Decides what values leave open, so that each kind, place and moment has its turn."""

    def __init__(self) -> None:
        self._turn = 0
        self._places: Counter[tuple[str, bool]] = Counter()
        self._kinds: Counter[FaultKind] = Counter()
        self._hooks: Counter[str] = Counter()

    def note(self, plan: Plan) -> None:
        """Note that a plan is tried anyway."""
        if plan.fault is not None:
            self._places[plan.fault.event, plan.fault.kind in BASE_KINDS] += 1
            self._kinds[plan.fault.kind] += 1
            self._hooks[plan.fault.hook] += 1

    def fill(self, choice: Choice) -> Plan:
        """Return a plan with the values."""
        turn, self._turn = self._turn, self._turn + 1
        plan = _first_possible(choice, (turn, turn + 1, turn + 2, 0))
        plan = replace(plan, seed=turn * _STEP_PRIME % 100, hook_order=turn * _STEP_PRIME % HOOK_ORDERS)
        if choice.get("fault") is not None:
            plan = self._with_fault(plan, choice["fault"], turn)
            self.note(plan)
        return plan

    def _with_fault(self, plan: Plan, part: str, turn: int) -> Plan:
        """Return a plan with the fault that was least often tried, out of those that go with it."""
        places = [(place, is_base) for place in _places(plan, part) for is_base in (False, True)]
        place, is_base = min(places, key=self._how_often)
        kinds: list[FaultKind] = [
            kind for kind in FAULT_KINDS if (kind in BASE_KINDS) == is_base and can_raise(place, kind)
        ]
        times = times_of(plan)[place]
        hook: Literal["last", "first"] = "last"
        if place not in MOMENTS and self._hooks["first"] * 2 < self._hooks["last"]:
            hook = "first"
        # Mostly late, so that much has been seen before.
        occurrence = (times - 1, 0, times - 1, times // 2)[turn % 4]
        for kind in sorted(kinds, key=self._kinds.__getitem__):
            with suppress(PlanError):
                return replace(plan, fault=Fault(place, occurrence, kind, hook))
        return plan  # with the fault that it has

    def _how_often(self, each: tuple[str, bool]) -> tuple[int, int, str]:
        place, is_base = each
        return self._places[place, True] + self._places[place, False], self._places[place, is_base], place


def _first_possible(choice: Choice, turns: Iterable[int]) -> Plan:
    """Return the plan of the first turn that leaves room for all the values: a late resume leaves none for a stop."""
    for turn in turns:
        with suppress(PlanError):
            return make_plan(choice, turn)
    raise PlanError(f"there is no such training: {dict(choice)}")


_SCALARS = frozenset((*SCALAR_KINDS, *TENSOR_KINDS))


def _pick(kinds: Sequence[str], turn: int) -> str:
    available = [kind for kind in kinds if is_available(kind)]
    return available[turn % len(available)]


def _outputs(choice: Choice, turn: int) -> Values:
    scalars = [_pick((*SCALAR_KINDS, *TENSOR_KINDS), 2 * turn + index) for index in range(2)]
    others = [_pick((*OTHER_KINDS, *OTHER_TENSOR_KINDS), turn), *scalars[: turn % 2]]
    kinds = {"scalars": scalars, "others": others}.get(choice.get("outputs", ""), [])
    # A framework may let the user make the steps where the loss is not a scalar, and then has no bound of iterations.
    names = _NAMES[1:] if choice.get("iterations") else _NAMES
    return tuple((names[(turn + index) % len(names)], kind) for index, kind in enumerate(kinds))


def _metrics(choice: Choice, turn: int) -> Values:
    scalar = ("acc", _pick((*SCALAR_KINDS, *TENSOR_KINDS), turn))
    # Only every second time, so by the half: otherwise every second kind would never come.
    other = ("matrix", _pick((*OTHER_KINDS, *OTHER_TENSOR_KINDS), turn // 2))
    others: Values = (("changing", CHANGING_KIND), scalar) if turn % 2 else (other, scalar)[: 1 + turn // 2 % 2]
    return {"scalars": (scalar,), "others": others}.get(choice.get("metrics", ""), ())


def _bounded(plan: Plan, word: str | None, turn: int) -> Plan:
    total = plan.max_iters
    if word is None:
        return plan
    if total < 1 + (word == "fewer"):
        raise PlanError(f"there are {total} iterations: leave out iterations")
    return replace(plan, iterations=total if word == "all" else 1 + turn % (total - 1))


def _resumed(plan: Plan, word: str, stopped_by: Any, turn: int) -> Plan:
    """Return a plan that is resumed between epochs, in an epoch, at the end of one, or both of the former."""
    epochs = range(plan.epochs)
    between = [(epoch, 0) for epoch in epochs[1:]]
    inside = [(epoch, batch) for epoch in epochs for batch in range(1, plan.batches)]
    moments = {
        "epoch": between,
        "batch": inside,
        "end": [(epoch, plan.batches) for epoch in epochs if plan.batches],
        "twice": sorted(between + inside),
    }[word]
    end = plan.max_iters + (word == "end")
    fitting = [each for each in moments if plan.iteration_of(*each) < end or not plan.max_iters]
    if len(fitting) < 1 + (word == "twice"):
        raise PlanError("there is no moment to resume at: leave it out")
    first = turn % (len(fitting) - (word == "twice"))
    later: tuple[tuple[int, int], ...] = ()
    if word == "twice":
        later = (fitting[first + 1 + turn % (len(fitting) - first - 1)],)
    epoch, batch = fitting[first]
    return replace(plan, resume_after=epoch, resume_batch=batch, later_resumes=later, stopped_by=stopped_by)


def _stopped(plan: Plan, word: str | None, turn: int) -> Plan:
    if word is None:
        return plan
    done = plan.iteration_of(*plan.resumes[-1]) if plan.resumes else 0
    left = plan.max_iters - done
    if left < 1 + (word == "early"):
        raise PlanError("there is no iteration to stop after: leave it out")
    return replace(plan, stop_after=plan.max_iters if word == "last" else done + 1 + turn % (left - 1))


def _word_for(values: Values) -> str:
    if not values:
        return "none"
    return "scalars" if all(kind in _SCALARS for _, kind in values) else "others"


def _resume_of(plan: Plan) -> str | None:
    if plan.later_resumes:
        return "twice"
    if plan.resume_after is None:
        return None
    return "epoch" if not plan.resume_batch else "end" if plan.resume_batch == plan.batches else "batch"


def _part_of(place: str) -> str:
    if place not in MOMENTS:
        return "opening" if place.startswith("before_") else "closing"
    return "moment"


def _places(plan: Plan, part: str) -> Iterable[str]:
    return (place for place, times in times_of(plan).items() if times and _part_of(place) == part)
