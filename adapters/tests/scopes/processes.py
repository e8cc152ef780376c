"""What processes of every kind are told, while their run is open and another one is, too; prints what was wrong.

It is run by `test_processes.py`, since a spawned process has to import it. PyTorch is imported where it is needed only:
that takes longer than all else.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from runtimeinfo import current_hub, use_hub
from runtimeinfo_adapters import MessageHub

HUB = current_hub()
METHODS = ("fork", "spawn", "forkserver")
NO_RUN = [None, None]

wrong: list[Any] = []


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        wrong.append([what, found, expected])


def ask(*_: object) -> list[Any]:
    """Return what this process is told of the run: its name and its epoch."""
    return [HUB.get_info("experiment_name"), current_hub().get_info("epoch")]


def ask_through(way: Callable[..., Any], *arguments: Any) -> Any:
    return way(*arguments, ask)


def ask_in_a_thread() -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


def ask_in_a_fork(function: Callable[..., Any] = ask) -> Any:
    """Return what a process is told that is forked by hand."""
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, json.dumps(function()).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    with os.fdopen(reading) as pipe:
        return json.load(pipe)


def ask_in_a_process(method: str, function: Callable[..., Any] = ask, *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        return pool.submit(function, *arguments).result()


def train_inside() -> list[Any]:
    """Train in a worker: its own run answers there, and then the run of the worker again."""
    hub = MessageHub("inside")
    with use_hub(hub):
        hub.update_info_dict({"experiment_name": "inside", "epoch": 5})
        inside = [*ask(), *ask_in_a_fork()]
    return [*inside, *ask()]


def publish() -> list[Any]:
    """Publish in a worker: there is one warning, and the run does not change."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for number in range(2):
            current_hub().update_info("epoch", number)
            current_hub().update_scalar("train/loss", number)
    return [*ask(), [each.category.__name__ for each in said]]


class Kept:
    """A component that keeps a hub from its constructor, and is asked in another process."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub

    def read(self) -> list[Any]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            told = [
                self.hub.get_info("epoch"),
                self.hub.runtime_info.get("epoch"),
                [float(self.hub.get_scalar("train/loss").current()) for _ in range(2)],
            ]
        return [*told, [each.category.__name__ for each in said]]

    def publish(self) -> list[Any]:
        """Publish to the copy of a hub: it keeps that, and goes on with all else."""
        self.hub.update_info("mine", 1)
        self.hub.update_scalar("mine", 2.0)
        return [self.hub.get_info("mine"), float(self.hub.get_scalar("mine").current()), *self.read()]

    def serve(self, orders: Any, answers: Any) -> None:
        for method in iter(orders.get, None):
            answers.put(getattr(self, method)())


@contextmanager
def serving(kept: Kept, method: str) -> Iterator[Callable[[str], Any]]:
    """Return a function that asks a component in a process which has got it as it was started."""
    context = multiprocessing.get_context(method)
    orders, answers = context.Queue(), context.Queue()
    process = context.Process(target=kept.serve, args=(orders, answers), daemon=True)
    process.start()

    def order(what: str) -> Any:
        orders.put(what)
        return answers.get(timeout=60)

    yield order
    orders.put(None)
    process.join()


def publish_epoch(hub: MessageHub, epoch: int) -> list[Any]:
    hub.update_info("epoch", epoch)
    hub.update_scalar("train/loss", float(epoch))
    hub.update_info("loop_stage", "train" if epoch % 2 else "val")  # at which scalars are written
    return [hub.get_info("experiment_name"), epoch]


def of_one_run(name: str) -> None:
    """Ask in all kinds of processes of a run."""
    hub = MessageHub(name)
    hub.update_info("experiment_name", name)
    with use_hub(hub):
        for epoch, method in enumerate(METHODS):
            with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
                own = publish_epoch(hub, epoch)
                expect(f"{name}: {method}", pool.submit(ask).result(), own)
                own = publish_epoch(hub, epoch + 1)
                expect(f"{name}: {method}, later", pool.submit(ask).result(), own)
                expect(f"{name}: thread of {method}", pool.submit(ask_in_a_thread).result(), own)
                expect(f"{name}: os.fork of {method}", pool.submit(ask_in_a_fork).result(), own)
                expect(f"{name}: os.fork twice of {method}", pool.submit(ask_in_a_fork, ask_in_a_fork).result(), own)
                expect(f"{name}: training in {method}", pool.submit(train_inside).result(), ["inside", 5] * 2 + own)
                expect(f"{name}: publishing in {method}", pool.submit(publish).result(), [*own, ["UnsharedWarning"]])
                other = "spawn" if method == "fork" else "fork"
                expect(f"{name}: {other} of {method}", pool.submit(ask_in_a_process, other).result(), own)
        expect(f"{name}: os.fork", ask_in_a_fork(), own)
        expect(f"{name}: os.fork twice", ask_in_a_fork(ask_in_a_fork), own)


def kept_hubs(name: str) -> None:
    """Ask hubs that were kept before their run."""
    for method in METHODS[:2]:
        hub = MessageHub(f"{name} kept")
        hub.update_scalar("train/loss", -1.0)
        with use_hub(hub), serving(Kept(hub), method) as ask_hub, serving(Kept(HUB), method) as ask_proxy:
            for epoch in (1, 2):
                publish_epoch(hub, epoch)
                told = [epoch, epoch, [float(epoch)] * 2, []]
                expect(f"{name}: hub kept in {method}", ask_hub("read"), told)
                expect(f"{name}: current_hub() kept in {method}", ask_proxy("read"), told)
            expect(f"{name}: publishing to the copy in {method}", ask_hub("publish"), [1, 2.0, *told])
            publish_epoch(hub, 3)
            expect(f"{name}: hub kept in {method}, later", ask_hub("read"), [3, 3, [3.0] * 2, []])
    for variable, share in (("0", True), ("1", False)):
        os.environ["RUNTIMEINFO_SHARE"] = variable
        hub = MessageHub(f"{name} unshared", share=share)
        with use_hub(hub):
            publish_epoch(hub, 1)
            for method in METHODS[:2]:
                with serving(Kept(hub), method) as ask_hub:
                    publish_epoch(hub, 2)
                    expect(f"{name}: unshared in {method}", ask_hub("read"), [1, 1, [1.0] * 2, ["UnsharedWarning"]])
                    expect(f"{name}: unshared in {method}, again", ask_hub("read"), [1, 1, [1.0] * 2, []])
                publish_epoch(hub, 1)


def other_libraries(name: str) -> None:
    """Ask in the processes of joblib, and of PyTorch."""
    hub = MessageHub(name)
    hub.update_info("experiment_name", name)
    with use_hub(hub):
        own = publish_epoch(hub, 4)
        import joblib

        expect(f"{name}: joblib", joblib.Parallel(2)(joblib.delayed(ask)() for _ in range(2)), [own, own])
        threads = joblib.Parallel(2, backend="threading")(joblib.delayed(ask)() for _ in range(4))
        expect(f"{name}: threads of joblib", [each for each in threads if each not in (own, NO_RUN)], [])
        own = publish_epoch(hub, 5)
        expect(f"{name}: joblib, later", joblib.Parallel(2)([joblib.delayed(ask)()]), [own])
        from torch.multiprocessing import spawn

        told = multiprocessing.get_context("spawn").SimpleQueue()
        spawn(tell, (told,), nprocs=1)
        expect(f"{name}: torch.multiprocessing.spawn", told.get(), own)
    expect(f"{name}: joblib, after the run", joblib.Parallel(2)([joblib.delayed(ask)()]), [NO_RUN])


class Items:
    """What is told where the items of a loader are made, by `current_hub` and by hubs that were kept."""

    def __init__(self, hub: MessageHub) -> None:
        self.hubs = [HUB, current_hub(), hub]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, _: int) -> list[Any]:
        loss = (
            [float(hub.get_scalar("train/loss").current()) for hub in self.hubs]
            if self.hubs[0].get_info("epoch")
            else []
        )
        return [ask(), [hub.get_info("epoch") for hub in self.hubs], loss]


def loaders(name: str) -> None:
    """Train in two threads at once with persistent workers, and then again with the same loaders."""
    from torch.utils.data import DataLoader

    from runtimeinfo_adapters.pytorch import Loop

    multiprocessing.set_forkserver_preload(["torch"])
    meet = threading.Barrier(2, timeout=60)

    def train(method: str, number: int) -> None:
        hub = MessageHub(f"{name} {number}")
        loader = DataLoader(
            Items(hub),  # type: ignore[arg-type]
            batch_size=2,
            num_workers=1,
            persistent_workers=True,
            multiprocessing_context=method,
            collate_fn=list,
            timeout=60,
        )
        for hub_of_run in (hub, MessageHub(f"{name} {number}, later")):
            loop = Loop(train_loader=loader, max_epochs=2, hub=hub_of_run, experiment_name=hub_of_run.instance_name)
            meet.wait()
            with loop.run():
                for epoch in loop.epochs():
                    told = [item for batch in loop.train() for item in batch]
                    # A hub that was kept has what its run had last.
                    kept = epoch if hub_of_run is hub else 2
                    loss = [float(epoch - 1), float(epoch - 1), float(kept - 1)] if epoch else []
                    own = [[hub_of_run.instance_name, epoch], [epoch, epoch, kept], loss]
                    expect(f"{hub_of_run.instance_name} in {method}", told, [own] * 4)
                    hub_of_run.update_scalar("train/loss", float(epoch))
            meet.wait()
            told = [item for batch in loader for item in batch]
            expect(f"{hub_of_run.instance_name} in {method}, after it", told, [[NO_RUN, [None, None, 2], []]] * 4)

    for method in METHODS:
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(train, method, number) for number in range(2)]:
                each.result()


def tell(_: int, told: Any) -> None:
    told.put(ask())


PARTS = {each.__name__: each for each in (of_one_run, kept_hubs, loaders, other_libraries)}

if __name__ == "__main__":
    part = PARTS[sys.argv[1]]
    before = ProcessPoolExecutor(1)  # started before any run
    expect("before any run", before.submit(ask).result(), NO_RUN)
    meet, other = threading.Event(), MessageHub("other")

    def stay_open() -> None:
        other.update_info_dict({"experiment_name": "other", "epoch": 99})
        with use_hub(other):
            meet.set()
            done.wait()

    done = threading.Event()
    thread = threading.Thread(target=stay_open)
    thread.start()
    meet.wait()
    expect("before any run, in the only one", before.submit(ask).result(), ["other", 99])
    part("run")
    expect("before any run, after another", before.submit(ask).result(), NO_RUN)
    done.set()
    thread.join()
    before.shutdown()
    print(json.dumps(wrong))
