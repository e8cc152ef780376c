"""Small trainings under each framework, with code of the user at every kind of place that asks whose it is."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from runtimeinfo import current_hub

EPOCHS, BATCHES = 2, 2
HANG = 60  # seconds

HUB = current_hub()  # kept from before there is any run


class Training:
    """A training whose own code notes how it is answered.

    Attributes:
        name: Its experiment name, which ends with a number.
        run: Trains.
        hub: Returns the hub that it publishes to.
        loader: What it trains with, and validates.
        steps: Does the same step by step, where the loop is the user's.
        trainer: The engine of Ignite.
        draws_early: Whether it draws its first batches before anything of the run is published.
        before: Called with each place before the code there asks.
        asked: How often code was answered, by its place.
        wrong: The answers that were not those of this training, each with its place.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.run: Callable[[], object]
        self.hub: Callable[[], Any]
        self.draws_early = False
        self.steps: Any
        self.loader: Any
        self.trainer: Any
        self.before: Callable[[str], object] = lambda _: None
        self.asked: dict[str, int] = {}
        self.wrong: list[tuple[str, object]] = []

    def ask(self, place: str) -> None:
        self.before(place)
        expected = self.name, self.hub().get_info("epoch")
        for hub in (HUB, current_hub()):
            answer = hub.get_info("experiment_name"), hub.get_info("epoch")
            if answer != expected and not (self.draws_early and answer == expected[1:] * 2 == (None, None)):
                self.wrong.append((place, answer))
        self.asked[place] = self.asked.get(place, 0) + 1

    def stop_workers(self) -> None:
        """Let persistent workers end at once: those of an iterator in a reference cycle wait for five seconds."""
        for loader in (self.loader, getattr(self.loader, "base_dataloader", None)):
            if loader is not None:
                vars(loader)["_iterator"] = None

    def asks(self, place: str) -> Callable[..., None]:
        """Return a callback that asks."""
        return lambda *_, **__: self.ask(place)

    def check(self, batch: torch.Tensor) -> None:
        """Check what its items were told, maybe in a worker: see `Data`."""
        expected = [float(self.name.split()[-1]), self.hub().get_info("epoch")]
        unknown = [-1.0, -1.0] if self.draws_early else expected
        allowed = [[number, epoch] for number in (expected[0], unknown[0]) for epoch in (expected[1], unknown[1])]
        self.wrong += [("worker", told) for told in batch.tolist() if told not in allowed]


def in_threads(run: Callable[[Training], None], trainings: Iterable[Training]) -> None:
    """Call a function with each training in a thread, and wait for all."""
    threads = [threading.Thread(target=run, args=(training,)) for training in trainings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Data(Dataset[Any]):
    """Its items are the number of the training and the epoch, as `current_hub` tells them where they are made."""

    def __init__(self, training: Training, make: Callable[[torch.Tensor], Any]) -> None:
        self.training, self.make = training, make

    def __len__(self) -> int:
        return 2 * BATCHES

    def __getitem__(self, index: int) -> Any:
        if get_worker_info() is None:
            self.training.ask("dataset")
        name, epoch = HUB.get_info("experiment_name", "none -1"), current_hub().get_info("epoch", -1)
        return self.make(torch.tensor([float(name.split()[-1]), float(epoch)]))


class InOrder(Sampler[int]):
    def __init__(self, training: Training) -> None:
        self.training = training

    def __len__(self) -> int:
        return 2 * BATCHES

    def __iter__(self) -> Iterator[int]:
        for index in range(len(self)):
            self.training.ask("sampler")
            yield index


def make_loader(
    training: Training, make: Callable[[torch.Tensor], Any] = lambda x: x, loader: Any = None, **options: Any
) -> Any:
    """Return a loader, unless there is one of another training to go on with."""

    def collate(items: list[Any]) -> Any:
        if get_worker_info() is None:
            training.ask("collate_fn")
        return torch.utils.data.default_collate(items)

    if loader is None:
        loader = DataLoader(Data(training, make), 2, sampler=InOrder(training), collate_fn=collate, **options)
    training.loader = loader
    return loader


def make_optimizer(training: Training, model: torch.nn.Module) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.register_step_pre_hook(training.asks("optimizer hook"))
    return optimizer


def make_scheduler(training: Training, optimizer: Any) -> Any:
    def factor(step: int) -> float:
        if training.asked:  # and not as it is made
            training.ask("lr lambda")
        return 1 / (1 + step)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def loss_of(training: Training, batch: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    training.check(batch)
    training.ask("step")
    output.register_hook(training.asks("gradient hook"))
    return output.square().mean()


class Steps:
    """The loop of a user, which trains with a `Loop`."""

    def __init__(self, training: Training, loop: Any, model: torch.nn.Module, optimizer: Any) -> None:
        self.training, self.loop, self.model, self.optimizer = training, loop, model, optimizer
        self.scheduler = make_scheduler(training, optimizer)

    def __iter__(self) -> Iterator[None]:
        with self.loop.run():
            for _ in self.loop.epochs():
                self.training.ask("callback")
                for batch in self.loop.train():
                    self.step(batch)
                    yield

    def step(self, batch: Any) -> None:
        loss_of(self.training, batch, self.model(batch)).backward()
        self.optimizer.step()
        self.scheduler.step()


def pytorch(name: str, **options: Any) -> Training:
    from runtimeinfo_adapters.pytorch import Loop

    training, model = Training(name), torch.nn.Linear(2, 1)
    optimizer = make_optimizer(training, model)
    loop = Loop(optimizer, make_loader(training, **options), max_epochs=EPOCHS, experiment_name=name)
    steps = Steps(training, loop, model, optimizer)
    training.hub, training.run = lambda: loop.message_hub, lambda: list(steps)
    training.steps = steps
    return training


def accelerate(name: str, **options: Any) -> Training:
    from accelerate import Accelerator

    from runtimeinfo_adapters.accelerate import attach

    training, model = Training(name), torch.nn.Linear(2, 1)
    accelerator = Accelerator(cpu=True)
    model, optimizer, loader = accelerator.prepare(
        model, make_optimizer(training, model), make_loader(training, **options)
    )
    training.loader = loader
    loop = attach(accelerator, optimizer, loader, max_epochs=EPOCHS, experiment_name=name)
    steps = Steps(training, loop, model, optimizer.optimizer)
    training.hub, training.run = lambda: loop.message_hub, lambda: list(steps)
    training.steps = steps
    return training


def lightning(name: str, **options: Any) -> Training:
    from lightning.pytorch import Callback, LightningModule, Trainer

    from runtimeinfo_adapters.lightning import attach

    training = Training(name)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return loss_of(training, batch, self.layer(batch))

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            training.ask("evaluation")

        def configure_optimizers(self) -> Any:
            optimizer = make_optimizer(training, self)
            scheduler = make_scheduler(training, optimizer)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    class Asks(Callback):
        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            training.ask("callback")

    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=EPOCHS, callbacks=[Asks()], **quiet)  # type: ignore[arg-type]
    callback = attach(trainer, experiment_name=name)
    loader = make_loader(training, **options)
    training.hub, training.run = lambda: callback.message_hub, lambda: trainer.fit(Module(), loader, loader)
    return training


def transformers(name: str, **options: Any) -> Training:
    import transformers

    from runtimeinfo_adapters.transformers import attach

    training = Training(name)
    loader = make_loader(training, lambda x: {"x": x}, **options)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
            output = self.layer(x)
            if not torch.is_grad_enabled():
                training.ask("evaluation")
                return {"loss": output.mean()}
            return {"loss": loss_of(training, x, output)}

    class Asks(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            training.ask("callback")

    class Trainer(transformers.Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return training.loader

        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            return training.loader

    model = Model()
    optimizer = make_optimizer(training, model)
    quiet = {"report_to": [], "disable_tqdm": True, "log_level": "error", "save_strategy": "no"}
    arguments = transformers.TrainingArguments(
        tempfile.mkdtemp(),
        num_train_epochs=EPOCHS,
        use_cpu=True,
        dataloader_pin_memory=False,
        eval_strategy="epoch",
        logging_strategy="no",
        **quiet,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=loader.dataset,
        eval_dataset=loader.dataset,
        callbacks=[Asks()],
        optimizers=(optimizer, make_scheduler(training, optimizer)),
    )
    training.loader = trainer.accelerator.prepare(loader)  # a loader that is prepared stays as it is
    trainer.callback_handler.pop_callback(transformers.PrinterCallback)
    callback = attach(trainer, experiment_name=name)
    training.hub, training.run = lambda: callback.message_hub, lambda: trainer.train()
    return training


def ignite(name: str, **options: Any) -> Training:
    from ignite.engine import Engine, Events

    from runtimeinfo_adapters.ignite import attach

    training, model = Training(name), torch.nn.Linear(2, 1)
    optimizer = make_optimizer(training, model)
    scheduler = make_scheduler(training, optimizer)

    def step(_: Any, batch: Any) -> float:
        loss = loss_of(training, batch, model(batch))
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    trainer, evaluator = Engine(step), Engine(training.asks("evaluation"))
    loader = make_loader(training, **options)
    for event in Events:
        if event.value != "exception_raised":
            trainer.add_event_handler(event, training.asks("callback"))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(loader))
    hook = type("Hook", (), {"after_run": lambda *_: training.ask("after_run"), "before_run": lambda *_: None})()
    callback = attach(trainer, evaluators={"val": evaluator}, experiment_name=name, hooks=[hook])
    training.trainer = trainer
    training.hub, training.run = lambda: callback.message_hub, lambda: trainer.run(loader, max_epochs=EPOCHS)
    return training


def keras(name: str, **options: Any) -> Training:
    import keras

    from runtimeinfo_adapters.keras import attach

    training = Training(name)
    loader = make_loader(training, lambda x: (x, x), **options)

    class Scale(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = self.add_weight(shape=(), initializer="zeros")

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale

    def loss(batch: Any, output: Any) -> Any:
        return loss_of(training, batch, output) if output.requires_grad else output.mean()

    class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> float:
            if training.asked:
                training.ask("lr lambda")
            return 0.01

    class Asks(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            training.ask("callback")

        def on_test_batch_end(self, *_: Any, **__: Any) -> None:
            training.ask("evaluation")

    model = keras.Sequential([keras.layers.Input((2,)), Scale()])
    model.compile(optimizer=keras.optimizers.SGD(Rate()), loss=loss, jit_compile=False)
    callback = attach(model, experiment_name=name)
    training.hub = lambda: callback.message_hub
    given = {"epochs": EPOCHS, "verbose": 0, "shuffle": False}
    training.run = lambda: model.fit(loader, validation_data=loader, callbacks=[Asks()], **given)
    return training


def mmengine(name: str, *, by_epoch: bool = True, **options: Any) -> Training:
    from mmengine.hooks import Hook
    from mmengine.model import BaseModel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner

    from runtimeinfo_adapters.mmengine import attach

    training = Training(name)
    training.draws_early = not by_epoch
    loader = make_loader(training, lambda x: {"x": x}, **options)

    class Model(BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: Any, mode: str = "tensor") -> Any:
            return {"loss": loss_of(training, x, self.layer(x))}

    class Asks(Hook):  # type: ignore[misc]
        def after_train_iter(self, *_: Any, **__: Any) -> None:
            training.ask("callback")

    model = Model()
    with contextlib.redirect_stdout(None):
        runner = Runner(
            model,
            tempfile.mkdtemp(),
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": EPOCHS}
            if by_epoch
            else {"by_epoch": False, "max_iters": BATCHES},
            optim_wrapper=OptimWrapper(make_optimizer(training, model)),
            default_hooks=dict.fromkeys(
                ("runtime_info", "timer", "logger", "checkpoint", "sampler_seed", "param_scheduler")
            ),
            custom_hooks=[Asks()],
            log_level="ERROR",
            experiment_name=name,
        )
    attach(runner, replace_hub=not by_epoch, experiment_name=name)
    training.hub, training.run = lambda: runner.message_hub, lambda: runner.train()
    return training


FRAMEWORKS: dict[str, Callable[..., Training]] = {
    made.__name__: made for made in (pytorch, accelerate, lightning, transformers, ignite, keras, mmengine)
}
# Its loop begins to draw as it is built, before there are any events.
FRAMEWORKS["mmengine by iterations"] = partial(mmengine, by_epoch=False)
