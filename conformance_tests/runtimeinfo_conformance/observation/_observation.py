"""What is observed of a run, and what the model says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtimeinfo.spec import CLOSES, Lifecycle
from runtimeinfo_conformance.observation._shared_view import SharedView
from runtimeinfo_conformance.plans import MOMENTS, Item, Plan


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
        fault_at: The index of the record at which it was raised, or after which, if that was between two events.
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

    @property
    def moment(self) -> str | None:
        """Where the plan's fault is raised between two events; None if it is raised at one, or there is none."""
        fault = self.plan.fault
        return fault.event if fault is not None and fault.event in MOMENTS else None

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
            if not aborting and (index != self.fault_at or self.moment is not None):
                iteration += record.event == "after_train_iter"
                epoch += record.event == "after_train_epoch"
        return expectations
