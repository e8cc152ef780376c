from __future__ import annotations

import contextlib
import os
import sys
import threading

import pytest

from runtimeinfo_conformance.guards import Exited, Guard, Watch

REAL_EXIT, REAL_ABORT = os._exit, os.abort

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def problem_of(watch: Watch) -> str:
    assert watch.problem is not None
    assert watch.problem.kind == "exit"
    return str(watch.problem)


@pytest.fixture(autouse=True)
def _everything_is_put_back() -> object:
    yield
    assert os._exit is REAL_EXIT
    assert os.abort is REAL_ABORT


def leave() -> None:
    os._exit(3)


def test_an_exit_becomes_an_exception(guard: Guard) -> None:
    with pytest.raises(Exited, match=r"os\._exit\(3\)"), guard.watching() as watch:
        leave()
    message = problem_of(watch)
    assert "it called os._exit(3) at " in message
    assert f"{__file__}:" in message
    assert "in leave: that ends the whole test session" in message


def test_an_abort_becomes_an_exception(guard: Guard) -> None:
    with pytest.raises(Exited), guard.watching() as watch:
        os.abort()
    assert "it called os.abort() at" in problem_of(watch)


def test_no_ordinary_handler_swallows_it(guard: Guard) -> None:
    with pytest.raises(Exited), guard.watching(), contextlib.suppress(Exception):
        leave()


def test_one_that_is_swallowed_is_noted(guard: Guard) -> None:
    with guard.watching() as watch, contextlib.suppress(BaseException):
        leave()
    problem_of(watch)


@pytest.mark.parametrize(("code", "shown"), [(3, "3"), (None, "None"), ("no GPU", "'no GPU'")])
def test_sys_exit_comes_out_and_is_noted(guard: Guard, code: object, shown: str) -> None:
    def run() -> None:
        sys.exit(code)  # type: ignore[arg-type]

    with pytest.raises(SystemExit) as caught, guard.watching() as watch:
        run()
    assert caught.value.code == code
    message = problem_of(watch)
    assert f"it called sys.exit({shown}) at {__file__}:" in message
    assert "in run" in message


def test_an_error_is_no_exit(guard: Guard) -> None:
    with pytest.raises(ValueError), guard.watching() as watch:
        raise ValueError
    assert watch.problem is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_in_another_thread_it_ends_that_thread(guard: Guard) -> None:
    def run() -> None:
        leave()
        went_on.append(True)

    went_on: list[bool] = []
    with guard.watching() as watch:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert not went_on
    assert "os._exit(3)" in problem_of(watch)


@needs_fork
def test_a_forked_child_really_exits(guard: Guard) -> None:
    with guard.watching() as watch:
        child = os.fork()
        if child == 0:
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert watch.problem is None


@needs_fork
def test_a_guard_in_a_forked_child_guards_the_child(guard: Guard) -> None:
    with guard.watching():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with Guard().watching():
                    leave()
            except Exited:
                code = 9
            os._exit(code)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9


@needs_fork
def test_one_that_was_kept_exits_when_no_run_is_on(guard: Guard) -> None:
    with guard.watching():
        kept = os._exit
    child = os.fork()
    if child == 0:
        kept(5)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5


def test_one_that_was_kept_is_refused_in_the_next_run(guard: Guard) -> None:
    with guard.watching():
        kept = os._exit
    with pytest.raises(Exited), guard.watching() as watch:
        kept(5)
    assert "os._exit(5)" in problem_of(watch)


def test_it_is_put_back_also_where_the_subject_replaced_it(guard: Guard) -> None:
    with guard.watching():
        os._exit = leave  # type: ignore[assignment]
