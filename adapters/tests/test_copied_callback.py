"""Callbacks that a library copies, one for each training that it makes."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported

import keras
import numpy as np
import pytest
import torch
import transformers
from lightning.pytorch import LightningModule, Trainer

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters import keras as for_keras
from runtimeinfo_adapters import lightning as for_lightning
from runtimeinfo_adapters import transformers as for_transformers

# Lightning 2.6 on torch 2.13, and what it says of the data.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


class Heard:
    """A hook that counts iterations. It cannot be copied, as one that holds a connection cannot."""

    def __init__(self) -> None:
        self.iterations = 0

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.iterations += 1

    def __reduce__(self) -> Any:
        raise TypeError("it was copied")


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: Any) -> Any:
        return {"loss": self.layer(x).sum()}


def make_lightning(callbacks: Iterable[Any], folder: Path) -> Any:
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def train_lightning(callbacks: Iterable[Any], folder: Path) -> None:
    items: Any = torch.ones(3, 1)
    make_lightning(callbacks, folder).fit(Module(), torch.utils.data.DataLoader(items))


def make_transformers(callbacks: Iterable[Any], folder: Path) -> Any:
    options: dict[str, Any] = {"num_train_epochs": 1, "per_device_train_batch_size": 1, "save_strategy": "no"}
    arguments = transformers.TrainingArguments(str(folder), report_to=[], use_cpu=True, disable_tqdm=True, **options)
    items: Any = [{"x": torch.ones(1)}] * 3
    return transformers.Trainer(Net(), arguments, train_dataset=items, callbacks=list(callbacks))


def train_transformers(callbacks: Iterable[Any], folder: Path) -> None:
    make_transformers(callbacks, folder).train()


def make_keras() -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def train_keras(callbacks: Iterable[Any], folder: Path) -> None:
    items = np.ones((3, 1), "float32")
    make_keras().fit(items, items, batch_size=1, callbacks=list(callbacks), verbose=0)


EACH = pytest.mark.parametrize(
    ("kind", "train"),
    [
        (for_lightning.RuntimeInfoCallback, train_lightning),
        (for_transformers.RuntimeInfoCallback, train_transformers),
        (for_keras.RuntimeInfoCallback, train_keras),
    ],
    ids=["lightning", "transformers", "keras"],
)
Kind = Callable[..., Any]
Train = Callable[[Iterable[Any], Path], None]


def rates(hub: MessageHub) -> int:
    """Return for how many iterations a hub has learning rates."""
    return len(hub.get_scalar("train/lr").data[0]) if "train/lr" in hub.log_scalars else 0


@EACH
def test_copies_publish_to_the_hub_and_the_hooks_that_were_given(kind: Kind, train: Train, tmp_path: Path) -> None:
    hub, heard = MessageHub("mine"), Heard()
    callback = kind(hub=hub, hooks=[heard])
    for trained in (1, 2):
        copies = copy.deepcopy({"callbacks": [callback]})["callbacks"]
        train(copies, tmp_path)
        assert copies[0].message_hub is callback.message_hub is hub
        assert (rates(hub), heard.iterations) == (3 * trained, 3 * trained)
        assert hub.get_info("iter") == 3
    assert callback.runner.iter == 0


@EACH
def test_without_a_hub_each_copy_has_one_and_the_callback_has_the_latest(
    kind: Kind, train: Train, tmp_path: Path
) -> None:
    callback = kind()
    first_hub = callback.message_hub
    first_hub.update_info("note", "of the user")
    hubs: list[Any] = []
    for _ in range(2):
        twin = copy.deepcopy(copy.deepcopy(callback))  # a copy of a copy
        train([twin], tmp_path)
        assert callback.message_hub is twin.message_hub
        assert rates(twin.message_hub) == 3
        hubs.append(twin.message_hub)
    assert hubs[0] is first_hub
    assert first_hub.get_info("note") == "of the user"
    assert hubs[1] is not first_hub
    train([callback], tmp_path)
    assert callback.message_hub not in hubs
    assert [rates(hub) for hub in (*hubs, callback.message_hub)] == [3, 3, 3]


@EACH
def test_a_callback_that_trains_by_itself_keeps_its_hub(kind: Kind, train: Train, tmp_path: Path) -> None:
    callback = kind()
    early = copy.deepcopy(callback)
    train([callback], tmp_path)
    hub = callback.message_hub
    late = copy.deepcopy(callback)
    assert late.message_hub is not hub
    for twin in (early, late):
        train([twin], tmp_path)
        assert twin.message_hub is not hub
        assert rates(twin.message_hub) == 3
    assert callback.message_hub is hub
    assert rates(hub) == 3


@EACH
def test_copies_that_have_not_trained_leave_the_hub_to_the_first_that_does(
    kind: Kind, train: Train, tmp_path: Path
) -> None:
    callback = kind()
    first, second = copy.deepcopy(callback), copy.deepcopy(callback)
    third = copy.deepcopy(second)
    hub = callback.message_hub
    assert all(each.message_hub is hub for each in (first, second, third))
    train([first], tmp_path)
    assert first.message_hub is callback.message_hub is hub
    train([callback], tmp_path)
    hubs = [each.message_hub for each in (callback, first, second, third)]
    assert len({id(each) for each in hubs}) == 4
    assert [rates(each) for each in hubs] == [3, 3, 0, 0]
    train([third], tmp_path)
    assert second.message_hub is third.message_hub
    train([second], tmp_path)
    assert [rates(each.message_hub) for each in (callback, first, second, third)] == [3] * 4


@EACH
def test_a_pickled_callback_is_independent(kind: Kind, train: Train, tmp_path: Path) -> None:
    callback = kind()
    twin = pickle.loads(pickle.dumps(callback))
    train([twin], tmp_path)
    assert (rates(callback.message_hub), rates(twin.message_hub)) == (0, 3)


@EACH
def test_a_copy_of_a_freed_callback_trains(kind: Kind, train: Train, tmp_path: Path) -> None:
    twin = copy.deepcopy(kind())
    train([twin], tmp_path)
    assert rates(twin.message_hub) == 3


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize(
    ("adapter", "make"),
    [(for_lightning, make_lightning), (for_transformers, make_transformers)],
    ids=["lightning", "transformers"],
)
def test_members_of_a_trainer_are_copied_with_it(adapter: Any, make: Any, attach: bool, tmp_path: Path) -> None:
    callback = adapter.RuntimeInfoCallback()
    trainer = make([] if attach else [callback], tmp_path)
    if attach:
        callback = adapter.attach(trainer)
    holder = copy.deepcopy({"trainer": trainer, "callback": callback})
    assert holder["callback"].message_hub is not callback.message_hub


@pytest.mark.parametrize("attach", [False, True])
def test_a_callback_that_is_copied_with_its_model_of_keras_has_its_own_hub(attach: bool) -> None:
    model = make_keras()
    callback = for_keras.attach(model) if attach else for_keras.RuntimeInfoCallback()
    _, twin = copy.deepcopy([model, callback])
    assert twin.message_hub is not callback.message_hub


@EACH
def test_a_subclass_keeps_its_attributes(kind: Any, train: Train, tmp_path: Path) -> None:
    class Mine(kind):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.seen: list[Any] = [self]

    callback = Mine()
    twin = copy.deepcopy(callback)
    assert type(twin) is Mine
    assert twin.seen == [twin]
    train([twin], tmp_path)
    assert rates(callback.message_hub) == 3
