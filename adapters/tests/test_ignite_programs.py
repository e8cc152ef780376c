"""Random programs on a bare and an attached engine of Ignite: the same happens, and the hub follows the state."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ignite.engine import DeterministicEngine, Engine, Events, State
from recorder import Recorder

from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters.ignite import RuntimeInfoCallback, attach

FIRED = [event for event in Events if event is not Events.EXCEPTION_RAISED]
BEGUN = {  # by the name of an event: how many iterations the state counts that are not completed
    "GET_BATCH_STARTED": 0,
    "GET_BATCH_COMPLETED": 0,
    "ITERATION_STARTED": 1,
    "step": 1,
    "ITERATION_COMPLETED": 1,
}
READ_AGAIN = {"EPOCH_STARTED", "GET_BATCH_STARTED", "ITERATION_STARTED", "step"}
ACTIONS = (
    "terminate",
    "terminate, skip",
    "end epoch",
    "end epoch, skip",
    "interrupt",
    "fail",
    "Ctrl-C",
    "load iteration",
    "load epoch",
    "set data",
    "max_epochs",
    "max_iters",
    "epoch_length",
    "fire",
    "evaluate",
    "run",
)


class Unpausable(Engine):
    interrupt_resume_enabled = False


class Planned(Exception):  # noqa: N818
    """An exception that a program raises."""


class Endless(BaseException):
    """Ends what Ignite would run for ever, a bare engine as well."""


class Stream:
    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.length))


class TotalsRecorder(Recorder):
    """Also check that hub and runner agree on the totals at the start of an epoch."""

    def check(self, event: str, runner: Any) -> None:
        super().check(event, runner)
        if event == "before_train_epoch":
            totals = [runner.message_hub.get_info(name) for name in ("max_epochs", "max_iters")]
            assert totals == [runner.max_epochs, runner.max_iters]


class Play:
    """Plays a program on one engine, and writes down all that happens."""

    def __init__(self, kind: type[Engine], *, swallows: bool, is_attached: bool) -> None:
        self.log: list[Any] = []
        self.trainer: Any = kind(self.step)
        self.evaluator = Engine(lambda _engine, batch: batch)
        self.recorder = TotalsRecorder()
        self.actions: list[tuple[str, int, str, int]] = []
        self.times: dict[str, int] = {}
        self.fired = self.completed = 0
        self.is_by_hand = self.was_changed = self.is_uncertain = False
        self.hub: Any = None
        self.callback: RuntimeInfoCallback | None = None
        self.register(self.note)
        if is_attached:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
            self.callback = attach(
                self.trainer, evaluators={"val": self.evaluator}, optimizer=optimizer, hooks=[self.recorder]
            )
        self.register(self.act)
        if swallows:
            self.trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda error: self.log.append(repr(error)))

    def register(self, handler: Any) -> None:
        for event in FIRED:
            self.trainer.add_event_handler(event, lambda *_, name=event.name, **__: handler(name))

    def note(self, name: str) -> None:
        self.fired += 1
        if self.fired > 400 and name in {"EPOCH_STARTED", "ITERATION_STARTED"}:
            raise Endless
        self.check(name)
        self.log.append((name, self.trainer.state.epoch, self.trainer.state.iteration))

    def act(self, name: str) -> None:
        self.note(name)
        if self.is_by_hand:
            return
        self.times[name] = self.times.get(name, 0) + 1
        for at, time, action, number in self.actions:
            if (at, time) == (name, self.times[name]):
                self.do(action, number)

    def step(self, _engine: Engine, batch: Any) -> float:
        if self.callback is not None and not self.is_by_hand:
            hub = self.callback.message_hub
            if hub is not self.hub:
                self.hub, self.completed, self.is_uncertain = hub, 0, False
            assert len(hub.get_scalar("train/lr").data[0]) == self.completed + 1
        self.log.append(batch)
        self.act("step")
        if not self.is_by_hand:
            self.completed += 1
        return float(self.trainer.state.iteration)

    def check(self, name: str) -> None:
        """Compare the hub with the trainer's state, in a handler of an event."""
        if self.callback is None or self.is_by_hand:
            return
        hub, runner, state = resolve_hub(), self.callback.runner, self.trainer.state
        assert hub is self.callback.message_hub
        if name in READ_AGAIN:
            self.was_changed = False
        if self.was_changed:
            return
        assert [hub.get_info(key) for key in ("max_epochs", "max_iters")] == [runner.max_epochs, runner.max_iters]
        found = hub.get_info("epoch"), hub.get_info("iter")
        if name in BEGUN:
            assert found == (max(state.epoch - 1, 0), max(state.iteration - BEGUN[name], 0))
        if name == "EPOCH_STARTED":
            assert found == (max(state.epoch - 1, 0), state.iteration)

    def do(self, action: str, number: int) -> None:
        trainer = self.trainer
        match action:
            case "terminate" | "terminate, skip":
                trainer.terminate("skip" in action)
            case "end epoch" | "end epoch, skip":
                trainer.terminate_epoch("skip" in action)
            case "interrupt":
                trainer.interrupt()
            case "fail":
                raise Planned(number)
            case "Ctrl-C":
                raise KeyboardInterrupt(number)
            case "load iteration" | "load epoch":
                self.was_changed = self.is_uncertain = True
                self.load(action.removeprefix("load "), number)
            case "set data":
                trainer.set_data([7] * (number + 2))
            case "max_epochs" | "max_iters" | "epoch_length":
                setattr(trainer.state, action, number + 2)
            case "evaluate":
                self.evaluator.run([1])
            case "fire":
                events = [event for event in FIRED if event is not Events.TERMINATE_SINGLE_EPOCH]
                with self.by_hand():
                    trainer.fire_event(events[number * 2])
            case "run":
                self.was_changed = self.is_uncertain = True
                with self.by_hand():
                    trainer.run([1, 2])

    @contextlib.contextmanager
    def by_hand(self) -> Iterator[None]:
        self.is_by_hand = True
        try:
            yield
        finally:
            self.is_by_hand = False

    def load(self, key: str, number: int) -> None:
        self.trainer.load_state_dict({key: number, "max_epochs": 4, "epoch_length": 3, "rng_states": None})

    def run(self, leg: dict[str, Any]) -> None:
        """Do one run, and compare what is left."""
        torch.manual_seed(0)
        trainer, length = self.trainer, leg["length"]
        self.actions, self.times, self.fired = leg["actions"], {}, 0
        match leg["before"]:
            case "restart":
                trainer.state.max_epochs = trainer.state.max_iters = None
            case "load":
                self.load("iteration", length)
            case "new state":
                trainer.state = State(rng_states=None)
            case "attach again" if self.callback is not None:
                self.callback.detach()
                self.callback.attach(trainer, {"val": self.evaluator})
        data = {"list": [*range(length)], "stream": Stream(length), "none": None, "iterator": iter(range(length))}
        try:
            self.log.append(trainer.run(data[leg["data"]], epoch_length=leg["epoch_length"], **leg["bound"]) is None)
        except (Exception, Endless, KeyboardInterrupt) as error:
            self.log.append((type(error), str(error)))
        state = {key: value for key, value in vars(trainer.state).items() if key not in {"times", "dataloader"}}
        flags = [
            vars(trainer)[key] for key in ("should_terminate", "should_interrupt", "last_event_name", "_init_iter")
        ]
        handlers = {str(event): len(entries) for event, entries in trainer._event_handlers.items() if entries}
        self.log += [state, flags, handlers]
        if self.callback is not None:
            hub = self.callback.message_hub
            assert self.recorder.lifecycle.open_scopes == ()
            assert resolve_hub() is not hub
            assert hub.get_info("loop_stage") is None
            assert "fire_event" not in vars(trainer)
            assert trainer._process_function == self.step
            # An exception after the iteration number was set back takes the rate of that number with it.
            if hub is self.hub and "train/loss" in hub.log_scalars and not self.is_uncertain:
                lengths = [len(hub.get_scalar(key).data[0]) for key in ("train/lr", "train/loss")]
                assert lengths == [self.completed] * 2


legs = st.fixed_dictionaries(
    {
        "data": st.sampled_from(["list", "stream", "none", "iterator"]),
        "length": st.integers(2, 4),
        "bound": st.sampled_from(
            [{}, {"max_epochs": 1}, {"max_epochs": 2}, {"max_epochs": 3}, {"max_iters": 3}, {"max_iters": 5}]
        ),
        "epoch_length": st.sampled_from([None, None, None, 2, 3]),
        "actions": st.lists(
            st.tuples(
                st.sampled_from(["step", *(event.name for event in FIRED)]),
                st.integers(1, 4),
                st.sampled_from(ACTIONS),
                st.integers(0, 4),
            ),
            max_size=2,
        ),
        "before": st.sampled_from(["", "", "", "restart", "load", "new state", "attach again"]),
    }
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Leave out what Ignite says of the errors that a program makes."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([Engine, Engine, Unpausable, DeterministicEngine]),
    swallows=st.booleans(),
    program=st.lists(legs, min_size=1, max_size=4),
)
def test_an_attached_engine_does_as_a_bare_one_and_the_hub_follows_it(
    kind: type[Engine], swallows: bool, program: list[dict[str, Any]]
) -> None:
    bare, attached = (Play(kind, swallows=swallows, is_attached=is_attached) for is_attached in (False, True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for leg in program:
            bare.run(leg)
            attached.run(leg)
            assert attached.log == bare.log
