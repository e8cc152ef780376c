"""A signal that ends the training in order. Every signal here is a real one."""

# ruff: noqa: PT012  # what raises here is a whole training
from __future__ import annotations

import contextlib
import copy
import dis
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import LoopError, current_hub
from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import CSVWriter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a signal to oneself ends a process of Windows")

TERM = signal.SIGTERM


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Check that each handler is put back."""
    before = [signal.getsignal(number) for number in (TERM, signal.SIGUSR1, signal.SIGHUP)]
    yield
    assert [signal.getsignal(number) for number in (TERM, signal.SIGUSR1, signal.SIGHUP)] == before


def send(number: signal.Signals = TERM) -> None:
    os.kill(os.getpid(), number)


def train(loop: Any, at: Callable[..., None] = lambda *_: None, *, stop_on: Any = TERM) -> list[tuple[int, Any]]:
    """Train with a validation in each epoch; `at` is called in each place, and may send a signal."""
    had: list[tuple[int, Any]] = []
    with loop.run(stop_on=stop_on):
        at("run")
        for epoch in loop.epochs():
            at("epoch", epoch)
            for batch in loop.train():
                had.append((epoch, batch))
                at("batch", epoch, batch)
                loop.log(loss=1)
            at("after the pass", epoch)
            with loop.val() as val:
                for item in val.batches("xy"):
                    at("val", epoch, item)
                val.log_metrics(acc=1)
        at("end")
    return had


class Send:
    """Sends a signal where it is called with a place."""

    def __init__(self, *place: Any) -> None:
        self.place = place

    def __call__(self, *place: Any) -> None:
        if place == self.place:
            send()


def resumed(loop: Any) -> Any:
    """Make the loop of another process that resumes, by way of a file."""
    other: Loop[Any] = Loop(None, loop._loader, max_epochs=loop.max_epochs)
    other.load_state_dict(pickle.loads(pickle.dumps(loop.state_dict())))
    return other


EPOCH = "epoch(iter()iter()iter()val(epoch(iter()iter())))"
VAL = "val(epoch(iter()iter()))"


@pytest.mark.parametrize(
    ("place", "story", "had", "state"),
    [
        # where the signal comes; what is told; how many batches were had; epoch and batch of the state
        (("run",), "run(train())", 0, (0, 0)),
        (("epoch", 1), f"run(train({EPOCH}epoch({VAL})))", 3, (1, 0)),
        (("batch", 0, "a"), f"run(train(epoch(iter(){VAL})))", 1, (0, 1)),
        (("batch", 1, "b"), f"run(train({EPOCH}epoch(iter()iter(){VAL})))", 5, (1, 2)),
        (("batch", 0, "c"), f"run(train({EPOCH}))", 3, (1, 0)),
        (("after the pass", 0), f"run(train({EPOCH}))", 3, (1, 0)),
        (("val", 0, "x"), f"run(train({EPOCH}))", 3, (1, 0)),
        (("end",), f"run(train({EPOCH}{EPOCH}))", 6, (2, 0)),
    ],
)
def test_signal_in_each_place(make: Any, place: Any, story: str, had: int, state: tuple[int, int]) -> None:
    loop = make(3, max_epochs=2)
    all_batches = [(epoch, batch) for epoch in range(2) for batch in "abc"]
    assert train(loop, Send(*place)) == all_batches[:had]
    assert loop.stopped_by is TERM
    assert loop.told.story == story
    assert loop.told.of("on_exception") == []
    saved = loop.state_dict()
    assert (saved["epoch"], saved["batches"], saved["iter"]) == (*state, had)
    assert current_hub().get_info("iter") is None
    other = resumed(loop)
    assert other.stopped_by is None
    if had < 6:
        assert train(other) == all_batches[had:]
        assert (other.epoch, other.iter, other.stopped_by) == (2, 6, None)
        told = len(loop.told.notes)
        assert train(loop) == all_batches[had:], "the same loop goes on, too"
        assert loop.told.given("before_train_iter", "data_batch")[had:] == [batch for _, batch in all_batches[had:]]
        assert loop.told.notes[told].event == "before_run"
        assert (loop.epoch, loop.iter, loop.stopped_by) == (2, 6, None)


def test_signal_inside_a_hook_and_inside_the_loader(make: Any) -> None:
    class Hook:
        def __init__(self, event: str) -> None:
            def method(runner: Any, **_: Any) -> None:
                if runner.iter == 1 or event == "before_run":
                    send()

            setattr(self, event, method)

    class Loader:
        def __iter__(self) -> Iterator[str]:
            for batch in "abc":
                if batch == "b":
                    send()
                yield batch

        def __len__(self) -> int:
            return 3

    for event, had in [("before_run", ""), ("before_train_iter", "ab"), ("after_train_iter", "ab"), ("after_val", "")]:
        loop = make(3, max_epochs=2, hooks=(Hook(event),))
        if event == "after_val":
            with loop.run(stop_on=TERM):
                loop.emitter.iter = 1
                with loop.val():
                    pass
                assert list(loop.train()) == []
            assert loop.told.story == "run(val(epoch()))"
            continue
        assert [batch for _, batch in train(loop)] == list(had)
        assert resumed(loop).state_dict()["batches"] == len(had)
    loop = make(Loader(), max_epochs=2)
    assert [batch for _, batch in train(loop)] == ["a", "b"], "the batch that is being drawn is trained on"
    assert loop.state_dict()["batches"] == 2


def test_signal_with_a_break_and_with_a_held_iterator(make: Any) -> None:
    for hold in (False, True):
        loop = make(3, max_epochs=2)
        held = []
        with loop.run(stop_on=TERM):
            for epoch in loop.epochs():
                if loop.stopped_by:
                    break
                batches = iter(loop.train())
                if hold:
                    held.append(batches)
                for batch in batches:
                    if (epoch, batch) == (1, "b"):
                        send()
                    if loop.stopped_by:
                        break
                del batches
        assert loop.told.story == "run(train(epoch(iter()iter()iter())epoch(iter()iter())))"
        state = loop.state_dict()
        assert (state["epoch"], state["batches"]) == (1, 2)
        assert train(resumed(loop)) == [(1, "c")]


def test_signal_between_the_passes_of_an_epoch(make: Any) -> None:
    def two_passes(loop: Any, at: Any = None) -> list[Any]:
        had = []
        with loop.run(stop_on=TERM):
            for epoch in loop.epochs():
                for number in range(2):
                    for batch in loop.train():
                        had.append((epoch, number, batch))
                        if (epoch, number, batch) == at:
                            send()
        return had

    everything = two_passes(make(2, max_epochs=2))
    for index, at in enumerate(everything):
        loop = make(2, max_epochs=2)
        assert two_passes(loop, at) == everything[: index + 1]
        if index < len(everything) - 1:
            assert two_passes(resumed(loop)) == everything[index + 1 :]
            assert two_passes(loop) == everything[index + 1 :]


def test_signal_without_epochs(make: Any) -> None:
    for hold in (False, True):
        loop = make(3, max_iters=100)
        held = []
        with loop.run(stop_on=TERM):
            for _ in range(4):
                held.append(iter(loop.train()))
                for batch in held[-1] if hold else loop.train():
                    if (loop.iter, batch) == (4, "b"):
                        send()
        if not hold:
            continue
        assert loop.told.story == "run(train(epoch(iter()iter()iter())epoch(iter()iter())))", "no empty epochs follow"
        state = loop.state_dict()
        assert (state["epoch"], state["batches"], loop.iter) == (1, 2, 5)


def test_signal_in_a_resumed_epoch_that_has_not_begun_its_pass(make: Any) -> None:
    loop = make(3, max_epochs=1)
    train(loop, Send("batch", 0, "a"))
    for _ in range(2):
        loop = resumed(loop)
        assert train(loop, Send("epoch", 0)) == []
        state = loop.state_dict()
        assert (state["epoch"], state["batches"], state["iter"]) == (0, 1, 1)
    assert train(resumed(loop)) == [(0, "b"), (0, "c")]


def test_sinks_are_complete_and_a_copy_is_outside_of_the_run(make: Any, tmp_path: Path) -> None:
    loop = make(3, max_epochs=2, hooks=(CSVWriter(tmp_path / "metrics.csv", interval=100),))
    clones = []

    def at(*place: Any) -> None:
        if place == ("batch", 0, "b"):
            send()
            clones.append(copy.deepcopy(loop))

    train(loop, at)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[:3] for row in rows] == [
        ["iter", "epoch", "loop_stage"],
        ["2", "0", "val"],
        ["1", "0", "train"],
    ]
    assert [clone.stopped_by for clone in clones] == [None]
    assert pickle.loads(pickle.dumps(clones[0])).stopped_by is None


# -- which signals, and whose handlers


def test_several_signals(make: Any) -> None:
    for number in (TERM, signal.SIGUSR1):
        loop = make(3)
        with loop.run(stop_on=[TERM, signal.SIGUSR1]):
            assert loop.stopped_by is None
            for _ in loop.train():
                send(number)
            assert loop.stopped_by is number
        assert loop.iter == 1


@pytest.mark.parametrize(
    ("stop_on", "message"),
    [
        (True, "stop_on must be a signal, or several, but has True: give signal.SIGTERM, or leave it out"),
        ("SIGTERM", "stop_on must be a signal, or several, but has 'SIGTERM'"),
        ([TERM, 999], "stop_on must be a signal, or several, but has 999"),
        ([[TERM]], "stop_on must be a signal, or several, but has "),
        (signal.SIGINT, "stop_on cannot have SIGINT"),
        (signal.SIGKILL, "stop_on cannot have SIGKILL, which no process can handle: give signal.SIGTERM"),
    ],
)
def test_other_signals(make: Any, stop_on: Any, message: str) -> None:
    loop = make(1)
    with pytest.raises(LoopError) as caught, loop.run(stop_on=stop_on):
        pass
    assert message in str(caught.value)
    assert loop.told.notes == []
    assert not train(make(0, max_epochs=1), stop_on=[])


def test_another_thread_is_refused(make: Any) -> None:
    loop = make(1, max_epochs=1)
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            train(loop)
        except LoopError as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread, name="trainer")
    thread.start()
    thread.join()
    assert str(errors[0]).startswith("stop_on works in the main thread only, but this is 'trainer'")
    assert loop.told.notes == []
    assert train(loop)


def test_the_handler_of_before_is_put_back(make: Any) -> None:
    heard: list[int] = []

    def own(number: int, frame: Any) -> None:
        heard.append(number)

    before = signal.signal(TERM, own)
    try:
        with pytest.raises(KeyError), make(1).run(stop_on=TERM):
            send()
            raise KeyError
        assert heard == [], "the first signal is the run's"
        assert signal.getsignal(TERM) is own
        with make(1).run(stop_on=TERM):
            signal.signal(TERM, signal.SIG_IGN)  # of the user's, in the middle: it stays
        assert signal.getsignal(TERM) is signal.SIG_IGN
    finally:
        signal.signal(TERM, before)


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_runs_that_are_left_in_either_order(make: Any, first_out: int) -> None:
    loops = [make(3, max_epochs=1), make(3, max_epochs=1)]

    def steps(loop: Any) -> Iterator[Any]:
        with loop.run(stop_on=TERM):
            yield from loop.train()

    runs = [steps(loop) for loop in loops]
    for run in runs:
        next(run)
    runs[first_out].close()
    send()
    stopped = loops[1 - first_out]
    assert (stopped.stopped_by, loops[first_out].stopped_by) == (TERM, None)
    assert list(runs[1 - first_out]) == []
    assert stopped.iter == 1


def test_both_of_two_nested_runs_stop(make: Any) -> None:
    outer, inner = make(3), make(3)
    with outer.run(stop_on=TERM):
        for _ in outer.train():
            with inner.run(stop_on=[TERM, signal.SIGUSR1]):
                for _ in inner.train():
                    send()
    assert (outer.iter, inner.iter) == (1, 1)


def test_a_run_that_another_thread_collects(make: Any) -> None:
    def steps(loop: Any) -> Iterator[Any]:
        with loop.run(stop_on=TERM):
            yield from loop.train()

    heard: list[int] = []
    before = signal.signal(TERM, lambda number, frame: heard.append(number))
    try:
        run = steps(make(3))
        next(run)
        thread = threading.Thread(target=run.close)
        thread.start()
        thread.join()
        send()
        assert heard == [TERM], "as if there had been no run"
    finally:
        signal.signal(TERM, before)


# -- whole processes

PROCESS = Path(__file__).with_name("stopped_process.py")


def test_whole_processes() -> None:
    process = subprocess.run([sys.executable, str(PROCESS)], capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    outcome = json.loads(process.stdout.splitlines()[-1])
    assert outcome == {
        "a second signal, 0.1 s later": "stopped",
        "a second signal, 1.5 s later": -TERM,
        "a signal after the run": -TERM,
        "a signal without stop_on": -TERM,
        "a signal while the loader waits": "stopped after [0, 1]",
        "a signal to a sleeping step": "stopped after [0]",
        "a signal to a worker of the loader": "worker ended; not stopped",
        "a signal to a process that was forked in the run": -TERM,
        "a signal to a process that a thread has forked": -TERM,
        "Ctrl-C": "KeyboardInterrupt",
    }


# -- Ctrl-C between two calls. Python looks for signals after each of them, at each jump back, and as a function begins.


class InterruptAfterCall:
    """Raises KeyboardInterrupt in some code after its n-th call, as Ctrl-C does that comes then."""

    def __init__(self, code: Any, occurrence: int) -> None:
        self.code, self.left = code, occurrence
        self.names = {each.offset: each.opname for each in dis.get_instructions(code)}
        self.last = ""

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is not self.code:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= self.last.startswith("CALL")
            if self.left == 0:
                self.left = -1
                raise KeyboardInterrupt
            self.last = self.names[frame.f_lasti]
        return self

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


def test_interrupt_after_each_call_of_run_leaves_nothing_open(make: Any) -> None:
    loop = make(2, max_epochs=1)
    code = Loop.run.__wrapped__.__code__  # type: ignore[attr-defined]
    for occurrence in range(1, 100):
        interrupt = InterruptAfterCall(code, occurrence)
        held = None  # as a notebook holds the last exception, with all frames
        with interrupt.active():
            try:
                with loop.run(stop_on=TERM):
                    pass
            except KeyboardInterrupt as error:
                held = error
        assert loop.emitter.lifecycle.open_scopes == ()
        assert signal.getsignal(TERM) is signal.SIG_DFL
        with loop.run():
            pass
        if interrupt.left > 0:
            break
        assert held is not None
    assert 5 < occurrence < 99


class InterruptedLock:
    """A lock of which Ctrl-C comes just when `acquire` returns; a ``with`` statement lets nothing come in between."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.locked = self.lock.locked

    def acquire(self, blocking: bool = True) -> bool:
        self.lock.acquire(blocking)
        raise KeyboardInterrupt

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_interrupt_leaves_no_lock_of_a_history_held() -> None:
    history = ScalarHistory([1.0])
    lock: Any = InterruptedLock()
    history._lock = lock
    with contextlib.suppress(KeyboardInterrupt):
        history.latest()
    assert not lock.lock.locked()
    assert history.data[0].tolist() == [1.0]
