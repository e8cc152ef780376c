from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from simple_trainer import Trainer, correct

from runtimeinfo import SkippedOutputWarning
from runtimeinfo_conformance import Fault, Plan, Subject
from runtimeinfo_conformance.guards import Guard, Watch
from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.observation import Probe, observer_of
from runtimeinfo_conformance.observation._execution import HOOK_ORDERS, execute


def subject_of(run: Any) -> Subject:
    return Subject("any", "1", run=run)


def test_a_plan_gives_one_leg() -> None:
    (leg,) = execute(correct(), Plan(batches=2))
    assert leg.ended_well
    assert [record.event for record in leg.records].count("before_train_iter") == 2
    assert leg.final_info is not None
    assert leg.final_info["max_iters"] == 2


def test_a_resume_gives_two_legs_of_one_training() -> None:
    first, second = execute(correct(), Plan(max_epochs=3, batches=2, seed=4, resume_after=2, test_batches=1))
    assert second.previous is first
    assert first.raised is first.planned
    assert isinstance(first.planned, KeyboardInterrupt)
    assert [record.event for record in first.records].count("after_train_iter") == 4
    assert [record.event for record in second.records].count("after_train_iter") == 2
    assert (second.plan.start_epoch, second.plan.seed) == (2, 5)
    assert second.plan.experiment_name != first.plan.experiment_name
    assert "before_test" not in {record.event for record in first.records}
    checkpoint = first.plan.checkpoint
    assert checkpoint == second.plan.resume_from
    assert checkpoint is not None
    assert not checkpoint.exists()


def test_without_a_first_leg_there_is_no_second() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise ValueError

    (leg,) = execute(subject_of(run), Plan(max_epochs=2, resume_after=1))
    assert isinstance(leg.raised, ValueError)


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), GeneratorExit()])
def test_exceptions_are_recorded(error: BaseException) -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise error

    (leg,) = execute(subject_of(run), Plan())
    assert leg.raised is error
    assert not leg.ended_well


def test_a_planned_interrupt_is_noted_and_the_users_own_comes_out() -> None:
    (leg,) = execute(correct(), Plan(fault=Fault("before_train_iter", kind="interrupt")))
    assert leg.raised is leg.planned
    assert isinstance(leg.raised, KeyboardInterrupt)

    def run(plan: Plan, hooks: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(subject_of(run), Plan())


def test_each_run_has_a_name_of_its_own() -> None:
    names = {execute(correct(), Plan())[0].plan.experiment_name for _ in range(3)}
    assert len(names) == 3


def test_hooks_come_in_each_order_that_keeps_equals_in_place() -> None:
    orders: set[tuple[str, ...]] = set()

    def run(plan: Plan, hooks: Any) -> None:
        probes = [observer_of(hook) for hook in hooks]
        orders.add(tuple(probe.name for probe in probes if isinstance(probe, Probe)))

    for order in range(HOOK_ORDERS + 1):
        execute(subject_of(run), Plan(hook_order=order))
    assert len(orders) == HOOK_ORDERS == 12
    assert all(order.index("second") < order.index("third") for order in orders)


def test_the_kits_own_warnings_are_kept_back_and_others_are_not() -> None:
    (leg,) = execute(correct(), Plan(outputs=(("text", "text"),)))
    assert leg.raised is None

    def run(plan: Plan, hooks: Any) -> None:
        warnings.warn("the runner's own", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="the runner's own"):
        execute(subject_of(run), Plan())
    with pytest.warns(SkippedOutputWarning):
        warnings.warn("outside of a run", SkippedOutputWarning, stacklevel=1)


def test_no_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[Path] = []

    def run(plan: Plan, hooks: Any) -> None:
        assert plan.checkpoint or plan.resume_from
        seen.append(next(tmp_path.iterdir()))
        Trainer(plan, hooks).fit()

    assert len(execute(subject_of(run), Plan(max_epochs=2, resume_after=1))) == 2
    assert len(seen) == 2
    assert list(tmp_path.iterdir()) == []


# -- again


def test_a_training_that_is_made_again_gives_two_legs_of_one_call() -> None:
    calls: list[Plan] = []

    def run(plan: Plan, hooks: Any) -> None:
        calls.append(plan)
        correct().run(plan, hooks)

    first, second = execute(subject_of(run), Plan(batches=2, again=True, outputs=(("loss", "float"),)))
    assert len(calls) == 1
    assert second.first is first
    assert first.hub is not second.hub
    for leg in (first, second):
        assert [record.event for record in leg.records].count("after_train_iter") == 2
        assert [leg.records[0].event, leg.records[-1].event] == ["before_run", "after_run"]
        assert leg.final_info is not None
        assert leg.final_info["iter"] == 2
        assert {glance.at for glance in leg.glances} <= set(range(len(leg.records)))
        assert [read.item.index for read in leg.reads] == [0, 1]


def test_a_training_that_fails_is_not_made_again() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise ValueError

    (leg,) = execute(subject_of(run), Plan(again=True))
    assert isinstance(leg.raised, ValueError)


def test_second_exception_belongs_to_the_second_leg() -> None:
    class RunsOutOfMemory(Trainer):
        fits = 0

        def run(self) -> None:
            RunsOutOfMemory.fits += 1
            if RunsOutOfMemory.fits == 2:
                raise MemoryError
            super().run()

    first, second = execute(
        subject_of(lambda plan, hooks: RunsOutOfMemory(plan, hooks).fit_as_often_as_planned()), Plan(again=True)
    )
    assert first.ended_well
    assert isinstance(second.raised, MemoryError)


# -- in mid-epoch


def count(leg: Any, event: str) -> int:
    return [record.event for record in leg.records].count(event)


def test_a_training_is_interrupted_and_goes_on_in_mid_epoch() -> None:
    plan = Plan(max_epochs=2, batches=3, resume_after=1, resume_batch=2, outputs=(("loss", "float"),))
    first, second = execute(correct(), plan)
    assert second.previous is first
    assert first.records[first.fault_at or 0].event == "before_train_iter"
    assert count(first, "after_train_epoch") == 2  # the second one closed as the run was aborted
    assert (count(first, "before_train_iter"), count(second, "before_train_iter")) == (6, 1)
    assert (second.plan.start_epoch, second.plan.start_batch, second.plan.start_iteration) == (1, 2, 5)
    assert (first.plan.checkpoint_iterations, second.plan.checkpoint_iterations) == (True, False)
    assert second.plan.checkpoint is None
    assert second.ended_well
    (begin,) = [record for record in second.records if record.event == "before_train"]
    assert (begin.epoch, begin.iter) == (1, 5)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"stopped_by": "stop"}, {"stop_after": 5}),
        ({"stopped_by": "iterations", "iterations": 6}, {"iterations": 5}),
    ],
    ids=lambda given: str(sorted(given)),
)
def test_a_training_is_stopped_in_mid_epoch_and_goes_on(given: dict[str, Any], asked: dict[str, int]) -> None:
    first, second = execute(correct(), Plan(max_epochs=2, batches=3, resume_after=1, resume_batch=2, **given))
    assert first.ended_well
    assert {name: getattr(first.plan, name) for name in asked} == asked
    assert (count(first, "before_train_iter"), count(second, "before_train_iter")) == (5, 1)
    assert (second.plan.start_epoch, second.plan.start_batch) == (1, 2)
    assert (second.plan.stop_after, second.plan.iterations) == (None, given.get("iterations"))


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_training_goes_on_after_the_last_batch_of_an_epoch(epoch: int) -> None:
    first, second = execute(correct(), Plan(max_epochs=2, batches=3, resume_after=epoch, resume_batch=3))
    assert (first.plan.checkpoint_epochs, first.plan.checkpoint_iterations) == (False, True)
    assert first.records[first.fault_at or 0].event == ("after_train" if epoch else "before_train_epoch")
    assert count(second, "before_train_iter") == 3 * (1 - epoch)
    assert count(second, "before_train_epoch") == 2 - epoch, "the epoch is opened once more"


def test_a_training_that_goes_on_to_the_end_of_its_epoch_is_not_resumed_in_it() -> None:
    class FinishesItsEpoch(Trainer):
        def train_batches(self) -> None:
            for index, batch in enumerate(self.train_dataloader):
                self.train_iter(index, batch)
                self.iter += 1
                self.has_stopped = self.has_stopped or batch.stop

    plan = Plan(batches=3, resume_after=0, resume_batch=1, stopped_by="stop")
    (leg,) = execute(subject_of(lambda plan, hooks: FinishesItsEpoch(plan, hooks).fit()), plan)
    assert leg.ended_well


def test_a_training_is_interrupted_in_its_first_epoch() -> None:
    first, second = execute(correct(), Plan(batches=2, resume_after=0, resume_batch=1))
    assert (count(first, "before_train_iter"), count(second, "before_train_iter")) == (2, 1)
    assert second.plan.start_iteration == 1


def test_between_epochs_only_whole_epochs_are_saved() -> None:
    first, _ = execute(correct(), Plan(max_epochs=2, batches=3, resume_after=1))
    assert not first.plan.checkpoint_iterations
    assert first.records[first.fault_at or 0].event == "before_train_epoch"


def test_a_training_that_is_to_fail_as_it_is_saved_is_saved() -> None:
    (leg,) = execute(correct(), Plan(fault=Fault("before_save_checkpoint")))
    assert leg.plan.checkpoint is not None
    assert (leg.plan.checkpoint_epochs, leg.plan.checkpoint_iterations) == (True, False)
    fault = Fault("before_save_checkpoint")
    _, second = execute(correct(), Plan(batches=2, resume_after=0, resume_batch=1, fault=fault))
    assert (second.plan.checkpoint_epochs, second.plan.checkpoint_iterations) == (True, True)


def test_a_run_without_a_name_goes_on_from_one_that_has_a_name() -> None:
    first, second = execute(correct(), Plan(max_epochs=2, experiment_name=None, seed=None, resume_after=1))
    assert isinstance(first.plan.experiment_name, str)
    assert first.plan.seed is not None
    assert (second.plan.experiment_name, second.plan.seed) == (None, None)
    assert second.reads != []
    assert second.ended_well


# -- once more


def test_a_training_is_run_once_more() -> None:
    first, second = execute(correct(), Plan(batches=2, repeat=True))
    assert first.first is None
    assert second.first is first
    assert first.ended_well
    assert second.ended_well
    assert [record.event for record in first.records] == [record.event for record in second.records]
    assert first.plan.experiment_name == second.plan.experiment_name


def test_something_may_fail_in_between() -> None:
    fault = Fault("before_train_iter")
    first, between, second = execute(correct(), Plan(batches=2, repeat=True, fault=fault))
    assert (first.plan.fault, between.plan.fault, second.plan.fault) == (None, fault, None)
    assert between.raised is between.planned
    assert between.planned is not None
    assert between.first is None
    assert second.first is first
    assert (first.ended_well, between.ended_well, second.ended_well) == (True, False, True)


def test_a_first_run_that_crashes_is_noted_and_compared_with_nothing() -> None:
    calls: list[int] = []

    def run(plan: Plan, hooks: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        Trainer(plan, hooks).fit()

    first, second = execute(subject_of(run), Plan(repeat=True))
    assert isinstance(first.raised, ZeroDivisionError)
    assert second.first is first
    assert not first.ended_well
    assert list(JUDGES["LIFE-10"](Case(second))) == []


def test_a_training_that_is_resumed_is_repeated_leg_by_leg() -> None:
    legs = execute(correct(), Plan(max_epochs=2, resume_after=1, repeat=True))
    assert [leg.first for leg in legs] == [None, None, *legs[:2]]
    assert [leg.previous for leg in legs] == [None, legs[0], None, legs[2]]


def test_a_training_is_saved_and_goes_on_several_times() -> None:
    plan = Plan(max_epochs=3, batches=3, resume_after=0, resume_batch=1, later_resumes=((1, 2), (2, 0)))
    legs = execute(correct(), plan)
    assert [leg.previous for leg in legs] == [None, *legs[:-1]]
    assert [leg.plan.start_iteration for leg in legs] == [0, 1, 5, 6]
    assert [leg.records[-1].iter for leg in legs] == [1, 5, 6, 9]
    assert len({leg.plan.experiment_name for leg in legs}) == len({leg.plan.seed for leg in legs}) == 4
    assert legs[-1].ended_well


def test_a_training_fails_after_it_has_gone_on() -> None:
    fault = Fault("before_train_iter", 1, "system_exit")
    first, second = execute(correct(), Plan(max_epochs=3, resume_after=1, fault=fault))
    assert isinstance(first.raised, KeyboardInterrupt)
    assert isinstance(second.raised, SystemExit)
    assert second.raised is second.planned
    assert second.records[-1].iter == 2


def test_a_training_is_stopped_after_it_has_gone_on() -> None:
    first, second = execute(correct(), Plan(max_epochs=3, batches=2, resume_after=1, stop_after=5))
    assert (count(first, "before_train_iter"), count(second, "before_train_iter")) == (2, 3)
    assert second.ended_well


def test_no_two_runs_on_a_plan_have_the_same_values_and_names() -> None:
    plan = Plan(outputs=(("loss", "float"),))
    legs = [leg for _ in range(10) for leg in execute(correct(), plan)]
    assert len({leg.plan.experiment_name for leg in legs}) == 10
    assert len({leg.records[-1].scalars["train/loss"] for leg in legs}) > 5


@pytest.mark.parametrize("kind", ["system_exit", "generator_exit", "stop_iteration", "custom_base"])
def test_planned_fault_is_not_blamed_on_the_subject(kind: Any) -> None:
    guard = Guard()
    watches: list[Watch] = []

    def watching() -> Watch:
        watches.append(guard.watching())
        return watches[-1]

    (leg,) = execute(correct(), Plan(fault=Fault("before_train_iter", kind=kind)), watching)
    assert leg.raised is leg.planned is not None
    assert [watch.problem for watch in watches] == [None]


def test_a_stop_iteration_comes_out_as_what_python_makes_of_it() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        def train() -> Any:
            yield Trainer(plan, hooks).fit()

        next(train())

    (leg,) = execute(subject_of(run), Plan(fault=Fault("before_train_iter", kind="stop_iteration")))
    assert isinstance(leg.raised, RuntimeError)
    assert leg.is_planned(leg.raised)
    assert not leg.is_planned(RuntimeError("generator raised StopIteration"))
    assert not leg.is_planned(None)


# -- what stands around a run


def test_each_call_is_watched() -> None:
    entered: list[str] = []

    @contextmanager
    def watching() -> Generator[None]:
        entered.append("in")
        yield
        entered.append("out")

    execute(correct(), Plan(repeat=True), watching)
    assert entered == ["in", "out", "in", "out"]
