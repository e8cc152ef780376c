"""Trainings of a Trainer that are stopped and resumed, compared with its own `state.global_step` and `state.epoch`."""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from resumes import POINTS, Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters import ResumeWarning
from runtimeinfo_adapters.transformers import RuntimeInfoCallback, attach

ITEMS, BATCHES, EPOCHS = 8, 4, 3
IN_MID_EPOCH, LAST_OF_EPOCH, BETWEEN, LAST_OF_ALL = POINTS


class _Data(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": torch.ones(2), "item": index}


class _Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: Any) -> dict[str, Any]:
        return {"loss": self.layer(x).square().mean()}


class _Trainer(Trainer):
    """Notes the items that it trains on, and fails where it is told to."""

    fails_at = -1

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == self.fails_at:
            raise ZeroDivisionError("the loss")
        self.items.append((self.state.global_step, inputs.pop("item").tolist()))
        return super().compute_loss(model, inputs, *args, **kwargs)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Find no improvement."""
        metrics = {"eval_loss": 1.0}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _Watch(TrainerCallback):
    """Notes what the hub says as each step begins, and what the Trainer says of the same moment."""

    def __init__(self) -> None:
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.ours.append(tuple(current_hub().get_info(key) for key in ("epoch", "iter")))

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        # The Trainer counts when the step is over: of a resumed one, `state.epoch` is the saved one until then.
        self.theirs.append((math.ceil(state.epoch) - 1, (state.global_step - 1) * args.gradient_accumulation_steps))


class _Stop(TrainerCallback):
    """Stops as user code does, as Ctrl-C does, or as a cluster does that wants the machine back."""

    def __init__(self, how: str, step: int) -> None:
        self.how, self.step = how, step
        self.manager: Any = None  # what Transformers makes for SIGTERM

    def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if self.how in signal.Signals.__members__ and state.global_step == self.step:
            os.kill(os.getpid(), signal.Signals[self.how])
            while not self.manager.is_checkpoint_requested:
                time.sleep(0.001)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.how not in signal.Signals.__members__ and state.global_step == self.step:
            setattr(control, self.how, True)


def _trainer(folder: str, *callbacks: TrainerCallback, **given: Any) -> tuple[Any, _Watch, RuntimeInfoCallback]:
    watch = _Watch()
    settings = {
        "num_train_epochs": EPOCHS,
        "per_device_train_batch_size": ITEMS // BATCHES,
        "save_strategy": "steps",
        "save_steps": 1,
        "logging_strategy": "no",
        "remove_unused_columns": False,
        "optim": "sgd",
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
    } | given
    trainer = _Trainer(
        _Net(), TrainingArguments(folder, **settings), train_dataset=_Data(), eval_dataset=_Data(), callbacks=[watch]
    )
    trainer.items = []
    trainer.remove_callback(PrinterCallback)
    for callback in callbacks:
        trainer.add_callback(callback)
        if isinstance(callback, _Stop) and given.get("enable_jit_checkpoint"):
            (jit,) = (each for each in trainer.callback_handler.callbacks if hasattr(each, "jit_manager"))
            callback.manager, jit.jit_manager.kill_wait = jit.jit_manager, 0
    return trainer, watch, attach(trainer)


def _resume(stop: str, point: str, step: int, *callbacks: TrainerCallback, fails_at: int = -1, **given: Any) -> Resume:
    """Stop a training, resume it from its checkpoint of a step, and compare."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        first, _, _ = _trainer(folder, *callbacks, **given)
        first.fails_at = fails_at
        with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt):
            first.train()
        torch.manual_seed(1234)  # another process has another random state
        accumulation = given.get("gradient_accumulation_steps", 1)
        trainer, watch, callback = _trainer(folder, gradient_accumulation_steps=accumulation)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResumeWarning)  # after an epoch that was cut short
            trainer.train(resume_from_checkpoint=str(Path(folder) / f"checkpoint-{step}"))
    hub, state = callback.message_hub, trainer.state
    ours = [*watch.ours, (hub.get_info("epoch"), hub.get_info("iter"))]
    theirs = [*watch.theirs, (int(state.epoch), state.global_step * accumulation)]
    if point != IN_MID_EPOCH or "should_epoch_stop" in {getattr(each, "how", "") for each in callbacks}:
        return Resume(stop, point, ours, theirs, [])
    steps = BATCHES // accumulation
    epoch = range(step // steps * steps, (step // steps + 1) * steps)
    seen = [(at, items) for at, items in first.items if at < step] + trainer.items
    return Resume(stop, point, ours, theirs, [item for at, items in seen if at in epoch for item in items], ITEMS)


def resumes() -> Iterator[Resume]:
    """Yield each stop with each checkpoint that a Trainer can have made by then."""
    by_epoch = {"save_strategy": "epoch"}
    jit = {"save_strategy": "no", "enable_jit_checkpoint": True}
    stagnates = {"metric_for_best_model": "loss", "load_best_model_at_end": False, "eval_steps": 3}

    yield _resume("max_iters", IN_MID_EPOCH, 6, max_steps=6)
    yield _resume("max_iters", IN_MID_EPOCH, 3, max_steps=3, gradient_accumulation_steps=2)
    yield _resume("max_iters", LAST_OF_EPOCH, 8, max_steps=8)
    yield _resume("max_iters", BETWEEN, 8, max_steps=8, **by_epoch)
    yield _resume("max_iters", LAST_OF_ALL, 12, max_steps=12)

    yield _resume("max_epochs", IN_MID_EPOCH, 6, num_train_epochs=1.5)
    yield _resume("max_epochs", LAST_OF_EPOCH, 4, num_train_epochs=1)
    yield _resume("max_epochs", BETWEEN, 4, num_train_epochs=1, **by_epoch)
    yield _resume("max_epochs", LAST_OF_ALL, 12)

    yield _resume("exception", IN_MID_EPOCH, 6, fails_at=7)
    yield _resume("exception", LAST_OF_EPOCH, 4, fails_at=4)
    yield _resume("exception", BETWEEN, 4, fails_at=6, **by_epoch)

    yield _resume("signal", IN_MID_EPOCH, 6, _Stop("SIGTERM", 6), **jit)
    yield _resume("signal", IN_MID_EPOCH, 3, _Stop("SIGTERM", 3), gradient_accumulation_steps=2, **jit)
    yield _resume("signal", LAST_OF_EPOCH, 4, _Stop("SIGTERM", 4), **jit)
    yield _resume("signal", BETWEEN, 4, _Stop("SIGINT", 6), **by_epoch)

    early = EarlyStoppingCallback(1)
    yield _resume("early stop", IN_MID_EPOCH, 6, early, eval_strategy="steps", **stagnates)
    yield _resume("early stop", LAST_OF_EPOCH, 8, early, eval_strategy="steps", **stagnates | {"eval_steps": 4})
    yield _resume("early stop", BETWEEN, 8, early, eval_strategy="epoch", **stagnates | by_epoch)

    yield _resume("terminate", IN_MID_EPOCH, 6, _Stop("should_training_stop", 6))
    yield _resume("terminate", IN_MID_EPOCH, 6, _Stop("should_epoch_stop", 5))  # it goes back to the second epoch
    yield _resume("terminate", LAST_OF_EPOCH, 4, _Stop("should_training_stop", 4))
    yield _resume("terminate", BETWEEN, 8, _Stop("should_training_stop", 8), **by_epoch)
