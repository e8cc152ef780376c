"""Notes of what the kit's hooks hear: around the runner, never inside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from runtimeinfo import InfoReader, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_conformance.observation._company import Companion
from runtimeinfo_conformance.observation._observation import Glance, Leg, Look, Read, Record, Sighting, StageLook
from runtimeinfo_conformance.observation._shared_view import Onlooker, SharedView
from runtimeinfo_conformance.observation._user_hooks import Hear
from runtimeinfo_conformance.plans import Item, make_error, reads_elsewhere

# At these all that the hub holds has to be there for others: SHARE-03.
_EVERYTHING = frozenset(
    (
        "before_train",
        *(f"{edge}_train_epoch" for edge in ("before", "after")),
        *(f"{edge}_{stage}" for edge in ("before", "after") for stage in ("val", "test")),
    )
)

_PUBLISHES_IDENTITY = ("before_run", "before_train")


class Recorder:
    """Notes every event and moment, as the last hook of all, and raises the plan's fault.

    Args:
        leg: Where to note.
        companion: Told of each event, too.

    Attributes:
        legs: The leg that it notes, and before it that of the first training where one is made again. A copy of the
            recorder has the same.
    """

    def __init__(self, leg: Leg, companion: Companion | None = None) -> None:
        self.legs: list[Leg] = [leg]
        self.sightings: list[Sighting] = []
        self._process = os.getpid()
        self._occurrence = -1
        self._onlooker = Onlooker()
        self._companion = companion

    @property
    def leg(self) -> Leg:
        """Where it notes."""
        return self.legs[-1]

    @property
    def ended_epochs(self) -> int:
        """How many epochs of the training have ended."""
        return sum(record.event == "after_train_epoch" for record in self.leg.records)

    def note(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Note an event as the last hook hears of it."""
        if self._was_cut(event):
            self.sightings.clear()
            return
        self._note(event, runner, arguments)
        self._maybe_raise(event)

    def note_first(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Note an event as the first of the kit's hooks hears of it, if it raises: the others may not hear of it."""
        if self._is_due(event, "first"):
            self._note(event, runner, arguments, is_cut=True)
            self._raise()

    def _is_identified_at(self, event: str) -> bool:
        """Tell whether the metadata of the runner is read: where it is published, and once more in the end.

        Not at each event: to render a configuration takes a framework tens of milliseconds. Nor in the end of a run
        that was refused because it lacks some.
        """
        return event in _PUBLISHES_IDENTITY or (
            event == "after_run" and any(record.identity for record in self.leg.records)
        )

    def _was_cut(self, event: str) -> bool:
        """Tell whether an event is the one at which the first hook has raised, on its way to the others."""
        last = self.leg.records[-1] if self.leg.records else None
        return last is not None and last.is_cut and last.event == event

    def _note(self, event: str, runner: Any, arguments: Mapping[str, Any], *, is_cut: bool = False) -> None:
        if self.leg.plan.again and self._begins_again(event):
            self._begin_again()
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
                rates=_rates(runner) if event == "before_train_iter" else {},
                identity=_identity(runner) if self._is_identified_at(event) else {},
                seen=seen,
                current=_answers(resolve_hub(), hub, info, scalars),
                shared=self._look_on(at_everything=event in _EVERYTHING),
                is_cut=is_cut,
            )
        )
        if self._companion is not None:
            self._companion.on_event(event, self.leg)

    def on_read(self, item: Item) -> None:
        """Note what a component and another process find between two events, where an item is read."""
        if self._process == os.getpid():
            self.leg.reads.append(Read(len(self.leg.records) - 1, item, self._look_on()))
        # Data that a worker reads ahead, be it a thread or a process, is not read by the training.
        if self.leg.place == _here():
            self.note_stage()
            hub, reader = self.leg.hub, resolve_hub()
            info, scalars = ({}, {}) if reader is hub else (_infos(hub), _scalars(hub))
            current = _answers(reader, hub, info, scalars)
            self.leg.glances.append(Glance(len(self.leg.records) - 1, {**info, **scalars}, current))
            self._tell_companion(f"{item.stage}_data")
            self._maybe_raise(f"{item.stage}_data")

    def on_iterator(self) -> object:
        """Return what another process sees as an iterator is made: workers read from then on."""
        if self._process != os.getpid() or not self.leg.records:
            return None
        return len(self.leg.records) - 1, self._look_on()

    def on_first_read(self, seen: Any, item: Item) -> None:
        """Note what was seen as the iterator was made whose first item is read."""
        if seen is not None and self._process == os.getpid():
            at, shared = seen
            self.leg.iterators.append(Read(at, item, shared))

    def on_batch_begin(self) -> None:
        """Note the counters that a component finds as a training batch begins."""
        if self._is_here():
            self._look("batch_begin")

    def on_step(self) -> None:
        """Note the counters that a component finds in a training step, and raise what the step is to raise."""
        if self._is_here():
            self._look("step")
        if self.leg.place == _here():
            self._tell_companion("train_step")
            self._maybe_raise("train_step")

    def _tell_companion(self, moment: str) -> None:
        if self._companion is not None:
            self._companion.on_moment(moment, self.leg)

    def _is_here(self) -> bool:
        """Tell whether this is where the latest event came, or where no event has come yet."""
        return self.leg.place == _here() or (self.leg.place is None and self._process == os.getpid())

    def _look_on(self, *, at_everything: bool = False) -> SharedView | None:
        # Of several runs of a process, another one is told of the one that was entered last.
        return self._onlooker.look(at_everything=at_everything) if self.leg.plan.is_alone else None

    def note_stage(self) -> None:
        """Note the stage that the hub holds between two events."""
        if self.leg.records:
            self.leg.stage_looks.append(StageLook(len(self.leg.records) - 1, self.leg.hub.get_info("loop_stage")))

    def _look(self, where: str) -> None:
        self.note_stage()
        reader = current_hub()
        found = reader.get_info("epoch"), reader.get_info("iter")
        self.leg.looks.append(Look(len(self.leg.records) - 1, where, *found))

    def _begins_again(self, event: str) -> bool:
        """Tell whether an event begins the second run, also if an event between the two was lost.

        A before_train alone does not: a run may hold several trainings.
        """
        past = {record.event for record in self.leg.records}
        if event == "before_run":
            return not past.isdisjoint({"after_train", "after_run"})
        return event == "before_train" and "after_run" in past

    def _begin_again(self) -> None:
        first = self.leg
        first.final_info = first.records[-1].info
        self.legs.append(Leg(first.plan, first=first))

    def finish(self) -> None:
        """Note what the hub holds when everything is over."""
        # A hub which cannot be read has made the run crash already, when its first event was noted.
        if self.leg.hub is not None and self.leg.records:
            self.leg.final_info = _infos(self.leg.hub)
        elsewhere = reads_elsewhere(self.leg.plan.run_name)
        for leg in self.legs:
            leg.read_elsewhere = elsewhere
        if self.leg.plan.is_alone:
            self.leg.left_behind = self._onlooker.left_behind()

    def _maybe_raise(self, where: str) -> None:
        if self._is_due(where, "last"):
            self._raise()

    def _is_due(self, where: str, hook: str) -> bool:
        """Count where the fault may be raised, and tell whether it is now."""
        fault = self.leg.plan.fault
        if fault is None or fault.event != where or fault.hook != hook or self.leg.planned is not None:
            return False
        self._occurrence += 1
        return self._occurrence == fault.occurrence

    def _raise(self) -> None:
        fault = self.leg.plan.fault
        if fault is not None:
            self.leg.planned = make_error(fault.kind)
            self.leg.fault_at = len(self.leg.records) - 1
            raise self.leg.planned


class Doorkeeper:
    """Notes the stage that each event finds, before the information hook hears of it.

    Args:
        recorder: Where to note.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def note(self, _event: str, _runner: Any, _arguments: Mapping[str, Any]) -> None:
        """Note it."""
        self._recorder.note_stage()


class Probe:
    """Notes when a hook was called, and what it saw.

    Args:
        name: The name of the hook.
        sightings: Where to note.
        then: Hears of each event afterwards.
    """

    def __init__(self, name: str, sightings: list[Sighting], then: Hear | None = None) -> None:
        self.name = name
        self.sightings = sightings
        self._then = then

    def note(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Note an event."""
        hub = runner.message_hub
        counted = getattr(runner, "epoch", None), getattr(runner, "iter", None)
        held = hub.get_info("epoch"), hub.get_info("iter")
        self.sightings.append(Sighting(self.name, counted, held, hub.get_info("loop_stage")))
        if self._then is not None:
            self._then(event, runner, arguments)


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
    return {
        **{key: reader.get_info(key, "nothing published") for key in info},
        **{key: _found(reader, key) for key in scalars},
    }


def _found(reader: InfoReader, key: str) -> tuple[float, ...] | None:
    try:
        return _values(reader.get_scalar(key))
    except KeyError:  # HUB-07
        return None


def _rates(runner: Any) -> dict[str, tuple[float, ...]]:
    return {name: tuple(map(float, values)) for name, values in runner.optim_wrapper.get_lr().items()}


def _identity(runner: Any) -> dict[str, Any]:
    return {
        "cfg": runner.cfg.pretty_text,
        "seed": runner.seed,
        "experiment_name": runner.experiment_name,
        f"{runner.framework_name}_version": runner.framework_version,
    }
