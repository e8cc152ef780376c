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
    """An event, with the answers of the runner and the hub at it.

    Attributes:
        event: The event.
        arguments: Its arguments.
        epoch: The runner's epoch; None if it has none.
        iter: The runner's iter; None if it has none.
        info: The hub's infos.
        scalars: The values of the hub's scalars.
        rates: The learning rates of each entry of get_lr(), at before_train_iter.
        identity: The runner's metadata, at before_run, before_train and after_run.
        seen: The sightings of the probes at this event, in the order in which they were called.
        current: The answers of current_hub() on each of these infos and scalars; None on a scalar that it lacks.
        shared: The view of another process; None if it found no run.
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
    """The name of a probe, the epoch and the iteration that it saw by the runner and by the hub, and the stage."""

    probe: str
    runner: tuple[int | None, int | None]
    hub: tuple[int | None, int | None]
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """The view of a component between two events: where the run reads an item of the plan's data.

    Attributes:
        at: The index of the record before it.
        held: The hub's infos and scalars; nothing where current_hub() is the hub itself.
        current: The answers of current_hub() on them; None on a scalar that it lacks.
    """

    at: int
    held: Mapping[str, Any]
    current: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """The counters that a component finds as a training batch begins, or in its step.

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
    """The stage that a component finds between two events: in a step, while data is read, or as the next event comes.

    Attributes:
        at: The index of the record before it.
        stage: The hub's loop_stage.
    """

    at: int
    stage: Any


@dataclass(frozen=True, slots=True)
class Read:
    """The view of another process where an item of the plan's data is read, in any thread.

    Attributes:
        at: The index of the record before it.
        item: The item.
        shared: The view; None if no run is found.
    """

    at: int
    item: Item
    shared: SharedView | None


class Situation(Enum):
    """In which code, and while which runs are open, it is asked which run answers."""

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
    KEPT = "by what current_hub() returned in another run"
    KEPT_IN_LATER = "by what current_hub() returned in another run, used in a later one"
    KEPT_AFTER = "by what current_hub() returned in another run, used after the run"
    CALLER = "where the run was called, once it has ended"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of current_hub() on which run it is.

    Attributes:
        at: The index of the record before it; None if the run has ended.
        situation: Where it was asked.
        run: The run that is observed.
        other: The other run that the situation speaks of; of a caller, the answer that it got before the run.
        found: The run by the answer.
    """

    at: int | None
    situation: Situation
    run: str
    other: str
    found: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """The word of the model on a record.

    Attributes:
        objection: The reason why the event is illegal here; None if it is legal.
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
    """One call of a subject's `run`, or one of the two trainings that it has made, as it was observed.

    Attributes:
        plan: The plan that it was given.
        records: The events.
        glances: The views of components between them.
        looks: The counters that components find in the iterations.
        stage_looks: The stages that components find between the events.
        reads: The views of another process meanwhile, at each item that was read in this process.
        iterators: The views of another process as each iterator over the data was made, with its first item.
        read_elsewhere: How many items of each stage were read in its workers.
        answers: The runs that its code, and code of others, was told of.
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
        """Tell whether an exception is the one of the plan's fault.

        A StopIteration that leaves a generator is turned by Python into a RuntimeError with that cause (PEP 479), and
        one that leaves an iterator has to be: a runner that is made of them has no way to let it through.
        """
        if error is None or self.planned is None:
            return False
        is_turned = isinstance(self.planned, StopIteration) and isinstance(error, RuntimeError)
        return error is self.planned or (is_turned and error.__cause__ is self.planned)

    @property
    def ended_well(self) -> bool:
        """Whether no exception was raised, on purpose or not."""
        return self.raised is None and self.planned is None

    @property
    def start_epoch(self) -> int:
        """How many epochs a resumed training has behind it.

        Where all batches of the next one are done, that may count, if it is not opened once more.
        """
        begun = next((record.epoch for record in self.records if record.event == "before_train"), None)
        planned = self.plan.start_epoch
        return planned + 1 if self.plan.is_resumed_at_end_of_epoch and begun == planned + 1 else planned

    @property
    def moment(self) -> str | None:
        """The moment between two events at which the plan's fault is raised; None if there is no such moment."""
        fault = self.plan.fault
        return fault.event if fault is not None and fault.event in MOMENTS else None

    def expectations(self) -> list[Expectation]:
        """Return what the model expects at each record."""
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
        """Tell whether an event comes after the exception that ends the run was raised, announced or not.

        Where data is read ahead, the iterations of the batches that were read before it are completed all the same.
        """
        at, is_ahead = self.fault_at, (self.moment or "").endswith("_data")
        return (
            at is not None and index > at and not is_ahead and self.raised is not None and self.raised is self.planned
        )

    def _saves_within(self, index: int, model: RunModel) -> bool:
        """Tell whether an event is not over as the exception is raised that keeps it from being counted.

        A framework may save in a hook that hears of the end of an iteration or epoch: by its counter at that moment the
        end is not over yet.
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
