"""Trains in processes that get signals from outside, and prints how each one has ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from runtimeinfo_adapters.pytorch import Loop

TERM = signal.SIGTERM
Told = Callable[[str], None]


class Slow(Dataset[int]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        time.sleep(0.3 if index else 0)
        return index


def had(loop: Any, tell: Told, *, stop_on: Any = TERM, seconds: float = 0.02) -> list[int]:
    """Train, and tell once the first batch is there."""
    batches: list[int] = []
    with loop.run(stop_on=stop_on):
        for _ in loop.epochs():
            for batch in loop.train():
                batches.append(int(batch))
                if len(batches) == 1:
                    tell("ready")
                time.sleep(seconds)
    return batches


def train_on(tell: Told) -> str:
    loop = Loop(train_loader=range(200), max_epochs=1)
    batches = had(loop, tell)
    return "stopped" if loop.stopped_by == TERM and len(batches) < 200 else f"{loop.stopped_by}"


def step_for_long(tell: Told) -> str:
    loop = Loop(train_loader=range(200), max_epochs=1)
    had(loop, tell, seconds=20)
    return "stopped"


def train_without(tell: Told) -> str:
    had(Loop(train_loader=range(50), max_epochs=1), tell, stop_on=None)
    return "not stopped"


def wait_after_the_run(tell: Told) -> str:
    had(Loop(train_loader=range(1), max_epochs=1), lambda _: None)
    tell("ready")
    time.sleep(5)
    return "not stopped"


def wait_for_the_loader(tell: Told) -> str:
    loop = Loop(train_loader=DataLoader(Slow(), batch_size=1, num_workers=1), max_epochs=1)
    batches = had(loop, tell, seconds=0)
    return f"stopped after {batches}"


def sleep_in_a_step(tell: Told) -> str:
    loop = Loop(train_loader=range(8), max_epochs=1)
    begun = time.monotonic()
    batches = had(loop, tell, seconds=0.5)
    return f"stopped after {batches}" if time.monotonic() - begun > 0.45 else "the step was cut short"


def end_a_worker(tell: Told) -> str:
    loop = Loop(train_loader=DataLoader(Slow(), batch_size=1, num_workers=1), max_epochs=1)
    with loop.run(stop_on=TERM):
        for _ in loop.train():
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid or 0, TERM)
            worker.join(4)
            ended = "not ended" if worker.is_alive() else "ended"
            break  # PyTorch would look after it in 5 s
    return f"worker {ended}; {'stopped' if loop.stopped_by else 'not stopped'}"


def end_a_forked_process(tell: Told, *, in_thread: bool = False) -> int:
    ends: list[int] = []

    def fork() -> None:
        child = os.fork()
        if not child:
            try:
                time.sleep(5)
            finally:
                os._exit(0)
        time.sleep(0.1)
        os.kill(child, TERM)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with Loop(train_loader=range(1)).run(stop_on=TERM):
        if in_thread:
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        else:
            fork()
    return ends[0]


def interrupt(tell: Told) -> str:
    try:
        had(Loop(train_loader=range(200), max_epochs=1), tell)
    except KeyboardInterrupt:
        return "KeyboardInterrupt"
    return "no KeyboardInterrupt"


def started(train: Callable[[Told], Any], *signals: tuple[float, signal.Signals]) -> Callable[[], Any]:
    """Train in a process; return what sends it signals, once it is ready, and returns what came of it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            with os.fdopen(write, "w") as pipe:

                def tell(text: str) -> None:
                    print(json.dumps(text), file=pipe, flush=True)

                tell(train(tell))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(0)
    os.close(write)

    def finish() -> Any:
        with os.fdopen(read) as pipe:
            if signals:
                pipe.readline()
            for seconds, number in signals:
                time.sleep(seconds)
                os.kill(child, number)
            told = [json.loads(line) for line in pipe]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return told[-1] if code == 0 and told else code

    return finish


def main() -> None:
    warnings.simplefilter("ignore")
    soon = 0.05, TERM
    ends = {
        "a second signal, 0.1 s later": started(train_on, soon, (0.1, TERM)),
        "a second signal, 1.5 s later": started(step_for_long, soon, (1.5, TERM)),
        "a signal after the run": started(wait_after_the_run, soon),
        "a signal without stop_on": started(train_without, soon),
        "a signal while the loader waits": started(wait_for_the_loader, (0.1, TERM)),
        "a signal to a sleeping step": started(sleep_in_a_step, (0.1, TERM)),
        "a signal to a worker of the loader": started(end_a_worker),
        "a signal to a process that was forked in the run": started(end_a_forked_process),
        "a signal to a process that a thread has forked": started(partial(end_a_forked_process, in_thread=True)),
        "Ctrl-C": started(interrupt, (0.05, signal.SIGINT)),
    }
    with ThreadPoolExecutor(len(ends)) as pool:
        waiting = {name: pool.submit(finish) for name, finish in ends.items()}
    print(json.dumps({name: end.result() for name, end in waiting.items()}))


if __name__ == "__main__":
    main()
