"""The rules by which frameworks attach, in this process: who wins, what is left behind, and what errors of ours do."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch

from runtimeinfo import current_hub, use_hub
from runtimeinfo.authoring import Emitter, resolve_hub
from runtimeinfo_adapters import MessageHub, ResumeWarning
from runtimeinfo_adapters._framework import FRAMEWORKS
from runtimeinfo_adapters.autopublish import AutopublishWarning, _frameworks, _imports

pytestmark = pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")

Step = Callable[[], object]
STEPS = 4  # of each training here: two epochs of two batches


class Case(NamedTuple):
    """A small training of a framework.

    Attributes:
        framework: What attaches to it.
        patch: Wraps the entries.
        make: Makes what trains, from what each training step calls.
        train: Trains it.
        attach: The adapter's own `attach`.
        callbacks: Returns what is registered with it.
    """

    framework: Any
    patch: Callable[[Any], None]
    make: Callable[[Step], Any]
    train: Callable[[Any], object]
    attach: Callable[..., Any]
    callbacks: Callable[[Any], list[Any]]


def _data(dictionary: bool = False) -> list[Any]:
    rows = [torch.tensor([i / 10, 1.0]) for i in range(4)]
    return [{"x": row, "labels": row[:1]} for row in rows] if dictionary else rows


def lightning() -> Case:
    import lightning.pytorch as package

    from runtimeinfo_adapters.lightning import attach

    class Module(package.LightningModule):
        def __init__(self, step: Step) -> None:
            super().__init__()
            self.layer, self.step = torch.nn.Linear(2, 1), step

        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            self.step()
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def make(step: Step) -> Any:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = package.Trainer(accelerator="cpu", max_epochs=2, enable_checkpointing=False, **quiet)
        trainer.module_to_fit = Module(step)
        return trainer

    def train(trainer: Any) -> None:
        trainer.fit_loop.max_epochs = trainer.current_epoch + 2
        trainer.fit(trainer.module_to_fit, torch.utils.data.DataLoader(_data(), batch_size=2))

    entries = ("fit", "validate", "test", "predict")
    return Case(
        _frameworks._Lightning(),
        lambda framework: framework.patch(package.Trainer, *entries),
        make,
        train,
        attach,
        lambda trainer: trainer.callbacks,
    )


def transformers() -> Case:
    from transformers import Trainer, TrainingArguments

    from runtimeinfo_adapters.transformers import attach

    class Model(torch.nn.Module):
        def __init__(self, step: Step) -> None:
            super().__init__()
            self.layer, self.step = torch.nn.Linear(2, 1), step

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            self.step()
            return {"loss": (self.layer(x) - labels).square().mean()}

    def make(step: Step) -> Any:
        quiet: dict[str, Any] = {"disable_tqdm": True, "report_to": [], "logging_strategy": "no", "use_cpu": True}
        args = TrainingArguments(num_train_epochs=2, per_device_train_batch_size=2, save_strategy="no", **quiet)
        trainer = Trainer(model=Model(step), args=args, train_dataset=_data(dictionary=True))
        trainer.pop_callback(trainer.callback_handler.callbacks[-1])  # which prints
        return trainer

    return Case(
        _frameworks._Transformers(),
        lambda framework: framework.patch(Trainer, "train", "evaluate", "predict"),
        make,
        lambda trainer: trainer.train(),
        attach,
        lambda trainer: trainer.callback_handler.callbacks,
    )


def keras() -> Case:
    import keras

    from runtimeinfo_adapters.keras import attach

    class Model(keras.Model):
        def __init__(self, step: Step) -> None:
            super().__init__()
            self.layer, self.step = keras.layers.Dense(1), step

        def call(self, x: Any) -> Any:
            return self.layer(x)

        def train_step(self, data: Any) -> Any:
            self.step()
            return super().train_step(data)

    def make(step: Step) -> Any:
        model = Model(step)
        model.compile(optimizer="sgd", loss="mse")
        return model

    def train(model: Any) -> None:
        x = torch.stack(_data()).numpy()
        model.fit(x, x[:, :1], batch_size=2, epochs=2, verbose=0)

    return Case(
        _frameworks._Keras(),
        lambda framework: framework.patch(keras.Model, "fit", "evaluate"),
        make,
        train,
        attach,
        lambda _: [],
    )


def ignite() -> Case:
    from ignite.engine import Engine

    from runtimeinfo_adapters.ignite import attach

    def make(step: Step) -> Any:
        layer = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

        def train_step(engine: Any, batch: torch.Tensor) -> float:
            step()
            loss = layer(batch).square().mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return Engine(train_step)

    return Case(
        _frameworks._Ignite(),
        lambda framework: framework.patch(Engine, "run"),
        make,
        lambda engine: engine.run(_data()[:2], max_epochs=2),
        attach,
        lambda engine: [each for handlers in engine._event_handlers.values() for each in handlers],
    )


def mmengine() -> Case:
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    from runtimeinfo_adapters.mmengine import attach

    class Model(BaseModel):
        def __init__(self, step: Step) -> None:
            super().__init__()
            self.layer, self.step = torch.nn.Linear(2, 1), step

        def forward(self, inputs: Any, mode: str = "loss") -> Any:
            self.step()
            return {"loss": self.layer(torch.stack(list(inputs))).square().mean()}

    def make(step: Step) -> Any:
        return Runner(
            model=Model(step),
            work_dir="runs",
            experiment_name=f"attaching-{next(_numbers)}",
            train_dataloader={
                "dataset": [{"inputs": row} for row in _data()],
                "batch_size": 2,
                "sampler": {"type": "DefaultSampler", "shuffle": False},
            },
            train_cfg={"by_epoch": True, "max_epochs": 2},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
            default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": -1, "save_last": False}},
            log_level="ERROR",
        )

    return Case(
        _frameworks._MMEngine(),
        lambda framework: framework.patch(Runner, "train", "val", "test"),
        make,
        lambda runner: runner.train(),
        attach,
        lambda runner: runner.hooks,
    )


_numbers = itertools.count()  # mmengine keeps objects by the name of the experiment

CASES = {each.__name__: each for each in (lightning, transformers, keras, ignite, mmengine)}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    pytest.importorskip(request.param)
    monkeypatch.chdir(tmp_path)
    found = CASES[request.param]()
    found.patch(found.framework)
    yield found
    found.framework.part.withdraw()


class Steps:
    """The hubs that the training steps have found."""

    def __init__(self) -> None:
        self.hubs: list[Any] = []
        self.iters: list[Any] = []

    def __call__(self) -> None:
        self.hubs.append(resolve_hub())
        self.iters.append(current_hub().get_info("iter"))

    def __deepcopy__(self, memo: dict[int, Any]) -> Steps:
        return self


def warning_of(train: Callable[[], object]) -> str:
    """Return the one warning of ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train()
    (message,) = (str(each.message) for each in caught if each.category is AutopublishWarning)
    return message


def is_quiet(case: Case) -> bool:
    """Tell whether a framework has its own adapter, and nothing was attached."""
    return not list(case.framework._callbacks)


def test_training_publishes_and_leaves_nothing_behind(case: Case) -> None:
    steps = Steps()
    target = case.make(steps)
    members, callbacks = set(vars(target)), list(case.callbacks(target))
    case.train(target)
    assert steps.iters == list(range(STEPS))
    assert len({id(hub) for hub in steps.hubs}) == 1
    assert list(case.callbacks(target)) == callbacks
    added = set(vars(target)) - members
    assert not added & {"fit", "train", "run", "evaluate", "validate", "test", "predict", "val"}


def test_warnings_of_the_adapters_are_silent_within_a_training_only(case: Case) -> None:
    silent: list[bool] = []

    def is_silent() -> bool:
        return any(action == "ignore" and kind is ResumeWarning for action, _, kind, *_ in warnings.filters)

    case.train(case.make(lambda: silent.append(is_silent())))
    assert silent == [True] * STEPS
    assert not is_silent()


def test_explicit_attach_wins(case: Case) -> None:
    steps, hub = Steps(), MessageHub("explicit")
    target = case.make(steps)
    case.attach(target, hub=hub)
    case.train(target)
    assert [each is hub for each in steps.hubs] == [True] * STEPS
    assert steps.iters == list(range(STEPS))
    assert is_quiet(case)


@pytest.mark.parametrize("case", ["lightning", "transformers", "keras"], indirect=True)
def test_registered_callback_of_the_user_wins(case: Case) -> None:
    steps, hub = Steps(), MessageHub("of-the-callback")
    target, callback = case.make(steps), case.framework.adapter.RuntimeInfoCallback(hub=hub)
    if case.framework.name == "keras":
        x = torch.stack(_data()).numpy()
        target.fit(x, x[:, :1], batch_size=2, epochs=2, verbose=0, callbacks=[callback])
    else:
        case.callbacks(target).append(callback)
        case.train(target)
    assert [each is hub for each in steps.hubs] == [True] * STEPS
    assert is_quiet(case)


def test_explicit_attach_after_a_training_wins(case: Case) -> None:
    steps, hub = Steps(), MessageHub("explicit")
    target = case.make(steps)
    case.train(target)
    if case.framework.name == "mmengine":  # a runner of mmengine trains once
        target = case.make(steps)
    case.attach(target, hub=hub)
    case.train(target)
    assert [each is hub for each in steps.hubs] == [False] * STEPS + [True] * STEPS


def test_explicit_attach_inside_a_training_wins(case: Case) -> None:
    steps, hub, attached = Steps(), MessageHub("explicit"), []

    def step() -> None:
        steps()
        if not attached:
            attached.append(case.attach(target, hub=hub))

    target = case.make(step)
    case.train(target)
    if case.framework.name != "mmengine":  # a runner of mmengine trains once
        case.train(target)
        assert [each is hub for each in steps.hubs[STEPS:]] == [True] * STEPS
    assert len(steps.hubs) >= STEPS


def test_hub_of_the_user_is_left_alone(case: Case) -> None:
    steps, hub = Steps(), MessageHub("of-the-user")
    target = case.make(steps)
    with use_hub(hub):
        case.train(target)
    assert [each is hub for each in steps.hubs] == [True] * STEPS
    assert dict(hub.runtime_info) == {}
    assert is_quiet(case)


def test_untried_version_is_one_warning(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    name = case.framework.name
    monkeypatch.setitem(FRAMEWORKS, name, FRAMEWORKS[name]._replace(below="0.1"))
    steps = Steps()
    targets = [case.make(steps) for _ in range(2)]
    assert "0.1" in warning_of(lambda: [case.train(each) for each in targets])
    assert steps.iters == [None] * (2 * STEPS)


def test_error_of_ours_when_attaching_is_one_warning(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(case.framework, "_attach", fail)
    steps = Steps()
    target = case.make(steps)
    assert "RuntimeError: ours" in warning_of(lambda: case.train(target))
    assert steps.iters == [None] * STEPS


@pytest.mark.parametrize("failing", range(1, 10, 2))
def test_error_of_ours_in_an_event_is_one_warning(case: Case, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    emitted, emit = 0, Emitter.emit

    def fail(emitter: Emitter, event: Any, **arguments: Any) -> None:
        nonlocal emitted
        emitted += 1
        if emitted >= failing:
            raise RuntimeError("ours")
        emit(emitter, event, **arguments)

    monkeypatch.setattr(Emitter, "emit", fail)
    steps = Steps()
    target = case.make(steps)
    callbacks = list(case.callbacks(target))
    assert "RuntimeError: ours" in warning_of(lambda: case.train(target))
    assert len(steps.iters) == STEPS
    seen = [each for each in steps.iters if each is not None]
    assert steps.iters == list(range(len(seen))) + [None] * (STEPS - len(seen))
    assert list(case.callbacks(target)) == callbacks
    case.train(case.make(steps))
    assert steps.iters[STEPS:] == [None] * STEPS


def test_error_of_the_script_comes_out_as_it_is(case: Case) -> None:
    error = ValueError("the script's")

    def fail() -> None:
        raise error

    target = case.make(fail)
    with pytest.raises(ValueError, match="the script's") as caught:
        case.train(target)
    assert caught.value is error
    frames = [each.frame.f_globals["__name__"] for each in caught.traceback]
    assert [name for name in frames if name.startswith("runtimeinfo")] == []


@pytest.mark.parametrize("framework", ["lightning", "transformers", "keras", "mmengine", "ignite"])
def test_guarded_class_can_be_pickled(framework: str) -> None:
    pytest.importorskip(framework)
    name = "RuntimeInfoHook" if framework == "mmengine" else "RuntimeInfoCallback"
    callback = getattr(_frameworks, f"{framework}_{name}")()
    assert type(callback).__name__ == name
    assert type(pickle.loads(pickle.dumps(callback))) is type(callback)
    assert type(copy.deepcopy(callback)) is type(callback)


def test_each_installer_has_its_module_watched() -> None:
    assert set(_frameworks.INSTALLERS) == set(_imports.FRAMEWORK_MODULES)


def test_model_of_keras_does_not_keep_the_data() -> None:
    case = keras()
    case.patch(case.framework)
    model = case.make(Steps())
    data = torch.stack(_data()).numpy().copy()
    freed = weakref.ref(data)
    model.fit(data, data[:, :1].copy(), batch_size=2, verbose=0)
    case.framework.part.withdraw()
    del data
    assert freed() is None


def test_other_names_are_not_in_the_module() -> None:
    with pytest.raises(AttributeError, match="lightning_Callback"):
        _frameworks.lightning_Callback  # noqa: B018
