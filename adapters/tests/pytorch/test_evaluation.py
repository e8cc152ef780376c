# ruff: noqa: PT012  # what raises here is a whole training
from __future__ import annotations

from typing import Any

import pytest
import torch

from runtimeinfo import LoopError, current_hub


@pytest.fixture(params=["val", "test"])
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_mid_epoch(make: Any, stage: str) -> None:
    loop = make(3, max_epochs=1)
    stages = []
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                if batch == "b":
                    with getattr(loop, stage)() as evaluation:
                        for _ in evaluation.batches([1]):
                            stages.append(current_hub().get_info("loop_stage"))
                        evaluation.log_metrics(acc=0.5)
                stages.append(current_hub().get_info("loop_stage"))
                loop.log(loss=1)
    assert stages == ["train", stage, "train", "train"]
    assert loop.told.story == f"run(train(epoch(iter()iter({stage}(epoch(iter())))iter())))"
    assert loop.told.given("before_train_iter", "batch_idx") == [0, 1, 2]
    assert loop.told.given("after_train_iter", "data_batch") == ["a", "b", "c"]
    assert (loop.epoch, loop.iter) == (1, 3)


def test_several_loaders_are_an_epoch_each(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run(), getattr(loop, stage)() as evaluation:
        for index, loader in enumerate(("ab", "c")):
            assert list(evaluation.batches(loader)) == list(loader)
            evaluation.log_metrics({f"acc_{index}": index})
    assert loop.told.story == f"run({stage}(epoch(iter()iter())epoch(iter())))"
    assert loop.told.given(f"before_{stage}_iter", "batch_idx") == [0, 1, 0]
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [{"acc_0": 0}, {"acc_1": 1}]


def test_several_loaders_with_metrics_for_all(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run(), getattr(loop, stage)() as evaluation:
        for loader in ("ab", "c"):
            list(evaluation.batches(loader))
        evaluation.log_metrics(acc=1)
    assert loop.told.story == f"run({stage}(epoch(iter()iter())epoch(iter())))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [None, {"acc": 1}]


def test_without_batches(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run():
        with getattr(loop, stage)() as evaluation:
            evaluation.log_metrics(acc=1)
        with getattr(loop, stage)():
            pass
        with getattr(loop, stage)() as evaluation:
            assert list(evaluation.batches([])) == []
    assert loop.told.story == f"run({stage}(epoch()){stage}(epoch()){stage}(epoch()))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [{"acc": 1}, None, None]


def test_batches_that_are_left(make: Any, stage: str) -> None:
    loop = make(None)

    def evaluate() -> None:
        with getattr(loop, stage)() as evaluation:
            for _ in evaluation.batches("ab"):
                return

    with loop.run():
        with getattr(loop, stage)() as evaluation:
            for batch in evaluation.batches("abc"):
                if batch == "a":
                    continue
                break
            evaluation.log_metrics(acc=1)
        evaluate()
        with pytest.raises(make.Boom), getattr(loop, stage)() as evaluation:
            for _ in evaluation.batches("ab"):
                raise make.Boom
    broken = f"{stage}(epoch(iter()iter()))"
    assert loop.told.story == f"run({broken}{stage}(epoch(iter())){stage}(epoch(iter(!))))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [{"acc": 1}, None, None]


def test_an_exception_handled_inside_does_not_end_it(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run(), getattr(loop, stage)() as evaluation:
        with pytest.raises(make.Boom):
            for _ in evaluation.batches("ab"):
                raise make.Boom
        assert current_hub().get_info("loop_stage") == stage
        evaluation.log_metrics(acc=1)
    assert loop.told.story == f"run({stage}(epoch(iter())))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [{"acc": 1}]


def test_metrics_that_are_tensors_change_their_kind(make: Any) -> None:
    loop = make(None)
    with loop.run():
        for metric in (torch.tensor(0.5), torch.zeros(2), 0.25):
            with loop.val() as val:
                val.log_metrics(acc=metric)
    assert loop.message_hub.get_scalar("val/acc").current() == 0.25
    assert loop.message_hub.get_info("val/acc") is None


# -- misuse


def test_metrics_twice(make: Any, stage: str) -> None:
    loop = make(None)
    message = rf"metrics\(\) was called already for this {stage}: give all metrics in one call, or iterate over batches"
    with loop.run(), getattr(loop, stage)() as evaluation:
        list(evaluation.batches("a"))
        evaluation.log_metrics(acc=1)
        with pytest.raises(LoopError, match=message):
            evaluation.log_metrics(loss=1)
    assert loop.told.story == f"run({stage}(epoch(iter())))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [{"acc": 1}]


def test_a_metric_twice(make: Any) -> None:
    loop = make(None)
    with loop.run(), loop.val() as val:
        with pytest.raises(LoopError, match="'acc' was given twice to log_metrics\\(\\)"):
            val.log_metrics({"acc": 1}, acc=2)
        val.log_metrics(acc=3)
    assert loop.message_hub.get_scalar("val/acc").data[0].tolist() == [3]


@pytest.mark.parametrize("values", [0.0, [], torch.tensor(0.0), "acc"])
def test_metrics_without_names(make: Any, values: Any) -> None:
    message = r"log_metrics\(\) takes values by name, as in log_metrics\(name=value\), but got"
    loop = make(None)
    with loop.run(), loop.val() as val, pytest.raises(LoopError, match=message):
        val.log_metrics(values)
    assert loop.told.given("after_val_epoch", "metrics") == [None]


def test_outside_of_its_block(make: Any, stage: str) -> None:
    loop = make(None)
    belongs = rf"\(\) belongs inside `with loop.{stage}\(\) as {stage}:`"
    with loop.run():
        evaluation = getattr(loop, stage)()
        with pytest.raises(LoopError, match=f"metrics{belongs}"):
            evaluation.log_metrics(acc=1)
        with evaluation:
            pass
        with pytest.raises(LoopError, match=f"batches{belongs}"):
            evaluation.batches([1])
        with getattr(loop, stage)(), pytest.raises(LoopError, match=f"metrics{belongs}"):
            evaluation.log_metrics(acc=1)
    assert loop.told.story == f"run({stage}(epoch()){stage}(epoch()))"


def test_entered_twice(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run():
        with getattr(loop, stage)() as evaluation:
            pass
        with pytest.raises(LoopError, match=rf"this {stage} was entered already; call loop.{stage}\(\) for each one"):
            evaluation.__enter__()
    assert loop.told.story == f"run({stage}(epoch()))"


def test_entered_where_it_cannot_be(make: Any, stage: str) -> None:
    loop = make(None)
    with loop.run():
        first, second = loop.val(), getattr(loop, stage)()
        with first, pytest.raises(LoopError, match=f"{stage}\\(\\) cannot be used inside a val"):
            second.__enter__()
    with pytest.raises(LoopError, match=rf"{stage}\(\) belongs inside `with loop.run\(\):`"):
        second.__enter__()
    assert loop.told.story == "run(val(epoch()))"


def test_entering_closes_what_was_left_since_it_was_made(make: Any, stage: str) -> None:
    loop = make(2)
    with loop.run():
        evaluation = getattr(loop, stage)()
        for _ in loop.train():
            break
        with evaluation:
            pass
    assert loop.told.story == f"run(train(epoch(iter()){stage}(epoch())))"


def test_a_pass_that_is_over(make: Any, stage: str) -> None:
    loop = make(None)
    message = f"this pass over the {stage} batches is over: its metrics were given, or it has been left"
    with loop.run():
        with getattr(loop, stage)() as evaluation:
            batches = evaluation.batches("abc")
            next(batches)
            evaluation.log_metrics(acc=1)
            with pytest.raises(LoopError, match=message):
                next(batches)
            older = evaluation.batches("ab")
            newer = evaluation.batches("cd")
            assert next(newer) == "c"
            with pytest.raises(LoopError, match=message):
                next(older)
        with getattr(loop, stage)(), pytest.raises(LoopError, match=message):
            next(newer)
    with pytest.raises(LoopError, match=message):
        next(evaluation._iterate("a", object()))
    assert loop.told.story == f"run({stage}(epoch(iter())epoch()epoch(iter())){stage}(epoch()))"


# -- evaluations that a generator holds


def test_a_generator_that_is_dropped_closes_it(make: Any, stage: str) -> None:
    loop = make(1)

    def evaluate() -> Any:
        with getattr(loop, stage)() as evaluation:
            yield from evaluation.batches("ab")

    with loop.run():
        for _ in loop.train():
            for _ in evaluate():
                break
            assert current_hub().get_info("loop_stage") == "train"
    assert loop.told.story == f"run(train(epoch(iter({stage}(epoch(iter()))))))"


@pytest.mark.parametrize("finish", ["close", "throw", "go on"])
def test_a_generator_that_outlives_what_was_around_it(make: Any, stage: str, finish: str) -> None:
    loop = make(2)

    def evaluate() -> Any:
        with getattr(loop, stage)() as evaluation:
            yield evaluation

    with loop.run():
        held = evaluate()
        evaluation = next(held)
    with pytest.raises(LoopError, match="belongs inside"):
        evaluation.log_metrics(acc=1)
    with loop.run(), getattr(loop, stage)() as current:
        if finish == "close":
            held.close()
        elif finish == "throw":
            with pytest.raises(make.Boom):
                held.throw(make.Boom())
        else:
            assert list(held) == []
        assert current_hub().get_info("loop_stage") == stage
        current.log_metrics(acc=1)
    assert loop.told.story == f"run({stage}(epoch()))run({stage}(epoch()))"
    assert loop.told.given(f"after_{stage}_epoch", "metrics") == [None, {"acc": 1}]


def test_generators_that_are_held_are_closed_with_their_iterations(make: Any, stage: str) -> None:
    loop = make(2)

    def evaluate() -> Any:
        with getattr(loop, stage)() as evaluation:
            yield evaluation

    held = []
    with loop.run():
        for _ in loop.train():
            held.append(evaluate())
            next(held[-1])
    once = f"iter({stage}(epoch()))"
    assert loop.told.story == f"run(train(epoch({once}{once})))"


def test_a_hook_that_raises_at_its_end_leaves_nothing_open(make: Any, stage: str) -> None:
    for event in (f"after_{stage}_epoch", f"after_{stage}"):
        loop = make(1, hooks=(make.RaiseAt(event, make.Boom()),))
        with loop.run():
            for _ in loop.train():
                with pytest.raises(make.Boom), getattr(loop, stage)():
                    pass
                assert current_hub().get_info("loop_stage") == "train"
            list(loop.train())
        assert loop.epoch == 2
