"""Record the events of the kit's hooks, from around the runner, never from inside."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from runtimeinfo import InfoReader, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_conformance.observation._company import Companion
from runtimeinfo_conformance.observation._observation import Glance, Leg, Look, Read, Record, Sighting, StageLook
from runtimeinfo_conformance.observation._shared_view import SharedView, SharedViewReader
from runtimeinfo_conformance.observation._user_hooks import Hear
from runtimeinfo_conformance.plans import Item, make_error, reads_elsewhere

# Events at which other processes must see the hub's complete contents: SHARE-03.
_EVERYTHING = frozenset(
    (
        "before_train",
        *(f"{edge}_train_epoch" for edge in ("before", "after")),
        *(f"{edge}_{stage}" for edge in ("before", "after") for stage in ("val", "test")),
    )
)

_PUBLISHES_IDENTITY = ("before_run", "before_train")


class Recorder:
    """Recorder of every event and moment, which runs as the last hook and raises the plan's fault.

    Args:
        leg: The leg to record into.
        companion: Also notified of each event.

    Attributes:
        legs: The current leg, and before it the first training's leg if the training is run again. Copies of the
            recorder share the list.
    """

    def __init__(self, leg: Leg, companion: Companion | None = None) -> None:
        self.legs: list[Leg] = [leg]
        self.sightings: list[Sighting] = []
        self._process = os.getpid()
        self._occurrence = -1
        self._shared_view_reader = SharedViewReader()
        self._companion = companion

    @property
    def leg(self) -> Leg:
        """The leg to record into."""
        return self.legs[-1]

    @property
    def ended_epochs(self) -> int:
        """How many epochs of the training have ended."""
        return sum(record.event == "after_train_epoch" for record in self.leg.records)

    def note(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Record an event as the last hook."""
        if self._was_cut(event):
            self.sightings.clear()
            return
        self._note(event, runner, arguments)
        self._maybe_raise(event)

    def note_first(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Record an event as the first of the kit's hooks if it raises, because later hooks may not hear of it."""
        if self._is_due(event, "first"):
            self._note(event, runner, arguments, is_cut=True)
            self._raise()

    def _is_identified_at(self, event: str) -> bool:
        """Return whether to read the runner's metadata, which is done when it is published, and at the end.

        It is not read at each event, because a framework takes tens of milliseconds to render a configuration, and not
        at the end of a run that was refused for missing metadata.
        """
        return event in _PUBLISHES_IDENTITY or (
            event == "after_run" and any(record.identity for record in self.leg.records)
        )

    def _was_cut(self, event: str) -> bool:
        """Return whether the first hook has raised at this event, which is still on its way to other hooks."""
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
                shared=self._shared_view(at_everything=event in _EVERYTHING),
                is_cut=is_cut,
            )
        )
        if self._companion is not None:
            self._companion.on_event(event, self.leg)

    def on_read(self, item: Item) -> None:
        """Record the views of a component and of another process when an item is read."""
        if self._process == os.getpid():
            self.leg.reads.append(Read(len(self.leg.records) - 1, item, self._shared_view()))
        # The training does not read data that a worker thread or process reads ahead.
        if self.leg.place == _here():
            self.note_stage()
            hub, reader = self.leg.hub, resolve_hub()
            info, scalars = ({}, {}) if reader is hub else (_infos(hub), _scalars(hub))
            current = _answers(reader, hub, info, scalars)
            self.leg.glances.append(Glance(len(self.leg.records) - 1, {**info, **scalars}, current))
            self._notify_companion(f"{item.stage}_data")
            self._maybe_raise(f"{item.stage}_data")

    def on_iterator(self) -> object:
        """Return another process's view at the creation of an iterator, from which workers start to read."""
        if self._process != os.getpid() or not self.leg.records:
            return None
        return len(self.leg.records) - 1, self._shared_view()

    def on_first_read(self, seen: Any, item: Item) -> None:
        """Record the view from the creation of the iterator whose first item is read."""
        if seen is not None and self._process == os.getpid():
            at, shared = seen
            self.leg.iterators.append(Read(at, item, shared))

    def on_batch_begin(self) -> None:
        """Record the counters that a component finds as a training batch starts."""
        if self._is_here():
            self._look("batch_begin")

    def on_step(self) -> None:
        """Record the counters that a component finds in a training step, and raise a fault due there."""
        if self._is_here():
            self._look("step")
        if self.leg.place == _here():
            self._notify_companion("train_step")
            self._maybe_raise("train_step")

    def _notify_companion(self, moment: str) -> None:
        if self._companion is not None:
            self._companion.on_moment(moment, self.leg)

    def _is_here(self) -> bool:
        """Return whether this is the process and thread of the latest event, or the first process before any event."""
        return self.leg.place == _here() or (self.leg.place is None and self._process == os.getpid())

    def _shared_view(self, *, at_everything: bool = False) -> SharedView | None:
        # Another process only sees the run of this process that was entered last.
        return self._shared_view_reader.read(at_everything=at_everything) if self.leg.plan.is_alone else None

    def note_stage(self) -> None:
        """Record the hub's stage between two events."""
        if self.leg.records:
            self.leg.stage_looks.append(StageLook(len(self.leg.records) - 1, self.leg.hub.get_info("loop_stage")))

    def _look(self, where: str) -> None:
        self.note_stage()
        reader = current_hub()
        found = reader.get_info("epoch"), reader.get_info("iter")
        self.leg.looks.append(Look(len(self.leg.records) - 1, where, *found))

    def _begins_again(self, event: str) -> bool:
        """Return whether an event starts the second run, even if an event between the two was lost.

        A before_train alone does not, because a run may have several trainings.
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
        """Record the final contents of the hub."""
        # A hub that cannot be read has already made the run fail at its first event.
        if self.leg.hub is not None and self.leg.records:
            self.leg.final_info = _infos(self.leg.hub)
        elsewhere = reads_elsewhere(self.leg.plan.run_name)
        for leg in self.legs:
            leg.read_elsewhere = elsewhere
        if self.leg.plan.is_alone:
            self.leg.left_behind = self._shared_view_reader.left_behind()

    def _maybe_raise(self, where: str) -> None:
        if self._is_due(where, "last"):
            self._raise()

    def _is_due(self, where: str, hook: str) -> bool:
        """Count an occurrence of the fault's place, and return whether the fault is due."""
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


class StageRecorder:
    """Recorder of the stage before each event reaches the information hook.

    Args:
        recorder: The recorder to use.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def note(self, _event: str, _runner: Any, _arguments: Mapping[str, Any]) -> None:
        """Record the stage."""
        self._recorder.note_stage()


class Probe:
    """Recorder of a hook's calls, with the hook's view at each one.

    Args:
        name: The name of the hook.
        sightings: The list to append to.
        then: Called with each event afterwards.
    """

    def __init__(self, name: str, sightings: list[Sighting], then: Hear | None = None) -> None:
        self.name = name
        self.sightings = sightings
        self._then = then

    def note(self, event: str, runner: Any, arguments: Mapping[str, Any]) -> None:
        """Record an event."""
        hub = runner.message_hub
        counted = getattr(runner, "epoch", None), getattr(runner, "iter", None)
        held = hub.get_info("epoch"), hub.get_info("iter")
        self.sightings.append(Sighting(self.name, counted, held, hub.get_info("loop_stage")))
        if self._then is not None:
            self._then(event, runner, arguments)


def _infos(hub: Any) -> dict[str, Any]:
    """Read all listed infos with `get_info`, as a component does."""
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
    """Return a reader's answers for the hub's infos and scalars."""
    if reader is hub:  # nearly always, and reading everything twice would double the time
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
