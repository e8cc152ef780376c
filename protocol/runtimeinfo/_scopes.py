"""The scopes of hubs, and which of them the code that asks is in: in this thread, task or generator.

Two facts decide. The *context* of a thread or task says which scopes (`use_hub`) its code is in. The *call stack* says
which of them is at work, where several trainings are generators that one thread steps in turn: a scope that was entered
inside a generator is at work while that generator runs. Where neither can tell, the answer is that of no run: a
component must never be told the values of another run.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, currentframe
from types import CodeType, FrameType, FunctionType
from typing import Any

from runtimeinfo._errors import MissingScalarError
from runtimeinfo._hub_numbers import hub_number, lock, number_run, on_new_run, reference, run_count, shared_hubs
from runtimeinfo._message_hub import InfoReader, ScalarHistory, SupportsSharing
from runtimeinfo._worker_run import UNKNOWN_RUNS, Parent, WorkerOrigin, send_origin_to_workers


class _NoRun:
    """The reader outside of any run (inference, a unit test): it has nothing to tell, and that is normal."""

    __slots__ = ()

    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002  # the protocol's signature
        return default

    def get_scalar(self, key: str) -> ScalarHistory:
        raise MissingScalarError(f"no scalar {key!r}: {self._reason()}", key=key, requirement="HUB-07")

    def __repr__(self) -> str:
        return f"<no hub: {self._reason().partition(';')[0]}>"

    def _reason(self) -> str:
        if not _open_scopes:
            return "no run is publishing here; train under a runner, or enter use_hub(hub)"
        return (
            "not known to which of the open runs this code belongs, if to any; call it in a copy of the context of its "
            "run: contextvars.copy_context().run(...)"
        )


NO_RUN = _NoRun()
_parent = Parent(NO_RUN)


class StandIn:
    """A stand-in for the hub of the run in which it is used: see `runtimeinfo.current_hub`."""

    __slots__ = ()


# -- scopes

# Identifies a frame: its id, and its code because an id is used again.
_Frame = tuple[int, CodeType]
_IS_GENERATOR = CO_GENERATOR | CO_ASYNC_GENERATOR
# The packages that step a generator as a context manager: it waits while the code inside runs. The fixtures and the
# hook wrappers of pytest are such generators, too.
_CONTEXT_MANAGERS = frozenset({"contextlib", "_pytest", "pluggy", "pytest_asyncio", "pytest_trio", "anyio"})
_ignored_generators: set[CodeType] = set()
# The modules whose code calls the tasks and callbacks of an event loop.
_EVENT_LOOPS = frozenset({"asyncio.events", "asyncio.runners", "uvloop", "trio._core._run"})


def ignore_generators(*functions: FunctionType) -> None:
    """Pass over generators in which a framework calls handlers: they are suspended only between two calls of these.

    Otherwise a run that a handler begins would be at work only until the framework's generator has ended.

    Args:
        functions: The generator functions.

    Source: SCOPE-01.
    """
    _ignored_generators.update(function.__code__ for function in functions)


class _LooksFurther:
    """Answers where the innermost scope of a context does not tell to which run the code belongs."""

    __slots__ = ()

    def get_info(self, key: str, default: Any = None) -> Any:
        return _find_hub().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        return _find_hub().get_scalar(key)


_LOOKS_FURTHER = _LooksFurther()


class _NoScope:
    """Stands for the innermost scope of a context that has none."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: InfoReader = _parent


_NO_SCOPE = _NoScope()


class _Scope:
    """One entering of a hub.

    Attributes:
        hub: The hub.
        is_open: Whether it was not left yet.
        answers: What code asks if this is the innermost scope of its context: the hub, or what looks further.
        generator: The innermost generator in which it was entered: while that is suspended, so is the scope.
        turn: The innermost generator in which its run had its turn, see `enter_again`.
        stepped_by: The thread and task in which that was.
        is_over_generator: Whether it was entered beside a generator of another run that was suspended: a copy of its
            context might be made by that one.
        is_in_task: Whether an event loop in that generator has called the code that entered it.
        thread: Identifies the thread that entered it.
        task: Refers to the asynchronous task or greenlet that entered it, if there was one.
    """

    __slots__ = (
        "answers",
        "generator",
        "hub",
        "is_in_task",
        "is_open",
        "is_over_generator",
        "stepped_by",
        "task",
        "thread",
        "turn",
    )

    def __init__(self, hub: InfoReader) -> None:
        self.hub = hub
        self.is_open = True
        self.answers: InfoReader = _LOOKS_FURTHER
        self.is_over_generator = False
        self.generator, self.is_in_task = _suspendable_generator(currentframe())
        self.turn = self.generator
        self.thread = _this_thread()
        self.task = _this_task()
        self.stepped_by: tuple[object, object] = self.thread, self.task

    def close(self) -> None:
        self.is_open = False
        self.answers = _LOOKS_FURTHER

    def is_of(self, thread: object, task: object) -> bool:
        return (self.thread is thread and self.task == task) or self.stepped_by == (thread, task)


_in_this_context: ContextVar[tuple[_Scope, ...]] = ContextVar("runtimeinfo_scopes", default=())
# The last of them, by itself: each read of a key looks here first.
_innermost: ContextVar[_Scope | _NoScope] = ContextVar("runtimeinfo_innermost", default=_NO_SCOPE)
get_innermost = _innermost.get
_open_scopes: list[_Scope] = []  # of this process, in the order of entering

_open_at_fork: list[_Scope] = []  # in a forked child: of its parent


@contextmanager
def use_hub(hub: InfoReader) -> Generator[None]:
    """Make a hub the current one for the code inside, and for the worker processes that it starts.

    Scopes may be left in any order: each one removes its own entry only. While other runs are open, a hub that was
    entered in a generator is the current one only for what that generator calls. A hub that cannot be shared is not
    seen from other processes.

    Example:
        >>> from runtimeinfo import current_hub
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-use-hub")
        >>> hub.update_info("epoch", 3)
        >>> with use_hub(hub):
        ...     current_hub().get_info("epoch")
        3

    Source: HUB-02, SHARE-01.
    """
    if isinstance(hub, StandIn):
        hub = resolve_hub()
    with lock:
        begins = not is_entered(hub)
        if begins:
            number_run(hub)
    for call in on_new_run if begins else ():
        call()
    send_origin_to_workers(_origin_of_this_thread)
    scope = _Scope(hub)
    sharing: AbstractContextManager[object] = hub.sharing() if isinstance(hub, SupportsSharing) else nullcontext()
    with sharing:
        try:
            _push(scope)
            with lock:
                _open_scopes.append(scope)
                _update_answers()
            yield
        finally:
            # First of all, and without a call: Ctrl-C might come at any later one, and leave the rest undone.
            scope.is_open, scope.answers = False, _LOOKS_FURTHER
            # Not `ContextVar.reset(token)`: a generator may be closed in another context than it was started in.
            _set_scopes(_kept(_in_this_context.get()))
            with lock:
                scope.answers = _LOOKS_FURTHER  # another thread might have updated it just before
                if scope in _open_scopes:  # not in a forked child that leaves what its parent has entered
                    _update_answers()
                    _note_threads_of(hub)


def enter_again(hub: InfoReader) -> None:
    """Make an open hub the innermost one of this context again, because its run continues.

    Trainings that one thread steps in turn, without a generator around each, take turns so.

    Source: SCOPE-02.
    """
    with lock:
        scope = next((each for each in reversed(_open_scopes) if each.hub is hub), None)
        if scope is None:
            return
        _open_scopes.remove(scope)
        _open_scopes.append(scope)  # it comes last, in whatever context that is asked
    if scope.generator is not None:  # the code of this thread and task steps that generator now
        scope.turn, _ = _suspendable_generator(currentframe())
        scope.stepped_by = _this_thread(), _this_task()
    scopes = _in_this_context.get()
    if not scopes or scopes[-1].hub is not hub or not scopes[-1].is_open:
        _push(scope)


def _push(scope: _Scope) -> None:
    below = [each for each in _kept(_in_this_context.get()) if each is not scope]
    scope.is_over_generator = any(
        each.is_open and each.generator not in (None, scope.generator) and each.hub is not scope.hub for each in below
    )
    _set_scopes((*below, scope))


def _kept(scopes: Sequence[_Scope]) -> tuple[_Scope, ...]:
    """Return the scopes of a context that are open, and the one that a copied context comes from."""
    thread, task = _this_thread(), _this_task()
    source = next((each for each in reversed(scopes) if not each.is_of(thread, task)), None)
    return tuple(each for each in scopes if each.is_open or each is source)


def _set_scopes(scopes: tuple[_Scope, ...]) -> None:
    _in_this_context.set(scopes)
    _innermost.set(scopes[-1] if scopes else _NO_SCOPE)


def _update_answers() -> None:
    """Let the innermost scope of a context answer, unless a generator might matter. The caller holds the lock.

    A generator might be at work in any thread, whatever the context, and might be suspended: with several runs, the
    call stack has to be looked at.
    """
    _open_scopes[:] = [each for each in _open_scopes if each.is_open]
    is_simple = _is_one_run(_open_scopes) or all(each.generator is None for each in _open_scopes)
    for scope in _open_scopes:
        scope.answers = scope.hub if is_simple and not scope.is_over_generator else _LOOKS_FURTHER
    _NO_SCOPE.answers = _LOOKS_FURTHER if _open_scopes else _parent


def own_hub() -> InfoReader | None:
    """Return the hub of the run that this code is in; None if it is in none, or in one of the parent process."""
    hub = _find_own_hub()
    return None if hub is NO_RUN else hub


def leave_hub(hub: object) -> None:
    """Stop a hub from being the current one, wherever it was entered, because its publisher has given up."""
    with lock:
        for scope in _open_scopes:
            if scope.hub is hub:
                scope.close()
        _update_answers()


def is_entered(hub: object) -> bool:
    """Tell whether a scope of a hub is open in this process."""
    return any(each.hub is hub for each in _open_scopes)


def was_entered_at_fork(hub: object) -> bool:
    """Tell in a forked child whether a scope of a hub was open in its parent."""
    return any(each.hub is hub for each in _open_at_fork)


# -- the answer


def resolve_hub() -> InfoReader:
    """Return the hub itself that `current_hub` stands for at this moment; do not keep it for later.

    Source: SCOPE-06.
    """
    answers = get_innermost().answers
    return _find_hub() if answers is _LOOKS_FURTHER or answers is _parent else answers


def _find_hub() -> InfoReader:
    found = _find_own_hub()
    return _parent.hub if found is None else found


def _find_own_hub() -> InfoReader | None:
    """Return the hub of a run of this process, or None if this code is in none and can belong to none."""
    scopes = _in_this_context.get()
    if not _open_scopes and not scopes:
        return None
    with lock:
        open_scopes = [each for each in _open_scopes if each.is_open]
    hub = _hub_at_work(open_scopes)
    if hub is not None:
        return hub
    thread, task = _this_thread(), _this_task()
    here = [each for each in open_scopes if each.generator is None and each.is_of(thread, task)]
    # A context that lacks what this thread has entered, or that outlives its run, is called by the code of another.
    if here and (here[-1] not in scopes or not scopes[-1].is_open):
        return here[-1].hub
    if scopes and scopes[-1].is_open:
        return _hub_of_context(scopes, thread, task)
    if not all(each.is_of(thread, task) for each in scopes) or any(each.is_open for each in scopes):
        return _hub_after_its_end(scopes, thread, task)
    if not open_scopes:  # another thread has left its run since
        return None
    hub = open_scopes[0].hub
    is_only = _is_one_run(open_scopes) and not _may_work_for_another(hub) and not _parent.has_run()
    return hub if is_only else NO_RUN


def _hub_of_context(scopes: Sequence[_Scope], thread: object, task: object) -> InfoReader:
    """Return the hub of the innermost scope of a context, which is open."""
    if _is_one_run(scopes) and not scopes[-1].is_over_generator:
        return scopes[-1].hub
    copied = [each for each in scopes if not each.is_of(thread, task)]
    for scope in reversed(scopes):
        if scope not in copied:
            if scope.is_open and scope.generator is None:
                return scope.hub
            continue
        # A generator that is suspended stays in the context: the copy does not show whose code made it.
        others = [each for each in copied if each.hub is not scope.hub and each.generator != scope.generator]
        is_doubtful = scope.is_over_generator or (scope.generator is not None and bool(others))
        return scope.hub if scope.is_open and not is_doubtful else NO_RUN
    return NO_RUN


def _hub_after_its_end(scopes: Sequence[_Scope], thread: object, task: object) -> InfoReader:
    """Return the hub of a context whose innermost scope has ended: none, unless this is the code around it."""
    last = len(scopes)
    # A generator that this code has stepped was closed in another context.
    while last and not scopes[last - 1].is_open and scopes[last - 1].is_of(thread, task):
        last -= 1
    return _hub_of_context(scopes[:last], thread, task) if last and scopes[last - 1].is_open else NO_RUN


def _hub_at_work(scopes: list[_Scope]) -> InfoReader | None:
    """Return the hub of the innermost generator on the call stack that a scope was entered in."""
    if all(each.generator is None for each in scopes):
        return None
    is_in_task = False
    frame = currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") in _EVENT_LOOPS:
            is_in_task = True
        elif frame.f_code.co_flags & _IS_GENERATOR:
            this = id(frame), frame.f_code
            inside = [each for each in scopes if this in (each.generator, each.turn)]
            if inside:
                return _hub_inside(inside, is_in_task)
        frame = frame.f_back
    return None


def _hub_inside(scopes: list[_Scope], is_in_task: bool) -> InfoReader | None:
    """Return the hub of one of the scopes in a running generator, which may belong to several tasks."""
    if not is_in_task:
        direct = [each for each in scopes if not each.is_in_task]
        return direct[-1].hub if direct else None
    in_this_context = _in_this_context.get()
    mine = [each for each in in_this_context if each in scopes]
    return mine[-1].hub if mine and in_this_context[-1].is_open else None


def _is_one_run(scopes: Sequence[_Scope]) -> bool:
    return all(each.hub is scopes[0].hub for each in scopes)


def _suspendable_generator(frame: FrameType | None) -> tuple[_Frame | None, bool]:
    """Return the innermost generator on the call stack, and whether an event loop in it has called this code.

    Context managers are passed over: these wait while their scope runs.
    """
    is_in_task = False
    while frame is not None:
        caller = frame.f_back
        if frame.f_globals.get("__name__") in _EVENT_LOOPS:
            is_in_task = True
        elif frame.f_code.co_flags & _IS_GENERATOR:
            package = "" if caller is None else str(caller.f_globals.get("__name__")).partition(".")[0]
            if package not in _CONTEXT_MANAGERS and frame.f_code not in _ignored_generators:
                return (id(frame), frame.f_code), is_in_task
        frame = caller
    return None, False


# -- threads and tasks

_of_thread = threading.local()


def _this_thread() -> object:
    """Return the identity of this thread. Unlike its id, it is never reused."""
    try:
        return _of_thread.identity
    except AttributeError:
        identity = _of_thread.identity = object()
        return identity


def _this_task() -> object:
    """Return the identity of the running asynchronous task or greenlet, or None."""
    for name, function in (("asyncio", "current_task"), ("trio.lowlevel", "current_task"), ("greenlet", "getcurrent")):
        module = sys.modules.get(name)
        if module is not None:
            try:
                task = getattr(module, function)()
            except (RuntimeError, AttributeError):  # no event loop runs; or the module is being imported
                continue
            # The main greenlet of a thread is the thread itself.
            if task is not None and (name != "greenlet" or task.parent is not None):
                return weakref.ref(task)
    return None


# The threads that were alive when a run ended, for the last run that did and for the last one of another hub before.
_threads_of_ended: list[tuple[Callable[[], object], weakref.WeakSet[threading.Thread]]] = []


def _note_threads_of(hub: object) -> None:
    """Note which threads might have worked for a run that has ended. The caller holds the lock."""
    if is_entered(hub):
        return
    ended = reference(hub)
    others = [each for each in _threads_of_ended if each[0]() is not hub]
    _threads_of_ended[:] = [(ended, weakref.WeakSet(threading.enumerate())), *others[:1]]


def _may_work_for_another(hub: object) -> bool:
    """Tell whether this thread, which has no context, might work for a run of another hub that has ended."""
    threads = next((threads for ended, threads in _threads_of_ended if ended() is not hub), None)
    if not threads:
        return False
    mine = threading.get_ident()
    this = next((each for each in threading.enumerate() if each.ident == mine), None)
    # A thread that another library has started, as autograd's, works for a caller that waits for it: not for a run
    # that has ended.
    return this is not None and type(this).__name__ != "_DummyThread" and this in threads


# -- processes


def _origin_of_this_thread() -> WorkerOrigin:
    """Return the origin of a process that this thread starts now."""
    hub = _find_own_hub()
    if hub is None:
        return _parent.origin or WorkerOrigin(os.getpid(), runs=run_count(), folder=_folder())
    return origin_of(hub, os.getpid())


def origin_of(hub: object, pid: int) -> WorkerOrigin:
    """Return the origin of a process that a run of a hub starts, in the process with an id."""
    number = 0 if hub is NO_RUN else hub_number(hub)
    return WorkerOrigin(pid, number, runs=UNKNOWN_RUNS, folder=_folder())


def _folder() -> str:
    # Nothing is imported: in a forked child, a thread that is gone might have been importing it.
    module = sys.modules.get("runtimeinfo.board._folder")
    return "" if module is None else str(module.board_folder())


_hub_at_fork: InfoReader | None = None


def _before_fork() -> None:
    global _hub_at_fork  # noqa: PLW0603  # under the lock
    # Held during the fork: in the child there is no thread that could release it.
    lock.acquire()
    # Not in the child: an event loop of the parent does not say there which task has forked.
    _hub_at_fork = _find_own_hub()


def _after_fork_in_parent() -> None:
    global _hub_at_fork  # noqa: PLW0603
    _hub_at_fork = None
    lock.release()


def _after_fork_in_child() -> None:
    """Let the child read its parent's values from now on, not the copy of a hub that is no longer updated."""
    global _hub_at_fork
    hub, _hub_at_fork = _hub_at_fork, None
    lock.release()
    if hub is not None:
        _parent.note_fork(origin_of(hub, os.getppid()), hub, is_shared=hub_number(hub) in shared_hubs)
    elif not _parent.note_fork_of_worker():
        _parent.note_fork(WorkerOrigin(os.getppid(), runs=run_count(), folder=_folder()), NO_RUN, is_shared=False)
    for scope in _open_scopes:  # other contexts might have it, too
        scope.close()
    _open_at_fork[:] = _open_scopes
    _set_scopes(())
    _open_scopes.clear()
    _update_answers()
    _threads_of_ended.clear()


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
