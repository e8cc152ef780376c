from __future__ import annotations

import copy
import gc
import itertools
import os
import queue
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
nn, DataLoader = torch.nn, torch.utils.data.DataLoader
tqdm: Any = pytest.importorskip("tqdm").tqdm

from torch.utils.checkpoint import checkpoint  # noqa: E402

from runtimeinfo import current_hub, use_hub  # noqa: E402
from runtimeinfo_adapters import MessageHub  # noqa: E402
from runtimeinfo_adapters.autopublish import AutopublishWarning, _fastai_optimizers, _plain_loop_follower  # noqa: E402
from runtimeinfo_adapters.autopublish._guard import Part  # noqa: E402
from runtimeinfo_adapters.autopublish._plain_loop import _Patches  # noqa: E402
from runtimeinfo_adapters.autopublish._plain_loop_run import InferredRun  # noqa: E402
from runtimeinfo_adapters.pytorch import Loop  # noqa: E402


@pytest.fixture(autouse=True)
def inferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Part]:
    monkeypatch.setattr(_plain_loop_follower, "_of_thread", None)
    part = Part("the inference")
    _Patches(part, torch).apply()
    yield part
    part.withdraw()
    assert current_hub().runtime_info == {}


class Net:
    """A model and its optimizer."""

    def __init__(self, lr: float = 0.1, kind: Any = torch.optim.SGD) -> None:
        self.model = nn.Linear(2, 1)
        self.optimizer = kind(self.model.parameters(), lr=lr)

    def loss(self, x: Any) -> Any:
        return self.model(x).pow(2).mean()

    def train(self, x: Any) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(x)
        loss.backward()
        self.optimizer.step()
        value: float = loss.item()
        return value


def make_loader(batches: int = 3, **options: Any) -> Any:
    return DataLoader(torch.randn(2 * batches, 2), batch_size=2, **options)


def place() -> tuple[Any, Any, Any]:
    hub = current_hub()
    return hub.get_info("loop_stage"), hub.get_info("epoch"), hub.get_info("iter")


def latest(key: str) -> float | None:
    history = current_hub().log_scalars.get(f"train/{key}")
    return None if history is None else history.current()


# -- loaders


def test_epochs_are_counted_from_the_first_step() -> None:
    net, loader = Net(), make_loader()
    seen = []
    for _ in range(2):
        for x in loader:
            seen.append(place())
            net.train(x)
            seen.append(place())
        seen.append(place())
    train = "train"
    first = [(None, None, None), (train, 0, 0), (train, 0, 1), (train, 0, 1), (train, 0, 2), (train, 0, 2)]
    second = [(train, 1, 3), (train, 1, 3), (train, 1, 4), (train, 1, 4), (train, 1, 5), (train, 1, 5)]
    assert seen == [*first, (None, 1, 3), *second, (None, 2, 6)]
    assert current_hub().get_info("inferred") is True


def test_loader_wrapped_by_a_generator_is_counted() -> None:
    net, loader = Net(), make_loader()
    seen = []
    for _ in range(2):
        for x in tqdm(loader, disable=True):
            net.train(x)
            seen.append(place()[1:])
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]


def test_batches_drawn_ahead_are_not_counted() -> None:
    def prefetched(loader: Any) -> Iterator[Any]:
        batches = iter(loader)
        ahead = next(batches)
        for following in batches:
            yield ahead
            ahead = following
        yield ahead

    net, loader = Net(), make_loader()
    for _ in range(2):
        for x in prefetched(loader):
            net.train(x)
            assert place() == (None, None, None)
            assert latest("lr") == 0.1


def test_two_batches_for_a_step_are_not_counted() -> None:
    net = Net()
    batches = iter(make_loader(6))
    for x in batches:
        net.train(x + next(batches))
        assert place() == (None, None, None)


def test_batches_drawn_in_another_thread_are_not_counted() -> None:
    net, ready = Net(), queue.Queue[Any](maxsize=1)

    def draw() -> None:
        for x in make_loader(5):
            ready.put(x)
        ready.put(None)

    thread = threading.Thread(target=draw)
    thread.start()
    net.train(ready.get())
    while (x := ready.get()) is not None:
        net.train(x)
    thread.join()
    net.train(torch.ones(2, 2))
    assert place() == (None, None, None)


def test_batches_kept_from_a_finished_pass_are_not_counted() -> None:
    net = Net()
    batches = list(make_loader())
    for x in batches:
        net.train(x)
        assert place() == (None, None, None)


def test_step_after_each_pass_is_not_counted() -> None:
    net, loader = Net(), make_loader()
    for _ in range(3):
        for x in loader:
            net.loss(x).backward()
            assert place() == (None, None, None)
        net.optimizer.step()
        assert place() == (None, None, None)
    assert latest("loss") is None


def test_gradients_of_a_pass_without_steps_are_no_epoch() -> None:
    net, loader = Net(), make_loader()
    for x in loader:
        net.train(x)
    for number, x in enumerate(loader):
        net.loss(x).backward()
        assert place() in {("train", 1, 3), (None, None, None)}
        assert number == 0 or place() == (None, None, None)
    net.optimizer.zero_grad()
    assert place() == (None, 1, 3)


def test_further_loader_of_a_later_step_withdraws_the_counts() -> None:
    net = Net()
    for x in make_loader():
        net.train(x)
    for x in make_loader():
        assert place() in {(None, 1, 3), (None, None, None)}
        net.train(x)
        assert place() == (None, None, None)


SAMPLERS = {
    "shuffled": lambda: {"shuffle": True},
    "weighted": lambda: {"sampler": torch.utils.data.WeightedRandomSampler(torch.ones(6), 6)},
}


@pytest.mark.parametrize("options", SAMPLERS.values(), ids=SAMPLERS)
def test_loader_that_is_made_for_each_epoch(options: Callable[[], dict[str, Any]]) -> None:
    net, dataset = Net(), torch.utils.data.TensorDataset(torch.randn(6, 2))
    for epoch in range(3):
        for number, (x,) in enumerate(DataLoader(dataset, batch_size=2, **options())):
            assert place() == (("train", epoch, 3 * epoch + number) if epoch or number else (None, None, None))
            net.train(x)
            assert place() == ("train", epoch, 3 * epoch + number)


def test_loaders_over_parts_of_a_dataset_have_no_epoch() -> None:
    net, dataset = Net(), torch.utils.data.TensorDataset(torch.randn(12, 2))
    for part in range(2):  # of one epoch
        sampler = torch.utils.data.SubsetRandomSampler(range(6 * part, 6 * part + 6))
        for number, (x,) in enumerate(DataLoader(dataset, batch_size=2, sampler=sampler)):
            assert place()[1:] == ((None if part else 0, 3 * part + number) if part or number else (None, None))
            net.train(x)
            assert place() == ("train", None if part else 0, 3 * part + number)


def test_sampler_that_is_kept_for_the_loaders_of_all_epochs() -> None:
    net, dataset = Net(), torch.utils.data.TensorDataset(torch.randn(8, 2))
    sampler = torch.utils.data.SubsetRandomSampler(range(6))
    for epoch in range(2):
        for number, (x,) in enumerate(DataLoader(dataset, batch_size=2, sampler=sampler)):
            net.train(x)
            assert place() == ("train", epoch, 3 * epoch + number)


def test_loaders_in_turn_have_no_epoch() -> None:
    net, loaders = Net(), [make_loader(), make_loader(2)]
    steps = 0
    for epoch in range(2):
        for loader in loaders:
            for number, x in enumerate(loader):
                is_first = epoch == 0 and loader is loaders[0]
                expected = ("train" if number else None, 0 if is_first else None, steps)
                assert place() == (expected if steps else (None, None, None))
                net.train(x)
                assert place() == ("train", expected[1], steps)
                steps += 1


def test_accumulation_over_loaders_in_turn() -> None:
    net, batches = Net(), itertools.chain(make_loader(4), make_loader(4))
    for number, x in enumerate(batches):
        net.loss(x).backward()
        if number % 4 == 3:
            net.optimizer.step()
        assert place()[2] in ({number, None} if number > 2 else {None})
    assert place() == (None, None, 8)


def test_loader_with_iterators_of_their_own_that_are_drawn_in_turn() -> None:
    first, second = iter(make_loader()), iter(make_loader())
    net = Net()
    for batches in (first, second, first, second):
        net.train(next(batches))
        assert place() == (("train", 0, 0) if batches is first and place()[1] == 0 else (None, None, None))


@pytest.mark.parametrize("is_broken_off", [True, False])
def test_state_that_is_loaded_after_a_pass_begins_counts_that_are_not_known(is_broken_off: bool) -> None:
    net, loader = Net(), make_loader()
    model, optimizer = copy.deepcopy((net.model.state_dict(), net.optimizer.state_dict()))
    for x in loader:  # a search for a learning rate
        net.train(x)
        if is_broken_off:
            break
    net.model.load_state_dict(model)
    if not is_broken_off:
        net.optimizer.load_state_dict(optimizer)
    for x in loader:
        assert place() == (None, None, None)
        net.train(x)
        assert place() == (None, None, None)
        assert latest("lr") == 0.1


def test_model_that_is_restored_after_its_evaluation_goes_on() -> None:
    net, loader = Net(), make_loader()
    for epoch in range(2):
        for number, x in enumerate(loader):
            net.train(x)
            assert place() == ("train", epoch, 3 * epoch + number)
        net.model.load_state_dict(net.model.state_dict())


def test_epoch_is_not_known_after_a_pass_that_was_left() -> None:
    net, loader, held_out = Net(), make_loader(4), make_loader()
    for number, x in enumerate(loader):
        if number == 2:
            break
        net.train(x)
    assert place() == (None, 0, 2)
    with torch.no_grad():
        for _ in held_out:
            assert place() == (None, None, 2)


@pytest.mark.parametrize("has_gradients", [True, False])
def test_validation_amid_a_pass(has_gradients: bool) -> None:
    net, loader, held_out = Net(), make_loader(), make_loader()
    for number, x in enumerate(loader):
        net.train(x)
        with torch.set_grad_enabled(has_gradients):
            for _ in held_out:
                assert place() == ((None, None, None) if has_gradients else (None, 0, number))
    assert place() == (None, 1, 3)


def test_persistent_workers_that_a_break_leaves() -> None:
    net, loader = Net(), make_loader(4, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    for number, x in enumerate(loader):
        net.train(x)
        if number == 1:
            break
    for number, x in enumerate(loader):
        net.train(x)
        assert place() == ("train", None, 2 + number)
    del loader


class Another:
    """A loader of another kind that makes iterators of PyTorch, as that of fastai does."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Any:
        return torch.utils.data.dataloader._SingleProcessDataLoaderIter(self)


class Own:
    """An optimizer that is not one of PyTorch, with what that of fastai has of it."""

    def __init__(self, parameters: Any, lr: float) -> None:
        self.param_groups = [{"params": list(parameters), "lr": lr}]

    def step(self, closure: Any = None) -> None:
        for each in self.param_groups[0]["params"]:
            each.data.add_(each.grad, alpha=-self.param_groups[0]["lr"])

    def zero_grad(self) -> None:
        for each in self.param_groups[0]["params"]:
            each.grad = None


def test_loader_and_optimizer_of_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("own")
    monkeypatch.setattr(own, "Optimizer", Own, raising=False)
    _fastai_optimizers.install(own)
    net, loader, held_out = Net(kind=Own), Another(make_loader()), Another(make_loader())
    for epoch in range(2):
        for number, x in enumerate(loader):
            assert place() == (("train", epoch, 3 * epoch + number) if epoch or number else (None, None, None))
            loss = net.train(x)
            assert (place(), latest("lr")) == (("train", epoch, 3 * epoch + number), 0.1)
            assert latest("loss") == (loss if epoch or number else None)
        with torch.no_grad():
            for _ in held_out:
                assert place() == (None, epoch + 1, 3 * epoch + 3)


class Endless(DataLoader):  # type: ignore[misc,valid-type]
    """A loader that keeps one iterator for all its passes, as that of Ultralytics does."""

    def __init__(self, batches: int) -> None:
        order = list(torch.arange(2 * batches).split(2))
        super().__init__(torch.randn(2 * batches, 2), batch_sampler=itertools.cycle(order))
        self.batches = batches
        self.iterator = super().__iter__()

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Any:
        return itertools.islice(self.iterator, self.batches)


def test_iterator_that_goes_on_in_the_next_pass_has_no_epoch() -> None:
    loader = Endless(3)
    net = Net()
    for epoch in range(3):
        for number, x in enumerate(loader):
            net.train(x)
            assert place() == ("train", None if epoch else 0, 3 * epoch + number)


class Doubled(DataLoader):  # type: ignore[misc,valid-type]
    """A loader that changes its batches."""

    def __iter__(self) -> Any:
        return (2 * x for x in super().__iter__())


def test_loader_that_changes_its_batches_has_epochs() -> None:
    net, loader = Net(), Doubled(torch.randn(6, 2), batch_size=2)
    for epoch in range(3):
        for number, x in enumerate(loader):
            net.train(x)
            assert place() == ("train", epoch, 3 * epoch + number)


def test_iterator_that_is_made_for_each_batch_is_not_counted() -> None:
    net, loader = Net(), make_loader()
    for _ in range(3):
        net.train(next(iter(loader)))
        assert place() == (None, None, None)


def test_evaluation_over_the_training_loader_that_draws_with_gradients() -> None:
    net, loader = Net(), make_loader()
    for epoch in range(3):
        for x in loader:
            net.train(x)
        net.model.eval()
        for number, x in enumerate(loader):
            assert place() == ((None, epoch + 1, 3 * epoch + 3) if not number else (None, None, None))
            with torch.no_grad():
                net.loss(x)
        assert place() == (None, epoch + 1, 3 * epoch + 3)
        net.model.train()


def test_function_that_evaluates_on_the_training_loader_is_no_training() -> None:
    net, loader = Net(), make_loader()

    def evaluate(epoch: int) -> None:
        for number, x in enumerate(loader):
            assert place() == (None, *((epoch, 3 * epoch) if not number else (None, None)))
            net.loss(x)

    for epoch in range(3):
        for number, x in enumerate(loader):
            assert place() == (("train", epoch, 3 * epoch + number) if epoch or number else (None, None, None))
            net.train(x)
        evaluate(epoch + 1)
        assert place() == (None, epoch + 1, 3 * epoch + 3)


def test_evaluation_without_a_loader_has_no_stage() -> None:
    net, other = Net(), nn.Linear(2, 1)
    for number, x in enumerate(make_loader()):
        net.train(x)
        other.eval()
        assert place() == ("train", 0, number)
        net.model.eval()
        assert place() == (None, 0, number)


# -- trainings


def test_new_optimizer_after_a_step_withdraws_everything() -> None:
    net, loader = Net(), make_loader()
    for x in loader:
        net.train(x)
    assert (place(), latest("lr")) == ((None, 1, 3), 0.1)
    other = Net(0.2)
    assert (place(), latest("lr"), latest("loss")) == ((None, None, None), None, None)
    for number, x in enumerate(loader):
        assert number or (place(), latest("loss")) == ((None, None, None), None)
        other.train(x)
        assert (place(), latest("lr")) == (("train", 0, number), 0.2)


def test_optimizer_that_is_made_again_for_its_parameters_has_no_counts() -> None:
    net, loader = Net(), make_loader()
    for epoch in range(3):
        net.optimizer = torch.optim.SGD(net.model.parameters(), lr=0.1)
        for number, x in enumerate(loader):
            net.train(x)
            assert place() == ("train", *((0, number) if not epoch else (None, None)))


def test_optimizer_of_a_function_that_trains_an_epoch_has_no_counts() -> None:
    model, other, loader = nn.Linear(2, 1), nn.Linear(2, 1), make_loader()

    def train(model: Any) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for x in loader:
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
            seen.append(place())

    for epoch in range(3):
        seen: list[Any] = []
        train(model)
        expected = [("train", 0, number) if not epoch else ("train", None, None) for number in range(3)]
        assert seen == expected
        train(other)


def test_optimizer_that_makes_no_step_is_left_out() -> None:
    net, idle, loader = Net(), Net(0.2), make_loader()
    for epoch in range(3):
        for number, x in enumerate(loader):
            loss = net.train(x)
            assert place() == (("train", epoch, 3 * epoch + number) if epoch else (None, None, None))
            assert values() == ((0.1, loss if epoch > 1 or number else None) if epoch else (None, None))
    assert set(current_hub().log_scalars) == {"train/lr", "train/loss"}
    del idle


def test_optimizers_that_train_in_turn_by_the_epoch_have_no_counts() -> None:
    first, second, loader = Net(), Net(0.2), make_loader()
    for _ in range(3):
        for net in (first, second):
            for x in loader:
                assert place() == (None, None, None)
                net.train(x)
                assert place() == (None, None, None)


def test_earlier_optimizer_that_steps_again_has_no_counts() -> None:
    first, loader = Net(), make_loader()
    for x in loader:
        first.train(x)
    second = Net(0.2)
    for _ in range(2):
        for x in loader:
            first.train(x)
            second.train(x)
            assert place() == (None, None, None)


def test_copied_optimizer_goes_on() -> None:
    net = Net()
    for number, x in enumerate(make_loader()):
        net.train(x)
        copy.deepcopy(net.optimizer)
        net.optimizer.load_state_dict(net.optimizer.state_dict())
        assert place() == ("train", 0, number)


def values() -> tuple[float | None, float | None]:
    return latest("lr"), latest("loss")


def test_trainings_in_turn_have_no_values_of_each_other() -> None:
    def train(lr: float) -> Iterator[None]:
        net = Net(lr)
        loss: float | None = None
        for x in make_loader(4):
            assert latest("lr") in {lr, None}
            assert latest("loss") in {loss, None}
            loss = net.train(x)
            assert latest("lr") in {lr, None}
            assert latest("loss") in {loss, None}
            yield

    for _ in zip(train(0.1), train(0.2), strict=True):
        pass
    assert (place(), values()) == ((None, None, None), (None, None))


def test_training_within_an_iteration_leaves_no_values_to_the_outer_one() -> None:
    net = Net()
    for number, x in enumerate(make_loader(4)):
        assert latest("lr") in ({None, 0.1} if number < 2 else {None})
        net.train(x)
        if number == 1:
            inner = Net(0.5)
            for y in make_loader(3):
                inner.train(y)
                assert latest("lr") == 0.5
    assert values() == (None, None)


def test_optimizer_that_is_made_amid_a_pass_has_values_from_its_first_step() -> None:
    net, loader = Net(), make_loader(5)
    for number, x in enumerate(loader):
        if number == 2:
            net = Net(0.5)
        if number > 2:
            assert values() == (None, None)
        net.train(x)
        assert number < 2 or latest("lr") == 0.5


def test_rate_that_is_reset_after_a_pass_that_stays_open() -> None:
    net, loader = Net(), make_loader()
    batches = iter(loader)
    for _ in range(2):
        net.train(next(batches))
    net.optimizer.param_groups[0]["lr"] = 0.5
    for x in loader:
        assert latest("lr") == 0.5
        net.train(x)
        assert latest("lr") == 0.5


def test_optimizer_within_each_iteration_withdraws_the_counts() -> None:
    net = Net()
    for number, x in enumerate(make_loader()):
        inner = Net(0.5)
        inner.train(x)
        net.train(x)
        assert place() == (("train", 0, 0) if not number else (None, None, None))


def test_optimizer_that_trains_after_another_one_has_no_counts() -> None:
    first, second, loader = Net(), Net(0.2), make_loader()
    for epoch in range(3):
        for number, x in enumerate(loader):
            is_known = epoch > 1 or (epoch == 1 and number > 0)
            assert place() == (("train", epoch, 3 * epoch + number) if is_known else (None, None, None))
            first.train(x)
            assert place() == (("train", epoch, 3 * epoch + number) if epoch else (None, None, None))
            assert latest("lr") == (0.1 if epoch else None)
    for number, x in enumerate(loader):
        assert number == 0 or place() == (None, None, None)
        second.train(x)
        assert (place(), latest("lr")) == ((None, None, None), None)
        assert (latest("SGD.lr"), latest("SGD-1.lr")) == (0.1, 0.2)


def test_optimizers_with_one_loss() -> None:
    encoder, decoder = Net(0.1), Net(0.2, torch.optim.Adam)
    for number, x in enumerate(make_loader()):
        loss = encoder.loss(x) + decoder.loss(x)
        loss.backward()
        encoder.optimizer.step()
        decoder.optimizer.step()
        assert place() == ("train", 0, number)
        assert (latest("SGD.lr"), latest("Adam.lr"), latest("lr")) == (0.1, 0.2, None)
        assert latest("loss") == (loss.item() if number else None)


def test_optimizers_with_a_loss_each() -> None:
    first, second = Net(), Net(0.2)
    for x in make_loader():
        for net in (first, second):
            net.train(x)
            assert latest("loss") is None


def test_step_without_a_backward_is_no_step() -> None:
    net = Net()
    net.optimizer.step()
    assert place() == (None, None, None)
    for number, x in enumerate(make_loader()):
        net.train(x)
        assert place() == ("train", 0, number)


def test_models_of_earlier_trainings_are_freed() -> None:
    models = []
    for _ in range(2):
        net = Net()
        models.append(weakref.ref(net.model))
        for x in make_loader():
            net.train(x)
    del net
    gc.collect()
    assert [each() for each in models] == [None, None]


# -- steps


class Lookahead(torch.optim.Optimizer):
    def __init__(self, base: Any) -> None:
        super().__init__(base.param_groups, {})
        self.base = base

    def step(self, closure: Any = None) -> None:
        self.base.step()


def test_optimizer_that_calls_another_one_makes_one_step() -> None:
    net = Net()
    net.optimizer = Lookahead(net.optimizer)
    for number in range(4):
        loss = net.train(torch.ones(2, 2))
        assert (place(), latest("lr")) == ((None, None, number + 1), 0.1)
        assert latest("loss") == (pytest.approx(loss) if number else None)
    assert set(current_hub().log_scalars) == {"train/lr", "train/loss"}


def test_closure_that_fails_makes_no_step() -> None:
    net = Net()

    def fail() -> Any:
        raise ValueError("no loss")

    net.train(torch.ones(2, 2))
    with pytest.raises(ValueError, match="no loss") as caught:
        net.optimizer.step(fail)
    assert "runtimeinfo" not in "".join(traceback.format_tb(caught.value.__traceback__))
    net.train(torch.ones(2, 2))
    assert place() == (None, None, 2)


@pytest.mark.parametrize("lr", [0.1, 0.3])
def test_rate_that_is_set_in_the_body(lr: float) -> None:
    net = Net(lr)
    for number, x in enumerate(make_loader(4)):
        net.optimizer.param_groups[0]["lr"] = 0.1 * (number + 1)
        assert latest("lr") in {None, 0.1 * number, 0.1 * (number + 1), *([lr] if number else [])}
        net.train(x)
        assert latest("lr") == 0.1 * (number + 1)
    assert len(current_hub().get_scalar("train/lr").data[0]) == 4


def test_loss_with_a_reentrant_checkpoint() -> None:
    net = Net()
    for number, x in enumerate(make_loader()):
        x.requires_grad_()
        loss = checkpoint(net.loss, x, use_reentrant=True)
        net.optimizer.zero_grad()
        loss.backward()
        net.optimizer.step()
        assert latest("loss") == (pytest.approx(loss.item()) if number else None)


@pytest.mark.parametrize("has_loader", [True, False])
def test_accumulation_that_begins_with_a_step_has_no_loss(has_loader: bool) -> None:
    net, batches = Net(), make_loader(7)
    for number, x in enumerate(batches if has_loader else [torch.ones(2, 2)] * 7):
        (net.loss(x) / 3).backward()
        if number % 3 == 0:
            net.optimizer.step()
        assert latest("loss") is None


def test_backward_of_several_tensors_has_no_loss() -> None:
    net = Net()
    for x in make_loader():
        torch.autograd.backward([net.loss(x), net.loss(-x)])
        net.optimizer.step()
        net.optimizer.zero_grad()
        assert latest("loss") is None


def test_skipped_steps_of_a_scaler_are_no_accumulation() -> None:
    net, scaler = Net(), torch.amp.GradScaler("cpu", init_scale=4.0)
    for number, x in enumerate(make_loader(4)):
        net.optimizer.zero_grad()
        loss = net.loss(x * (1e30 if number == 2 else 1))
        scaler.scale(loss).backward()
        scaler.step(net.optimizer)
        scaler.update()
        assert (scaler.get_scale() < 4) is (number >= 2)
        assert place() == ("train", 0, number)
        assert latest("loss") in ({loss.item()} if number % 2 else {loss.item(), None})


class WithoutRate(torch.optim.Optimizer):
    def __init__(self, parameters: Any, **_: Any) -> None:
        super().__init__(parameters, {})

    def step(self, closure: Any = None) -> None:
        pass


def test_optimizer_without_a_rate() -> None:
    net = Net(kind=WithoutRate)
    for number, x in enumerate(make_loader()):
        loss = net.train(x)
        assert (place(), latest("lr"), latest("loss")) == (("train", 0, number), None, loss if number else None)


def test_compiled_step_of_one_graph_is_not_followed() -> None:
    net, loader = Net(kind=Descent), make_loader()

    @torch.compile(backend="eager", fullgraph=True)
    def step() -> None:
        net.optimizer.step()

    for x in loader:
        net.optimizer.zero_grad()
        net.loss(x).backward()
        before = net.model.weight.clone()
        step()
        assert not torch.equal(before, net.model.weight)
        assert (place(), latest("loss")) == ((None, None, None), None)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # dynamo asks a loss for it
def test_compiled_step_with_its_backward_is_as_without_the_inference(inferring: Part) -> None:
    def count_graphs() -> int:
        graphs = []

        def backend(graph: Any, _: Any) -> Any:
            graphs.append(graph)
            return graph

        torch._dynamo.reset()
        net = Net()
        step = torch.compile(net.train, backend=backend)
        for number, x in enumerate(make_loader()):
            loss = step(x)
            assert not inferring.is_active or (place(), latest("lr")) == (("train", 0, number), 0.1)
            assert latest("loss") in {loss, None}
        return len(graphs)

    metrics = pytest.importorskip("torch._dynamo.utils")
    metrics.clear_compilation_metrics()
    with_inference = count_graphs()
    compiled = [Path(each.co_filename) for each in metrics.get_compilation_metrics()]
    assert compiled
    assert not [each for each in compiled if "runtimeinfo_adapters" in each.parts]
    inferring.withdraw()
    assert count_graphs() == with_inference


class Descent(torch.optim.Optimizer):
    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad * group["lr"])


# -- other runs


def test_explicit_loop_wins() -> None:
    net = Net()
    with Loop(net.optimizer, make_loader(), max_epochs=1).run() as loop:
        for _ in loop.epochs():
            for number, x in enumerate(loop.train()):
                net.train(x)
                assert place() == ("train", 0, number)
                assert current_hub().get_info("inferred") is None
    for x in make_loader():  # the same training goes on, and is not inferred
        net.train(x)
        assert current_hub().runtime_info == {}


def test_run_that_begins_amid_a_training_ends_the_inference() -> None:
    net, hub = Net(), MessageHub("test-plain-loop")
    for number, x in enumerate(make_loader(4)):
        net.train(x)
        if number == 1:
            with use_hub(hub):
                net.train(x)
        assert place() == (("train", 0, number) if number < 1 else (None, None, None))


def test_trainings_in_two_threads_read_their_own() -> None:
    barrier = threading.Barrier(2)
    wrong: list[Any] = []

    def train(lr: float, epochs: int) -> None:
        net, loader = Net(lr), make_loader()
        for epoch in range(epochs):
            for number, x in enumerate(loader):
                barrier.wait(20)
                net.train(x)
                barrier.wait(20)
                if (place(), latest("lr")) != (("train", epoch, 3 * epoch + number), lr):
                    wrong.append((lr, epoch, number, place()))

    threads = [threading.Thread(target=train, args=arguments) for arguments in ((0.1, 2), (0.2, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def in_fork(function: Callable[[], Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, repr(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_forked_child_that_trains_reads_its_own() -> None:
    def train() -> list[Any]:
        net = Net(0.2)
        seen: list[Any] = [place()]
        for x in make_loader():
            seen.append(place()[1:])
            net.train(x)
            seen.append((*place(), latest("lr")))
        return seen

    net, loader = Net(), make_loader()
    for _ in range(2):
        for x in loader:
            net.train(x)
    assert place() == (None, 2, 6)
    told = ["train"]
    expected = [(None, None, None), (None, None), (*told, 0, 0, 0.2), (0, 1), (*told, 0, 1, 0.2), (0, 2)]
    assert in_fork(train) == repr([*expected, (*told, 0, 2, 0.2)])
    net.train(torch.ones(2, 2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_forked_child_that_goes_on_with_the_training_is_told_nothing() -> None:
    def go_on() -> list[Any]:
        seen = []
        for x in batches:
            seen.append((place(), values()))
            net.train(x)
            seen.append((place(), values()))
        return seen

    net = Net()
    batches = iter(make_loader(4))
    net.train(next(batches))
    net.train(next(batches))
    assert in_fork(go_on) == repr([((None, None, None), (None, None))] * 4)
    net.train(next(batches))
    assert place() == ("train", 0, 2)


# -- safety


class Failing(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise OSError(f"no item {index}")


def test_exceptions_show_no_frame_of_ours() -> None:
    for fail in (
        lambda: next(iter(DataLoader(Failing()))),
        lambda: torch.ones(2, requires_grad=True).backward(),
        lambda: iter(DataLoader([1], batch_sampler=5)),
        lambda: next(iter(DataLoader([]))),
    ):
        with pytest.raises((OSError, RuntimeError, TypeError, StopIteration)) as caught:
            fail()
        assert "runtimeinfo_adapters" not in "".join(traceback.format_tb(caught.value.__traceback__))


def test_error_of_the_inference_withdraws_it(monkeypatch: pytest.MonkeyPatch, inferring: Part) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("ours")

    net, patched = Net(), torch.autograd.backward
    for x in make_loader(3):
        net.train(x)
    assert place() == (None, 1, 3)
    monkeypatch.setattr(InferredRun, "set_training", fail)
    with pytest.warns(AutopublishWarning, match="ours"):
        batches = list(make_loader(2))
    assert len(batches) == 2
    assert not inferring.is_active
    assert torch.autograd.backward is not patched
    monkeypatch.undo()
