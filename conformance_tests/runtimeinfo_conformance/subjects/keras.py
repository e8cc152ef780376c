"""The adapter for Keras as a subject: real models on the torch backend, with real optimizers and callbacks."""

# pyright: basic
# Keras has no types.

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

os.environ.setdefault("KERAS_BACKEND", "torch")

from runtimeinfo_adapters.keras import attach  # Keras asks once for its backend
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Plan, PlannedDataset

keras: Any = importlib.import_module("keras")

if TYPE_CHECKING:

    class _Model:
        trainable_variables: list[Any]
        stop_training: bool

    class _Callback:
        model: Any

else:
    _Model, _Callback = keras.Model, keras.callbacks.Callback


class _Sized(Dataset[Any]):
    """The indices of a planned dataset, as tensors: Keras takes nothing else.

    Args:
        dataset: The dataset.
        is_read: Whether its items are read here; the model reads those that it trains on in its step.
    """

    def __init__(self, dataset: PlannedDataset, *, is_read: bool = False) -> None:
        self._length = len(dataset)
        self._dataset = dataset if is_read else None
        if hasattr(dataset, "metainfo"):
            self.metainfo = dataset.metainfo

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if self._dataset is not None:
            self._dataset[index]
        return torch.tensor([float(index)])


class _Unsized(IterableDataset[Any]):
    """The same without a length."""

    def __init__(self, dataset: PlannedDataset) -> None:
        self._items = _Sized(dataset)
        if hasattr(dataset, "metainfo"):
            self.metainfo = dataset.metainfo

    def __iter__(self) -> Iterator[Any]:
        return (self._items[index] for index in range(len(self._items)))


class _PlannedModel(_Model):
    """A model whose steps return the plan's outputs."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.weight = self.add_weight(shape=(1,))  # type: ignore[attr-defined]
        self.built = True
        self.plan = plan
        self.planned = plan.train_dataset()
        self.named = _optimizers(plan)
        self.optimizers = list(self.named.values())

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on a batch."""
        batch = self.planned[int(data[0])]
        for optimizer in self.optimizers:
            optimizer.apply([torch.zeros(1)], self.trainable_variables)
        if batch.stop:
            self.stop_training = True
        return batch.outputs

    def test_step(self, data: Any) -> dict[str, Any]:
        """Validate on a batch, or test."""
        del data  # the name is Keras's
        return {}

    def get_metrics_result(self) -> dict[str, Any]:
        """Return nothing: the steps do."""
        return {}


class _Script(_Callback):
    """Does what a plan says, the way a user writes it."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__()
        self.plan = plan
        self.planned = model = _PlannedModel(plan)
        model.compile(optimizer=model.optimizers[0])  # type: ignore[attr-defined]
        self.publishing = attach(
            model,
            optimizers=model.named if plan.optimizers or plan.groups > 1 else None,
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )

    def run(self) -> None:
        """Make the run."""
        plan, model = self.plan, self.planned
        if plan.resume_from is not None:
            checkpoint = torch.load(plan.resume_from, weights_only=True)
            self.publishing.load_state_dict(checkpoint["runtimeinfo"])
            for optimizer, rate in zip(model.optimizers, checkpoint["rates"], strict=True):
                optimizer.learning_rate = rate
        rates = self.rates()
        self.fit()
        if plan.again:
            model.planned = plan.train_dataset()
            for optimizer, rate in zip(model.optimizers, rates, strict=True):
                optimizer.learning_rate = rate
            self.fit()
        if plan.test_batches is not None:
            model.evaluate(_loader(plan.test_dataset()), verbose=0)  # type: ignore[attr-defined]

    def fit(self) -> None:
        """Train."""
        plan = self.plan
        self.planned.fit(  # type: ignore[attr-defined]
            _loader(plan.train_dataset(), sized=plan.sized),
            validation_data=_loader(plan.val_dataset()) if plan.validates_after_epoch else None,
            epochs=plan.max_epochs,
            initial_epoch=plan.start_epoch,
            callbacks=[self],
            shuffle=False,
            verbose=0,
        )

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Validate before the training."""
        if self.plan.val_before:
            self.validate()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Look at the run."""
        self.plan.on_batch_begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Halve the rates, and validate inside the epoch."""
        if self.plan.schedule:
            for optimizer, rate in zip(self.planned.optimizers, self.rates(), strict=True):
                optimizer.learning_rate = rate / 2
        if self.plan.validates_after(batch):
            self.validate()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Save a checkpoint."""
        if self.plan.checkpoint is not None:
            torch.save({"runtimeinfo": self.publishing.state_dict(), "rates": self.rates()}, self.plan.checkpoint)

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Validate after the training."""
        if self.plan.val_after:
            self.validate()

    def validate(self) -> None:
        """Validate once more."""
        self.model.evaluate(_loader(self.plan.val_dataset()), callbacks=[], verbose=0)

    def rates(self) -> list[float]:
        """Return the learning rates."""
        return [float(optimizer.learning_rate) for optimizer in self.planned.optimizers]


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    with warnings.catch_warnings():
        # That data without a length come to an end is what the plan wants.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        _Script(plan, hooks).run()


def subject() -> Subject:
    """Return the subject.

    Metrics are not declared: Keras makes floats of them where it can, and takes a dict apart, before a callback
    sees them. Neither are several validation loaders, nor to go on in mid-epoch: `fit` has no place for them.
    """
    return Subject(
        "keras",
        str(keras.__version__),
        run=run,
        capabilities={
            "share",
            "beside",
            "nested",
            "val",
            "val_before",
            "val_inside",
            "val_after",
            "test",
            "outputs",
            "metainfo",
            "unsized",
            "batch_begin",
            "scheduler",
            "optimizers",
            "accumulation",
            "early_stop",
            "again",
            "resume",
        },
    )


def _loader(dataset: PlannedDataset, *, sized: bool = True) -> DataLoader[Any]:
    is_read = dataset.stage != "train"
    return DataLoader(_Sized(dataset, is_read=is_read) if sized else _Unsized(dataset), batch_size=None)


def _optimizers(plan: Plan) -> dict[str, Any]:
    """Return the optimizers by name. Each has one rate, so each param group is a separate optimizer."""
    steps = plan.accumulation if plan.accumulation > 1 else None
    return {
        f"{name}/{group}": keras.optimizers.SGD(plan.lr_of(0, group, index), gradient_accumulation_steps=steps)
        for index, name in enumerate(plan.optimizers or ("group",))
        for group in range(plan.groups)
    }
