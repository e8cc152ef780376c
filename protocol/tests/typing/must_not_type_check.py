# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Lines which must not type-check: an ignore that is not needed is an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typing_extensions import override

import runtimeinfo
import runtimeinfo.spec
import runtimeinfo_adapters
from runtimeinfo import (
    Event,
    Hook,
    HookBase,
    InfoReader,
    Runner,
    RuntimeInfoHook,
    ScalarHistory,
    TrainRunner,
    current_hub,
    use_hub,
)
from runtimeinfo.authoring import (
    Dispatcher,
    Emitter,
    HasLearningRates,
    PriorityLike,
    RunMetadata,
    TrainState,
    scalar_value,
)
from runtimeinfo.spec import Lifecycle, Requirement


class NoIterations:
    epoch: int
    max_epochs: int | None
    max_iters: int | None


class EndlessTotal:
    epoch: int
    iter: int
    max_epochs: int
    max_iters: float


class CounterMethods:
    max_epochs: int
    max_iters: int

    def epoch(self) -> int:
        return 0

    def iter(self) -> int:
        return 0


class TextConfiguration:
    cfg: str
    seed: int
    experiment_name: str
    framework_name: str
    framework_version: str


class OneRate:
    def get_lr(self) -> float:
        return 0.1


class BareRates:
    def get_lr(self) -> dict[str, float]:
        return {"lr": 0.1}


class ReaderWithoutDefault:
    def get_info(self, key: str) -> Any: ...

    def get_scalar(self, key: str) -> Any: ...


class HistoryOfText:
    data: tuple[list[str], list[int]]

    def current(self) -> str:
        return ""

    def mean(self, window_size: int | None = None) -> float:
        return 0.0

    def min(self, window_size: int | None = None) -> float:
        return 0.0

    def max(self, window_size: int | None = None) -> float:
        return 0.0

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any: ...


class HookWithoutPriority:
    def before_run(self, runner: object) -> None: ...


class HookWithFloat:
    priority = 0.5


class MisspeltHook(HookBase):
    @override
    def before_train_epochs(self, runner: TrainRunner) -> None: ...  # type: ignore[misc]

    @override
    def after_train_iter(self, runner: TrainRunner) -> None: ...  # type: ignore[override]


def only_validates(runner: Runner) -> None:
    RuntimeInfoHook().before_run(runner)
    RuntimeInfoHook().before_train(runner)  # type: ignore[arg-type]
    print(runner.epoch)  # type: ignore[attr-defined]
    runner.seed = 1  # type: ignore[misc]


def trains(runner: TrainRunner) -> float:
    runner.iter += 1  # type: ignore[misc]
    runner.message_hub = runtimeinfo_adapters.MessageHub("another")  # type: ignore[misc]
    return runner.iter / runner.max_iters  # type: ignore[operator]


def takes_any_value_for_a_number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def depends_on_a_reader(reader: InfoReader) -> None:
    reader.update_info("epoch", 1)  # type: ignore[attr-defined]


no_iterations: TrainState = NoIterations()  # type: ignore[assignment]
endless_total: TrainState = EndlessTotal()  # type: ignore[assignment]
counter_methods: TrainState = CounterMethods()  # type: ignore[assignment]
text_configuration: RunMetadata = TextConfiguration()  # type: ignore[assignment]
one_rate: HasLearningRates = OneRate()  # type: ignore[assignment]
bare_rates: HasLearningRates = BareRates()  # type: ignore[assignment]
reader_without_default: InfoReader = ReaderWithoutDefault()  # type: ignore[assignment]
history_of_text: ScalarHistory = HistoryOfText()  # type: ignore[assignment]
dictionary_is_no_hub: InfoReader = {"epoch": 1}  # type: ignore[assignment]
hook_without_priority: Hook = HookWithoutPriority()  # type: ignore[assignment]
hook_with_float: Hook = HookWithFloat()  # type: ignore[assignment]
float_priority: PriorityLike = 0.5  # type: ignore[assignment]

current_hub().update_info(1, "epoch")  # type: ignore[arg-type]
use_hub("hub")  # type: ignore[arg-type]
scalar_value(1.0, "train/loss")  # type: ignore[call-arg]
text: str = scalar_value(1.0)  # type: ignore[assignment]
Dispatcher(1)  # type: ignore[arg-type]
Dispatcher().dispatch("before_run")  # type: ignore[call-arg]
Dispatcher().register(RuntimeInfoHook(), priority=0.5)  # type: ignore[arg-type]
event: Event = "before_trian"  # type: ignore[assignment]
Emitter(None).emit("before_train_epochs")  # type: ignore[arg-type]
Emitter(None).emit("after_val_epoch", metric={})  # type: ignore[call-arg]
Lifecycle().feed(None)  # type: ignore[arg-type]
Lifecycle().stage = "train"  # type: ignore[misc]
Lifecycle().abort(0, False)  # type: ignore[call-arg]
Requirement(id="LIFE-99", level="OUGHT", party="runner", text="", intent="")  # type: ignore[arg-type]
runtimeinfo.spec.REQUIREMENTS["LIFE-01"].level = "MAY"  # type: ignore[misc]
runtimeinfo.spec.GRAMMAR["run"] = runtimeinfo.spec.Scope(inside=(None,))  # type: ignore[index]
hooks: Iterable[Hook] = [1]  # type: ignore[list-item]
ScalarHistory()  # type: ignore[misc]
