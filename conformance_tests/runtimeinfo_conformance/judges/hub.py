"""HUB and SCALAR-01: comparison of a hub with the model after each operation."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np

from runtimeinfo import MessageHub
from runtimeinfo.authoring import scalar_value
from runtimeinfo_conformance._subject import HubSubject
from runtimeinfo_conformance.judges._hub_arguments import called
from runtimeinfo_conformance.judges._hub_elsewhere import ElsewhereError, load_elsewhere
from runtimeinfo_conformance.judges._hub_flags import compared_wholes, fill, flags_as_before, judge_popped, whole
from runtimeinfo_conformance.judges._hub_model import (
    Entry,
    HubModel,
    answer,
    compared_contents,
    compared_entries,
    compared_infos,
    contents,
    entries_of,
    is_same_info,
)
from runtimeinfo_conformance.judges._hub_threads import publish_in_threads
from runtimeinfo_conformance.judges._judge import Finding, RuleFinding, broken, ok
from runtimeinfo_conformance.plans import ArgumentStyle, HubOp, HubPlan, is_resumed, make_object, make_value

_NOTHING = "nothing published"
_ABSENT = "no such info"
_NO_KEY = "no such key"
_WINDOWS = (None, 1, 2, 100)
_LONG = 100  # entries; a longer history is also read through windows around its length and a common block size


@dataclass
class _Slot:
    """A saved state, and its contents at that time."""

    state: Any
    held: HubModel


@dataclass
class _Kept:
    """A history that was requested earlier, and its length at that time."""

    key: str
    history: Any
    entries: list[Entry]
    length: int


@dataclass
class _Bench:
    """A hub under test, its model, and the objects kept by earlier operations."""

    subject: HubSubject
    hub: MessageHub
    arguments: ArgumentStyle = "usual"
    model: HubModel = field(default_factory=HubModel)
    slots: dict[int, _Slot] = field(default_factory=dict[int, _Slot])
    kept: list[_Kept] = field(default_factory=list[_Kept])
    is_compared: bool = True  # after the current operation

    @property
    def called(self) -> Any:
        """The hub, called in the plan's argument style."""
        return called(self.hub, self.arguments)

    def forget(self, key: str) -> None:
        """Forget the kept histories of a key, because HUB-22 leaves their further contents open."""
        self.kept = [each for each in self.kept if each.key != key]

    def loaded(self, state: Any) -> MessageHub:
        """Return a new hub that has loaded a state."""
        fresh = self.subject.make("conformance-reloaded")
        fresh.load_state_dict(state)
        return fresh


def judge_hub(subject: HubSubject, plan: HubPlan) -> Iterator[RuleFinding]:
    """Run a plan on a fresh hub, and compare the hub with the model after each operation.

    Stop when an operation fails that must succeed.
    """
    bench = _Bench(subject, subject.make("conformance"), plan.arguments)
    yield from _compare(bench, 0)
    last = len(plan.ops) - 1
    for at, op in enumerate(plan.ops):
        bench.is_compared = at == last or not (at + 1) % max(plan.compare_every, 1)
        findings = list(_APPLY[op.name](bench, op, at))
        yield from findings
        if any(not finding.holds for _, finding in findings):
            return
        if bench.is_compared:
            yield from _compare(bench, at)
    for slot in bench.slots.values():
        yield RuleFinding("HUB-18", _compared_slot(bench, slot, last))


# -- infos. Each operation yields the findings of the requirement that it tests.


def _update_info(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    yield from _published("HUB-01", bench, op.key, op.value, at)


def _update_object(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    # A state need not be able to hold arbitrary objects, so it is published with resumed=False.
    yield from _published("HUB-01", bench, "here/object", make_object(op.value), at)


def _published(requirement: str, bench: _Bench, key: str, value: Any, at: int) -> Iterator[RuleFinding]:
    yield _succeeds(requirement, at, lambda: bench.called.update_info(key, value, **_flag(key)))
    bench.model.infos[key] = value


def _update_info_dict(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    infos = {op.key: op.value, f"{op.key}/too": op.value}
    given = dict(infos)
    yield _succeeds("HUB-09", at, lambda: bench.called.update_info_dict(given, is_resumed(op.key)))
    bench.model.infos.update(infos)
    given["not published"] = given[op.key] = "changed by the caller"
    yield RuleFinding(
        "HUB-09", _answered(at, lambda: compared_infos(at, infos, _subset(bench.hub.runtime_info, infos)))
    )


def _subset(infos: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: infos[key] for key in keys if key in infos}


def _pop_info(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    expected = bench.model.infos.pop(op.key, _NOTHING)
    yield RuleFinding("HUB-03", Finding(at, expected, answer(lambda: bench.called.pop_info(op.key, _NOTHING))))
    yield RuleFinding("HUB-03", Finding(at, _NOTHING, answer(lambda: bench.called.pop_info(op.key, _NOTHING))))
    yield RuleFinding("HUB-03", Finding(at, 0, answer(lambda: bench.called.pop_info(op.key, 0))))
    yield RuleFinding("HUB-03", Finding(at, None, answer(lambda: bench.called.pop_info(op.key))))


# -- scalars


def _update_scalar(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    options: dict[str, Any] = _flag(op.key) if op.count == 1 else {"count": op.count, **_flag(op.key)}
    for turn in range(op.turn, op.turn + op.times):
        value = make_value(op.value, turn)
        finding = _succeeds("SCALAR-01", at, lambda: bench.called.update_scalar(op.key, value, **options))  # noqa: B023  # called here
        if turn == op.turn or not finding.finding.holds:
            yield finding
            if not finding.finding.holds:
                return
        bench.model.append(op.key, _take_number(value), op.count)


def _update_scalars(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    value = make_value(op.value, op.turn)
    entry: dict[str, Any] = {"value": value, "count": op.count}
    keys = (op.key, f"{op.key}/too")
    given: dict[str, Any] = dict(zip(keys, (entry, value), strict=True))
    yield _succeeds("HUB-15", at, lambda: bench.called.update_scalars(given, is_resumed(op.key)))
    number = _take_number(value)
    for key, count in zip(keys, (op.count, 1), strict=True):
        bench.model.append(key, number, count)
    entry["value"] = given["not published"] = -1.0  # the caller's own dicts
    for key in keys:
        yield RuleFinding("HUB-15", compared_entries(at, key, bench.model.scalars[key], _read(bench.hub, key)))


def _take_number(value: Any) -> float:
    """Return the number of a published value, and overwrite an array as a loop that reuses it would."""
    number = float(scalar_value(value))
    fill = getattr(value, "fill_", None) or getattr(value, "fill", None)
    if fill is not None:
        with suppress(RuntimeError, ValueError):  # PyTorch forbids it for a tensor with a graph
            fill(0 if number else 1)
    return number


def _refuse_scalar(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    value, before = make_value(op.value, op.turn), whole(bench.subject.make, bench.hub)
    # With the other flag if the key has none yet, because a refused value must not set it.
    is_new = op.key not in bench.model.scalars and op.key not in bench.model.infos
    resumed = not is_resumed(op.key) if is_new else is_resumed(op.key)
    yield _fails("SCALAR-01", at, lambda: bench.called.update_scalar(op.key, value, 1, resumed))
    yield RuleFinding("SCALAR-01", compared_wholes(at, before, whole(bench.subject.make, bench.hub)))


def _refuse_entry(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Publish a dict whose second entry is not a scalar, then dicts whose second entry has the other flag."""
    value, make, hub, model = make_value(op.value, op.turn), bench.subject.make, bench.hub, bench.model
    before = whole(make, hub)
    # In the long form, because a dict itself may be one.
    scalars = {f"{op.key}/first": 1.0, op.key: {"value": value}, f"{op.key}/last": {"value": 2.0, "count": 2}}
    yield _fails("HUB-19", at, lambda: bench.called.update_scalars(scalars, is_resumed(op.key)))
    yield RuleFinding("HUB-19", compared_wholes(at, before, whole(make, hub)))
    for publish, published in (
        (bench.called.update_info_dict, model.infos),
        (bench.called.update_scalars, model.scalars),
    ):
        for key in list(published)[:1]:
            flipped = {f"{key}/first": 1.0, key: 2.0, f"{key}/last": 3.0}
            yield _fails("HUB-19", at, lambda: publish(flipped, not is_resumed(key)))  # noqa: B023  # called here
            yield RuleFinding("HUB-19", compared_wholes(at, before, whole(make, hub)))
            # The refused dict must not have set the flags of its new entries either.
            yield _succeeds("HUB-19", at, lambda: hub.update_info(f"{key}/last", 3.0, is_resumed(key)))  # noqa: B023  # likewise
            model.infos[f"{key}/last"] = 3.0
            before = whole(make, hub)


def _pop_scalar(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    hub = bench.called
    listed = list(hub.log_scalars)
    for key in (op.key, _NO_KEY):
        yield _succeeds("HUB-26", at, lambda: hub.pop_scalar(key))  # noqa: B023  # called here
    others = sorted(key for key in listed if key != op.key)
    bench.model.scalars.pop(op.key, None)
    bench.forget(op.key)
    yield RuleFinding("HUB-26", Finding(at, others, answer(lambda: sorted(hub.log_scalars))))
    found = _read(hub, op.key)
    # HUB-07 covers how a missing scalar is reported.
    yield RuleFinding(
        "HUB-26", broken(at, {op.key: []}, {op.key: found}) if found and isinstance(found, list) else ok(at)
    )


def _drop_latest(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    hub = bench.called
    yield _succeeds("HUB-27", at, lambda: hub.drop_latest(_NO_KEY))
    entries = bench.model.scalars.get(op.key, [])
    if len(entries) > 1:  # the spec leaves open whether a key without values is published
        yield _succeeds("HUB-27", at, lambda: hub.drop_latest(op.key))
        del entries[-1]
        bench.forget(op.key)
        if bench.is_compared:
            yield RuleFinding("HUB-27", compared_entries(at, op.key, entries, _read(hub, op.key)))


def _flip_resumed(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    hub, model = bench.hub, bench.model
    published = [*model.infos, *model.scalars]
    if not published:
        return
    key, before = published[op.turn % len(published)], whole(bench.subject.make, hub)
    if key in model.infos:
        yield _fails("HUB-08", at, lambda: bench.called.update_info(key, "flipped", not is_resumed(key)))
    if key in model.scalars:
        yield _fails("HUB-08", at, lambda: bench.called.update_scalar(key, 0.0, 1, not is_resumed(key)))
    yield RuleFinding("HUB-08", compared_wholes(at, before, whole(bench.subject.make, hub)))


def _pop_and_flip(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    yield from judge_popped(bench.subject.make, op.key, at)


# -- objects returned earlier


def _keep_history(bench: _Bench, op: HubOp, _at: int) -> Iterator[RuleFinding]:
    """Keep a history for reading it after each later operation."""
    entries = bench.model.scalars.get(op.key)
    if entries:
        bench.kept.append(_Kept(op.key, answer(lambda: bench.hub.get_scalar(op.key)), entries, len(entries)))
    yield from ()


def _write_data(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Take the `data` of a history, publish to it, then write into the taken arrays."""
    hub, entries = bench.hub, bench.model.scalars.get(op.key)
    if not entries:
        return
    taken = answer(lambda: hub.get_scalar(op.key).data)
    before = answer(lambda: entries_of(taken))
    yield from _update_scalar(bench, HubOp("update_scalar", op.key, "float", op.turn), at)
    again = answer(lambda: hub.get_scalar(op.key).data)
    yield RuleFinding("HUB-23", Finding(at, before, answer(lambda: entries_of(taken))))
    for part in again:
        with suppress(TypeError, ValueError):  # it cannot be written to
            part[0] = 99
    yield RuleFinding("HUB-23", compared_entries(at, op.key, entries, _read(hub, op.key)))


def _copy(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Pickle and deep-copy the hub, if it allows that, and publish to both."""
    for copied in (lambda: pickle.loads(pickle.dumps(bench.hub)), lambda: copy.deepcopy(bench.hub)):  # noqa: S301  # its own
        before = contents(bench.hub)
        try:
            twin: MessageHub = copied()
        except Exception:  # noqa: BLE001  # a hub need not allow it
            yield RuleFinding("HUB-24", ok(at))
            continue
        yield RuleFinding("HUB-24", _answered(at, lambda: compared_contents(at, before, contents(twin))))  # noqa: B023  # called here
        yield _succeeds("HUB-24", at, lambda: twin.update_scalar(op.key, -1.0, **_flag(op.key)))  # noqa: B023  # called here
        yield _succeeds("HUB-24", at, lambda: twin.update_info(op.key, "of the copy", **_flag(op.key)))  # noqa: B023  # likewise
        yield RuleFinding("HUB-24", compared_contents(at, before, contents(bench.hub)))
        then = contents(twin)
        yield from _update_scalar(bench, HubOp("update_scalar", op.key, "float", op.turn), at)
        yield RuleFinding("HUB-24", compared_contents(at, then, contents(twin)))


def _publish_in_threads(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Publish to a throwaway hub, because it gets a new scalar in each of hundreds of updates."""
    hub = bench.subject.make("conformance-threads")
    published = publish_in_threads(hub, op.key)
    yield RuleFinding("HUB-16", Finding(at, [], [repr(error) for error in published.errors]))
    for key, of_threads in published.scalars.items():
        found = _read(hub, key)
        if not isinstance(found, list):
            yield RuleFinding("HUB-16", broken(at, {key: "all values"}, {key: found}))
            return
        yield RuleFinding("HUB-16", _all_there(at, key, of_threads, cast("list[Entry]", found)))
    for key, last in published.infos.items():
        value = _info(hub, key)
        yield RuleFinding("HUB-16", ok(at) if value in last else broken(at, {key: last}, {key: value}))


def _all_there(at: int, key: str, of_threads: list[list[Entry]], entries: list[Entry]) -> Finding:
    """Check that each published entry is present once, and in the order of its thread."""
    wanted = sorted(entry for own in of_threads for entry in own)
    if sorted(entries) != wanted:
        lost, more = set(wanted) - set(entries), set(entries) - set(wanted)
        observed = {"values": len(entries), "lost": len(lost), "not published": sorted(more)[:3]}
        return broken(at, {key: {"values": len(wanted), "lost": 0, "not published": []}}, {key: observed})
    places = {entry: place for place, entry in enumerate(entries)}
    if any(places[one] > places[other] for own in of_threads for one, other in pairwise(own)):
        return broken(at, {key: "the values of each thread in its order"}, {key: "in another order"})
    return ok(at)


# -- the state


def _reload(bench: _Bench, _op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Replace the hub by a new one that has loaded its state."""
    hub, model, resumable = bench.hub, bench.model, bench.model.without_unresumed()
    try:
        fresh = bench.loaded(hub.state_dict())
    except Exception as error:  # noqa: BLE001  # it is the finding
        yield RuleFinding("HUB-11", broken(at, "loads", f"raises {error!r}"))
        return
    # As the hub answered, because other requirements cover whether that was right.
    expected, found = ({key: _info(each, key) for key in resumable.infos} for each in (hub, fresh))
    yield RuleFinding("HUB-11", compared_infos(at, expected, found))
    for key in resumable.scalars:
        yield RuleFinding("HUB-11", _compared_histories(at, key, hub, fresh))
    for key in (model.infos.keys() | model.scalars.keys()) - (resumable.infos.keys() | resumable.scalars.keys()):
        held = key in fresh.runtime_info or key in fresh.log_scalars
        yield RuleFinding("HUB-12", broken(at, {key: "not saved"}, {key: "saved"}) if held else ok(at))
    bench.hub, bench.model, bench.kept = fresh, resumable, []


def _compared_histories(at: int, key: str, hub: MessageHub, fresh: MessageHub) -> Finding:
    expected, found = _read(hub, key), _read(fresh, key)
    if not isinstance(expected, list):
        return Finding(at, expected, found)
    return compared_entries(at, key, cast("list[Entry]", expected), found)


def _save(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Save a state, which must survive pickling, in a slot."""
    try:
        state = bench.hub.state_dict()
        held = contents(bench.loaded(state))
    except Exception as error:  # noqa: BLE001  # it is the finding
        yield RuleFinding("HUB-11", broken(at, "loads", f"raises {error!r}"))
        return
    # HUB-11 covers missing contents. From here on, the slot holds the contents of a hub that loads the state now.
    bench.slots[op.turn] = _Slot(state, held)
    yield RuleFinding(
        "HUB-17",
        _answered(at, lambda: compared_contents(at, held, contents(bench.loaded(pickle.loads(pickle.dumps(state)))))),  # noqa: S301  # its own
    )


def _load(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Load a saved state into the hub, regardless of the hub's current contents."""
    slot = bench.slots.get(op.turn)
    if slot is None:
        return
    held, kept = slot.held, _compared_slot(bench, slot, at)
    yield RuleFinding("HUB-18", kept)
    if not kept.holds:
        return
    before = contents(bench.hub)
    yield _succeeds("HUB-20", at, lambda: bench.called.load_state_dict(slot.state))
    for key in held.scalars:
        bench.forget(key)
    expected = before.updated_by(held)
    yield RuleFinding("HUB-20", _answered(at, lambda: compared_contents(at, expected, contents(bench.hub))))
    bench.model = bench.model.updated_by(held)
    yield RuleFinding(
        "HUB-20", _answered(at, lambda: compared_contents(at, held, contents(_over_unsaved(bench, slot))))
    )


def _over_unsaved(bench: _Bench, slot: _Slot) -> MessageHub:
    """Return a hub that published the same keys as not resumable before it loaded a state."""
    hub = bench.subject.make("conformance-unsaved")
    for key in slot.held.infos:
        hub.update_info(key, "unsaved", resumed=False)
    for key in slot.held.scalars:
        hub.update_scalar(key, 0.5, resumed=False)
    hub.load_state_dict(slot.state)
    return hub


def _compared_slot(bench: _Bench, slot: _Slot, at: int) -> Finding:
    """Check that a saved state still has its contents from when it was saved."""
    return _answered(at, lambda: compared_contents(at, slot.held, contents(bench.loaded(slot.state))))


def _load_elsewhere(bench: _Bench, _op: HubOp, at: int) -> Iterator[RuleFinding]:
    state = bench.hub.state_dict()
    held = contents(bench.loaded(state))
    try:
        found = load_elsewhere(bench.subject.make, pickle.dumps(state))
    except (ElsewhereError, Exception) as error:  # noqa: BLE001  # it is the finding
        yield RuleFinding("HUB-17", broken(at, "loads in another process", f"raises {error!r}"))
        return
    yield RuleFinding("HUB-17", compared_contents(at, held, found))


def _load_damaged(bench: _Bench, op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Load the state of another hub that lacks a field."""
    make = bench.subject.make
    state = dict(fill(make("conformance-1"), 1).state_dict())
    fields = sorted(state.keys() - {"version"})
    if not fields:
        return
    del state[fields[op.turn % len(fields)]]
    other = fill(make("conformance-2"), 2)
    for hub in (bench.hub, other):
        before = whole(make, hub)
        yield _fails("HUB-13", at, lambda: hub.load_state_dict(state))  # noqa: B023  # called here
        yield RuleFinding("HUB-13", compared_wholes(at, before, whole(make, hub)))
    yield from flags_as_before("HUB-13", at, other)


def _load_broken(bench: _Bench, _op: HubOp, at: int) -> Iterator[RuleFinding]:
    """Load another hub's state with each of its parts broken in turn. It must be refused as a whole, or not at all."""
    make = bench.subject.make
    state: Mapping[str, Any] = fill(make("conformance-1"), 1).state_dict()
    for damaged in (*_NO_STATES, *_broken_states(state)):
        hub = fill(make("conformance-2"), 2)
        before = whole(make, hub)
        try:
            hub.load_state_dict(damaged)
        except Exception:  # noqa: BLE001  # then nothing of it may be there
            findings = [
                RuleFinding("HUB-21", _answered(at, lambda: compared_wholes(at, before, whole(make, hub)))),  # noqa: B023  # called here
                *flags_as_before("HUB-21", at, hub),
            ]
            yield from findings
            if not all(each.finding.holds for each in findings):
                return
        else:  # the spec does not define which states must be refused
            yield RuleFinding("HUB-21", ok(at))


_NO_STATES: tuple[Any, ...] = (None, (), [], "damaged", 7)


class _Damage:
    """Placeholder for a value of the wrong type in a state."""


def _broken_states(part: Any, depth: int = 3) -> Iterator[Any]:
    """Yield copies of a state with one part at a time missing or of the wrong type."""
    if isinstance(part, Mapping):
        mapping = cast("Mapping[Any, Any]", part)
        for key, value in mapping.items():
            yield {other: mapping[other] for other in mapping if other != key}
            for changed in _broken_parts(value, depth):
                yield {**mapping, key: changed}
    elif isinstance(part, list):
        items = cast("list[Any]", part)
        for index, item in enumerate(items):
            for changed in _broken_parts(item, depth):
                yield [*items[:index], changed, *items[index + 1 :]]


def _broken_parts(part: Any, depth: int) -> Iterator[Any]:
    yield _Damage()
    yield "damaged"
    if isinstance(part, list | tuple | np.ndarray) and len(cast("Any", part)):
        yield part[:-1]
    if depth:
        yield from _broken_states(part, depth - 1)


_APPLY: dict[str, Callable[[_Bench, HubOp, int], Iterator[RuleFinding]]] = {
    "update_info": _update_info,
    "update_info_dict": _update_info_dict,
    "update_object": _update_object,
    "pop_info": _pop_info,
    "update_scalar": _update_scalar,
    "update_scalars": _update_scalars,
    "pop_scalar": _pop_scalar,
    "drop_latest": _drop_latest,
    "refuse_scalar": _refuse_scalar,
    "refuse_entry": _refuse_entry,
    "flip_resumed": _flip_resumed,
    "pop_and_flip": _pop_and_flip,
    "keep_history": _keep_history,
    "write_data": _write_data,
    "copy": _copy,
    "publish_in_threads": _publish_in_threads,
    "reload": _reload,
    "save": _save,
    "load": _load,
    "load_elsewhere": _load_elsewhere,
    "load_damaged": _load_damaged,
    "load_broken": _load_broken,
}


# -- the comparison after each operation


def _compare(bench: _Bench, at: int) -> Iterator[RuleFinding]:
    hub, model = bench.called, bench.model
    found = {key: _info(hub, key) for key in model.infos}
    for key, value in model.infos.items():
        yield RuleFinding("HUB-01", compared_infos(at, {key: value}, {key: found[key]}))
    yield RuleFinding("HUB-02", Finding(at, _ABSENT, answer(lambda: hub.get_info(_NO_KEY, _ABSENT))))
    yield RuleFinding("HUB-02", Finding(at, 0, answer(lambda: hub.get_info(_NO_KEY, 0))))
    yield RuleFinding("HUB-02", Finding(at, None, answer(lambda: hub.get_info(_NO_KEY))))
    yield _fails("HUB-07", at, lambda: hub.get_scalar(_NO_KEY), KeyError)
    for key in model.scalars:
        if key not in hub.log_scalars:
            yield RuleFinding("HUB-14", broken(at, {key: "in log_scalars"}, {key: "not in log_scalars"}))
            continue
        yield from _compare_history(bench, key, model.scalars[key], at)
    yield RuleFinding("HUB-14", _answered(at, lambda: _compared_listed(at, model.infos, found, dict(hub.runtime_info))))
    yield RuleFinding("HUB-14", Finding(at, sorted(model.scalars), answer(lambda: sorted(hub.log_scalars))))
    for each in bench.kept:
        yield RuleFinding("HUB-22", _compare_kept(each, at))


def _compare_history(bench: _Bench, key: str, entries: list[Entry], at: int) -> Iterator[RuleFinding]:
    hub = bench.called

    def history() -> Any:
        return called(hub.get_scalar(key), bench.arguments)

    def ask(statistic: str, *window: int | None) -> Any:
        with _with_infinities():
            return answer(lambda: float(getattr(history(), statistic)(*window)))

    def registered(statistic: str, *window: int | None) -> Any:
        with _with_infinities():
            return answer(lambda: float(history().statistics(statistic, *window)))

    for window in _windows(len(entries)):
        values, counts = _arrays(entries, window)
        yield RuleFinding("HUB-05", _compared_mean(at, window, values, counts, ask("mean", window)))
        for name, extreme in (("min", float(values.min())), ("max", float(values.max()))):
            call = f"{name}({window})"
            yield RuleFinding("HUB-06", Finding(at, {call: extreme}, {call: ask(name, window)}))
    yield RuleFinding("HUB-04", Finding(at, entries[-1][0], ask("current")))
    listed = answer(lambda: entries_of(hub.log_scalars[key].data))
    yield RuleFinding("HUB-10", compared_entries(at, key, entries, listed))
    yield RuleFinding("HUB-10", compared_entries(at, key, entries, _read(hub, key)))
    for name, windows in (("mean", (2,)), ("min", (2,)), ("max", (2,)), ("current", ())):
        yield RuleFinding("HUB-25", Finding(at, {name: ask(name, *windows)}, {name: registered(name, *windows)}))
    yield _fails("HUB-25", at, lambda: hub.get_scalar(key).statistics("no such statistic"), KeyError)


def _compared_listed(at: int, infos: dict[str, Any], found: dict[str, Any], listed: dict[str, Any]) -> Finding:
    """Check that the listed infos are the published ones, or the answers of get_info."""
    expected = {key: found[key] if is_same_info(found[key], listed.get(key)) else infos[key] for key in infos}
    return compared_infos(at, expected, listed)


def _compare_kept(kept: _Kept, at: int) -> Finding:
    found = answer(lambda: entries_of(kept.history.data))
    read = len(cast("list[Entry]", found)) if isinstance(found, list) else 0
    return compared_entries(at, kept.key, kept.entries[: max(read, kept.length)], found)


def _compared_mean(at: int, window: int | None, values: Any, counts: Any, observed: Any) -> Finding:
    """Compare a mean, whose last bits may depend on the order of additions."""
    with _with_infinities():
        mean = float(values.sum() / counts.sum())
        magnitude = float(np.abs(values).sum() / counts.sum())
    call = f"mean({window})"
    if isinstance(observed, float) and math.isfinite(magnitude) and abs(mean - observed) <= 1e-12 * magnitude:
        return ok(at)
    return Finding(at, {call: mean}, {call: observed})


def _windows(length: int) -> Iterable[int | None]:
    if length <= _LONG:
        return _WINDOWS
    return (*_WINDOWS, *sorted({length - 1, length, length + 1, 4095, 4096, 4097}))


def _arrays(entries: list[Entry], window: int | None) -> tuple[Any, Any]:
    last = entries if window is None else entries[-window:]
    return np.array([value for value, _ in last], float), np.array([count for _, count in last])


def _with_infinities() -> np.errstate:
    """Let NumPy add infinities of both signs without a warning, which would raise where warnings are errors."""
    return np.errstate(invalid="ignore", over="ignore")


# If there are two ways to read, each requirement uses only one, so that a single fault does not break them all.


def _read(hub: MessageHub, key: str) -> Any:
    return answer(lambda: entries_of(hub.get_scalar(key).data))


def _info(hub: MessageHub, key: str) -> Any:
    return answer(lambda: hub.get_info(key, _NOTHING))


def _flag(key: str) -> dict[str, bool]:
    """Return the keyword for a key that is not resumable, and nothing for others, to test the default."""
    return {} if is_resumed(key) else {"resumed": False}


def _answered(at: int, ask: Callable[[], Finding]) -> Finding:
    """Return a finding, or one that the hub raised when it was read."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # it is the finding
        return broken(at, "an answer", f"raises {error!r}")


def _succeeds(requirement: str, at: int, operation: Callable[[], object]) -> RuleFinding:
    try:
        operation()
    except Exception as error:  # noqa: BLE001  # it is the finding
        return RuleFinding(requirement, broken(at, "accepted", f"raises {error!r}"))
    return RuleFinding(requirement, ok(at))


def _fails(
    requirement: str, at: int, operation: Callable[[], object], kind: type[Exception] = Exception
) -> RuleFinding:
    expected = f"raises {kind.__name__}"
    try:
        operation()
    except kind:
        return RuleFinding(requirement, ok(at))
    except Exception as error:  # noqa: BLE001  # it is the finding
        return RuleFinding(requirement, broken(at, expected, f"raises {error!r}"))
    return RuleFinding(requirement, broken(at, expected, "accepted"))
