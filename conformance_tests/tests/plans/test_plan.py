from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from simple_trainer import correct

from runtimeinfo.spec import CAPABILITIES
from runtimeinfo_conformance import Batch, Fault, Plan
from runtimeinfo_conformance.observation._execution import execute
from runtimeinfo_conformance.plans._plan import PlanError
from runtimeinfo_conformance.search._strategies import plans


@given(plans(frozenset(CAPABILITIES)))
def test_a_plan_can_be_copied_from_its_repr(plan: Plan) -> None:
    assert eval(repr(plan), {"Plan": Plan, "Fault": Fault}) == plan


def test_a_repr_holds_only_what_is_not_usual() -> None:
    assert repr(Plan()) == "Plan()"
    assert repr(Plan(max_epochs=2, sized=False)) == "Plan(max_epochs=2, sized=False)"
    assert repr(Plan(resume_from=Path("here"))).startswith("Plan(resume_from=")


def test_totals_rates_and_metrics() -> None:
    plan = Plan(max_epochs=3, batches=2, schedule=True, metrics=(("acc", "float"), ("matrix", "vector")))
    assert plan.max_iters == 6
    assert [plan.lr_of(iteration) for iteration in range(3)] == [1.0, 0.5, 0.25]
    assert Plan().lr_of(5) == 1.0
    rates = {plan.lr_of(iteration, *place) for iteration in range(9) for place in itertools.product(range(3), range(3))}
    assert len(rates) == 81, "no rate of a group or an optimizer is that of another one, or becomes it"
    assert all(rate == float(np.float32(rate)) for rate in rates)
    metrics: dict[str, Any] = plan.metrics_of(1)
    assert metrics["acc"] == 1.0
    assert metrics["matrix"].tolist() == [1.0, 0.0]


def test_epochs_of_different_lengths() -> None:
    plan = Plan(max_epochs=3, lengths=(1, 3, 2))
    assert plan.max_iters == 6
    assert [plan.length_of(epoch) for epoch in range(3)] == [1, 3, 2]
    assert [plan.iteration_of(epoch, 1) for epoch in range(3)] == [1, 2, 5]
    assert [Plan(batches=4).iteration_of(epoch, 1) for epoch in range(3)] == [1, 5, 9]


def test_scalar_outputs() -> None:
    plan = Plan(outputs=(("loss", "float"), ("text", "text")))
    assert plan.scalar_outputs(1) == {"loss": 1.0}


# -- what cannot be


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_epochs": -1}, "max_epochs must be at least 0, but is -1"),
        ({"batches": -1}, "batches must be at least 0, but is -1"),
        ({"val_batches": -1}, "val_batches must be at least 0, but is -1"),
        ({"test_batches": -1}, "test_batches must be at least 0, but is -1"),
        ({"hook_order": -1}, "hook_order must be at least 0, but is -1"),
        ({"resume_after": -1}, "resume_after must be at least 0, but is -1"),
        ({"resume_batch": -1}, "resume_batch must be at least 0, but is -1"),
        ({"val_loaders": 0}, "val_loaders must be at least 1, but is 0"),
        ({"val_interval": 0}, "val_interval must be at least 1, but is 0"),
        ({"groups": 0}, "groups must be at least 1, but is 0"),
        ({"accumulation": 0}, "accumulation must be at least 1, but is 0"),
        ({"stop_after": 0}, "stop_after must be one of the 1 iterations, but is 0"),
        ({"max_epochs": 2, "batches": 3, "stop_after": 7}, "stop_after must be one of the 6 iterations, but is 7"),
        ({"batches": 0, "stop_after": 1}, "stop_after must be one of the 0 iterations, but is 1"),
        ({"resume_after": 1}, "resume_after must lie within the training of 1 epochs, but is 1"),
        ({"max_epochs": 2, "resume_after": 0}, "resume_after must lie within the training of 2 epochs, but is 0"),
        ({"max_epochs": 2, "batches": 2, "resume_batch": 1}, "resume_batch goes with resume_after, and must not be"),
        ({"batches": 2, "resume_after": 0, "resume_batch": 3}, "resume_batch goes with resume_after, and must not be"),
        (
            {"batches": 2, "resume_after": 0, "resume_batch": 2, "outputs": (("loss", "float"),)},
            "resume_batch is all the batches, and goes without outputs",
        ),
        ({"iterations": 0}, "iterations must be at least 1, but is 0"),
        *(
            ({"max_epochs": 2, "lengths": (1, 2), **given}, "lengths has a number from 1 for each of the")
            for given in (
                {"max_epochs": 3},
                {"lengths": (0, 1)},
                {"sized": False},
                {"iterations": 1},
                {"val_interval": 1},
                {"stop_after": 1},
                {"resume_after": 1},
            )
        ),
        *(
            ({"max_epochs": 2, "again": True, **given}, "again goes with a training alone: leave out lengths")
            for given in (
                {"batches": 0},
                {"lengths": (1, 2)},
                {"val_before": True},
                {"val_after": True},
                {"test_batches": 1},
                {"resume_after": 1},
            )
        ),
        ({"iterations": 2, "batches": 2, "stop_after": 1}, "iterations is a bound already"),
        (
            {"max_epochs": 2, "batches": 2, "resume_after": 1, "stop_after": 2},
            "stop_after must come after the 2 iterations that are saved, but is 2",
        ),
        ({"max_epochs": 2, "resume_after": 1, "stopped_by": "stop"}, "stopped_by='stop' ends an epoch, with its last"),
        ({"iterations": 2, "resume_after": 1, "stopped_by": "iterations"}, "stopped_by='iterations' ends an epoch"),
        *(
            ({name: None, other: True}, "experiment_name and seed tell runs apart")
            for name in ("seed", "experiment_name")
            for other in ("repeat", "again")
        ),
        ({"seed": None, "company": "strangers"}, "experiment_name and seed tell runs apart"),
        *(
            ({"max_epochs": 2, "batches": 2, "resume_after": 0, "resume_batch": 1, **given}, "later_resumes goes with")
            for given in (
                {"later_resumes": ((0, 1),)},
                {"later_resumes": ((1, 0), (0, 1))},
                {"later_resumes": ((2, 0),)},
                {"later_resumes": ((1, 2),)},
                {"later_resumes": ((1, 0),), "iterations": 4, "stopped_by": "iterations"},
            )
        ),
        ({"max_epochs": 2, "later_resumes": ((1, 0),)}, "later_resumes goes with"),
        ({"company": "beside", "fault": Fault("before_run", kind="interrupt")}, "company='beside' trains in another"),
        ({"company": "in_turn", "fault": Fault("before_run", kind="stop_iteration")}, "company='in_turn' is stepped"),
        ({"iterations": 1, "batches": 0}, "iterations goes with batches, each of which makes one optimizer step"),
        ({"iterations": 1, "accumulation": 2}, "iterations goes with batches, each of which makes one optimizer step"),
        ({"iterations": 1, "optimizers": ("a",)}, "iterations goes with batches, each of which makes one optimizer"),
        (
            {"iterations": 3, "batches": 2, "resume_after": 1, "resume_batch": 1},
            "resume_after and resume_batch must lie within the 3 iterations, but are 1 and 1",
        ),
        ({"batches": 2, "resume_after": 0, "resume_batch": 1, "stopped_by": "iterations"}, "stopped_by='iterations'"),
        (
            {"iterations": 2, "batches": 2, "sized": False, "resume_after": 0, "resume_batch": 1},
            "iterations goes with resume_after only if the length of the loader tells where an epoch ends",
        ),
    ],
    ids=str,
)
def test_there_is_no_such_training(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=f"^{message}"):
        Plan(**given)


def test_the_edges_of_what_can_be() -> None:
    assert Plan(max_epochs=0, batches=0, val_batches=0, test_batches=0).max_iters == 0
    assert Plan(max_epochs=2, batches=3, stop_after=6).stop_after == 6
    assert Plan(max_epochs=2, batches=3, resume_after=1, resume_batch=2).resume_batch == 2
    assert Plan(batches=2, resume_after=0, resume_batch=1).resume_after == 0
    assert Plan(batches=2, resume_after=0, resume_batch=2).resume_batch == 2
    assert Plan(iterations=4, batches=2, resume_after=1, resume_batch=2).resume_after == 1


def test_a_training_that_is_asked_for_iterations() -> None:
    plan = Plan(max_epochs=9, iterations=5, batches=2)
    assert (plan.max_iters, plan.epochs, plan.is_cut_short) == (5, 3, True)
    assert (Plan(max_epochs=9, batches=2).epochs, Plan(max_epochs=9).is_cut_short) == (9, False)


# -- what it takes


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        ({}, set()),
        ({"max_epochs": 3, "batches": 2, "groups": 2, "seed": 7, "hook_order": 3, "repeat": True}, set()),
        ({"fault": Fault("before_run")}, set()),
        ({"val_batches": 0}, {"val"}),
        ({"val_batches": 1, "val_loaders": 2}, {"val", "val_loaders"}),
        ({"val_batches": 1, "val_interval": 1}, {"val", "val_inside"}),
        ({"val_batches": 1, "val_before": True}, {"val", "val_before"}),
        ({"val_batches": 1, "val_after": True}, {"val", "val_after"}),
        ({"test_batches": 0}, {"test"}),
        ({"outputs": (("loss", "float"),)}, {"outputs"}),
        ({"metrics": (("acc", "float"),)}, {"metrics"}),
        ({"metainfo": {}}, {"metainfo"}),
        ({"sized": False}, {"unsized"}),
        ({"schedule": True}, {"scheduler"}),
        ({"optimizers": ("a", "b")}, {"optimizers"}),
        ({"accumulation": 2}, {"accumulation"}),
        ({"stop_after": 1}, {"early_stop"}),
        ({"max_epochs": 2, "resume_after": 1}, {"resume"}),
        ({"batches": 2, "resume_after": 0, "resume_batch": 1}, {"resume", "resume_mid_epoch"}),
        ({"iterations": 1}, {"iterations"}),
        ({"again": True}, {"again"}),
        ({"max_epochs": 2, "lengths": (1, 2)}, {"changing_length"}),
        ({"iterations": 3, "batches": 2, "resume_after": 1}, {"iterations", "resume", "resume_mid_epoch"}),
        (
            {"batches": 2, "resume_after": 0, "resume_batch": 1, "stopped_by": "stop"},
            {"early_stop", "resume", "resume_mid_epoch"},
        ),
    ],
    ids=lambda value: ", ".join(sorted(value)) or "nothing",
)
def test_it_needs_the_capabilities_that_it_uses(given: dict[str, Any], needs: set[str]) -> None:
    assert Plan(**given).needs == needs


def test_each_capability_is_needed_by_something() -> None:
    plan = Plan(
        max_epochs=2, batches=2, sized=False, val_batches=0, val_loaders=2, val_interval=1, val_before=True,
        val_after=True, test_batches=0, outputs=(("loss", "float"),), metrics=(("acc", "float"),), metainfo={},
        schedule=True, optimizers=("a",), accumulation=2, stop_after=2, resume_after=0, resume_batch=1,
    )  # fmt: skip
    # A run is shared, and a batch begins, whatever it does: no plan asks for that.
    others = [Plan(iterations=1), Plan(again=True), Plan(lengths=(1,))]
    others += [Plan(company="beside"), Plan(company="nested"), Plan(company="in_turn")]
    assert plan.needs.union(*(other.needs for other in others)) == CAPABILITIES.keys() - {"share", "batch_begin"}


# -- validations


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"max_epochs": 3, "val_before": True}, 0),
        ({"max_epochs": 3, "val_batches": 0}, 3),
        ({"max_epochs": 3, "val_batches": 0, "val_loaders": 2}, 3),
        ({"max_epochs": 3, "val_batches": 1, "val_before": True, "val_after": True}, 5),
        ({"max_epochs": 0, "val_batches": 1}, 0),
        ({"max_epochs": 0, "val_batches": 1, "val_before": True}, 1),
        ({"max_epochs": 2, "batches": 3, "val_batches": 1, "val_interval": 1}, 6),
        ({"max_epochs": 2, "batches": 3, "val_batches": 1, "val_interval": 2, "val_after": True}, 3),
        ({"max_epochs": 2, "batches": 3, "val_batches": 1, "val_interval": 4}, 0),
        # a training that goes on
        ({"max_epochs": 3, "val_batches": 1, "start_epoch": 1}, 2),
        ({"max_epochs": 2, "batches": 3, "val_batches": 1, "val_interval": 1, "start_batch": 2}, 4),
    ],
    ids=str,
)
def test_how_many_validations_it_makes(given: dict[str, Any], count: int) -> None:
    assert Plan(**given).validations == count


@pytest.mark.parametrize(
    "given", [{}, {"val_interval": 2}, {"val_before": True}, {"val_loaders": 2, "val_after": True}]
)
def test_a_runner_that_asks_makes_as_many(given: dict[str, Any]) -> None:
    plan = Plan(max_epochs=2, batches=3, val_batches=1, **given)
    (leg,) = execute(correct(), plan)
    assert sum(record.event == "before_val" for record in leg.records) == plan.validations


def test_when_to_validate() -> None:
    inside, after = Plan(batches=4, val_batches=1, val_interval=2), Plan(batches=4, val_batches=1)
    assert [inside.validates_after(batch) for batch in range(4)] == [False, True, False, True]
    assert [after.validates_after(batch) for batch in range(4)] == [False] * 4
    assert (inside.validates_after_epoch, after.validates_after_epoch) == (False, True)
    assert not Plan(val_interval=1).validates_after(0)
    assert not Plan().validates_after_epoch


def test_each_validation_loader_has_one_batch_more() -> None:
    plan = Plan(val_batches=1, val_loaders=3)
    assert [len(list(plan.val_dataloader(loader))) for loader in range(3)] == [1, 2, 3]
    assert [len(plan.val_dataset(loader)) for loader in range(3)] == [1, 2, 3]
    assert plan.val_length(1) == 2
    assert list(plan.val_dataloader(2)) == [Batch("val", index, {}) for index in range(3)]
