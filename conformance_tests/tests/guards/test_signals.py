from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from runtimeinfo_conformance.guards import Guard, Hung, Watch

if not hasattr(signal, "setitimer"):
    pytest.skip("there is no SIGALRM here", allow_module_level=True)


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def lock_twice() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def wait_for_an_item() -> None:
    queue.Queue[int]().get()


def wait_for_a_thread() -> None:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    thread.join()


def wait_for_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as process:
        try:
            process.wait()
        finally:
            process.kill()


def print_for_ever() -> None:
    while True:
        print("still here")


def catch_every_exception() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1000)


HANGS = [
    spin,
    sleep,
    lock_twice,
    wait_for_an_item,
    wait_for_a_thread,
    wait_for_a_process,
    print_for_ever,
    catch_every_exception,
]


def interrupted(guard: Guard, run: Callable[[], None]) -> Watch:
    with pytest.raises(Hung), guard.watching() as watch:
        run()
    return watch


def problem_of(watch: Watch, kind: str) -> str:
    assert watch.problem is not None
    assert watch.problem.kind == kind
    return str(watch.problem)


@pytest.fixture(autouse=True)
def _everything_is_restored() -> object:
    handler, tracer = signal.getsignal(signal.SIGALRM), sys.gettrace()
    yield
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert sys.gettrace() is tracer


@pytest.mark.parametrize("run", HANGS)
def test_a_run_that_hangs_is_interrupted_and_shown(impatient: Guard, run: Callable[[], None]) -> None:
    message = problem_of(interrupted(impatient, run), "hang")
    assert "did not come back within 0.3 s" in message
    assert f"in {run.__name__}" in message
    assert "runtimeinfo_conformance/guards" not in message
    assert "in interrupted" not in message  # the caller of the subject is left out


def test_only_the_innermost_calls_are_shown(impatient: Guard) -> None:
    def dig(depth: int) -> None:
        time.sleep(1000) if depth == 0 else dig(depth - 1)

    message = problem_of(interrupted(impatient, lambda: dig(30)), "hang")
    assert message.count("in dig") + message.count("[Previous line repeated") >= 4
    assert "in <lambda>" not in message


def test_a_run_that_comes_back_is_left_alone(impatient: Guard) -> None:
    with impatient.watching() as watch:
        time.sleep(0.01)
    assert watch.problem is None
    time.sleep(0.5)  # the alarm is off


def test_a_hang_that_is_swallowed_is_noted(impatient: Guard) -> None:
    def run() -> str:
        try:
            time.sleep(1000)
        except BaseException:
            return "swallowed"
        return "never"

    with impatient.watching() as watch:
        assert run() == "swallowed"
    problem_of(watch, "hang")


def test_a_hang_that_becomes_another_error_is_noted(impatient: Guard) -> None:
    def run() -> None:
        try:
            time.sleep(1000)
        except BaseException as error:
            raise ValueError("mine") from error

    with pytest.raises(ValueError, match="mine"), impatient.watching() as watch:
        run()
    problem_of(watch, "hang")


@pytest.mark.usefixtures("often")
def test_the_alarm_rings_again(impatient: Guard) -> None:
    def run() -> None:
        try:
            time.sleep(1000)
        except BaseException:
            time.sleep(1000)

    begin = time.monotonic()
    message = problem_of(interrupted(impatient, run), "hang")
    assert time.monotonic() - begin < 100
    assert "except BaseException" not in message  # the first place is reported


@pytest.mark.usefixtures("often")
def test_a_loop_that_swallows_everything_ends(impatient: Guard) -> None:
    swallowed: list[BaseException] = []

    def run() -> None:
        while True:
            try:
                time.sleep(1000)
            except BaseException as error:
                swallowed.append(error)

    interrupted(impatient, run)
    assert len(swallowed) >= 2
    assert {type(error) for error in swallowed} == {Hung}


@pytest.mark.usefixtures("often")
def test_another_tracer_is_restored(impatient: Guard) -> None:
    def tracer(frame: object, event: str, argument: object) -> None:
        return None

    def run() -> None:
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1000)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        interrupted(impatient, run)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_another_timer_is_left_alone(impatient: Guard) -> None:
    class TheirsError(Exception):
        pass

    def theirs(*_: object) -> None:
        raise TheirsError

    before = signal.signal(signal.SIGALRM, theirs)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(TheirsError), impatient.watching() as watch:
            time.sleep(1000)
        assert watch.problem is None
        assert signal.getsignal(signal.SIGALRM) is theirs
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_that_the_subject_sets_does_not_outlive_the_run(guard: Guard) -> None:
    with guard.watching():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.alarm(100)


def test_within_another_run_the_outer_alarm_rings(impatient: Guard, guard: Guard) -> None:
    def run() -> None:
        with guard.watching() as watch:
            inner.append(watch)
            time.sleep(1000)

    inner: list[Watch] = []
    problem_of(interrupted(impatient, run), "hang")
    assert inner[0].problem is None


def test_in_another_thread_there_is_no_alarm(impatient: Guard) -> None:
    def run() -> None:
        with impatient.watching() as watch:
            time.sleep(0.6)
            watches.append(watch)

    watches: list[Watch] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert watches[0].problem is None


def test_the_guard_works_on_after_a_hang(impatient: Guard) -> None:
    for _ in range(3):
        assert interrupted(impatient, sleep).problem is not None
    with impatient.watching() as watch:
        print("fine", end="")
    assert (watch.printed, watch.problem) == ("fine", None)


@pytest.mark.parametrize("hang_seconds", [0.000_001, 0.000_02])
def test_begin_and_end_of_a_watch_are_not_interrupted(hang_seconds: float) -> None:
    # The alarm can ring at any moment, also while the guard itself works: at once, and around the end of a run.
    guard, out = Guard(hang_seconds=hang_seconds), sys.stdout
    for index in range(1500):
        with contextlib.suppress(Hung), guard.watching():
            for _ in range(index % 500):
                pass
        assert sys.stdout is out
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_at_the_very_end_is_ignored(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def ring_and_end() -> None:
        signal.raise_signal(signal.SIGALRM)
        end()

    watch = guard.watching()
    end = watch._alarm.end
    monkeypatch.setattr(watch._alarm, "end", ring_and_end)
    with watch:
        print("one", end="")
    assert (watch.printed, watch.problem) == ("one", None)


# -- Ctrl-C


def test_a_handler_of_the_subject_is_removed(guard: Guard) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with guard.watching() as watch:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)
    assert watch.problem is None


def test_ctrl_c_comes_out_of_a_run(guard: Guard) -> None:
    # A shell makes its background processes ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), guard.watching() as watch:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert watch.problem is None


def test_in_another_thread_there_is_nothing_to_put_back(guard: Guard) -> None:
    def run() -> None:
        with guard.watching() as watch:
            print("one", end="")
        printed.append(watch.printed)

    printed: list[str] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert printed == ["one"]
