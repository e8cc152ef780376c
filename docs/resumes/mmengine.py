"""Trainings of an mmengine Runner that are stopped and resumed, compared with the counters of its training loop."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from resumes import POINTS, Resume
from runtimeinfo import current_hub

ITEMS, BATCHES, EPOCHS = 12, 4, 3
IN_MID_EPOCH, LAST_OF_EPOCH, BETWEEN, LAST_OF_ALL = POINTS

_names = itertools.count()
_hubs = itertools.cycle(("mmengine", "runtimeinfo"))


class _Data(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Any:
        return (torch.tensor([float(index)]),)


class _Model(BaseModel):  # type: ignore[misc]  # mmengine has no types
    """Notes the items of each batch, and does at an iteration what it is told."""

    def __init__(self, at_iter: dict[int, Callable[[], object]]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.at_iter = at_iter
        self.items: list[list[int]] = []

    def forward(self, inputs: Any, mode: str = "loss") -> Any:
        if mode != "loss":
            return [inputs]
        self.at_iter.get(len(self.items), int)()
        self.items.append([int(item) for item in inputs])
        return {"loss": self.weight.sum() * inputs.sum()}


class _Evaluator:
    """Finds no improvement, so that EarlyStoppingHook stops the training."""

    def process(self, data_samples: Any, data_batch: Any = None) -> None:
        pass

    def evaluate(self, size: int) -> dict[str, float]:  # noqa: ARG002  # mmengine's signature
        return {"acc": 0.5}


class _Watch(Hook):  # type: ignore[misc]
    """Notes both counters as each batch begins, as user code reads them."""

    priority = "LOW"

    def __init__(self) -> None:
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        self.note(runner, current_hub())

    def note(self, runner: Any, hub: Any) -> None:
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((runner.train_loop.epoch, runner.train_loop.iter))


def _runner(folder: str, model: _Model, watch: _Watch, hub: str, seed: int, *hooks: Any, **given: Any) -> Any:
    loop = given.pop("loop")
    by_epoch = loop["by_epoch"]
    saving = given.pop("saving", {"by_epoch": True})
    if given.pop("validates", False):
        given |= {"val_cfg": {}, "val_evaluator": _evaluator(), "val_dataloader": _loader(False)}
    return Runner(
        model,
        folder,
        train_dataloader=_loader(not by_epoch),
        train_cfg=loop,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={
            "runtime_info": {
                "type": "runtimeinfo_adapters.mmengine.RuntimeInfoHook",
                "replace_hub": hub == "runtimeinfo",
            },
            "checkpoint": {"type": "CheckpointHook", "interval": 1, **saving},
            "logger": None,
        },
        custom_hooks=[watch, *hooks],
        experiment_name=f"resumes-{next(_names)}",
        # Without a seed in the config, as is usual, mmengine draws another one in each process.
        randomness={"seed": seed},
        log_level="CRITICAL",
        **given,
    )


def _loader(endless: bool) -> dict[str, Any]:
    return {
        "batch_size": ITEMS // BATCHES,
        "num_workers": 0,
        "dataset": _Data(),
        "sampler": {"type": "InfiniteSampler" if endless else "DefaultSampler", "shuffle": True},
        "collate_fn": {"type": "default_collate"},
    }


def _evaluator() -> Any:
    from mmengine.evaluator import Evaluator

    evaluator = Evaluator([])
    evaluator.evaluate = _Evaluator().evaluate
    return evaluator


def _resume(
    stop: str,
    point: str,
    loop: dict[str, Any],
    resumed_loop: dict[str, Any],
    *hooks: Any,
    at_iter: dict[int, Callable[[], object]] | None = None,
    stop_at: int | None = None,
    **given: Any,
) -> Resume:
    """Stop a training, resume it from the latest checkpoint, and compare."""
    hub = next(_hubs)
    with tempfile.TemporaryDirectory() as folder:
        started = _Model(at_iter or {})
        first = _runner(folder, started, _Watch(), hub, 1, *hooks, loop=loop, **given)
        if stop_at is not None:
            started.at_iter[stop_at] = lambda: setattr(first.train_loop, "stop_training", True)
        with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt):
            first.train()
        model, watch = _Model({}), _Watch()
        runner = _runner(folder, model, watch, hub, 2, loop=resumed_loop, resume=True, **given)
        runner.train()
    watch.note(runner, runner.message_hub)
    if point != IN_MID_EPOCH:
        return Resume(stop, point, watch.ours, watch.theirs, [])
    # The batches of the epoch that was interrupted, up to the checkpoint, and those with which the second one goes on:
    # by epochs mmengine begins the epoch again, by iterations it passes over as many batches as there were.
    saved = int(watch.theirs[0][1])  # type: ignore[call-overload]
    before = started.items[saved - saved % BATCHES : saved]
    after = model.items[: BATCHES if loop["by_epoch"] else BATCHES - saved % BATCHES]
    return Resume(stop, point, watch.ours, watch.theirs, [item for batch in before + after for item in batch], ITEMS)


def _resumes() -> Iterator[Resume]:
    epochs, iters = {"by_epoch": True, "max_epochs": EPOCHS}, {"by_epoch": False, "max_iters": EPOCHS * BATCHES}
    each_iter = {"by_epoch": False}
    yield _resume("max_iters", IN_MID_EPOCH, iters | {"max_iters": 6}, iters, saving=each_iter)
    yield _resume("max_iters", LAST_OF_EPOCH, iters | {"max_iters": 4}, iters, saving=each_iter)
    yield _resume("max_iters", LAST_OF_ALL, iters, iters, saving=each_iter | {"interval": 100, "save_last": True})
    yield _resume("max_epochs", BETWEEN, epochs | {"max_epochs": 1}, epochs)
    yield _resume("max_epochs", LAST_OF_ALL, epochs, epochs, saving={"by_epoch": True, "interval": 2})
    yield _resume("max_epochs", LAST_OF_EPOCH, epochs | {"max_epochs": 2}, epochs, saving=each_iter)
    for stop, fail in (("exception", lambda: 1 // 0), ("signal", lambda: os.kill(os.getpid(), signal.SIGINT))):
        for point, at, saving in (
            (IN_MID_EPOCH, 6, each_iter),
            (LAST_OF_EPOCH, 4, each_iter),
            (BETWEEN, 6, {"by_epoch": True}),
        ):
            yield _resume(stop, point, epochs, epochs, at_iter={at: fail}, saving=saving)
        yield _resume(stop, IN_MID_EPOCH, iters, iters, at_iter={6: fail}, saving=each_iter)
    early = {"type": "EarlyStoppingHook", "monitor": "acc", "patience": 1}
    yield _resume("early stop", BETWEEN, epochs, epochs, early, validates=True)
    yield _resume("terminate", BETWEEN, epochs, epochs, stop_at=2)
    yield _resume("terminate", IN_MID_EPOCH, iters, iters, stop_at=5, saving=each_iter)


def resumes() -> Iterator[Resume]:
    """Yield a resume from each checkpoint that each stop leaves behind.

    They run over mmengine's hub and the reference hub by turns. SIGTERM is not among the stops: mmengine leaves it to
    Python, which ends the process.
    """
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # mmengine pickles its own hub
    before = os.environ.get(name)
    os.environ[name] = "1"
    managers = (MessageHub, MMLogger, Visualizer, DefaultScope)
    instances = [dict(manager._instance_dict) for manager in managers]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield from _resumes()
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
        for key, logger in MMLogger._instance_dict.items():
            for handler in logger.handlers if key not in instances[1] else ():
                handler.close()
        for manager, earlier in zip(managers, instances, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(earlier)
