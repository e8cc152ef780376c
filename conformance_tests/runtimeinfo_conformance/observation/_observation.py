"""Observations of a run, and the expectations of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.observation._model import RunModel
from runtimeinfo_conformance.observation._shared_view import SharedView
from runtimeinfo_conformance.plans import MOMENTS, Item, Plan


@dataclass(frozen=True, slots=True)
class Record:
    """An event, with the answers of runner and hub at that time.

    Attributes:
        event: The event.
        arguments: Its arguments.
        epoch: The runner's epoch, or None if it has none.
        iter: The runner's iter, or None if it has none.
        info: The hub's infos.
        scalars: The values of the hub's scalars.
        rates: The learning rates of each entry of get_lr(), at before_train_iter.
        identity: The runner's metadata, at before_run, before_train and after_run.
        seen: The sightings of the probes at this event, in the order in which they were called.
        current: The answers of current_hub() on these infos and scalars, with None for a missing scalar.
        shared: The view of another process, or None if it found no run.
        is_cut: Whether the first of the kit's hooks raised at it, so that later hooks may not have heard of it.
    """

    event: str
    arguments: Mapping[str, Any]
    epoch: int | None
    iter: int | None
    info: Mapping[str, Any]
    scalars: Mapping[str, tuple[float, ...]]
    rates: Mapping[str, tuple[float, ...]]
    identity: Mapping[str, Any]
    seen: tuple[Sighting, ...]
    current: Mapping[str, Any]
    shared: SharedView | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """The name of a probe, with the counters of runner and hub and the stage that it saw."""

    probe: str
    runner: tuple[int | None, int | None]
    hub: tuple[int | None, int | None]
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """The view of a component between two events, when the run reads an item of the plan's data.

    Attributes:
        at: The index of the record before it.
        held: The hub's infos and scalars, or nothing if current_hub() is the hub itself.
        current: The answers of current_hub() on them, with None for a missing scalar.
    """

    at: int
    held: Mapping[str, Any]
    current: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """The counters that a component finds as a training batch starts, or in its step.

    Attributes:
        at: The index of the record before it.
        where: ``"batch_begin"`` or ``"step"``.
        epoch: The epoch by current_hub().
        iter: The iteration by current_hub().
    """

    at: int
    where: str
    epoch: Any
    iter: Any


@dataclass(frozen=True, slots=True)
class StageLook:
    """The stage that a component finds in a step, while data is read, or just before the next event.

    Attributes:
        at: The index of the record before it.
        stage: The hub's loop_stage.
    """

    at: int
    stage: Any


@dataclass(frozen=True, slots=True)
class Read:
    """The view of another process when an item of the plan's data is read, in any thread.

    Attributes:
        at: The index of the record before it.
        item: The item.
        shared: The view, or None if no run is found.
    """

    at: int
    item: Item
    shared: SharedView | None


class Situation(Enum):
    """The code that asks for the current run, and the runs that are open at that time."""

    TRAINING = "in the thread of the training, while another run is open in another thread"
    COPY = "in a thread with a copy of the training's context, while another run is open"
    BETWEEN_STEPS = "between the steps of several trainings that wait"
    COPY_LEFT = "in a copy of the training's context, after the run"
    COPY_CALLED = "in a copy of the training's context, called by a later run"
    THREAD_OF_ONE = "in a thread without a context, one run in its lifetime"
    THREAD_OF_SEVERAL = "in a thread without a context, two runs open"
    WITNESS = "in a thread without a context that has seen two runs"
    WORKER = "in a worker that the training has started"
    WORKER_LEFT = "in a worker that the training has started, after the run"
    KEPT = "by a reader kept from another run"
    KEPT_IN_LATER = "by a reader kept from another run, used in a later one"
    KEPT_AFTER = "by a reader kept from another run, used after the run"
    CALLER = "where the run was called, once it has ended"


@dataclass(frozen=True, slots=True)
class Answer:
    """The run that current_hub() answered for.

    Attributes:
        at: The index of the record before it, or None if the run has ended.
        situation: The situation of the query.
        run: The observed run.
        other: The other run of the situation. For a caller, the answer before the run.
        found: The run that answered.
    """

    at: int | None
    situation: Situation
    run: str
    other: str
    found: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """The model's expectation of a record.

    Attributes:
        objection: The reason why the event is illegal here, or None if it is legal.
        outside: The scopes that were open before the event.
        inside: The scopes that are open after it.
        stage: The value that loop_stage must have after it.
        epoch: The number of completed epochs at it.
        iter: The number of completed iterations at it.
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
    """The observations of one call of a subject's `run`, or of one of the two trainings in it.

    Attributes:
        plan: The plan passed to it.
        records: The events.
        glances: The views of components between them.
        looks: The counters that components find in the iterations.
        stage_looks: The stages that components find between the events.
        reads: The views of another process at each read of an item in this process.
        iterators: The views of another process at the creation of each iterator over the data, with its first item.
        read_elsewhere: The numbers of items of each stage that were read in workers.
        answers: The runs that answered its code and other code.
        planned: The exception of the plan's fault, once it was raised.
        fault_at: The index of the record at which it was raised, or of the record before it.
        raised: The exception that left the run.
        final_info: The hub's infos after the run.
        previous: The leg that this one resumes.
        first: The leg that this one repeats.
        hub: The latest hub of the runner.
        place: The process and the thread of the latest event.
        left_behind: The boards that exist after the run, but did not exist before.
    """

    plan: Plan
    records: list[Record] = field(default_factory=list[Record])
    glances: list[Glance] = field(default_factory=list[Glance])
    looks: list[Look] = field(default_factory=list[Look])
    stage_looks: list[StageLook] = field(default_factory=list[StageLook])
    reads: list[Read] = field(default_factory=list[Read])
    iterators: list[Read] = field(default_factory=list[Read])
    read_elsewhere: Mapping[str, int] = field(default_factory=dict[str, int])
    answers: list[Answer] = field(default_factory=list[Answer])
    planned: BaseException | None = None
    fault_at: int | None = None
    raised: BaseException | None = None
    final_info: Mapping[str, Any] | None = None
    previous: Leg | None = None
    first: Leg | None = None
    hub: Any = None
    place: tuple[int, int] | None = None
    left_behind: list[str] = field(default_factory=list[str])

    def is_planned(self, error: BaseException | None) -> bool:
        """Return whether an exception is the one of the plan's fault.

        Python turns a StopIteration that leaves a generator into a RuntimeError with that cause (PEP 479), and an
        iterator must do the same. A runner built from them cannot let it through.
        """
        if error is None or self.planned is None:
            return False
        is_turned = isinstance(self.planned, StopIteration) and isinstance(error, RuntimeError)
        return error is self.planned or (is_turned and error.__cause__ is self.planned)

    @property
    def ended_well(self) -> bool:
        """True if no exception was raised, planned or not."""
        return self.raised is None and self.planned is None

    @property
    def start_epoch(self) -> int:
        """The number of epochs completed before a resume.

        If all batches of the next epoch are done, it counts unless it is reopened.
        """
        begun = next((record.epoch for record in self.records if record.event == "before_train"), None)
        planned = self.plan.start_epoch
        return planned + 1 if self.plan.is_resumed_at_end_of_epoch and begun == planned + 1 else planned

    @property
    def moment(self) -> str | None:
        """The moment between two events at which the plan's fault is raised, or None."""
        fault = self.plan.fault
        return fault.event if fault is not None and fault.event in MOMENTS else None

    def expectations(self) -> list[Expectation]:
        """Return the model's expectation of each record."""
        model = RunModel(self.start_epoch, self.plan.start_iteration)
        expectations: list[Expectation] = []
        for index, record in enumerate(self.records):
            outside = model.position.open_scopes
            correction = model.advance(record.event)
            aborting = model.aborting or self._is_raised_before(index)
            expectations.append(
                Expectation(
                    objection=correction.objection if correction is not None else None,
                    outside=outside,
                    inside=model.position.open_scopes,
                    stage=model.position.stage,
                    epoch=model.epoch,
                    iter=model.iter,
                    aborting=aborting,
                )
            )
            is_over = index != self.fault_at or self.moment is not None
            if not aborting and is_over and not self._saves_within(index, model):
                model.count(record.event)
        return expectations

    def _is_raised_before(self, index: int) -> bool:
        """Return whether an event comes after the exception that ends the run, announced or not.

        If data is read ahead, the iterations of earlier batches still complete.
        """
        at, is_ahead = self.fault_at, (self.moment or "").endswith("_data")
        return (
            at is not None and index > at and not is_ahead and self.raised is not None and self.raised is self.planned
        )

    def _saves_within(self, index: int, model: RunModel) -> bool:
        """Return whether the exception is raised during an event, so that the event is not counted.

        A framework may save in a hook at the end of an iteration or epoch, when its counter does not include that
        iteration or epoch yet.
        """
        at = self.fault_at
        if (
            at is None
            or index >= at
            or any(record.event not in FREE_EVENTS for record in self.records[index + 1 : at + 1])
        ):
            return False
        counters = {
            "after_train_iter": (self.records[at].iter, model.iter),
            "after_train_epoch": (self.records[at].epoch, model.epoch),
        }
        shown, before = counters.get(self.records[index].event, (None, None))
        return shown is not None and shown == before
