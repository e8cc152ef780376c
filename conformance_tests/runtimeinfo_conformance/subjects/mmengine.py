"""The adapter for mmengine as a subject: the real Runner, with the real loops, optimizers and schedulers."""

# pyright: basic, reportMissingTypeStubs=false
# mmengine has no types, and no public way to forget its global instances.

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import tempfile
import types
import warnings
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import mmengine
import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from runtimeinfo_adapters.mmengine import attach
from runtimeinfo_conformance._mark import environment_variable
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Plan


# Each would cost 30 ms, for a figure that nobody draws on.
@functools.cache
def _visualizer() -> Visualizer:
    return Visualizer("conformance")


class _Model(BaseModel):  # type: ignore[misc]  # mmengine has no types
    """A model whose steps return the plan's outputs."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.on_stop: Callable[[], None] | None = None  # asks the runner to stop, as EarlyStoppingHook does
        names = plan.optimizers or ("",)
        self.weights = torch.nn.ParameterDict(
            {f"w{index}{group}": torch.zeros(1) for index in range(len(names)) for group in range(plan.groups)}
        )

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Any]:
        """Make the step, and return the batch's outputs."""
        loss = sum((weight.sum() for weight in self.weights.values()), torch.zeros(()))
        wrappers = list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
        for index, wrapper in enumerate(wrappers):
            with wrapper.optim_context(self):
                wrapper.backward(wrapper.scale_loss(loss), retain_graph=index + 1 < len(wrappers))
        for wrapper in wrappers:
            if wrapper.should_update():
                wrapper.step()
                wrapper.zero_grad()
        if data.stop and self.on_stop is not None:
            self.on_stop()
        outputs: dict[str, Any] = data.outputs
        return outputs

    def val_step(self, data: Any) -> list[Any]:
        """Return the batch."""
        return [data]

    test_step = val_step

    def forward(self, *_args: Any, **_kwargs: Any) -> None:
        """Stay unused: the steps are all that the loops call."""


class _Looks(Hook):  # type: ignore[misc]
    """Looks at the run as each batch begins."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Look."""
        self._plan.on_batch_begin()


class _PlannedEvaluator(Evaluator):  # type: ignore[misc]
    """An evaluator whose metrics are the plan's."""

    def __init__(self, plan: Plan) -> None:
        super().__init__([])
        self._plan = plan
        self._turn = 0

    def process(self, data_samples: Any, data_batch: Any = None) -> None:
        """Look at nothing."""

    def evaluate(self, size: int) -> dict[str, Any]:  # noqa: ARG002  # the base class's signature
        """Return the metrics of this turn."""
        turn, self._turn = self._turn, self._turn + 1
        return self._plan.metrics_of(turn)


def make_run(*, replace_hub: bool) -> Any:
    """Return the `run` of a subject that publishes to mmengine's hub, or to the reference hub in its place."""

    def run(plan: Plan, hooks: Sequence[Any]) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="runtimeinfo-")
        with scratch as folder, _instances_forgotten(), _trusted_checkpoints(), _no_pauses(), _quiet():
            runner = _build(plan, Path(folder))
            runner.register_hook(_Looks(plan))
            attach(runner, replace_hub=replace_hub, hooks=hooks)
            cast("_Model", runner.model).on_stop = functools.partial(setattr, runner.train_loop, "stop_training", True)
            runner.train()
            if plan.test_batches is not None:
                runner.test()

    return run


def subject() -> Subject:
    """Return the subject with mmengine's own hub."""
    return _subject("mmengine", "mmengine")


def subject_with_reference_hub() -> Subject:
    """Return the subject with the reference hub."""
    return _subject("mmengine with the reference hub", "runtimeinfo")


def _subject(name: str, hub: str) -> Subject:
    return Subject(
        name,
        mmengine.__version__,
        run=make_run(replace_hub=hub == "runtimeinfo"),
        capabilities={
            "share",
            "beside",
            "nested",
            "val",
            "test",
            "outputs",
            "metrics",
            "metainfo",
            "changing_length",
            "batch_begin",
            "scheduler",
            "optimizers",
            "accumulation",
            "iterations",
            "early_stop",
            "resume",
        },
    )


def _build(plan: Plan, folder: Path) -> Runner:
    validation: dict[str, Any] = {}
    if plan.val_batches is not None:
        validation |= {
            "val_dataloader": _loader(plan.val_dataset()),
            "val_cfg": {},
            "val_evaluator": _PlannedEvaluator(plan),
        }
    if plan.test_batches is not None:
        validation |= {
            "test_dataloader": _loader(plan.test_dataset()),
            "test_cfg": {},
            "test_evaluator": _PlannedEvaluator(plan),
        }
    model = _Model(plan)
    default_hooks: dict[str, Any] = dict.fromkeys(("runtime_info", "timer", "logger", "sampler_seed", "checkpoint"))
    if plan.checkpoint is not None:
        default_hooks["checkpoint"] = {"type": "CheckpointHook", "interval": 1, "out_dir": str(plan.checkpoint)}
    return Runner(
        model,
        str(folder),
        train_dataloader=_loader(plan.train_dataset()),
        train_cfg=_train_cfg(plan),
        optim_wrapper=_optimizers(plan, model),
        param_scheduler=_schedulers(plan),
        default_hooks=default_hooks,
        experiment_name=plan.experiment_name,
        randomness={"seed": plan.seed},
        log_level="CRITICAL",
        visualizer=_visualizer(),
        resume=plan.resume_from is not None,
        load_from=_checkpoint_of(plan),
        **validation,
    )


def _train_cfg(plan: Plan) -> dict[str, Any]:
    if plan.iterations is None:
        return {"by_epoch": True, "max_epochs": plan.max_epochs}
    return {"by_epoch": False, "max_iters": plan.iterations, "val_interval": plan.batches}


def _loader(dataset: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=1, collate_fn=lambda items: items[0])


def _optimizers(plan: Plan, model: _Model) -> OptimWrapper | OptimWrapperDict:
    wrappers: dict[str, OptimWrapper] = {}
    for index, name in enumerate(plan.optimizers or ("",)):
        groups = [
            {"params": [model.weights[f"w{index}{group}"]], "lr": plan.lr_of(0, group, index)}
            for group in range(plan.groups)
        ]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        # mmengine divides by the batches that it expects by the length of the first epoch, which may be none.
        counts = 1 if plan.lengths else plan.accumulation
        wrappers[name] = OptimWrapper(optimizer, accumulative_counts=counts)
    return OptimWrapperDict(**wrappers) if plan.optimizers else wrappers[""]


def _schedulers(plan: Plan) -> Any:
    if not plan.schedule or not plan.max_iters:  # mmengine refuses a schedule over no iteration
        return None
    one = {"type": "ExponentialLR", "gamma": 0.5, "by_epoch": False, "end": plan.max_iters}
    return {name: [one] for name in plan.optimizers} if plan.optimizers else [one]


def _checkpoint_of(plan: Plan) -> str | None:
    """Return the checkpoint to resume from. mmengine saves into a folder named like its working folder."""
    if plan.resume_from is None:
        return None
    return str(next(plan.resume_from.glob(f"*/epoch_{plan.start_epoch}.pth")))


@contextlib.contextmanager
def _instances_forgotten() -> Generator[None]:
    """Forget the global instances of a run: mmengine keeps them, open log files and all, until the process ends."""
    managers = (MessageHub, MMLogger, Visualizer, DefaultScope)
    before = [dict(manager._instance_dict) for manager in managers]
    try:
        yield
    finally:
        for name, logger in list(MMLogger._instance_dict.items()):
            if name not in before[1]:
                for handler in logger.handlers:
                    handler.close()
        for manager, instances in zip(managers, before, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(instances)


def _trusted_checkpoints() -> contextlib.AbstractContextManager[None]:
    """Let mmengine load its own checkpoint: it pickles its HistoryBuffer, which torch >= 2.6 refuses by default."""
    return environment_variable("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


@contextlib.contextmanager
def _no_pauses() -> Generator[None]:
    """Go through the data without a pause: asked for iterations, mmengine sleeps for two seconds between two passes."""
    loops: Any = importlib.import_module("mmengine.runner.loops")
    clock = loops.time
    loops.time = types.SimpleNamespace(sleep=lambda _seconds: None)
    try:
        yield
    finally:
        loops.time = clock


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep back what belongs to mmengine and the plan, and not to the verdict."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
        warnings.filterwarnings("ignore", message="Detected call of `scheduler.step")
        warnings.filterwarnings("ignore", message="Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
        yield
