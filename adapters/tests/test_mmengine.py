"""The adapter on mmengine's real runners, and on one of their shape."""

from __future__ import annotations

import contextlib
import copy
import cProfile
import gc
import json
import logging
import os
import pickle
import pstats
import re
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.hooks import RuntimeInfoHook as SeedHook
from mmengine.logging import HistoryBuffer, MMLogger
from mmengine.logging import MessageHub as SeedHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DATA_SAMPLERS, DATASETS, LOOPS, MODELS, DefaultScope
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, IterBasedTrainLoop, Runner
from mmengine.visualization import Visualizer
from recorder import Recorder
from torch.utils.data import Dataset, Sampler

from runtimeinfo import HookError, HubError, RunnerError, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo.board import board_files, pid_in
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.mmengine import MMEngineRunner, RuntimeInfoHook, attach, detach

pytestmark = [
    # mmengine 0.10.7 on torch 2.13, each where it builds its loops or resumes
    pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected:UserWarning"),
]

BOTH = pytest.mark.parametrize("hub", ["mmengine", "runtimeinfo"])
OURS = "runtimeinfo_adapters.mmengine.RuntimeInfoHook"


class Data(Dataset[Any]):
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __init__(self, length: int = 4) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return torch.full((2,), float(index)), torch.tensor([float(index)])


class NotBuilt(Data):
    def __init__(self) -> None:
        raise AssertionError("the training data set was built")


class Model(BaseModel):
    """Notes what a component sees inside, and raises where it is told to."""

    def __init__(self, error: BaseException | None = None, where: str = "") -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.error, self.where = error, where
        self.seen: list[Any] = []

    def forward(self, inputs: Any, targets: Any, mode: str = "tensor") -> Any:
        hub = current_hub()
        self.seen.append((mode, *(hub.get_info(key) for key in ("loop_stage", "epoch", "iter"))))
        if mode == self.where:
            raise self.error or AssertionError
        out = self.layer(inputs)
        return {"loss": ((out - targets) ** 2).mean()} if mode == "loss" else [out]


class TwoOptimizers(Model):
    def __init__(self) -> None:
        super().__init__()
        self.second = torch.nn.Linear(2, 1)

    def train_step(self, data: Any, optim_wrapper: Any) -> Any:
        inputs, targets = self.data_preprocessor(data, True)
        for name, layer in (("first", self.layer), ("second", self.second)):
            loss = ((layer(inputs) - targets) ** 2).mean()
            optim_wrapper[name].update_params(loss)
        return {"loss": loss.detach()}


class Metric(BaseMetric):
    default_prefix = ""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(len(data_samples))

    def compute_metrics(self, results: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"acc": float(len(results)), "confusion": [1, 2]}


@pytest.fixture(autouse=True)
def fresh_mmengine() -> Iterator[None]:
    """Give each test mmengine's registries of named instances empty, and close the log files."""
    managers = (SeedHub, MMLogger, Visualizer, DefaultScope)
    yield
    for logger in MMLogger._instance_dict.values():
        for handler in list(logger.handlers):
            handler.close()
            logger.removeHandler(handler)
    for manager in managers:
        manager._instance_dict.clear()
    MessageHub._instances.clear()
    logging.disable(logging.NOTSET)


@pytest.fixture
def trust_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load mmengine's own checkpoints, which pickle their hub."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


def loader(dataset: Any = None, *, shuffle: bool = False) -> dict[str, Any]:
    return {
        "batch_size": 2,
        "num_workers": 0,
        "collate_fn": {"type": "default_collate"},
        "dataset": dataset or Data(),
        "sampler": {"type": "DefaultSampler", "shuffle": shuffle},
    }


def config(work_dir: Path, hub: str | None = None, *, kind: type = Runner, **changes: Any) -> dict[str, Any]:
    """Return a runner's arguments; without a hub, the seed's hook publishes."""
    hooks: dict[str, Any] = {"logger": {"type": "LoggerHook", "interval": 1}}
    hooks["checkpoint"] = {"type": "CheckpointHook", "interval": 1}
    if hub is not None:
        hooks["runtime_info"] = {"type": OURS, "replace_hub": hub == "runtimeinfo"}
    whole = {
        "model": Model(),
        "work_dir": str(work_dir),
        "experiment_name": "adapter",
        "train_dataloader": loader(),
        "val_dataloader": loader(),
        "test_dataloader": loader(),
        "train_cfg": {"by_epoch": True, "max_epochs": 2},
        "val_cfg": {},
        "test_cfg": {},
        "val_evaluator": Evaluator([Metric()]),
        "test_evaluator": Evaluator([Metric()]),
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.01}, "clip_grad": {"max_norm": 9.0}},
        "param_scheduler": {"type": "ExponentialLR", "gamma": 0.5, "by_epoch": False},
        "default_hooks": hooks,
        "randomness": {"seed": 3},
    } | changes
    return {key: value for key, value in whole.items() if value is not ...}


def build(work_dir: Path, hub: str | None = None, *, kind: Any = Runner, **changes: Any) -> Any:
    return kind(**config(work_dir, hub, **changes))


def with_recorder(work_dir: Path, hub: str, **changes: Any) -> tuple[Any, Recorder]:
    recorder = Recorder("NORMAL")
    built = config(work_dir, hub, **changes)
    built["default_hooks"]["runtime_info"]["hooks"] = [recorder]
    return Runner(**built), recorder


def values(hub: Any, key: str) -> list[float]:
    return [float(value) for value in hub.get_scalar(key).data[0]]


# -- training


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
def test_training_by_epochs(tmp_path: Path, hub: str, kind: Any) -> None:
    runner = build(tmp_path, hub, kind=kind)
    runner.train()
    published = runner.message_hub
    assert isinstance(published, MessageHub) == (hub == "runtimeinfo")
    assert values(published, "train/lr") == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    assert len(values(published, "train/loss")) == 4
    assert values(published, "val/acc") == [2, 2]
    assert published.get_info("val/confusion") == [1, 2]
    info = {key: published.get_info(key) for key in ("epoch", "iter", "max_epochs", "max_iters", "seed", "loop_stage")}
    assert info == {"epoch": 2, "iter": 4, "max_epochs": 2, "max_iters": 4, "seed": 3, "loop_stage": None}
    assert published.get_info("dataset_meta") == Data.metainfo
    assert published.get_info("experiment_name") == runner.experiment_name
    assert published.get_info("cfg") == runner.cfg.pretty_text
    assert published.get_info("mmengine_version").startswith("0.10.7")
    assert published.get_info("runtimeinfo_version")


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
def test_component_sees_the_position(tmp_path: Path, hub: str, kind: Any) -> None:
    model = Model()
    outside = resolve_hub()
    runner = build(tmp_path, hub, kind=kind, model=model)
    runner.train()
    runner.test()
    assert model.seen == [
        ("loss", "train", 0, 0),
        ("loss", "train", 0, 1),
        ("predict", "val", 1, 2),
        ("predict", "val", 1, 2),
        ("loss", "train", 1, 2),
        ("loss", "train", 1, 3),
        ("predict", "val", 2, 4),
        ("predict", "val", 2, 4),
        ("predict", "test", 2, 4),
        ("predict", "test", 2, 4),
    ]
    assert resolve_hub() is outside


@BOTH
def test_training_by_iterations(tmp_path: Path, hub: str) -> None:
    model = Model()
    cfg = {"by_epoch": False, "max_iters": 5, "val_interval": 2}
    data = loader(Data(4)) | {"sampler": {"type": "InfiniteSampler", "shuffle": False}}
    runner, recorder = with_recorder(tmp_path, hub, model=model, train_cfg=cfg, train_dataloader=data)
    runner.train()
    recorder.judge()
    assert [seen for seen in model.seen if seen[0] == "loss"] == [("loss", "train", 0, i) for i in range(5)]
    assert [seen[1:] for seen in model.seen if seen[0] == "predict"] == [("val", 0, i) for i in (2, 2, 4, 4, 5, 5)]
    info = runner.message_hub
    assert [info.get_info(key) for key in ("epoch", "iter", "max_epochs", "max_iters")] == [0, 5, None, 5]
    assert len(values(info, "train/loss")) == 5
    assert recorder.events.count("before_train_epoch") == recorder.events.count("after_train_epoch") == 1
    assert recorder.events.count("before_val") == 3


@BOTH
def test_the_events_are_in_the_grammar(tmp_path: Path, hub: str) -> None:
    runner, recorder = with_recorder(tmp_path, hub)
    runner.train()
    val = ["before_val", "before_val_epoch", *["before_val_iter", "after_val_iter"] * 2]
    val += ["after_val_epoch", "after_val"]
    epoch = ["before_train_epoch", *["before_train_iter", "after_train_iter"] * 2, "after_train_epoch"]
    assert recorder.scope_events == ["before_run", "before_train", *(epoch + val) * 2, "after_train", "after_run"]
    runner.val()
    runner.test()
    recorder.judge()


@BOTH
def test_mmengines_own_hooks_work_over_the_hub(tmp_path: Path, hub: str) -> None:
    runner = build(tmp_path, hub)
    runner.train()
    lines = [
        json.loads(line) for path in tmp_path.rglob("vis_data/scalars.json") for line in path.read_text().splitlines()
    ]
    trained = [line for line in lines if "loss" in line]
    assert [line["iter"] for line in trained] == [1, 2, 3, 4]
    assert [line["lr"] for line in trained] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    assert [line["loss"] for line in trained] == pytest.approx(
        [sum(values(runner.message_hub, "train/loss")[max(0, end - 10) : end]) / end for end in range(1, 5)], rel=1e-3
    )
    assert all({"time", "data_time", "grad_norm"} <= line.keys() for line in trained)
    assert [line["acc"] for line in lines if "acc" in line] == [2, 2]
    (log,) = (path.read_text() for path in tmp_path.rglob("*.log"))
    assert "Epoch(train) [2][2/2]" in log
    assert "loss: " in log
    assert "lr: 1.2500e-03" in log
    assert "eta: 0:00:00" in log
    assert values(runner.message_hub, "train/grad_norm")[0] > 0
    assert len(values(runner.message_hub, "train/time")) == 4
    assert runner.message_hub.get_info("last_ckpt").endswith("epoch_2.pth")
    assert (tmp_path / "epoch_2.pth").exists()


@BOTH
def test_two_optimizers(tmp_path: Path, hub: str) -> None:
    model = TwoOptimizers()
    wrappers = OptimWrapperDict(
        first=OptimWrapper(torch.optim.SGD(model.layer.parameters(), lr=0.01), clip_grad={"max_norm": 9.0}),
        second=OptimWrapper(torch.optim.SGD(model.second.parameters(), lr=0.02)),
    )
    runner = build(tmp_path, hub, model=model, optim_wrapper=wrappers, param_scheduler=...)
    # They were built before the runner: as in mmengine, they publish to the hub that was the current one then.
    early = wrappers["first"].message_hub
    runner.train()
    assert values(runner.message_hub, "train/first.lr") == pytest.approx([0.01] * 4)
    assert values(runner.message_hub, "train/second.lr") == pytest.approx([0.02] * 4)
    assert wrappers["first"].message_hub is early


@BOTH
def test_two_optimizers_that_the_runner_builds(tmp_path: Path, hub: str) -> None:
    from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(name="TwoOptimizersConstructor", force=True)
    class Constructor:
        def __init__(self, optim_wrapper_cfg: Any, paramwise_cfg: Any = None) -> None:
            pass

        def __call__(self, model: Any) -> OptimWrapperDict:
            sgd = torch.optim.SGD
            return OptimWrapperDict(
                first=OptimWrapper(sgd(model.layer.parameters(), lr=0.01), clip_grad={"max_norm": 9.0}),
                second=OptimWrapper(sgd(model.second.parameters(), lr=0.02)),
            )

    wrapper = {"constructor": "TwoOptimizersConstructor", "optimizer": {"type": "SGD", "lr": 0.1}}
    runner = build(tmp_path, hub, model=TwoOptimizers(), optim_wrapper=wrapper, param_scheduler=...)
    runner.train()
    assert values(runner.message_hub, "train/second.lr") == pytest.approx([0.02] * 4)
    assert len(values(runner.message_hub, "train/grad_norm")) == 4
    assert runner.optim_wrapper["first"].message_hub is runner.message_hub


def test_mmengine_returns_our_hub(tmp_path: Path) -> None:
    runner = build(tmp_path, "runtimeinfo")
    theirs = runner.message_hub
    theirs.update_info("kept", 5)
    theirs.update_scalar("kept/too", 0.5)
    runner.train()
    assert runner.message_hub is not theirs
    assert SeedHub.get_current_instance() is runner.message_hub
    assert SeedHub.get_instance(runner.experiment_name) is runner.message_hub
    assert MessageHub.get_instance(runner.experiment_name) is runner.message_hub
    assert runner.message_hub.get_info("kept") == 5
    assert values(runner.message_hub, "kept/too") == [0.5]


@BOTH
def test_hooks_run_by_their_priority(tmp_path: Path, hub: str) -> None:
    called = []

    class Say:
        def __init__(self, priority: str) -> None:
            self.priority = priority

        def before_train(self, runner: Any) -> None:
            assert isinstance(runner, MMEngineRunner)
            called.append((self.priority, current_hub().get_info("loop_stage")))

    built = config(tmp_path, hub)
    built["default_hooks"]["runtime_info"]["hooks"] = [Say("LOW"), Say("HIGH")]
    Runner(**built).train()
    assert called == [("HIGH", "train"), ("LOW", "train")]


# -- val and test alone


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_evaluation_alone_does_not_build_the_training_data(tmp_path: Path, hub: str, kind: Any, stage: str) -> None:
    from mmengine.registry import DATASETS

    DATASETS.register_module(name="NotBuilt", module=NotBuilt, force=True)
    model = Model()
    runner = build(tmp_path, hub, kind=kind, model=model, train_dataloader=loader({"type": "NotBuilt"}))
    assert getattr(runner, stage)()["acc"] == 2
    assert model.seen == [("predict", stage, 0, 0)] * 2
    assert runner.message_hub.get_info("loop_stage") is None
    assert values(runner.message_hub, f"{stage}/acc") == [2]
    assert isinstance(runner._train_loop, dict)


@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_evaluation_without_any_training(tmp_path: Path, stage: str) -> None:
    none = dict.fromkeys(("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"), ...)
    runner = build(tmp_path, "runtimeinfo", **none)
    getattr(runner, stage)()
    assert values(runner.message_hub, f"{stage}/acc") == [2]
    adapted = MMEngineRunner(runner)
    assert (adapted.epoch, adapted.iter, adapted.max_epochs, adapted.max_iters) == (0, 0, None, None)


# -- abnormal ends


class RaiseAt(Hook):
    priority = "LOW"

    def __init__(self, event: str, error: BaseException) -> None:
        def raise_it(*_: Any, **__: Any) -> None:
            raise error

        setattr(self, event, raise_it)


PLACES = ["loss", "predict", "evaluator", "before_train_iter", "after_val_epoch", "after_train_epoch", "after_train"]


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize("error", [ValueError("user"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", PLACES)
def test_an_abnormal_end_closes_everything(
    tmp_path: Path, hub: str, kind: Any, attached: bool, error: BaseException, where: str
) -> None:
    outside = resolve_hub()
    recorder = Recorder("NORMAL")
    built = config(tmp_path, hub, model=Model(error, where))
    built["default_hooks"]["runtime_info"]["hooks"] = [recorder]
    built["default_hooks"]["checkpoint"] = None
    if where == "evaluator":
        built["val_evaluator"] = Evaluator([Metric(error)])
    elif where not in {"loss", "predict"}:
        built["custom_hooks"] = [RaiseAt(where, error)]
    if attached:
        built["default_hooks"]["runtime_info"] = None
    runner = kind(**built)
    if attached:
        attach(runner, replace_hub=hub == "runtimeinfo", hooks=[recorder])
    with pytest.raises(type(error)) as caught:
        runner.train()
    assert caught.value is error
    assert recorder.given("on_exception", "exception") == [error]
    recorder.judge()
    assert recorder.events[-1] == "after_run"
    assert runner.message_hub.get_info("loop_stage") is None
    assert resolve_hub() is outside
    assert runner.message_hub.get_info("iter") == runner.iter
    assert runner.message_hub.get_info("epoch") == runner.epoch


@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_abnormal_end_of_an_evaluation_alone(tmp_path: Path, stage: str, attached: bool) -> None:
    recorder = Recorder("NORMAL")
    error = ValueError("user")
    built = config(tmp_path, "mmengine", model=Model(error, "predict"))
    built["default_hooks"]["runtime_info"] = None if attached else {"type": OURS, "hooks": [recorder]}
    runner = Runner(**built)
    if attached:
        attach(runner, hooks=[recorder])
    with pytest.raises(ValueError, match="user"):
        getattr(runner, stage)()
    names = [stage, f"{stage}_epoch", f"{stage}_iter"]
    closes = [f"after_{name}" for name in reversed(names)]
    opens = [f"before_{name}" for name in names]
    assert recorder.events == ["before_run", *opens, "on_exception", *closes, "after_run"]
    assert recorder.given("on_exception", "exception") == [error]
    assert runner.message_hub.get_info("loop_stage") is None


def test_the_seed_leaves_its_stage_after_an_exception(tmp_path: Path) -> None:
    """The difference that the adapter makes: without it the stage stays."""
    runner = build(tmp_path, model=Model(ValueError("user"), "loss"))
    with pytest.raises(ValueError, match="user"):
        runner.train()
    assert runner.message_hub.get_info("loop_stage") == "train"


@BOTH
def test_the_same_runner_after_an_interrupt(tmp_path: Path, hub: str) -> None:
    model = Model(KeyboardInterrupt(), "predict")
    runner, recorder = with_recorder(tmp_path, hub, model=model)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    model.where = ""
    runner.train()
    recorder.judge()
    assert (runner.epoch, runner.iter) == (2, 4)
    assert len(values(runner.message_hub, "train/loss")) == 4
    assert recorder.events.count("before_run") == recorder.events.count("after_run") == 2


@BOTH
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
def test_an_exception_before_the_loop(tmp_path: Path, hub: str, attached: bool) -> None:
    error, recorder = ValueError("user"), Recorder("NORMAL")
    built = config(tmp_path, hub, custom_hooks=[RaiseAt("before_run", error)])
    built["default_hooks"]["runtime_info"] = (
        None
        if attached
        else {
            "type": OURS,
            "replace_hub": hub == "runtimeinfo",
            "hooks": [recorder],
        }
    )
    runner = Runner(**built)
    if attached:
        attach(runner, replace_hub=hub == "runtimeinfo", hooks=[recorder])
    with pytest.raises(ValueError, match="user"):
        runner.train()
    assert runner.message_hub.get_info("loop_stage") is None
    assert recorder.events == ["before_run", "on_exception", "after_run"]
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, RaiseAt)]
    runner.train()
    recorder.judge()


def test_an_exception_that_a_hook_handles_leaves_the_training_open(tmp_path: Path) -> None:
    seen = []

    class Validate(Hook):
        priority = "LOW"

        def after_train_epoch(self, runner: Any) -> None:
            try:
                runner.val_loop.run()
            except ValueError:
                seen.append(runner.message_hub.get_info("loop_stage"))

    recorder = Recorder("NORMAL")
    built = config(tmp_path, "mmengine", model=Model(ValueError("user"), "predict"), custom_hooks=[Validate()])
    built["default_hooks"]["runtime_info"]["hooks"] = [recorder]
    built["train_cfg"]["val_interval"] = 100
    built["train_cfg"]["max_epochs"] = 1
    built["train_cfg"]["val_begin"] = 100
    Runner(**built).train()
    assert seen == ["train"]
    recorder.judge()
    assert recorder.events.count("on_exception") == 1
    assert recorder.events[-2:] == ["after_train", "after_run"]


# -- resume


def train_one_epoch(work_dir: Path, hub: str | None, **changes: Any) -> Any:
    runner = build(work_dir, hub, train_cfg={"by_epoch": True, "max_epochs": 1}, **changes)
    runner.train()
    SeedHub._instance_dict.clear()
    MessageHub._instances.clear()
    return runner


def check_resumed(first: Any, resumed: Any) -> None:
    resumed.train()
    hub = resumed.message_hub
    losses = values(hub, "train/loss")
    assert losses[:2] == values(first.message_hub, "train/loss")
    assert len(losses) == len(values(hub, "train/lr")) == 4
    assert values(hub, "val/acc") == [2]  # the checkpoint was written before the first validation
    assert (hub.get_info("epoch"), hub.get_info("iter"), hub.get_info("loop_stage")) == (2, 4, None)
    assert hub.get_info("experiment_name") == resumed.experiment_name != first.experiment_name


@pytest.mark.usefixtures("trust_checkpoints")
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize(
    ("saved_by", "hub"),  # None is mmengine's own hook; its hub reads no other one's state
    [
        (None, "mmengine"),
        ("mmengine", "mmengine"),
        *((hub, "runtimeinfo") for hub in (None, "mmengine", "runtimeinfo")),
    ],
)
def test_resuming(tmp_path: Path, hub: str, saved_by: str | None, kind: Any) -> None:
    first = train_one_epoch(tmp_path, saved_by, kind=kind)
    resumed = build(tmp_path, hub, kind=kind, resume=True, experiment_name="second")
    check_resumed(first, resumed)


@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
def test_resuming_with_our_hub_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    first = train_one_epoch(tmp_path, "runtimeinfo", kind=kind)
    state = torch.load(tmp_path / "epoch_1.pth", weights_only=True)["message_hub"]
    assert state["version"] == 2
    check_resumed(first, build(tmp_path, "runtimeinfo", kind=kind, resume=True, experiment_name="second"))


# -- attach


@BOTH
def test_attach(tmp_path: Path, hub: str) -> None:
    runner = build(tmp_path)
    assert any(type(hook) is SeedHook for hook in runner.hooks)
    recorder = Recorder("NORMAL")
    hook = attach(runner, replace_hub=hub == "runtimeinfo", hooks=[recorder])
    assert isinstance(hook, RuntimeInfoHook)
    assert [type(other) for other in runner.hooks if "RuntimeInfo" in type(other).__name__] == [RuntimeInfoHook]
    runner.train()
    assert runner.test()["acc"] == 2
    recorder.judge()
    assert len(values(runner.message_hub, "train/loss")) == len(values(runner.message_hub, "train/lr")) == 4
    assert isinstance(runner.message_hub, MessageHub) == (hub == "runtimeinfo")


@pytest.mark.parametrize("configured", [False, True])
def test_attaching_twice_publishes_once(tmp_path: Path, configured: bool) -> None:
    runner = build(tmp_path, "mmengine" if configured else None)
    attach(runner)
    last = attach(runner)
    runner.train()
    assert [hook for hook in runner.hooks if isinstance(hook, RuntimeInfoHook)] == [last]
    assert len(values(runner.message_hub, "train/loss")) == 4


def test_attach_refuses_other_targets(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="object has no register_hook\\(\\), which mmengine's runners have"):
        attach(object())
    runner = build(tmp_path)
    before = list(runner.hooks)
    with pytest.raises(HubError, match="hub must be a hub object, but is 'ours': say replace_hub=True"):
        attach(runner, hub="ours")
    with pytest.raises(HookError, match="object has no hook point"):
        attach(runner, hooks=[object()])
    assert runner.hooks == before


# -- several runners


@BOTH
@pytest.mark.filterwarnings(r"ignore:<class 'mmengine\..*'> instance named of same_now has been created:UserWarning")
@pytest.mark.parametrize("names", [("one", "two"), ("same", "same")])
def test_two_runners_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str, names: tuple[str, str]
) -> None:
    # mmengine appends the time in seconds; runners of one name have one hub, unless each gets its own.
    clock = SimpleNamespace(time=time.time, localtime=time.localtime, strftime=lambda *_: "now")
    monkeypatch.setattr("mmengine.runner.runner.time", clock)
    runners = []
    for name in names:
        runner, recorder = with_recorder(tmp_path / str(len(runners)), hub, experiment_name=name)
        runner.train()
        recorder.judge()
        runners.append(runner)
    one, two = runners
    shared = names == ("same", "same") and hub == "mmengine"
    assert (one.message_hub is two.message_hub) == shared
    assert len(values(two.message_hub, "train/loss")) == (8 if shared else 4)
    assert isinstance(two.message_hub, MessageHub) == (hub == "runtimeinfo")
    assert two.message_hub.get_info("iter") == 4


def test_one_hook_serves_two_runners(tmp_path: Path) -> None:
    hook = RuntimeInfoHook(replace_hub=True)
    for name in ("one", "two"):
        built = config(tmp_path / name, experiment_name=name)
        built["default_hooks"]["runtime_info"] = None
        runner = Runner(**built, custom_hooks=[hook])
        runner.train()
        assert len(values(runner.message_hub, "train/loss")) == 4


def test_a_subclass_of_the_runner_is_mmengine(tmp_path: Path) -> None:
    class MyRunner(Runner):
        pass

    runner = build(tmp_path, "mmengine", kind=MyRunner)
    adapted = MMEngineRunner(runner)
    assert adapted.framework_name == "mmengine"
    assert adapted.framework_version.startswith("0.10.7")
    assert isinstance(runner.message_hub.log_scalars.get("train/loss", HistoryBuffer()), HistoryBuffer)


# -- without mmengine

OF_THAT_SHAPE = """
import sys
sys.modules["mmengine"] = None
from types import SimpleNamespace
from runtimeinfo import current_hub
from runtimeinfo.spec import Lifecycle
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.mmengine import MMEngineRunner, RuntimeInfoHook, attach
assert RuntimeInfoHook.__mro__[2:] == (object,)

class Loop:
    def __init__(self, runner):
        self.runner = runner
        self.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo={"classes": ["a"]}))

    def run(self):
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        for idx in range(2):
            runner.call_hook("before_train_iter", batch_idx=idx, data_batch=idx)
            seen.append((current_hub().get_info("loop_stage"), current_hub().get_info("iter")))
            if idx == runner.fail_at:
                raise KeyError("user")
            runner.call_hook("after_train_iter", batch_idx=idx, data_batch=idx, outputs={"loss": 0.5})
            runner.iter += 1
        runner.call_hook("after_train_epoch")
        runner.epoch += 1
        runner.call_hook("after_train")

class LikeMMEngine:
    def __init__(self, fail_at=None):
        self.cfg = SimpleNamespace(pretty_text="a = 1")
        self.seed, self.experiment_name = 3, "like"
        self.epoch = self.iter = 0
        self.max_epochs, self.max_iters = 1, 2
        self.message_hub = MessageHub("like")
        self.optim_wrapper = SimpleNamespace(get_lr=lambda: {"lr": [0.1]})
        self.train_loop = Loop(self)
        self.train_dataloader = self.train_loop.dataloader
        self._hooks = []
        self.fail_at = fail_at

    def register_hook(self, hook):
        self._hooks.append(hook)

    def call_hook(self, name, **arguments):
        for hook in self._hooks:
            getattr(hook, name)(self, **arguments)

    def train(self):
        self.call_hook("before_run")
        self.train_loop.run()
        self.call_hook("after_run")
        return "trained"

for attached in (True, False):
    for fail_at in (None, 1):
        seen = []
        runner = LikeMMEngine(fail_at)
        if attached:
            attach(runner)
            attach(runner)
        else:
            runner.register_hook(RuntimeInfoHook(replace_hub=True))
        try:
            assert runner.train() == "trained"
        except KeyError as error:
            assert fail_at == 1 and error.args == ("user",)
        else:
            assert fail_at is None
        hub = runner.message_hub
        assert seen == [("train", 0), ("train", 1)], seen
        done = 2 if fail_at is None else 1
        assert hub.get_scalar("train/loss").data[0].tolist() == [0.5] * done
        assert hub.get_info("loop_stage") is None
        assert hub.get_info("iter") == done
        assert hub.get_info("dataset_meta") == {"classes": ["a"]}
        assert hub.get_info("__main___version") == "unknown"
        assert hub.runtime_info["cfg"] == "a = 1"

named = LikeMMEngine()
named.framework_name, named.framework_version = "mine", "1.2"
assert MMEngineRunner(named).framework_name == "mine"
assert MMEngineRunner(named).framework_version == "1.2"
assert "torch" not in sys.modules
print("done")
"""


def test_a_runner_of_that_shape_without_mmengine() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OF_THAT_SHAPE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


# -- detach, options, copies


@BOTH
@pytest.mark.parametrize("ending", ["fresh", "trained", "failed"])
def test_detach_leaves_the_runner_as_it_was(tmp_path: Path, hub: str, ending: str) -> None:
    error = KeyError("user")
    bare = build(tmp_path / "bare", experiment_name="bare", model=Model(error, "loss" if ending == "failed" else ""))
    runner = build(
        tmp_path / "attached", experiment_name="attached", model=Model(error, "loss" if ending == "failed" else "")
    )
    before = list(runner._hooks)
    theirs = runner.message_hub
    attach(runner, replace_hub=hub == "runtimeinfo")
    for each in (bare, runner) if ending != "fresh" else ():
        with pytest.raises(KeyError) if ending == "failed" else contextlib.nullcontext():
            each.train()
    detach(runner)
    detach(runner)
    assert runner._hooks == before
    assert runner.message_hub is theirs
    assert type(theirs).get_instance(theirs.instance_name) is theirs
    assert getattr(runner.optim_wrapper, "message_hub", theirs) is theirs
    assert vars(runner).keys() == vars(bare).keys()
    for name, loop in vars(runner).items():
        if name.endswith("_loop") and loop is not None and not isinstance(loop, dict):
            assert vars(loop).keys() == vars(getattr(bare, name)).keys()


def test_detach_keeps_what_was_registered_and_wrapped_since(tmp_path: Path) -> None:
    runner = build(tmp_path)
    attach(runner)
    attached = runner.train
    calls = []

    def train() -> Any:
        calls.append("train")
        return attached()

    train.__dict__["__wrapped__"] = attached
    runner.train = train
    later = RaiseAt("never", ValueError())
    runner.register_hook(later)
    detach(runner)
    assert later in runner._hooks
    runner.train()
    assert calls == ["train"]
    assert not any(isinstance(hook, RuntimeInfoHook) for hook in runner._hooks)
    assert len(values(runner.message_hub, "train/loss")) == 4  # by mmengine's own hook


class DetachHook(Hook):
    """Detaches the runner, and counts."""

    priority = "HIGH"

    def __init__(self, detaches: bool) -> None:
        self.detaches, self.count = detaches, 0

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.count += 1
        if self.detaches:
            detach(runner)


@BOTH
def test_detach_during_a_run_ends_it_for_the_hooks_and_passes_no_hook_over(tmp_path: Path, hub: str) -> None:
    runner = build(tmp_path)
    recorder = Recorder("NORMAL")
    attach(runner, replace_hub=hub == "runtimeinfo", hooks=[recorder])
    hub_of_the_run = runner.message_hub
    hooks = [DetachHook(True), DetachHook(False), DetachHook(False)]
    for each in hooks:
        runner.register_hook(each)
    runner.train()
    recorder.judge()
    assert recorder.events[-1] == "after_run"
    assert hub_of_the_run.get_info("loop_stage") is None
    assert [each.count for each in hooks] == [4, 4, 4]


def test_hooks_can_come_from_a_generator(tmp_path: Path) -> None:
    recorders = [Recorder("NORMAL"), Recorder("NORMAL")]
    attached = build(tmp_path / "first", experiment_name="first")
    attach(attached, hooks=(each for each in recorders[:1]))
    attached.train()
    assert recorders[0].events.count("before_run") == 1
    hook = RuntimeInfoHook(hooks=(each for each in recorders[1:]))
    for name in ("second", "third"):
        runner = build(tmp_path / name, experiment_name=name)
        runner.register_hook(hook)
        runner.train()
    assert recorders[1].events.count("before_run") == 2


def test_mmengine_without_torch_names_the_extra() -> None:
    code = "import sys; sys.modules['torch'] = None; import runtimeinfo_adapters.mmengine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert "this adapter needs torch: pip install 'runtimeinfo[mmengine]'" in done.stderr


def test_given_options_win_over_the_runners_own(tmp_path: Path) -> None:
    runner = build(tmp_path)
    hub = MessageHub("mine")
    attach(runner, hub=hub, cfg={"own": 1}, seed=77, experiment_name="named")
    runner.train()
    assert runner.message_hub is hub
    assert (hub.get_info("seed"), hub.get_info("experiment_name")) == (77, "named")
    assert '"own": 1' in hub.get_info("cfg")
    assert len(values(hub, "train/loss")) == 4


def test_the_bare_runner_cannot_be_copied_but_the_hook_can_in_mid_run(tmp_path: Path) -> None:
    runner = build(tmp_path)
    with pytest.raises(pickle.PicklingError):
        copy.deepcopy(runner)
    copies = []

    class CopyHook(Hook):
        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            copies.append(copy.deepcopy(hook))

    hook = attach(runner)
    runner.register_hook(CopyHook())
    runner.train()
    assert len(copies) == 4
    twin = copies[-1]
    assert not twin._in_force.is_in_force
    assert twin._view.runner is None
    other = build(tmp_path / "other", None, experiment_name="other")
    other.register_hook(twin)
    other.train()
    assert len(values(runner.message_hub, "train/loss")) == 4


def test_a_member_that_mmengine_has_given_up_is_named(tmp_path: Path) -> None:
    runner = build(tmp_path)
    del runner._test_loop
    with pytest.raises(RunnerError, match="Runner has no _test_loop, which this adapter relies on"):
        attach(runner)


# -- by iterations


def by_iterations(**changes: Any) -> dict[str, Any]:
    return (
        {"train_cfg": {"by_epoch": False, "max_iters": 3}, "val_cfg": ..., "val_dataloader": ..., "val_evaluator": ...}
        | {"train_dataloader": loader(Data(4)) | {"sampler": {"type": "InfiniteSampler", "shuffle": False}}}
        | changes
    )


class SubclassedLoop(IterBasedTrainLoop):
    pass


class LoopThatTellsEpochs(IterBasedTrainLoop):
    @property
    def max_epochs(self) -> int:
        return 2


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize(("loop", "told"), [(None, None), (SubclassedLoop, None), (LoopThatTellsEpochs, 2)])
def test_max_epochs_by_iterations_is_none_unless_the_loop_tells_a_number(
    tmp_path: Path, hub: str, kind: Any, attached: bool, loop: Any, told: int | None
) -> None:
    cfg: dict[str, Any] = {"by_epoch": False, "max_iters": 3}
    if loop is not None:
        LOOPS.register_module(name=loop.__name__, module=loop, force=True)
        cfg = {"type": loop.__name__, "max_iters": 3}
    model = Model()
    runner = build(tmp_path, None if attached else hub, kind=kind, model=model, **by_iterations(train_cfg=cfg))
    if attached:
        attach(runner, replace_hub=hub == "runtimeinfo")
    assert MMEngineRunner(runner).max_epochs is None  # the loop is still a config
    seen = []
    model.register_forward_hook(lambda *_: seen.append(current_hub().get_info("max_epochs", "absent")))
    runner.train()
    assert seen == [told] * 3
    assert runner.message_hub.get_info("max_epochs", "absent") == told
    assert MMEngineRunner(runner).max_epochs == told
    assert (MMEngineRunner(runner).max_iters, runner.max_epochs) == (3, told or 1)  # mmengine's own is as it was


# -- totals


class GrowingSampler(Sampler[int]):
    """Has two batches more in each epoch, once it is told the epoch, which mmengine does after our hook."""

    def __init__(self, dataset: Any, seed: int | None = None) -> None:
        self.size = 4

    def set_epoch(self, epoch: int) -> None:
        self.size = 4 + 4 * epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))


class LyingSampler(GrowingSampler):
    """Gives one batch more than it says, in the second epoch."""

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size + 2 * (self.epoch == 1)))


def with_sampler(kind: Any, epochs: int = 3) -> dict[str, Any]:
    DATA_SAMPLERS.register_module(name=kind.__name__, module=kind, force=True)
    return {
        "train_dataloader": loader(Data(100)) | {"sampler": {"type": kind.__name__}},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs},
    }


@BOTH
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize(
    ("sampler", "totals"),
    [
        # 2, 4 and 6 batches: those done, and today's length for each epoch that is left.
        (GrowingSampler, [6] * 2 + [2 + 2 * 4] * 4 + [2 + 4 + 6] * 6),
        # 2, 3 and 2 batches: the third one of the second epoch was not told of.
        (LyingSampler, [6] * 2 + [6] * 2 + [None] * 3),
    ],
)
def test_the_total_follows_the_length_of_the_loader(
    tmp_path: Path, hub: str, attached: bool, sampler: Any, totals: list[Any]
) -> None:
    model = Model()
    runner = build(tmp_path, None if attached else hub, model=model, **with_sampler(sampler))
    if attached:
        attach(runner, replace_hub=hub == "runtimeinfo")
    seen: list[Any] = []

    class Watch(Hook):
        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            seen.append(current_hub().get_info("max_iters"))

    runner.register_hook(Watch())
    runner.train()
    assert seen == totals
    if totals[-1] is not None:
        assert runner.message_hub.get_info("max_iters") == runner.iter == totals[-1]


def test_the_total_of_a_loop_that_counts_in_its_own_way_is_taken_as_it_is(tmp_path: Path) -> None:
    @LOOPS.register_module(name="TwoPasses", force=True)
    class TwoPasses(EpochBasedTrainLoop):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._max_iters *= 2

        def run_epoch(self) -> None:
            self.runner.call_hook("before_train_epoch")
            for idx, batch in enumerate([*self.dataloader, *self.dataloader]):
                self.run_iter(idx, batch)
            self.runner.call_hook("after_train_epoch")
            self._epoch += 1

    runner = build(tmp_path, "runtimeinfo", train_cfg={"type": "TwoPasses", "max_epochs": 2})
    runner.train()
    assert runner.message_hub.get_info("max_iters") == runner.iter == 8


# -- runs that fail before their loop


def fail_in_hook(built: dict[str, Any], error: BaseException) -> None:
    built["custom_hooks"] = [RaiseAt("before_run", error)]


def fail_in_our_hook(built: dict[str, Any], error: BaseException) -> None:
    class Failing:
        def before_run(self, runner: Any) -> None:
            raise error

    built["default_hooks"]["runtime_info"]["hooks"].append(Failing())


def fail_in_weights(built: dict[str, Any], error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    built["model"].init_weights = fail


def fail_in_loading(built: dict[str, Any], error: BaseException) -> None:
    built["load_from"] = "missing.pth"


def fail_in_resuming(built: dict[str, Any], error: BaseException) -> None:
    path = Path(built["work_dir"]) / "broken.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {}, "state_dict": {}}, path)
    built["load_from"], built["resume"] = str(path), True


def fail_in_compiling(built: dict[str, Any], error: BaseException) -> None:
    built["cfg"] = {"compile": {"backend": "there is no such backend"}}


EARLY = [
    *(
        (fail, stage)
        for fail in (fail_in_hook, fail_in_our_hook, fail_in_loading)
        for stage in ("train", "val", "test")
    ),
    *((fail, "train") for fail in (fail_in_weights, fail_in_resuming, fail_in_compiling)),
]


def own_boards() -> list[Path]:
    return [path for path in board_files() if pid_in(path) == os.getpid()]


@pytest.mark.usefixtures("trust_checkpoints")
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize(
    ("attached", "hub"), [(False, "mmengine"), (False, "runtimeinfo"), (True, "mmengine"), (True, "runtimeinfo")]
)
@pytest.mark.parametrize(("fail", "stage"), EARLY, ids=lambda each: getattr(each, "__name__", each))
def test_a_run_that_fails_before_its_loop_leaves_nothing_behind(
    tmp_path: Path, hub: str, kind: Any, attached: bool, stage: str, fail: Any
) -> None:
    outside, boards = resolve_hub(), own_boards()
    error = KeyError("user")

    def make(name: str, recorder: Recorder, *, fails: bool) -> Any:
        built = config(tmp_path / name, hub, kind=kind, experiment_name=name)
        built["default_hooks"]["runtime_info"]["hooks"] = [recorder]
        if fails:
            fail(built, error)
        if kind is FlexibleRunner:
            built |= built.pop("cfg", {})
        ours = built["default_hooks"]["runtime_info"]
        if attached:
            built["default_hooks"]["runtime_info"] = None
        runner = kind(**built)
        if attached:
            attach(runner, replace_hub=ours["replace_hub"], hooks=ours["hooks"])
        return runner

    failed = Recorder("NORMAL")
    runner = make("failing", failed, fails=True)
    with pytest.raises(Exception) as caught:  # each of its own kind
        getattr(runner, stage)()
    raised = caught.value
    if fail in {fail_in_hook, fail_in_our_hook, fail_in_weights}:
        assert raised is error
    failed.judge()
    assert failed.scope_events[:1] in (["before_run"], [])
    assert failed.given("on_exception", "exception") in ([raised], [])
    assert resolve_hub() is outside
    assert own_boards() == boards
    again = Recorder("NORMAL")
    good = make("good", again, fails=False)
    getattr(good, stage)()
    again.judge()
    assert again.events[0] == "before_run"
    assert resolve_hub() is outside
    assert good.message_hub.get_info("experiment_name") == good.experiment_name


def test_a_runner_that_only_its_method_refers_to(tmp_path: Path) -> None:
    """`Runner(...).train()` is how most scripts start: a wrapper that holds the runner weakly would find it freed."""
    model = Model()
    build(tmp_path, "runtimeinfo", model=model).train()
    assert len(model.seen) == 8
    train = build(tmp_path / "kept", "runtimeinfo", model=model, experiment_name="kept").train
    gc.collect()
    train()
    assert len(model.seen) == 16


@BOTH
@pytest.mark.parametrize("how", ["bare", "config", "attach", "detach"])
@pytest.mark.parametrize("ending", ["fresh", "trained", "failed", "failed early"])
def test_a_runner_is_freed(tmp_path: Path, hub: str, how: str, ending: str) -> None:
    changes: dict[str, Any] = {"model": Model(KeyError("user"), "loss" if ending == "failed" else "")}
    if ending == "failed early":
        changes["custom_hooks"] = [RaiseAt("before_run", KeyError("user"))]
    runner = build(tmp_path, hub if how == "config" else None, **changes)
    if how in {"attach", "detach"}:
        attach(runner, replace_hub=hub == "runtimeinfo")
    if ending != "fresh":
        with contextlib.suppress(KeyError):
            runner.train()
    if how == "detach":
        detach(runner)
    freed = weakref.ref(runner)
    del runner, changes
    gc.collect()
    assert freed() is None


@BOTH
def test_a_hook_with_another_priority_guards_its_runner_too(tmp_path: Path, hub: str) -> None:
    class LateHook(RuntimeInfoHook):
        priority = "LOW"

    assert (RuntimeInfoHook.priority, LateHook.priority) == ("VERY_HIGH", "LOW")
    outside, error = resolve_hub(), KeyError("user")
    for number, hook in enumerate(
        [
            {"type": OURS, "priority": "HIGH"},
            RuntimeInfoHook(replace_hub=hub == "runtimeinfo"),
            LateHook(replace_hub=hub == "runtimeinfo"),
        ]
    ):
        built = config(tmp_path / str(number), hub, experiment_name=str(number))
        built["default_hooks"]["runtime_info"] = hook
        built["custom_hooks"] = [RaiseAt("before_run", error)]
        built["custom_hooks"][0].priority = "LOWEST"
        runner = Runner(**built)
        (registered,) = (each for each in runner.hooks if isinstance(each, RuntimeInfoHook))
        assert registered.priority == ("HIGH", "VERY_HIGH", "LOW")[number]
        with pytest.raises(KeyError) as caught:
            runner.train()
        assert caught.value is error
        assert resolve_hub() is outside


def test_a_hook_that_is_registered_later_guards_its_runner(tmp_path: Path) -> None:
    outside = resolve_hub()
    runner = build(tmp_path, custom_hooks=[RaiseAt("before_run", KeyError("user"))])
    runner.register_hook(RuntimeInfoHook())
    with pytest.raises(KeyError):
        runner.train()
    assert resolve_hub() is outside


def test_a_runner_that_does_not_ask_for_the_priority(tmp_path: Path) -> None:
    """The hook meets it in before_run only: its loop is guarded, and from the second call on all of it."""

    class OwnList(Runner):  # type: ignore[misc]
        def register_hook(self, hook: Any, priority: Any = None) -> None:
            if isinstance(hook, RuntimeInfoHook):
                self._hooks.insert(0, hook)
            else:
                super().register_hook(hook, priority)

        def get_hooks_info(self) -> str:
            return ""

    outside, recorder = resolve_hub(), Recorder("NORMAL")
    model = Model(KeyError("user"), "predict")
    runner = build(tmp_path, kind=OwnList, model=model)
    hook = RuntimeInfoHook(hooks=[recorder])
    runner._hooks.insert(0, hook)
    for _ in range(2):
        with pytest.raises(KeyError):
            runner.val()
        assert resolve_hub() is outside
    model.where = ""
    runner.val()
    recorder.judge()
    assert recorder.events.count("on_exception") == 2


# -- an evaluation inside a training


@BOTH
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize("fails", [False, True])
def test_an_evaluation_that_user_code_calls_inside_a_training(
    tmp_path: Path, hub: str, attached: bool, fails: bool
) -> None:
    model = Model(KeyError("user"))

    class Test(Hook):
        priority = "LOW"

        def after_train_epoch(self, runner: Any) -> None:
            model.where = "predict" if fails else ""
            with contextlib.suppress(KeyError):
                runner.test()
            model.where = ""
            model.seen.append(("after", current_hub().get_info("loop_stage")))

    recorder = Recorder("NORMAL")
    built = config(tmp_path, hub, model=model, custom_hooks=[Test()], train_cfg={"by_epoch": True, "max_epochs": 2})
    built["default_hooks"]["runtime_info"]["hooks"] = [recorder]
    if attached:
        built["default_hooks"]["runtime_info"] = None
    runner = Runner(**built)
    if attached:
        attach(runner, replace_hub=hub == "runtimeinfo", hooks=[recorder])
    runner.train()
    recorder.judge()
    assert [seen for seen in model.seen if seen[0] == "after"] == [("after", "train")] * 2
    assert recorder.events.count("before_run") == recorder.events.count("before_train") == 1
    assert recorder.events.count("before_test") == recorder.events.count("after_test") == 2
    assert recorder.events.count("on_exception") == 2 * fails
    assert len(values(runner.message_hub, "train/loss")) == 4


# -- hubs


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build all runners in the same second, which mmengine appends to their names."""
    clock = SimpleNamespace(time=time.time, localtime=time.localtime, strftime=lambda *_: "now")
    monkeypatch.setattr("mmengine.runner.runner.time", clock)


ONE_NAME = pytest.mark.filterwarnings(
    r"ignore:<class 'mmengine\..*'> instance named of .* has been created:UserWarning"
)


@ONE_NAME
@pytest.mark.usefixtures("one_second")
@pytest.mark.parametrize("built_first", [False, True])
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
def test_runners_of_one_name_have_a_fresh_hub_each(tmp_path: Path, attached: bool, built_first: bool) -> None:
    def make(name: str) -> Any:
        runner = build(tmp_path / name, None if attached else "runtimeinfo")
        if attached:
            attach(runner, replace_hub=True)
        return runner

    one = make("one")
    two = make("two") if built_first else None
    one.train()
    two = two or make("two")
    two.train()
    assert one.message_hub is not two.message_hub
    for each in (one, two):
        assert isinstance(each.message_hub, MessageHub)
        assert len(values(each.message_hub, "train/loss")) == 4
        assert len(values(each.message_hub, "val/acc")) == 2
    assert SeedHub.get_instance("adapter_now") is two.message_hub
    assert SeedHub.get_current_instance() is two.message_hub
    assert MessageHub.get_instance("adapter_now") is two.message_hub
    two.train()  # there is nothing left to train
    assert len(values(two.message_hub, "train/loss")) == 4
    two.val()
    assert len(values(two.message_hub, "val/acc")) == 3


@ONE_NAME
@pytest.mark.usefixtures("one_second")
def test_a_fresh_hub_does_not_take_over_what_a_bare_runner_of_that_name_has_published(tmp_path: Path) -> None:
    bare = build(tmp_path / "bare")
    bare.train()
    runner = build(tmp_path / "ours", "runtimeinfo")
    assert runner.message_hub is bare.message_hub
    runner.train()
    assert len(values(runner.message_hub, "train/loss")) == len(values(bare.message_hub, "train/loss")) == 4


def test_a_training_that_goes_on_with_another_hub_keeps_its_histories(tmp_path: Path) -> None:
    runner = build(tmp_path)
    runner.train()
    runner.train_loop._max_epochs = 3
    attach(runner, replace_hub=True)
    runner.train()
    assert len(values(runner.message_hub, "train/loss")) == 6


@ONE_NAME
@pytest.mark.usefixtures("one_second")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("attached_between", [False, True])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("hub", [None, "given"])
def test_two_runners_are_detached_in_either_order(
    tmp_path: Path, order: tuple[int, int], attached_between: bool, trained: bool, hub: str | None
) -> None:
    runners = [build(tmp_path / "one")]
    theirs = runners[0].message_hub
    if not attached_between:
        runners.append(build(tmp_path / "two"))
    given = {"hub": MessageHub("given")} if hub else {"replace_hub": True}
    attach(runners[0], **given)
    if attached_between:
        runners.append(build(tmp_path / "two"))
    before = runners[1].message_hub
    attach(runners[1], **given)
    if trained:
        for each in runners:
            each.train()
    first, second = (runners[at] for at in order)
    detach(first)
    if second is runners[0] or before is theirs:  # otherwise it was built with the hub that is taken back
        assert SeedHub.get_instance("adapter_now") is second.message_hub
    detach(second)
    assert runners[0].message_hub is theirs
    assert runners[1].message_hub is before
    assert SeedHub.get_instance("adapter_now") is theirs
    assert theirs.get_info("iter") is None


def test_a_hub_that_was_put_in_since_stays_at_detach(tmp_path: Path) -> None:
    runner = build(tmp_path)
    attach(runner, replace_hub=True)
    runner.message_hub = mine = MessageHub("mine")
    detach(runner)
    assert runner.message_hub is mine


@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
def test_a_hub_that_the_user_gives_the_runner_later_is_the_one_in_use(tmp_path: Path, attached: bool) -> None:
    runner = build(tmp_path, None if attached else "mmengine")
    if attached:
        attach(runner)
    for name in ("one", "two"):
        runner.message_hub = hub = MessageHub(name)
        runner.train_loop._max_epochs = runner.epoch + 1
        runner.train()
        assert (len(values(hub, "train/loss")), hub.get_info("iter")) == (2, runner.iter)


def test_a_given_hub_is_appended_to(tmp_path: Path) -> None:
    hub = MessageHub("mine")
    hub.update_scalar("train/loss", 9.0)
    for name in ("one", "two"):
        runner = build(tmp_path / name, experiment_name=name)
        attach(runner, hub=hub)
        runner.train()
        assert runner.message_hub is hub
    assert len(values(hub, "train/loss")) == 9
    assert hub.get_info("experiment_name") == runner.experiment_name


# -- mmengine's statistics


def spread_of_the_adapter(self: Any, window_size: int | None = None, *, scale: float = 1.0) -> float:
    assert type(self) is HistoryBuffer
    window = self._log_history[-(window_size or len(self._log_history)) :]
    return float(window.max() - window.min()) * scale


@BOTH
@pytest.mark.parametrize("by_epoch", [True, False])
def test_statistics_registered_with_mmengine_work_over_the_hub(tmp_path: Path, hub: str, by_epoch: bool) -> None:
    HistoryBuffer.register_statistics(spread_of_the_adapter)
    name = spread_of_the_adapter.__name__
    try:
        custom = [
            {"data_src": "loss", "log_name": "last two", "method_name": name, "window_size": 2, "scale": 2.0},
            {"data_src": "loss", "log_name": "all", "method_name": name, "window_size": "global"},
        ]
        if by_epoch:
            custom.append({"data_src": "loss", "log_name": "in epoch", "method_name": name, "window_size": "epoch"})
        changes = {} if by_epoch else by_iterations()
        processor = {"custom_cfg": custom, "by_epoch": by_epoch}
        runner = build(tmp_path, None, log_processor=processor, **changes)
        attach(runner, replace_hub=hub == "runtimeinfo")
        runner.train()
        losses = values(runner.message_hub, "train/loss")
        result = runner.message_hub.get_scalar("train/loss").statistics(name, 3, scale=3.0)
        assert result == pytest.approx(3 * (max(losses[-3:]) - min(losses[-3:])))
    finally:
        del HistoryBuffer._statistics_methods[name]
    lines = [json.loads(each) for path in tmp_path.rglob("scalars.json") for each in path.read_text().splitlines()]
    last = [line for line in lines if "loss" in line][-1]
    assert last["last two"] == pytest.approx(2 * (max(losses[-2:]) - min(losses[-2:])))
    assert last["all"] == pytest.approx(max(losses) - min(losses))
    if by_epoch:
        assert last["in epoch"] == pytest.approx(max(losses[-2:]) - min(losses[-2:]))


# -- mmengine with us and without


def text_of(work_dir: Path) -> str:
    """Return what mmengine has logged while it trained, without times and names."""
    (log,) = (path.read_text() for path in work_dir.rglob("*.log"))
    whole = log[log.index("Checkpoints will be saved") :]
    return re.sub(r"(?m)^.* - mmengine - |(time|data_time|eta): [\d.:]+|\S*_\d{8}_\d{6}\S*|(?<= )/\S+", "", whole)


def outcome(work_dir: Path, how: str, hub: str, kind: Any, calls: tuple[str, ...], changes: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    built = config(work_dir, hub if how == "config" else None, kind=kind, model=Model(), experiment_name=how)
    changes = copy.deepcopy(changes)
    built["default_hooks"] |= changes.pop("default_hooks", {})
    runner = kind(**{key: value for key, value in (built | changes).items() if value is not ...})
    if how == "attach":
        attach(runner, replace_hub=hub == "runtimeinfo")
    returned = [getattr(runner, call)() for call in calls]
    published = runner.message_hub
    own = {"cfg", "experiment_name", "mmengine_version", "runtimeinfo_version", "eta", "last_ckpt", "best_ckpt"}
    own |= {"epoch", "iter", "max_epochs"}  # listed in docs/differences.md
    return {
        "returned": [each for each in returned if isinstance(each, dict)],
        "histories": {key: values(published, key) for key in published.log_scalars if not key.endswith("time")},
        "infos": {key: value for key, value in published.runtime_info.items() if key not in own},
        "weights": {name: each.tolist() for name, each in runner.model.state_dict().items()},
        "hooks": [(type(hook).__name__, hook.priority) for hook in runner.hooks],
        "files": sorted(path.name for path in work_dir.glob("*.pth")),
        "drawn": [
            {key: value for key, value in json.loads(line).items() if not key.endswith("time")}
            for path in work_dir.rglob("scalars.json")
            for line in path.read_text().splitlines()
        ],
        "logged": text_of(work_dir),
    }


SITUATIONS: dict[str, dict[str, Any]] = {
    "by epochs": {},
    "by iterations": by_iterations(log_processor={"by_epoch": False}),
    "dynamic intervals": {
        "train_cfg": {"by_epoch": True, "max_epochs": 4, "val_interval": 2, "dynamic_intervals": [(3, 1)]}
    },
    "averaged weights": {"custom_hooks": [{"type": "EMAHook"}]},
    "best checkpoint": {
        "default_hooks": {
            "checkpoint": {"type": "CheckpointHook", "interval": 1, "save_best": "acc", "rule": "greater"}
        }
    },
    "early stop": {
        "custom_hooks": [{"type": "EarlyStoppingHook", "monitor": "acc", "patience": 1}],
        "train_cfg": {"by_epoch": True, "max_epochs": 6},
    },
    "accumulation": {
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.01}, "accumulative_counts": 2},
        "param_scheduler": ...,
    },
    "windows": {
        "log_processor": {
            "window_size": 3,
            "custom_cfg": [
                {"data_src": "loss", "log_name": "worst", "method_name": "max", "window_size": "epoch"},
                {"data_src": "loss", "log_name": "all", "method_name": "mean", "window_size": "global"},
                {"data_src": "loss", "log_name": "least", "method_name": "min", "window_size": 2},
            ],
        }
    },
}


@BOTH
@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_mmengine_behaves_the_same_with_the_adapter(tmp_path: Path, hub: str, kind: Any, situation: str) -> None:
    changes = SITUATIONS[situation]
    calls = ("train", "train", "test") if situation == "by iterations" else ("train", "train", "val", "test")
    bare = outcome(tmp_path / "bare", "bare", hub, kind, calls, changes)
    assert bare["histories"]
    assert bare["drawn"]
    for how in ("config", "attach"):
        assert outcome(tmp_path / how, how, hub, kind, calls, changes) == bare, how


def test_a_runner_from_a_config(tmp_path: Path) -> None:
    MODELS.register_module(name="ModelOfTheAdapter", module=Model, force=True)
    DATASETS.register_module(name="DataOfTheAdapter", module=Data, force=True)
    built = config(tmp_path, "runtimeinfo", model={"type": "ModelOfTheAdapter"})
    data = loader({"type": "DataOfTheAdapter"})
    none = dict.fromkeys(
        ("val_cfg", "val_dataloader", "val_evaluator", "test_cfg", "test_dataloader", "test_evaluator")
    )
    runner = Runner.from_cfg(Config(built | {"train_dataloader": data} | none))
    runner.train()
    assert runner.message_hub.get_info("cfg") == runner.cfg.pretty_text
    (dumped,) = (path for path in tmp_path.glob("*.py"))
    assert OURS in dumped.read_text()
    assert "RuntimeInfoHook" in runner.get_hooks_info()
    assert len(values(runner.message_hub, "train/loss")) == 4


# -- copies


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda hook: pickle.loads(pickle.dumps(hook))])
@pytest.mark.parametrize("trained", [False, True])
def test_a_copied_hook_serves_another_runner(tmp_path: Path, copied: Any, trained: bool) -> None:
    hook = RuntimeInfoHook(replace_hub=True, seed=8)
    if trained:
        runner = build(tmp_path / "first", experiment_name="first")
        runner.register_hook(hook)
        runner.train()
    twin = copied(hook)
    other = build(tmp_path / "second", experiment_name="second", default_hooks={"runtime_info": twin})
    other.train()
    assert (len(values(other.message_hub, "train/loss")), other.message_hub.get_info("seed")) == (4, 8)
    assert isinstance(other.message_hub, MessageHub)
    if trained:
        assert len(values(runner.message_hub, "train/loss")) == 8  # by mmengine's own hook too


def test_one_hook_goes_back_to_its_first_runner(tmp_path: Path) -> None:
    hook = RuntimeInfoHook(replace_hub=True)
    runners = [build(tmp_path / name, experiment_name=name, default_hooks={"runtime_info": hook}) for name in "ab"]
    for runner in (*runners, runners[0]):
        runner.train_loop._max_epochs = runner.epoch + 1
        runner.train()
    assert [len(values(runner.message_hub, "train/loss")) for runner in runners] == [4, 2]


# -- names and members


def test_methods_called_by_mmengine_have_readable_names(tmp_path: Path) -> None:
    runner = build(tmp_path, "runtimeinfo")
    profile = cProfile.Profile()
    profile.runcall(runner.train)
    names = {name for _, _, name in pstats.Stats(profile).stats}
    assert {"before_run", "after_train_epoch", "before_val_iter"} <= names
    (hook,) = (each for each in runner.hooks if isinstance(each, RuntimeInfoHook))
    for event in ("before_run", "before_train_iter", "after_val_epoch"):
        method = getattr(hook, event)
        assert method.__module__ == "runtimeinfo_adapters.mmengine"
        assert method.__qualname__.endswith(f".{event}")
        assert "<locals>" not in method.__qualname__
        assert method.__code__.co_name == event


@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
@pytest.mark.parametrize("attached", [False, True], ids=["config", "attach"])
@pytest.mark.parametrize(
    "member", ["_hooks", "_train_loop", "_val_loop", "_test_loop", "_instance_dict", "_statistics_methods"]
)
def test_a_private_member_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, attached: bool, member: str
) -> None:
    class MyRunner(kind):  # type: ignore[misc]
        pass

    runner = build(tmp_path, None if attached else "mmengine", kind=MyRunner)
    hook = RuntimeInfoHook()
    if member in {"_instance_dict", "_statistics_methods"}:
        owner = "MessageHub" if member == "_instance_dict" else "HistoryBuffer"
        monkeypatch.setattr(f"mmengine.logging.{owner}", SimpleNamespace)
    else:
        delattr(runner, member)
    with pytest.raises(RunnerError, match=f"has no {member}, which this adapter relies on"):
        _ = attach(runner) if attached else hook.view_of(runner)
