"""Places in which the code of trainings runs, and which obey commands: threads, generators, tasks, pools, processes.

Everything is the real thing. A place is driven step by step, so that a schedule says how trainings interleave: a thread
waits for its next command, a generator is sent it, a process gets it through a pipe.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import copy
import multiprocessing
import os
import pickle
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from runtimeinfo import current_hub, use_hub
from runtimeinfo_adapters import MessageHub

Answer = tuple[Any, Any]
Command = tuple[tuple[str, ...], str, tuple[Any, ...]]
"""The way to the place from here, an operation, and its arguments."""

FRAMES = frozenset({"enter", "leave", "train", "event_loop"})
"""Operations that open or close a frame of the call stack of a place."""

HANG = 60  # seconds

KEPT_BEFORE_ANY_RUN = current_hub()


class Aborted(Exception):  # noqa: N818  # as a training is, by whatever exception
    """Ends a training in the middle."""


class PlaceError(Exception):
    """A place did not do what it was told."""


def answer_of(hub: Any) -> Answer:
    return hub.get_info("experiment_name"), hub.get_info("epoch")


def ask(how: str = "called", kept: Any = None) -> Answer:
    """Return name and epoch of the run that this code belongs to, by one of the ways to ask."""
    if how == "called":
        return answer_of(current_hub())
    if how == "early":
        return answer_of(KEPT_BEFORE_ANY_RUN)
    if how == "pickled":
        return answer_of(pickle.loads(pickle.dumps(current_hub())))
    if how == "copied":
        return answer_of(copy.deepcopy(KEPT_BEFORE_ANY_RUN))
    return answer_of(kept)


class Asking:
    """A dataset whose items say what the hub that it keeps answers; None keeps none, and calls current_hub()."""

    def __init__(self, kept: Any = None, length: int = 3) -> None:
        self.kept = kept
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Answer:
        return ask() if self.kept is None else answer_of(self.kept)

    def __iter__(self) -> Iterator[list[Answer]]:
        return ([self[index]] for index in range(self.length))


class ThreadPlace:
    """A thread that waits for commands."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._outbox: SimpleQueue[Any] = SimpleQueue()

    def relay(self, command: Command) -> Any:
        self._inbox.put(command)
        return self._outbox.get(timeout=HANG)

    def end(self) -> None:
        self._inbox.put(((), "leave", ()))

    def receive(self) -> Command:
        return self._inbox.get()

    def reply(self, answer: Any) -> None:
        self._outbox.put(answer)

    async def receive_in_loop(self) -> Command:
        return self.receive()


class TaskPlace:
    """A task that waits for commands. Its thread hands them to it."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Command] = asyncio.Queue()
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    async def receive_in_loop(self) -> Command:
        return await self.inbox.get()

    def reply(self, answer: Any) -> None:
        self.outbox.put_nowait(answer)


class ProcessPlace:
    """Another process, from here: a pipe to it."""

    def __init__(self, pipe: Any, pid: int, join: Callable[[], object]) -> None:
        self.pipe = pipe
        self.pid = pid
        self._join = join

    def relay(self, command: Command) -> Any:
        self.pipe.send(command)
        if not self.pipe.poll(HANG):
            raise PlaceError(f"process {self.pid} does not answer")
        answer = self.pipe.recv()
        if answer == ENDED and not command[0]:
            self._join()
        return answer


class GeneratorPlace:
    """What stands for a generator where a place is needed."""


ENDED = ("ok", "ended")


class House:
    """The places of one process, and what they share.

    Args:
        main: What gives commands to the main thread: `receive` and `reply`.
    """

    def __init__(self, main: Any) -> None:
        self.main = main
        self.hubs: dict[str, MessageHub] = {}
        self.members: dict[str, Any] = {}
        self.things: dict[str, Any] = {}  # contexts, pools, executors, loaders, what was kept
        self.loops: dict[str, Any] = {}
        self.passes: dict[str, Any] = {}
        self.scopes: dict[str, Any] = {}

    # -- the call stack of a thread, of a generator, of a task

    def serve(self, me: Any) -> None:
        """Obey until the frame is left."""
        while True:
            hops, operation, arguments = me.receive()
            if hops or operation not in FRAMES:
                me.reply(self.obey(me, hops, operation, arguments))
                continue
            if operation == "leave":
                if arguments[0]:
                    raise Aborted
                return

            def body() -> None:
                me.reply(("ok", None))
                self.serve(me)

            with suppress(Aborted):
                if operation == "enter":
                    with self.inside(*arguments):
                        body()
                elif operation == "train":
                    import trainers

                    trainers.train(arguments[1], self.hub(arguments[0]), body)
                else:
                    asyncio.run(self.serve_in_loop(me, is_host=True))
            me.reply(("ok", None))

    def serve_generator(self, me: Any, answer: Any = None) -> Generator[Any, Command, None]:
        """Obey what is sent, until the frame is left."""
        while True:
            hops, operation, arguments = yield answer
            if hops or operation not in FRAMES:
                answer = self.obey(me, hops, operation, arguments)
                continue
            if operation == "leave":
                if arguments[0]:
                    raise Aborted
                return
            with suppress(Aborted), self.inside(*arguments):
                yield from self.serve_generator(me, ("ok", None))
            answer = ("ok", None)

    async def serve_in_loop(self, me: Any, *, is_host: bool = False) -> None:
        """Obey in an event loop, until the frame is left; the host of the loop hands commands to its tasks."""
        if is_host:
            me.reply(("ok", None))
        while True:
            hops, operation, arguments = await me.receive_in_loop()
            task = self.members.get(hops[0]) if hops else None
            if isinstance(task, TaskPlace):
                task.inbox.put_nowait((hops[1:], operation, arguments))
                me.reply(await task.outbox.get())
            elif hops or operation not in {*FRAMES, "to_thread", "in_executor", "cancel"}:
                me.reply(self.obey(me, hops, operation, arguments))
            elif operation == "leave":
                if arguments[0]:
                    raise Aborted
                return
            elif operation == "enter":
                with suppress(Aborted), self.inside(*arguments):
                    me.reply(("ok", None))
                    await self.serve_in_loop(me)
                me.reply(("ok", None))
            elif operation == "to_thread":
                me.reply(("ok", await asyncio.to_thread(ask)))
            elif operation == "in_executor":
                me.reply(("ok", await asyncio.get_running_loop().run_in_executor(None, ask)))
            else:
                place = self.members.pop(arguments[0])
                await asyncio.sleep(0)  # it might not have begun yet
                place.task.cancel()
                await place.outbox.get()
                me.reply(("ok", None))

    @contextmanager
    def inside(self, run: str, kind: str, loader: str | None = None) -> Generator[None]:
        """Be in a run."""
        hub = self.hub(run)
        if kind == "plain":
            with use_hub(hub):
                yield
            return
        from runtimeinfo_adapters.pytorch import Loop

        loop = self.loops.get(run)
        if loop is None:
            data = Asking() if loader is None else self.things[loader]
            loop = self.loops[run] = Loop(train_loader=data, hub=hub, experiment_name=run)
        try:
            with loop.run():
                yield
        finally:
            self.passes.pop(run, None)

    def hub(self, run: str) -> MessageHub:
        if run not in self.hubs:
            self.hubs[run] = MessageHub(run, runtime_info={"experiment_name": run, "epoch": 0})
        return self.hubs[run]

    # -- operations

    def obey(self, me: Any, hops: tuple[str, ...], operation: str, arguments: tuple[Any, ...]) -> Any:
        """Do an operation here, or send it on to a generator, and return what came of it."""
        try:
            if hops:
                return self._step(hops, operation, arguments)
            return "ok", getattr(self, f"do_{operation}")(*arguments)
        except Exception:
            return "error", traceback.format_exc()

    def relay(self, command: Command) -> Any:
        """Send a command to another thread or process, and return what came of it; None if it is for this thread."""
        hops, operation, arguments = command
        member = self.members.get(hops[0]) if hops else None
        if not isinstance(member, ThreadPlace | ProcessPlace):
            return None
        answer = member.relay((hops[1:], operation, arguments))
        if len(hops) == 1 and answer == ENDED:
            del self.members[hops[0]]
        return answer

    def _step(self, hops: tuple[str, ...], operation: str, arguments: tuple[Any, ...]) -> Any:
        generator = self.members[hops[0]]
        try:
            return generator.send((hops[1:], operation, arguments))
        except (StopIteration, Aborted):
            self.members.pop(hops[0], None)
            return ENDED

    def do_ask(self, how: str, kept: str | None = None) -> Answer:
        return ask(how, self.things.get(kept) if kept else None)

    def do_keep(self, name: str) -> None:
        self.things[name] = current_hub()

    def do_ask_hub(self, run: str) -> Answer:
        return answer_of(self.hubs[run])

    def do_publish(self, run: str, epoch: int) -> None:
        self.hubs[run].update_info("epoch", epoch)

    def do_publish_here(self, epoch: int) -> Answer:
        """Publish to the current hub, and return which hub has it."""
        current_hub().update_info("epoch", epoch)
        return next(((run, epoch) for run, hub in self.hubs.items() if hub.get_info("epoch") == epoch), (None, None))

    def do_begin(self, run: str) -> None:
        scope = use_hub(self.hub(run))
        scope.__enter__()
        self.scopes[run] = scope

    def do_end(self, run: str) -> None:
        self.scopes.pop(run).__exit__(None, None, None)

    def do_copy_context(self, name: str) -> None:
        self.things[name] = contextvars.copy_context()

    def do_ask_in_context(self, name: str) -> Answer:
        return self.things[name].run(ask)

    def do_thread(self, name: str, how: str, thing: str | None = None) -> None:
        place = ThreadPlace()

        def main() -> None:
            try:
                self.serve(place)
            except Aborted:
                pass
            except BaseException:
                place.reply(("error", traceback.format_exc()))
                return
            place.reply(ENDED)

        self.members[name] = place
        if how == "pool":
            self.things[thing].submit(main)
            return
        contexts = {"bare": contextvars.Context, "copied": contextvars.copy_context}
        context = self.things[thing].copy() if how == "context" else contexts[how]()
        threading.Thread(target=context.run, args=(main,), daemon=True).start()

    def do_foreign(self, name: str) -> None:
        place = ThreadPlace()

        def main() -> None:
            while place.receive()[1] != "leave":
                place.reply(ask())

        _thread.start_new_thread(main, ())  # as C++ code starts one: `threading` does not know it
        self.things[name] = place

    def do_ask_foreign(self, name: str) -> Answer:
        return self.things[name].relay(((), "ask", ()))

    def do_generator(self, name: str) -> None:
        generator = self.serve_generator(GeneratorPlace())
        next(generator)
        self.members[name] = generator

    def do_close(self, name: str) -> None:
        self.members.pop(name).close()

    def do_throw(self, name: str) -> Any:
        try:
            self.members[name].throw(Aborted())
        except (StopIteration, Aborted):
            self.members.pop(name, None)

    def do_pool(self, name: str) -> None:
        self.things[name] = ThreadPoolExecutor(1)

    def do_submit(self, name: str, how: str) -> Answer:
        pool = self.things[name]
        if how == "copied":
            return pool.submit(contextvars.copy_context().run, ask).result(HANG)
        return pool.submit(ask).result(HANG)

    def do_task(self, name: str) -> None:
        place = self.members[name] = TaskPlace()

        async def main() -> None:
            try:
                await self.serve_in_loop(place)
            except Aborted:
                pass
            finally:
                self.members.pop(name, None)
                place.reply(ENDED)

        place.task = asyncio.get_running_loop().create_task(main())

    def do_process(self, name: str, method: str, hubs: tuple[str, ...]) -> None:
        given = {run: self.hub(run) for run in hubs}
        here, there = multiprocessing.Pipe()
        if method == "os.fork":
            pid = os.fork()
            if not pid:
                live(there, given)
            self.members[name] = ProcessPlace(here, pid, lambda: os.waitpid(pid, 0))
        else:
            process = multiprocessing.get_context(method).Process(target=live, args=(there, given))
            process.start()
            self.members[name] = ProcessPlace(here, process.pid or 0, process.join)
        there.close()

    def do_executor(self, name: str, method: str) -> None:
        self.things[name] = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method))

    def do_execute(self, name: str) -> Answer:
        return self.things[name].submit(ask).result(HANG)

    def do_loader(self, name: str, method: str | None, persistent: bool, kept: str | None, run: str | None) -> None:
        from torch.utils.data import DataLoader

        hub = self.hub(run) if run else self.things[kept] if kept else None
        workers = 0 if method is None else 1
        self.things[name] = DataLoader(
            Asking(hub),
            num_workers=workers,
            persistent_workers=persistent,
            multiprocessing_context=method,
            collate_fn=list,
        )

    def do_pass(self, name: str, count: int | None) -> list[Answer]:
        return [answer for batch in islice(self.things[name], count) for answer in batch]

    def do_step(self, run: str) -> list[Answer]:
        """Draw a batch of a loop."""
        if run not in self.passes:
            self.passes[run] = iter(self.loops[run].train())
        batch = next(self.passes[run], None)
        if batch is None:
            del self.passes[run]
            return []
        return list(batch)

    def close(self) -> None:
        """End what threads and processes of this house are left. Their places have ended."""
        for thing in self.things.values():
            if isinstance(thing, ThreadPoolExecutor | ProcessPoolExecutor):
                thing.shutdown()
            elif isinstance(thing, ThreadPlace):
                thing.end()
            elif getattr(thing, "_iterator", None) is not None:
                # PyTorch raises here if a worker has ended by itself.
                with suppress(RuntimeError):
                    thing._iterator._shutdown_workers()
        self.things.clear()


class Child:
    """The main thread of a process that gets its commands through a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.house = House(self)

    def receive(self) -> Command:
        while True:
            if not self._pipe.poll(2 * HANG):
                os._exit(1)
            command: Command = self._pipe.recv()
            try:
                answer = self.house.relay(command)
            except Exception:
                answer = "error", traceback.format_exc()
            if answer is None:
                return command
            self._pipe.send(answer)

    def reply(self, answer: Any) -> None:
        self._pipe.send(answer)

    async def receive_in_loop(self) -> Command:
        return self.receive()


def live(pipe: Connection, hubs: dict[str, MessageHub]) -> None:
    """Obey as the main thread of a process until it is told to leave, and end the process."""
    warnings.simplefilter("ignore")
    code = 1
    try:
        child = Child(pipe)
        child.house.hubs.update(hubs)
        with suppress(Aborted):
            child.house.serve(child)
        child.house.close()
        pipe.send(ENDED)
        code = 0
    except BaseException:
        with suppress(OSError):
            pipe.send(("error", traceback.format_exc()))
    finally:
        # Not through the frames below: those of a forked child are copies of its parent's.
        os._exit(code)
