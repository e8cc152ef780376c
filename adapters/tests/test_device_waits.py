"""No adapter waits for a device in an iteration: with it and without it, a training waits the same number of times.

Each framework trains by its own loop. On the CPU a stand-in takes the place of the device: each tensor says that it is
elsewhere, and what would wait for it is counted. On a GPU, PyTorch itself counts.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from runtimeinfo_adapters import MessageHub

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
ITERATIONS = 8

pytestmark = [
    # Lightning 2.6 on torch 2.13
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
    # Keras 3.15 on NumPy 2, where it reads its variables
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning"),
]


class Waits:
    """How often a training has waited for the device at the beginning of each iteration."""

    def __init__(self) -> None:
        self.count = 0
        self.at: list[int] = []

    def tick(self) -> None:
        """Begin an iteration."""
        self.at.append(self.count)

    def per_iteration(self) -> list[int]:
        """Return how often each iteration has waited, up to the beginning of the next one."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


# -- the device


def _keras_device() -> str | None:
    """Return the device on which Keras is told to work, if it is loaded."""
    scope = sys.modules.get("keras.src.backend.common.global_state")
    device: str | None = scope and scope.get_global_attribute("torch_device")
    return device


class _Reads(TorchDispatchMode):
    """Counts the operations that return something to Python which only the device knows."""

    NAMES = frozenset({"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "_unique2"})

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in self.NAMES:
            self.note()
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _stand_in(waits: Waits) -> Iterator[str]:
    """Have each tensor say that it is not on the CPU, unless Keras is told to work there."""

    def is_on_host() -> bool:
        return _keras_device() == "cpu"

    def note() -> None:
        waits.count += not is_on_host()

    def counting(name: str) -> Any:
        read = getattr(torch.Tensor, name)

        def counted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            note()
            return read(tensor, *args, **kwargs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "is_cpu", property(lambda _: is_on_host()))
        for name in ("tolist", "numpy", "cpu", "__array__"):
            patch.setattr(torch.Tensor, name, counting(name))
        with _Reads(note):
            yield "cpu"


@contextlib.contextmanager
def _gpu(waits: Waits) -> Iterator[str]:
    """Have PyTorch warn of each operation that waits for the GPU."""

    def note(message: Warning | str, *_args: Any, **_kwargs: Any) -> None:
        waits.count += "called a synchronizing" in str(message)

    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield "cuda"
        finally:
            torch.cuda.set_sync_debug_mode("default")


DEVICES = {"stand-in": _stand_in, "gpu": _gpu}


# -- the trainings: each takes the device, what notes the iterations, and the hooks that are attached, or None

Training = Callable[[str, Waits, "list[Any] | None"], "MessageHub | None"]


def _parts(device: str) -> tuple[nn.Linear, torch.optim.SGD, Tensor]:
    model = nn.Linear(2, 1, device=device)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), torch.ones(4, 2, device=device)


def _pytorch(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    from runtimeinfo_adapters.pytorch import Loop

    model, optimizer, batch = _parts(device)

    def step() -> Tensor:
        waits.tick()
        optimizer.zero_grad()
        loss: Tensor = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    if hooks is None:
        for _ in range(ITERATIONS):
            step()
        return None
    loop = Loop(optimizer, range(ITERATIONS), max_epochs=1, hooks=hooks)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=step())
    return loop.message_hub


def _accelerate(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    accelerate = pytest.importorskip("accelerate")
    from runtimeinfo_adapters.accelerate import attach

    accelerator = accelerate.Accelerator(cpu=device == "cpu")
    model, optimizer, _ = _parts(device)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(torch.ones(ITERATIONS, 2)))

    def step(batch: Tensor) -> Tensor:
        waits.tick()
        optimizer.zero_grad()
        loss: Tensor = model(batch).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        return loss

    if hooks is None:
        for batch in loader:
            step(batch)
        return None
    loop = attach(accelerator, optimizer, loader, max_epochs=1, hooks=hooks)
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                loop.log(loss=step(batch))
    return loop.message_hub


def _ignite(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    engine = pytest.importorskip("ignite.engine")
    from runtimeinfo_adapters.ignite import attach

    model, optimizer, batch = _parts(device)

    def step(_engine: Any, _batch: Any) -> Tensor:
        waits.tick()
        optimizer.zero_grad()
        loss: Tensor = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    trainer = engine.Engine(step)
    attached = None if hooks is None else attach(trainer, optimizer=optimizer, hooks=hooks)
    trainer.run(range(ITERATIONS), max_epochs=1)
    return attached and attached.message_hub


def _keras(
    device: str,
    waits: Waits,
    hooks: list[Any] | None,
    *,
    rate: Any = 0.1,
    callbacks: Any = (),
    weights: Any = None,
    make: Any = None,
    **compiled: Any,
) -> MessageHub | None:
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "torch":
        pytest.skip("the backend of Keras is not torch")
    from runtimeinfo_adapters.keras import attach

    class Ticking(keras.callbacks.Callback):
        """Hears of each batch, so that Keras reads its logs in this thread, with the adapter and without it."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            waits.tick()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            pass

    keras.utils.set_random_seed(1)
    model = (make() if make else keras.Sequential)([keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(rate() if callable(rate) else rate)
    model.compile(optimizer, "mse", **{"metrics": ["mae"], "jit_compile": False, **compiled})
    attached = None if hooks is None else attach(model, hooks=hooks)
    data = torch.arange(float(2 * ITERATIONS)).reshape(ITERATIONS, 2)
    weighted = [() if weights is None else (torch.tensor(weights(number)),) for number in range(ITERATIONS)]
    loader = DataLoader([(row, row[:1], *weight) for row, weight in zip(data, weighted, strict=True)])
    model.fit(loader, epochs=1, verbose=0, shuffle=False, callbacks=[*(each() for each in callbacks), Ticking()])
    return attached and attached.message_hub


def _lightning(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    lightning = pytest.importorskip("lightning.pytorch")
    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def training_step(self, batch: Tensor, _batch_idx: int) -> Tensor:
            waits.tick()
            loss: Tensor = self.linear(batch).square().mean()
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = None if hooks is None else RuntimeInfoCallback(hooks=hooks)
    lightning.Trainer(
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=1,
        max_epochs=1,
        callbacks=[callback] if callback else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Model(), DataLoader(torch.ones(ITERATIONS, 2)))
    return callback and callback.message_hub


def _mmengine(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    pytest.importorskip("mmengine")
    from mmengine.hooks import Hook
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    from runtimeinfo_adapters import mmengine as adapter

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, inputs: Tensor, **_: Any) -> dict[str, Tensor]:
            waits.tick()
            return {"loss": self.linear(inputs).square().mean()}

    class Reading(Hook):
        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            for hook in hooks or ():
                hook.after_train_iter(runner, batch_idx, data_batch, outputs)

    others = dict.fromkeys(("timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"))
    ours = None if hooks is None else adapter.RuntimeInfoHook(replace_hub=True)
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            Model(),
            folder,
            train_dataloader=DataLoader([{"inputs": torch.ones(2)}] * ITERATIONS),
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
            default_hooks={**others, "runtime_info": ours},
            custom_hooks=[Reading()],
            experiment_name=f"waits-{id(waits)}",
            log_level="ERROR",
        )
        runner.train()
        for handler in runner.logger.handlers:  # mmengine leaves its log file open
            handler.close()
    return None if hooks is None else runner.message_hub


def _transformers(device: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
    transformers = pytest.importorskip("transformers")
    from runtimeinfo_adapters.transformers import attach

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            waits.tick()
            return {"loss": self.linear(x).square().mean()}

    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            Model(),
            transformers.TrainingArguments(
                folder,
                num_train_epochs=1,
                per_device_train_batch_size=1,
                optim="sgd",
                logging_strategy="no",
                save_strategy="no",
                disable_tqdm=True,
                report_to=[],
                use_cpu=device == "cpu",
            ),
            train_dataset=[{"x": torch.ones(2)}] * ITERATIONS,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        attached = None if hooks is None else attach(trainer, hooks=hooks)
        trainer.train()
    return attached and attached.message_hub


TRAININGS: dict[str, Training] = {
    "PyTorch": _pytorch,
    "Accelerate": _accelerate,
    "Ignite": _ignite,
    "Keras": _keras,
    "Lightning": _lightning,
    "mmengine": _mmengine,
    "Transformers": _transformers,
}


class ReadingHook:
    """A hook that waits for the device once in each iteration."""

    def __init__(self, device: str) -> None:
        self.device = device

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        torch.ones((), device=self.device).item()


def _waits_of(device: str, training: Training, hooks: Callable[[str], list[Any]] | None) -> tuple[list[int], Any]:
    waits = Waits()
    accelerate = sys.modules.get("accelerate.state")
    if accelerate is not None:  # it keeps the first device of a process
        accelerate.AcceleratorState._reset_state(reset_partial_state=True)
    with DEVICES[device](waits) as name:
        hub = training(name, waits, None if hooks is None else hooks(name))
    assert len(waits.at) == ITERATIONS
    return waits.per_iteration(), hub


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=[pytest.mark.gpu, CUDA])])
def device(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("framework", TRAININGS)
def test_an_adapter_adds_no_wait_to_an_iteration(framework: str, device: str) -> None:
    bare, _ = _waits_of(device, TRAININGS[framework], None)
    attached, hub = _waits_of(device, TRAININGS[framework], lambda _: [])
    assert attached == bare
    assert len(hub.get_scalar("train/loss").data[0]) == ITERATIONS


@pytest.mark.parametrize("framework", TRAININGS)
def test_a_hook_that_waits_is_noticed(framework: str, device: str) -> None:
    bare, _ = _waits_of(device, TRAININGS[framework], None)
    attached, _ = _waits_of(device, TRAININGS[framework], lambda name: [ReadingHook(name)])
    assert attached == [count + 1 for count in bare]


# -- Keras, whose metrics and rates are variables on the device


def _schedule() -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(1e-3, decay_steps=2, decay_rate=0.7)


def _schedule_of_the_users() -> Any:
    import keras

    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        """Reads nothing, and needs the step to be a variable."""

        def __call__(self, step: Any) -> Any:
            return 1e-3 * 0.5 ** keras.ops.cast(step.value, "float32")

    return Halving()


def _schedule_with_tensors() -> Any:
    import keras

    class Growing(keras.optimizers.schedules.LearningRateSchedule):
        """Has a tensor on the device: a step on the CPU cannot be added to it."""

        def __init__(self) -> None:
            self.base = keras.ops.convert_to_tensor(1e-3)

        def __call__(self, step: Any) -> Any:
            if not torch.cuda.is_available() and _keras_device() == "cpu":  # the stand-in cannot notice it
                raise RuntimeError("Expected all tensors to be on the same device")
            return self.base * keras.ops.cast(step + 1, "float32")

    return Growing()


def _setting() -> Any:
    import keras

    class Setting(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 1e-3 / (1 + batch)

    return Setting()


def _scheduler() -> Any:
    import keras

    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)


def _own_step() -> Any:
    import keras

    class OwnStep(keras.Sequential):
        """Logs a loss that no metric of the model has added up, and the number of the batch."""

        def train_step(self, data: Any) -> dict[str, Any]:
            logs = super().train_step(data)
            self._loss_tracker.reset_state()
            self.number = getattr(self, "number", 0) + 1
            return {**logs, "loss": logs["loss"] * 2, "number": self.number}

    return OwnStep


def _without_tracker() -> Any:
    import keras

    class WithoutTracker(keras.Sequential):
        """Logs under the name of a metric that it never writes."""

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            loss = keras.ops.mean((self(x) - y) ** 2)
            return {"loss": loss.detach()}

    return WithoutTracker


def _compiling() -> Any:
    import keras

    class Compiling(keras.callbacks.Callback):
        """Compiles the model again in the middle of the epoch, with other metrics."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                train_function = self.model.train_function
                self.model.compile(self.model.optimizer, "mse", metrics=["mse", "mape"], jit_compile=False)
                self.model.train_function = train_function

    return Compiling()


KERAS: dict[str, dict[str, Any]] = {
    "a constant rate": {},
    "a schedule": {"rate": _schedule},
    "a schedule of the user's": {"rate": _schedule_of_the_users},
    "a schedule with tensors": {"rate": _schedule_with_tensors},
    "a rate that is set in each batch": {"callbacks": [_setting]},
    "a rate that is set in each epoch": {"callbacks": [_scheduler]},
    "weighted metrics": {"metrics": ["mae", "mse"], "weighted_metrics": ["mape"]},
    "no metrics": {"metrics": []},
    "batches without weight": {"weights": lambda number: float(number % 3 == 0), "weighted_metrics": ["mae"]},
    "no batch with weight": {"weights": lambda _: 0.0, "weighted_metrics": ["mae"]},
    "a step of the user's": {"make": _own_step},
    "a metric that is not written": {"make": _without_tracker, "metrics": []},
    "other metrics within the epoch": {"callbacks": [_compiling]},
}


@pytest.mark.parametrize("case", KERAS)
def test_keras_waits_no_more_and_publishes_what_it_does_on_the_cpu(case: str, device: str) -> None:
    pytest.importorskip("keras")

    def train(name: str, waits: Waits, hooks: list[Any] | None) -> MessageHub | None:
        return _keras(name, waits, hooks, **KERAS[case])

    bare, _ = _waits_of(device, train, None)
    attached, hub = _waits_of(device, train, lambda _: [])
    assert attached == bare
    published = {key: history.data[0].tolist() for key, history in hub.log_scalars.items()}
    on_host = _on_cpu(train)
    assert published.keys() == on_host.keys()
    for key, values in published.items():
        # Two devices add up in their own order. The stand-in is the CPU.
        assert values == (on_host[key] if device == "stand-in" else pytest.approx(on_host[key], rel=1e-4)), key


def _on_cpu(train: Training) -> dict[str, list[float]]:
    import keras

    with keras.device("cpu") if torch.cuda.is_available() else contextlib.nullcontext():
        hub = train("cpu", Waits(), [])
    assert hub is not None
    return {key: history.data[0].tolist() for key, history in hub.log_scalars.items()}


class _Learns:
    """Notes the learning rates that hooks are given, and whether each is a number."""

    def __init__(self) -> None:
        self.numbers: list[bool] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.numbers.append(type(runner.optim_wrapper.get_lr()["lr"][0]) is float)


@pytest.mark.parametrize(
    ("case", "is_number"),
    [
        ("a constant rate", True),
        ("a schedule", True),
        ("a schedule with tensors", False),
        ("a rate that is set in each batch", False),
    ],
)
def test_a_rate_is_a_number_where_it_is_known_without_a_wait(case: str, is_number: bool) -> None:
    learns = _Learns()
    waits = Waits()
    with _stand_in(waits) as name:
        _keras(name, waits, [learns], **KERAS[case])
    assert learns.numbers == [is_number] * ITERATIONS
