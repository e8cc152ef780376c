"""Runners that are right, each with other numbers, names or objects than most: the kit must pass all of them."""

from __future__ import annotations

import weakref
from collections import ChainMap, UserDict
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
from simple_hub import SimpleHub
from simple_trainer import Optimizers, Trainer
from typing_extensions import get_protocol_members

from runtimeinfo import TrainRunner
from runtimeinfo.authoring import Dispatcher
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance import Plan

# -- counters and totals


class Count(int):
    """An integer that says what it is when it is printed."""

    def __add__(self, other: int) -> Count:
        return Count(int(self) + other)

    def __repr__(self) -> str:
        return f"<count of {int(self)}>"

    __str__ = __repr__


class CountsInItsOwnIntegers(Trainer):
    """Counts in a subclass of int with its own repr."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.epoch, self.iter = Count(self.epoch), Count(self.iter)


class CountsInNumPyIntegers(Trainer):
    """Has counters, totals and a seed of NumPy, as a framework does that draws its seed there."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.epoch, self.iter, self.seed = np.int64(self.epoch), np.int64(self.iter), np.uint32(self.seed)
        self.max_epochs = None if self.max_epochs is None else np.int32(self.max_epochs)

    def count_iters(self) -> Any:
        total = super().count_iters()
        return None if total is None else np.int64(total)


class CountsWhatIsDone(Trainer):
    """Has no counters: they are properties, computed from what is done."""

    @property
    def epoch(self) -> int:
        return len(self._epochs)

    @epoch.setter
    def epoch(self, epochs: int) -> None:
        self._epochs = ["done"] * epochs

    @property
    def iter(self) -> int:
        return sum(self._batches)

    @iter.setter
    def iter(self, batches: int) -> None:
        self._batches = [1] * batches


class NumbersItsBatchesOn(Trainer):
    """Numbers the batches of the whole training, and does not begin at 0 in each epoch."""

    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        super().scope(name, body, **({**given, "batch_idx": self.iter} if name == "train_iter" else given))


class NumbersItsBatchesInNumPyIntegers(Trainer):
    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        index = {"batch_idx": np.int64(given["batch_idx"])} if "batch_idx" in given else {}
        super().scope(name, body, **{**given, **index})


class IsOnlyAskedForIterations(Trainer):
    """Has no number of epochs: its user asks for iterations, and it goes through the data as often as that takes."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.max_epochs = None

    def count_iters(self) -> Any:
        return self.plan.max_iters

    def expect_epoch(self) -> None:
        """Its total does not depend on the data."""

    def train_batches(self) -> None:
        super().train_batches()
        self.is_cut_short = self.has_stopped  # after the last batch of an epoch, too


class MakesOneEpochOfIterations(Trainer):
    """Takes a training that is asked for iterations for a single epoch, as Transformers and detectron2 do."""

    lacks = "resume_mid_epoch"

    def train(self) -> None:
        if self.plan.iterations is None:
            super().train()
        elif not self.has_stopped:
            self.scope("train_epoch", self.train_until_done)
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)

    def train_until_done(self) -> None:
        while not self.has_stopped:
            self.train_batches()

    def train_iter(self, index: int, batch: Any) -> None:
        # The batches of the one epoch are numbered on when the data begins again.
        super().train_iter(index if self.plan.iterations is None else self.iter, batch)


class ValidatesByItsOneEpoch(MakesOneEpochOfIterations):
    """Asks by the place of a batch in its one epoch whether a validation is due."""

    lacks = "resume_mid_epoch in_turn"

    def after_iter(self, index: int) -> None:
        super().after_iter(index if self.plan.iterations is None else self.iter - 1)


class NeverTellsItsLength(Trainer):
    """Never asks a loader for its length: how many iterations there will be is not known."""

    def count_iters(self) -> Any:
        return self.plan.iterations

    def expect_epoch(self) -> None:
        """It does not look at the loader's length."""


class LearnsItsLength(NeverTellsItsLength):
    """Knows how many iterations there will be once it has been through the data."""

    def train_epoch(self) -> None:
        before = self.iter
        is_whole = not self.batches_to_skip
        super().train_epoch()
        if is_whole and self.max_epochs is not None and not self.plan.lengths and not self.has_stopped:
            self.max_iters = self.max_epochs * (self.iter - before)


# -- learning rates


class RatesBehindSlashes(Optimizers):
    def get_lr(self) -> dict[str, list[float]]:
        return {f"{name.removesuffix('lr').strip('.') or 'encoder'}/lr": rates for name, rates in self.rates.items()}


class NamesItsRatesByModule(Trainer):
    """Names rates after the modules that they are for: ``encoder/lr``."""

    make_optimizers = RatesBehindSlashes


class RatesOfEachGroup(Optimizers):
    def get_lr(self) -> dict[str, list[float]]:
        return {
            f"lr-{name.removesuffix('lr').strip('.') or 'SGD'}/pg{group + 1}": [rate]
            for name, rates in self.rates.items()
            for group, rate in enumerate(rates)
        }


class HasAnEntryForEachGroup(Trainer):
    """Has an entry for each param group, as Lightning's monitor of learning rates does."""

    make_optimizers = RatesOfEachGroup


class RatesWithTheFirst(Optimizers):
    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.first = {f"{name.removesuffix('lr')}initial_lr": rates for name, rates in self.rates.items()}

    def get_lr(self) -> dict[str, list[float]]:
        return {**self.first, **self.rates}


class TellsItsFirstRatesToo(Trainer):
    """Has the rates beside them that the schedule began with, as mmengine has with ``base_lr``."""

    make_optimizers = RatesWithTheFirst


class RatesInSinglePrecision(Optimizers):
    def get_lr(self) -> dict[str, Any]:
        return {name: np.array(rates, np.float32) for name, rates in self.rates.items()}


class HasArraysOfRates(Trainer):
    """Has its rates in an array of float32."""

    make_optimizers = RatesInSinglePrecision


class RatesInMappings(Optimizers):
    def get_lr(self) -> Any:
        return MappingProxyType({name: tuple(rates) for name, rates in self.rates.items()})


class HasReadOnlyRates(Trainer):
    """Returns its rates in a read-only mapping of tuples."""

    make_optimizers = RatesInMappings


# -- what hooks are given


class GivesOtherMappings(Trainer):
    """Gives outputs and metrics in mappings that are not dicts."""

    def emit(self, event: str, **given: Any) -> None:
        made: dict[str, Callable[[dict[str, Any]], Any]] = {
            "outputs": lambda values: MappingProxyType(values) if self.iter % 2 else UserDict(values),
            "metrics": lambda values: ChainMap({}, values),
        }
        kept = {name: made[name](value) if name in made and value else value for name, value in given.items()}
        super().emit(event, **kept)


class GivesPairs(Trainer):
    """Gives the batch as a loader makes it: a list of a name and a pair with a target."""

    def emit(self, event: str, **given: Any) -> None:
        if given.get("data_batch") is not None:
            given["data_batch"] = ["sample", {"inputs": given["data_batch"], "target": 1.0}]
        super().emit(event, **given)


class LeavesOutWhatItHasNot(Trainer):
    """Calls hooks by keyword, and leaves out the arguments that it has nothing for."""

    def emit(self, event: str, **given: Any) -> None:
        self.dispatcher.dispatch(event, self, **{name: value for name, value in given.items() if value is not None})


class ShowsCopiesOfItself(Trainer):
    """Gives hooks a new object at each event, which holds what the runner is at that moment."""

    def emit(self, event: str, **given: Any) -> None:
        members = {name: getattr(self, name) for name in get_protocol_members(TrainRunner)}
        self.dispatcher.dispatch(event, SimpleNamespace(**members), **given)


class ShowsAProxyOfItself(Trainer):
    """Gives hooks a weak proxy of the runner, so that no hook keeps it alive."""

    def emit(self, event: str, **given: Any) -> None:
        self.dispatcher.dispatch(event, weakref.proxy(self), **given)


class WritesItsConfigurationAnew:
    @property
    def pretty_text(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in vars(self).items())


class HasALiveConfiguration(Trainer):
    """Has a configuration whose text is made each time that it is asked for."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.cfg = WritesItsConfigurationAnew()
        self.cfg.seed = plan.seed


class HasALoaderOfItsOwn(Trainer):
    """Wraps the user's loader, and shows a new wrapper each time that it is asked for."""

    @property
    def train_dataloader(self) -> Any:
        loader = self._loader

        class Wrapper:
            dataset = loader.dataset

            def __iter__(self) -> Any:
                return iter(loader)

        class SizedWrapper(Wrapper):
            def __len__(self) -> int:
                return len(loader)

        return SizedWrapper() if hasattr(loader, "__len__") else Wrapper()

    @train_dataloader.setter
    def train_dataloader(self, loader: Any) -> None:
        self._loader = loader


# -- hubs


class HasTheReferenceHub(Trainer):
    """Publishes to the reference hub, which shares itself."""

    make_hub = partial(MessageHub, "reference")

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.dispatcher = Dispatcher(hooks)


class Forwarding:
    """A hub behind an object that passes everything on."""

    def __init__(self) -> None:
        self._hub = SimpleHub()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)


class HasAHubBehindAnother(Trainer):
    """Publishes through an object that passes everything on to a hub."""

    make_hub = Forwarding


_HUB = SimpleHub()


def _emptied_hub() -> SimpleHub:
    _HUB.__init__()  # type: ignore[misc]
    return _HUB


class EmptiesItsOneHub(Trainer):
    """Has one hub for all its runs, and empties it before each."""

    lacks = "beside nested in_turn"
    make_hub = _emptied_hub


ODD_NUMBERS: tuple[type[Trainer], ...] = (
    CountsInItsOwnIntegers,
    CountsInNumPyIntegers,
    CountsWhatIsDone,
    NumbersItsBatchesOn,
    NumbersItsBatchesInNumPyIntegers,
    IsOnlyAskedForIterations,
    MakesOneEpochOfIterations,
    ValidatesByItsOneEpoch,
    NeverTellsItsLength,
    LearnsItsLength,
    NamesItsRatesByModule,
    HasAnEntryForEachGroup,
    TellsItsFirstRatesToo,
    HasArraysOfRates,
    HasReadOnlyRates,
    GivesOtherMappings,
    GivesPairs,
    LeavesOutWhatItHasNot,
    ShowsCopiesOfItself,
    ShowsAProxyOfItself,
    HasALiveConfiguration,
    HasALoaderOfItsOwn,
    HasTheReferenceHub,
    HasAHubBehindAnother,
    EmptiesItsOneHub,
)
"""The runners; each deliberately odd, all of them legal."""
