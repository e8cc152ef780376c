"""What is observed of a run: around the runner, never inside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtimeinfo import CLOSES, InfoReader, Lifecycle, current_hub, hears_everything
from runtimeinfo_conformance._shared_view import Onlooker, SharedView
from runtimeinfo_conformance.plans import Fault, Item, Plan, PlannedError

# At these all that the hub holds has to be there for others: SHARE-03.
_EVERYTHING = frozenset(
    (
        "before_train",
        *(f"{edge}_train_epoch" for edge in ("before", "after")),
        *(f"{edge}_{stage}" for edge in ("before", "after") for stage in ("val", "test")),
    )
)


@dataclass(frozen=True, slots=True)
class Record:
    """One event, and what the runner and the hub said at it.

    Attributes:
        event: The event.
        arguments: Its arguments.
        epoch: The runner's epoch; None if it has none.
        iter: The runner's iter; None if it has none.
        info: The hub's infos.
        scalars: The values of the hub's scalars.
        rates: What get_lr() returned, at before_train_iter.
        identity: The runner's metadata, at before_run and before_train.
        seen: What each probe saw at this event, in the order in which they were called.
        current: What current_hub() answered on each of these infos and scalars; None on a scalar that it lacks.
        shared: What another process found; None if it found no run.
    """

    event: str
    arguments: Mapping[str, Any]
    epoch: int | None
    iter: int | None
    info: Mapping[str, Any]
    scalars: Mapping[str, tuple[float, ...]]
    rates: Mapping[str, Any]
    identity: Mapping[str, Any]
    seen: tuple[Sighting, ...]
    current: Mapping[str, Any]
    shared: SharedView | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a probe saw: which one it was, and the iteration by the runner and by the hub."""

    probe: str
    runner_iter: int | None
    hub_iter: int | None


@dataclass(frozen=True, slots=True)
class Glance:
    """What a component finds between two events: where the run reads an item of the plan's data.

    Attributes:
        at: The index of the record before it.
        held: The hub's infos and scalars; nothing where current_hub() is the hub itself.
        current: What current_hub() answered on them; None on a scalar that it lacks.
    """

    at: int
    held: Mapping[str, Any]
    current: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """What another process finds where an item of the plan's data is read, in whatever thread.

    Attributes:
        at: The index of the record before it.
        item: The item.
        shared: What is found; None if no run is.
    """

    at: int
    item: Item
    shared: SharedView | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the model says of a record.

    Attributes:
        objection: Why the event is illegal here; None if it is not.
        outside: The scopes that were open before the event.
        inside: The scopes that are open after it.
        stage: What loop_stage has to be after it.
        epoch: How many epochs are completed at it.
        iter: How many iterations are completed at it.
        aborting: Whether it belongs to an abnormal end.
    """

    objection: str | None
    outside: tuple[str, ...]
    inside: tuple[str, ...]
    stage: str | None
    epoch: int
    iter: int
    aborting: bool


@dataclass
class Leg:
    """One call of a subject's `run`, as it was observed.

    Attributes:
        plan: What it was asked to do.
        records: The events.
        glances: What components found between them.
        reads: What another process found meanwhile.
        planned: The exception of the plan's fault, once it was raised.
        fault_at: The index of the record at which it was raised.
        raised: The exception that came out.
        final_info: The hub's infos after the run.
        previous: The leg that this one resumes.
        first: The leg that this one repeats.
        hub: The hub that the runner showed last.
        place: The process and the thread in which it did.
        left_behind: The boards that were there after the run, and not before.
    """

    plan: Plan
    records: list[Record] = field(default_factory=list[Record])
    glances: list[Glance] = field(default_factory=list[Glance])
    reads: list[Read] = field(default_factory=list[Read])
    planned: BaseException | None = None
    fault_at: int | None = None
    raised: BaseException | None = None
    final_info: Mapping[str, Any] | None = None
    previous: Leg | None = None
    first: Leg | None = None
    hub: Any = None
    place: tuple[int, int] | None = None
    left_behind: list[str] = field(default_factory=list[str])

    @property
    def ended_well(self) -> bool:
        """Whether nothing was raised, on purpose or not."""
        return self.raised is None and self.planned is None

    def expectations(self) -> list[Expectation]:
        """Follow the records with the model: the lifecycle, and two counters."""
        lifecycle = Lifecycle()
        epoch, iteration = self.plan.start_epoch, self.plan.start_iteration
        expectations: list[Expectation] = []
        for index, record in enumerate(self.records):
            outside = lifecycle.open_scopes
            objection = lifecycle.objection(record.event)
            if objection is None:
                lifecycle.advance(record.event)
            else:
                lifecycle.feed(record.event)
            # The last close of an abnormal end leaves nothing that could be aborting, yet belongs to it.
            aborting = lifecycle.aborting or (
                record.event in CLOSES and bool(expectations) and expectations[-1].aborting
            )
            expectations.append(
                Expectation(objection, outside, lifecycle.open_scopes, lifecycle.stage, epoch, iteration, aborting)
            )
            if not aborting and index != self.fault_at:
                iteration += record.event == "after_train_iter"
                epoch += record.event == "after_train_epoch"
        return expectations


@hears_everything(by="note")
class Recorder:
    """The last hook of all: notes every event, and raises the plan's fault.

    Args:
        leg: Where to note.
    """

    priority = "LOWEST"

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.sightings: list[Sighting] = []
        self._occurrences: dict[str, int] = {}
        self._onlooker = Onlooker()

    def note(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Note an event."""
        self.leg.place = _here()
        self.leg.hub = hub = runner.message_hub
        seen, self.sightings[:] = tuple(self.sightings), []
        info, scalars = _infos(hub), _scalars(hub)
        self.leg.records.append(
            Record(
                event=event,
                arguments=dict(arguments),
                epoch=getattr(runner, "epoch", None),
                iter=getattr(runner, "iter", None),
                info=info,
                scalars=scalars,
                rates=_first_rates(runner) if event == "before_train_iter" else {},
                identity=_identity(runner) if event in {"before_run", "before_train"} else {},
                seen=seen,
                current=_answers(current_hub(), hub, info, scalars),
                shared=self._onlooker.look(at_everything=event in _EVERYTHING),
            )
        )
        fault = self.leg.plan.fault
        if fault is not None and fault.event == event:
            self._maybe_raise(fault)

    def look(self, item: Item) -> None:
        """Note what a component and another process find between two events, where an item is read."""
        if self.leg.place is not None and self.leg.place[0] == os.getpid():
            self.leg.reads.append(Read(len(self.leg.records) - 1, item, self._onlooker.look()))
        # Data that a worker reads ahead, be it a thread or a process, is not read by the training.
        if self.leg.place == _here():
            hub, reader = self.leg.hub, current_hub()
            info, scalars = ({}, {}) if reader is hub else (_infos(hub), _scalars(hub))
            current = _answers(reader, hub, info, scalars)
            self.leg.glances.append(Glance(len(self.leg.records) - 1, {**info, **scalars}, current))

    def finish(self) -> None:
        """Note what the hub holds when everything is over."""
        # A hub which cannot be read has made the run crash already, when its first event was noted.
        if self.leg.hub is not None and self.leg.records:
            self.leg.final_info = _infos(self.leg.hub)
        self.leg.left_behind = self._onlooker.left_behind()

    def _maybe_raise(self, fault: Fault) -> None:
        occurrence = self._occurrences[fault.event] = self._occurrences.get(fault.event, -1) + 1
        if occurrence == fault.occurrence and self.leg.planned is None:
            message = f"planned at {fault.event}, occurrence {fault.occurrence}"
            self.leg.planned = KeyboardInterrupt(message) if fault.kind == "interrupt" else PlannedError(message)
            self.leg.fault_at = len(self.leg.records) - 1
            raise self.leg.planned


class Probe:
    """A hook that notes when it was called, and what it saw.

    Args:
        name: Its name.
        priority: Its priority.
        sightings: Where to note.
    """

    def __init__(self, name: str, priority: str, sightings: list[Sighting]) -> None:
        self.name = name
        self.priority = priority
        self.sightings = sightings

    def before_train_epoch(self, runner: Any) -> None:
        """Note."""
        self._note(runner)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Note."""
        self._note(runner)

    def _note(self, runner: Any) -> None:
        self.sightings.append(Sighting(self.name, getattr(runner, "iter", None), runner.message_hub.get_info("iter")))


def _infos(hub: Any) -> dict[str, Any]:
    """Return what a component reads: `get_info`, of all that is listed."""
    return {key: hub.get_info(key) for key in hub.runtime_info}


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _scalars(hub: Any) -> dict[str, tuple[float, ...]]:
    return {key: _values(history) for key, history in hub.log_scalars.items()}


def _values(history: Any) -> tuple[float, ...]:
    return tuple(history.data[0].tolist())


def _answers(
    reader: InfoReader, hub: Any, info: Mapping[str, Any], scalars: Mapping[str, tuple[float, ...]]
) -> dict[str, Any]:
    """Return what a reader answers on what the hub holds."""
    if reader is hub:  # nearly always, and to read it all twice would take twice as long
        return {**info, **scalars}
    return {**{key: reader.get_info(key) for key in info}, **{key: _found(reader, key) for key in scalars}}


def _found(reader: InfoReader, key: str) -> tuple[float, ...] | None:
    try:
        return _values(reader.get_scalar(key))
    except KeyError:  # HUB-07
        return None


def _first_rates(runner: Any) -> dict[str, Any]:
    return {name: float(values[0]) for name, values in runner.optim_wrapper.get_lr().items()}


def _identity(runner: Any) -> dict[str, Any]:
    return {
        "cfg": runner.cfg.pretty_text,
        "seed": runner.seed,
        "experiment_name": runner.experiment_name,
        f"{runner.framework_name}_version": runner.framework_version,
    }
