"""The changes of one field of one record of a run, each with the place where it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from numbers import Number
from typing import Any, NamedTuple

from runtimeinfo.board import layout
from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.observation import Leg, Record
from runtimeinfo_conformance.plans import Batch


class Cell(NamedTuple):
    """A place in the matrix.

    Attributes:
        field: What is changed, and how.
        event: At which event; or in which part of the leg.
        phase: ``"beginning"`` before the first before_train; ``"closing"`` in an abnormal end; otherwise what is
            special about the training: ``"cut short"``, ``"changing lengths"``, ``"in company"`` or ``"resumed"``; or
            ``"normal"``.
    """

    field: str
    event: str
    phase: str


def perturbations(leg: Leg) -> Iterator[tuple[Cell, Leg]]:
    """Iterate over the changes of one field, each as the whole leg with that change in it."""
    begin = next((at for at, record in enumerate(leg.records) if record.event == "before_train"), len(leg.records))
    usual = _usual_phase(leg)
    for at, (record, model) in enumerate(zip(leg.records, leg.expectations(), strict=True)):
        phase = "beginning" if at < begin else "closing" if model.aborting else usual
        for name, records in _stream_changes(leg, at):
            yield Cell(name, record.event, phase), _shifted(leg, at, records)
        for name, change in _record_changes(record):
            yield Cell(name, record.event, phase), _with_records(leg, at, at + 1, change)
        for name, change in _lasting_changes(record):
            yield Cell(f"{name}, from here on", record.event, phase), _with_records(leg, at, len(leg.records), change)
    for part, name, changed in _leg_changes(leg):
        yield Cell(name, part, usual if leg.planned is None else "closing"), changed


def _usual_phase(leg: Leg) -> str:
    plan = leg.plan
    phases = {
        "cut short": plan.is_cut_short,
        "changing lengths": bool(plan.lengths),
        "in company": plan.company is not None,
        "resumed": leg.previous is not None,
    }
    return next((phase for phase, applies in phases.items() if applies), "normal")


Change = Callable[[Record], Record]


def _with_records(leg: Leg, begin: int, end: int, change: Change) -> Leg:
    records = [*leg.records[:begin], *map(change, leg.records[begin:end]), *leg.records[end:]]
    return replace(leg, records=records)


def _stream_changes(leg: Leg, at: int) -> Iterator[tuple[str, list[Record]]]:
    """Iterate over changes in which events come; that which comes anywhere is not judged."""
    records, event = leg.records, leg.records[at].event
    if event in FREE_EVENTS:
        return
    yield "event: dropped", [*records[:at], *records[at + 1 :]]
    yield "event: doubled", [*records[: at + 1], *records[at:]]
    if at + 1 < len(records) and records[at + 1].event != event:
        yield "event: swapped with the next", [*records[:at], records[at + 1], records[at], *records[at + 2 :]]


def _shifted(leg: Leg, at: int, records: list[Record]) -> Leg:
    """Return a leg with other records, whose views between them are where they were."""
    by = len(records) - len(leg.records)
    parts: dict[str, Any] = {}
    for name in ("glances", "looks", "stage_looks", "reads"):
        views: list[Any] = getattr(leg, name)
        parts[name] = [replace(view, at=view.at + by) if view.at >= at + (by > 0) else view for view in views]
    fault_at = leg.fault_at
    if fault_at is not None and not by and fault_at in {at, at + 1}:
        fault_at = 2 * at + 1 - fault_at
    elif fault_at is not None and fault_at >= at + (by > 0):
        fault_at = max(fault_at + by, 0)
    return replace(leg, records=records, fault_at=fault_at, **parts)


def _record_changes(record: Record) -> Iterator[tuple[str, Change]]:
    for name, value in record.arguments.items():
        other = {"another": 1.0} if value is None and name in {"outputs", "metrics"} else _another(value)
        yield f"argument {name}: another", _set_argument(name, other)
        if value is not None:
            yield f"argument {name}: None", _set_argument(name, None)
    for counter in ("epoch", "iter"):
        now = getattr(record, counter)
        yield f"runner's {counter}: another", lambda each, counter=counter, now=now: replace(each, **{counter: now + 1})
        yield f"{counter}: another", _set_counter(counter, 1)
        yield f"{counter}: one less", _set_counter(counter, -1)
    for key, value in record.info.items():
        yield f"info {_named(key)}: another", _set_info(key, _another(value))
        yield f"info {_named(key)}: removed", _remove_info(key)
    if "loop_stage" not in record.info:
        yield "info loop_stage: there", _set_info("loop_stage", "train")
    for key, values in record.scalars.items():
        for name, changed in _histories(values):
            yield f"history {key}: {name}", _set_scalar(key, changed)
    for name, rate in record.rates.items():
        other = (rate[0] + 1, *rate[1:])
        yield (
            f"rate {name}: another",
            lambda each, name=name, other=other: replace(each, rates={**each.rates, name: other}),
        )
        yield f"rate {name}: removed", lambda each, name=name: replace(each, rates=_without(each.rates, name))
    for name, value in record.identity.items():
        other = _another(value)
        yield (
            f"identity {_named(name)}: another",
            lambda each, name=name, other=other: replace(each, identity={**each.identity, name: other}),
        )
    yield from _probe_changes(record)
    yield from _view_changes(record)


def _lasting_changes(record: Record) -> Iterator[tuple[str, Change]]:
    for counter in ("epoch", "iter"):
        yield f"{counter}: another", _set_counter(counter, 1)
    for key, values in record.scalars.items():
        if len(values) > 1:
            yield f"history {key}: an earlier value changed", _edit_history(key, len(values) - 2, change=1.0)
        if values:
            yield f"history {key}: one more", _edit_history(key, len(values), insert=True)
            yield f"history {key}: one fewer", _edit_history(key, len(values) - 1)


def _probe_changes(record: Record) -> Iterator[tuple[str, Change]]:
    seen = record.seen
    if not seen:
        return
    first, second, *rest = seen
    yield "probes: order", lambda each: replace(each, seen=(second, first, *rest))
    yield "probes: one missing", lambda each: replace(each, seen=(first, *rest))
    for index, name in enumerate(("epoch", "iter")):
        if isinstance(first.hub[index], int):
            hub = tuple((value or 0) + (place == index) for place, value in enumerate(first.hub))
            sighting: Any = replace(first, hub=hub)
            yield f"probes: hub's {name}", lambda each, sighting=sighting: replace(each, seen=(sighting, second, *rest))


def _view_changes(record: Record) -> Iterator[tuple[str, Change]]:
    for key, value in record.current.items():
        other = _another(value)
        yield (
            f"current {_named(key)}: another",
            lambda each, key=key, other=other: replace(each, current={**each.current, key: other}),
        )
    if record.shared is None:
        return
    view = record.shared
    yield "shared: nothing", lambda each: replace(each, shared=None)
    yield "shared: not readable", lambda each: replace(each, shared=replace(view, fault="torn", position={}, held=None))
    yield "shared: modes", lambda each: replace(each, shared=replace(view, modes=(0o755, 0o644)))
    for key, value in view.position.items():
        changed = replace(view, position={**view.position, key: _another(value)})
        yield f"shared {key}: another", lambda each, changed=changed: replace(each, shared=changed)
    for key, value in (view.held or {}).items():
        entry = replace(view, held={**(view.held or {}), key: _another(value)})
        yield f"shared {_named(key)}: another", lambda each, entry=entry: replace(each, shared=entry)


def _leg_changes(leg: Leg) -> Iterator[tuple[str, str, Leg]]:
    another = ValueError("another")
    yield "end", "raised: another exception", replace(leg, raised=another)
    if leg.raised is not None:
        yield "end", "raised: nothing", replace(leg, raised=None)
    for key, value in (leg.final_info or {}).items():
        final = {**(leg.final_info or {}), key: _another(value)}
        yield "end", f"final {_named(key)}: another", replace(leg, final_info=final)
    yield "end", "final loop_stage: there", replace(leg, final_info={**(leg.final_info or {}), "loop_stage": "train"})
    yield "end", "boards left behind", replace(leg, left_behind=["a board"])
    for name, changed in _changes_between_events(leg):
        yield "between events", name, changed
    for index, answer in enumerate(leg.answers):
        told = replace(answer, found="the run 'stale' with seed 9")
        yield "answers", answer.situation.name, replace(leg, answers=_put(leg.answers, index, told))


def _changes_between_events(leg: Leg) -> Iterator[tuple[str, Leg]]:
    for index, glance in enumerate(leg.glances):
        held = glance.held or {**leg.records[glance.at].info, **leg.records[glance.at].scalars}
        key = next(iter(held), None)
        if key is not None:
            changed = replace(glance, held={key: held[key]}, current={key: _another(held[key])})
            yield "glance: another answer", replace(leg, glances=_put(leg.glances, index, changed))
    for index, look in enumerate(leg.looks):
        for name in ("epoch", "iter"):
            value = getattr(look, name)
            other: Any = replace(look, **{name: value + 1})
            yield f"look {look.where}: {name}", replace(leg, looks=_put(leg.looks, index, other))
    begin = next((at for at, record in enumerate(leg.records) if record.event == "before_train"), 0)
    for index, seen_stage in enumerate(leg.stage_looks):
        # Before the training of a resumed run a state that was just loaded may hold any stage.
        if leg.previous is not None and seen_stage.at < begin:
            continue
        other = replace(seen_stage, stage="another")
        yield "look at the stage", replace(leg, stage_looks=_put(leg.stage_looks, index, other))
    for index, read in enumerate(leg.reads):
        kept = [*leg.reads[:index], *leg.reads[index + 1 :]]
        yield f"{read.item.stage} item: not read", replace(leg, reads=kept)
        if read.shared is None:
            continue
        for key, value in read.shared.position.items():
            position = {**read.shared.position, key: _another(value)}
            seen = replace(read, shared=replace(read.shared, position=position))
            where = f"{read.item.stage} item: {key} on the board"
            yield where, replace(leg, reads=_put(leg.reads, index, seen))
    if leg.reads:
        yield "nothing read", replace(leg, reads=[])


# -- how a field is changed


def _put(values: list[Any], index: int, value: Any) -> list[Any]:
    return [*values[:index], value, *values[index + 1 :]]


def _named(key: str) -> str:
    """Return the name of an info; that of a framework's version is the same for all frameworks."""
    return "<framework>_version" if key.endswith("_version") and key != "runtimeinfo_version" else key


def _another(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return "another"
    if isinstance(value, Number):
        return value + 1  # type: ignore[operator]
    if isinstance(value, str):
        return {"train": "test"}.get(value, "train") if value in layout.STAGES else f"{value}, another"
    if isinstance(value, Batch):
        return replace(value, index=value.index + 1)
    if isinstance(value, BaseException):
        return ValueError("another")
    if isinstance(value, Mapping):
        numbers = {key: each + 1 for key, each in value.items() if isinstance(each, Number)}
        return {**value, **(numbers or {"another": 1})}
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1) if value else (1.0,)
    return "another"


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _set_argument(name: str, value: Any) -> Change:
    return lambda record: replace(record, arguments={**record.arguments, name: value})


def _set_info(key: str, value: Any) -> Change:
    """Change an info as the hub holds it: all that look at the hub find it."""

    def change(record: Record) -> Record:
        return replace(
            record,
            info={**record.info, key: value},
            current={**record.current, key: value},
            shared=_reshared(record, lambda held: {**held, key: value}, key),
        )

    return change


def _remove_info(key: str) -> Change:
    def change(record: Record) -> Record:
        return replace(
            record,
            info=_without(record.info, key),
            current=_without(record.current, key),
            shared=_reshared(record, lambda held: _without(held, key), key),
        )

    return change


def _set_scalar(key: str, values: tuple[float, ...] | None) -> Change:
    """Change a history as the hub holds it; None takes it away."""

    def change(record: Record) -> Record:
        if values is None:
            scalars, current = _without(record.scalars, key), _without(record.current, key)
        else:
            scalars, current = {**record.scalars, key: values}, {**record.current, key: values}
        shared = _reshared(record, lambda held: {**_without(held, key), **({key: values[-1]} if values else {})}, key)
        return replace(record, scalars=scalars, current=current, shared=shared)

    return change


def _reshared(record: Record, change: Callable[[Mapping[str, Any]], dict[str, Any]], key: str) -> Any:
    if record.shared is None:
        return None
    if key in layout.SLOTS:
        return replace(record.shared, position=change(record.shared.position))
    return record.shared if record.shared.held is None else replace(record.shared, held=change(record.shared.held))


def _set_counter(counter: str, by: int) -> Change:
    """Change a counter of the runner and of its hub alike, as a runner does that counts wrong."""

    def change(record: Record) -> Record:
        index = ("epoch", "iter").index(counter)
        now = getattr(record, counter)
        changed = replace(record, **{counter: now + by})
        if counter in record.info:
            changed = _set_info(counter, record.info[counter] + by)(changed)
        seen: list[Any] = []
        for sighting in record.seen:
            runner, hub = (
                tuple(value + by * (place == index) for place, value in enumerate(pair))
                if isinstance(pair[index], int) and isinstance(pair[1 - index], int)
                else pair
                for pair in (sighting.runner, sighting.hub)
            )
            seen.append(replace(sighting, runner=runner, hub=hub))
        return replace(changed, seen=tuple(seen))

    return change


def _histories(values: tuple[float, ...]) -> Iterator[tuple[str, tuple[float, ...] | None]]:
    if values:
        yield "last value changed", (*values[:-1], values[-1] + 1)
        yield "one fewer", values[:-1]
        yield "one more", (*values, values[-1])
    if len(values) > 1:
        yield "an earlier value changed", (values[0] + 1, *values[1:])
    yield "removed", None


def _edit_history(key: str, index: int, *, change: float = 0.0, insert: bool = False) -> Change:
    """Change, insert or remove one value of a history; nothing where the history is not that long."""

    def edit(record: Record) -> Record:
        values = record.scalars.get(key, ())
        if insert and 0 < index <= len(values):
            edited = (*values[:index], values[index - 1], *values[index:])
        elif index >= len(values):
            return record
        elif change:
            edited = (*values[:index], values[index] + change, *values[index + 1 :])
        else:
            edited = (*values[:index], *values[index + 1 :])
        return _set_scalar(key, edited)(record)

    return edit
