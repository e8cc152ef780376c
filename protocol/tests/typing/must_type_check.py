# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Implementations which inherit from nothing: each one must be taken for the protocol it satisfies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

import runtimeinfo
import runtimeinfo.authoring
import runtimeinfo_adapters
from runtimeinfo import Event, HookBase, InfoReader, Priority, Runner, ScalarHistory, TrainRunner
from runtimeinfo.authoring import Dispatcher, Emitter, PriorityLike, TrainState, is_scalar


class PlainHistory:
    @property
    def data(self) -> tuple[list[float], list[int]]:
        return [], []

    def current(self) -> float:
        return 0.0

    def mean(self, window_size: int | None = None) -> float:
        return 0.0

    def min(self, window_size: int | None = None) -> float:
        return 0.0

    def max(self, window_size: int | None = None) -> float:
        return 0.0

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> float:
        return 0.0


class InheritingHistory(ScalarHistory):
    def __init__(self, value: float) -> None:
        self.value = value

    @property
    def data(self) -> tuple[list[float], list[int]]:
        return [self.value], [1]

    def current(self) -> float:
        return self.value

    def mean(self, window_size: int | None = None) -> float:
        return self.value

    def min(self, window_size: int | None = None) -> int:
        return 0

    def max(self, window_size: int | None = None) -> float:
        return self.value

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> float:
        return 0.0


class PlainReader:
    def get_info(self, key: str, default: Any = None) -> Any:
        return default

    def get_scalar(self, key: str) -> PlainHistory:
        return PlainHistory()


class PlainHub(PlainReader):
    log_scalars: dict[str, PlainHistory]
    runtime_info: dict[str, Any]

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None: ...

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None: ...

    def pop_info(self, key: str, default: Any = None) -> Any: ...

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None: ...

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None: ...

    def pop_scalar(self, key: str) -> None: ...

    def drop_latest(self, key: str) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: Any) -> None: ...


class PlainConfig:
    pretty_text = "lr = 0.1"


@dataclass
class PlainValidator:
    """Plain attributes do for the read-only members."""

    message_hub: PlainHub
    cfg: PlainConfig
    seed: int = 0
    experiment_name: str | None = None
    framework_name: str = "plain"
    framework_version: str = "1"


class PlainOptimizer:
    def get_lr(self) -> dict[str, list[float]]:
        return {"lr": [0.1]}


class PlainOptimizers:
    def get_lr(self) -> Mapping[str, Sequence[float]]:
        return {"generator.lr": (0.1,), "critic.lr": (0.2,)}


@dataclass
class PlainLoader:
    dataset: list[int] = field(default_factory=list[int])


@dataclass
class PlainTrainer(PlainValidator):
    epoch: int = 0
    iter: int = 0
    max_epochs: int = 1
    train_dataloader: PlainLoader = field(default_factory=PlainLoader)
    optim_wrapper: PlainOptimizer | PlainOptimizers = field(default_factory=PlainOptimizer)

    @property
    def max_iters(self) -> int | None:
        return None


class HookWithName:
    priority = "LOW"


class HookWithNumber:
    priority: int = 30


class HookWithLevel:
    @property
    def priority(self) -> Priority:
        return Priority.HIGH


class HookWithBase(HookBase):
    priority = "LOW"

    @override
    def before_train_epoch(self, runner: TrainRunner) -> None:
        print(runner.epoch)

    @override
    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        print(metrics)


def as_number(value: object) -> float:
    return float(value) if is_scalar(value) else 0.0


def publish(runner: Runner) -> None:
    runner.message_hub.update_info("seed", runner.seed)


def train(runner: TrainRunner) -> float:
    state: TrainState = runner
    validator: Runner = runner
    publish(validator)
    return runner.optim_wrapper.get_lr()["lr"][0] * state.iter / (state.max_iters or 1)


def read(reader: InfoReader) -> float:
    history: ScalarHistory = reader.get_scalar("train/loss")
    return history.mean(10) / history.max() + history.current()


hub = PlainHub()
validator = PlainValidator(hub, PlainConfig())
trainer = PlainTrainer(hub, PlainConfig())
reference = runtimeinfo_adapters.MessageHub("reference")

hubs: list[runtimeinfo.MessageHub] = [hub, reference]
readers: list[InfoReader] = [hub, reference, PlainReader(), runtimeinfo.current_hub()]
publishing_component: runtimeinfo.MessageHub = runtimeinfo.current_hub()
histories: list[ScalarHistory] = [PlainHistory(), InheritingHistory(0.5), runtimeinfo_adapters.ScalarHistory()]
relative: float = reference.get_scalar("train/loss").current() / reference.get_scalar("train/loss").mean(10)
forgetful: runtimeinfo.authoring.SupportsPopScalar = reference
retracting: runtimeinfo.authoring.SupportsDropLatest = reference
together: runtimeinfo.authoring.SupportsDeviceScalars = reference
hooks: list[runtimeinfo.Hook] = [
    HookWithName(),
    HookWithNumber(),
    HookWithLevel(),
    HookWithBase(),
    runtimeinfo.RuntimeInfoHook(),
]
event: Event = "before_train"
priorities: list[PriorityLike] = [Priority.LOW, "low", 70]

publish(validator)
publish(trainer)
train(trainer)
read(reference)
runtimeinfo.RuntimeInfoHook().before_run(validator)
runtimeinfo.RuntimeInfoHook().before_train(trainer)
Dispatcher(hooks).register(HookWithName(), 5)
Emitter(validator, hooks).emit(event)
Emitter(validator).emit("after_val_epoch", metrics={"acc": 1.0})
with runtimeinfo.use_hub(PlainReader()):
    pass
