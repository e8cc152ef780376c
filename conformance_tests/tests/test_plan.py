from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from runtimeinfo import CAPABILITIES
from runtimeinfo_conformance import Batch, Fault, Plan
from runtimeinfo_conformance._strategies import plans


@given(plans(frozenset(CAPABILITIES)))
def test_a_plan_can_be_copied_from_its_repr(plan: Plan) -> None:
    assert eval(repr(plan), {"Plan": Plan, "Fault": Fault}) == plan


def test_a_repr_holds_only_what_is_not_usual() -> None:
    assert repr(Plan()) == "Plan()"
    assert repr(Plan(max_epochs=2, sized=False)) == "Plan(max_epochs=2, sized=False)"
    assert repr(Plan(resume_from=Path("here"))).startswith("Plan(resume_from=")


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


def test_totals_rates_and_metrics() -> None:
    plan = Plan(max_epochs=3, batches=2, schedule=True, metrics=(("acc", "float"), ("matrix", "vector")))
    assert plan.max_iters == 6
    assert [plan.lr_of(iteration) for iteration in range(3)] == [1.0, 0.5, 0.25]
    assert Plan().lr_of(5) == 1.0
    metrics: dict[str, Any] = plan.metrics_of(1)
    assert metrics["acc"] == 1.0
    assert metrics["matrix"].tolist() == [1.0, 0.0]


def test_which_outputs_are_scalars() -> None:
    plan = Plan(outputs=(("loss", "float"), ("text", "text")))
    assert plan.scalar_outputs(1) == {"loss": 1.0}
