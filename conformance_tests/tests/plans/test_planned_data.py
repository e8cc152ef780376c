from __future__ import annotations

import pytest

from runtimeinfo_conformance import Batch, Plan


@pytest.mark.parametrize("sized", [True, False])
def test_a_loader_gives_its_batches_in_order(sized: bool) -> None:
    loader = Plan(batches=3, sized=sized, outputs=(("loss", "float"),)).train_dataloader()
    assert hasattr(loader, "__len__") is sized
    batches = list(loader)
    assert [(batch.stage, batch.index) for batch in batches] == [("train", 0), ("train", 1), ("train", 2)]
    assert [batch.outputs for batch in batches] == [{"loss": 0.5}, {"loss": 1.0}, {"loss": 1.5}]
    # In the next epoch the outputs go on.
    assert next(iter(loader)).outputs == {"loss": 2.0}


def test_outputs_of_a_resumed_training_go_on() -> None:
    plan = Plan(max_epochs=3, batches=2, start_epoch=1, outputs=(("loss", "float"),))
    assert plan.start_iteration == 2
    assert next(iter(plan.train_dataloader())).outputs == plan.outputs_of(2) == {"loss": 1.5}


def test_data_without_batches() -> None:
    plan = Plan()
    assert list(plan.val_dataloader()) == list(plan.test_dataloader()) == []
    with pytest.raises(IndexError):
        plan.train_dataset()[1]


def test_only_the_training_data_has_metainfo() -> None:
    plan = Plan(metainfo={"classes": ["cat"]}, val_batches=1)
    assert plan.train_dataset().metainfo == {"classes": ["cat"]}
    assert not hasattr(plan.val_dataset(), "metainfo")
    assert not hasattr(Plan().train_dataset(), "metainfo")


def test_batches_of_an_evaluation_have_no_outputs() -> None:
    plan = Plan(val_batches=1, test_batches=2, outputs=(("loss", "float"),))
    assert list(plan.val_dataloader()) == [Batch("val", 0, {})]
    assert [batch.index for batch in plan.test_dataloader()] == [0, 1]


@pytest.mark.parametrize(("stop_after", "where"), [(1, (0, 0)), (3, (0, 2)), (4, (1, 0)), (6, (1, 2)), (None, None)])
def test_the_batch_says_when_to_stop(stop_after: int | None, where: tuple[int, int] | None) -> None:
    loader = Plan(max_epochs=2, batches=3, stop_after=stop_after).train_dataloader()
    stops = [(epoch, batch.index) for epoch in range(2) for batch in loader if batch.stop]
    assert stops == ([where] if where else [])


@pytest.mark.parametrize(
    "indices", [[0, 1, 2, 0, 1, 2], [1, 2, 0, 1, 2], [2, 0, 1, 2], [2, 2, 2]], ids=["0", "1", "2", "only the last"]
)
def test_a_loader_may_begin_anywhere_in_the_data(indices: list[int]) -> None:
    """A framework may skip what a resumed epoch has behind it by its sampler, or by drawing it."""
    plan = Plan(max_epochs=3, batches=3, outputs=(("loss", "float"),), start_epoch=1, start_batch=indices[0])
    dataset = plan.train_dataset()
    turns, epoch, last = [], 1, -1
    for index in indices:
        epoch += index <= last
        last = index
        turns.append(epoch * 3 + index)
    assert [dataset[index].outputs for index in indices] == [plan.outputs_of(turn) for turn in turns]
    assert turns[0] == plan.start_iteration
