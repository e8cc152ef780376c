"""Every way of leaving an instrumented loop."""

# ruff: noqa: PT012  # what raises here is a whole training
from __future__ import annotations

import contextlib
import functools
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimeinfo import LoopError, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters.pytorch import FinishedLoopWarning, Loop

ERRORS = [ValueError("user"), KeyboardInterrupt(), SystemExit(3), StopIteration(7), RuntimeError("user")]


def train_all(loop: Any, at: Callable[[str], None] = lambda _: None) -> None:
    """Train for 2 epochs with a validation each and a test at the end; `at` may raise where it is called."""
    with loop.run():
        at("run")
        for _ in loop.epochs():
            at("epoch")
            for _ in loop.train():
                at("iter")
                loop.log(loss=1)
            at("after the pass")
            with loop.val() as val:
                at("val")
                for _ in val.batches("xy"):
                    at("val iter")
                val.log_metrics(acc=1)
            at("after val")
        with loop.test() as test:
            for _ in test.batches("x"):
                at("test iter")
            test.log_metrics(acc=1)
        at("end")


class Raise:
    """Raises the n-th time that it is called with a place."""

    def __init__(self, place: str, error: BaseException, occurrence: int = 1) -> None:
        self.place, self.error, self.left = place, error, occurrence

    def __call__(self, place: str) -> None:
        self.left -= place == self.place
        if place == self.place and self.left == 0:
            raise self.error


EPOCH = "epoch(iter()iter()val(epoch(iter()iter())))"


# -- break, continue, return


def test_break_out_of_the_batches(make: Any) -> None:
    loop = make(3, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                loop.log(seen=1)
                if batch == "b":
                    break
    assert loop.told.story == "run(train(epoch(iter()iter())epoch(iter()iter())))"
    assert (loop.epoch, loop.iter) == (2, 4)
    assert loop.told.given("after_train_iter", "outputs") == [{"seen": 1}] * 4


def test_break_out_of_the_epochs(make: Any) -> None:
    loop = make(1, max_epochs=5)
    with loop.run():
        for epoch in loop.epochs():
            list(loop.train())
            if epoch == 1:
                break
        with loop.test():
            assert current_hub().get_info("loop_stage") == "test"
        assert current_hub().get_info("loop_stage") is None
    assert loop.told.story == "run(train(epoch(iter())epoch(iter()))test(epoch()))"
    assert loop.epoch == 2


def test_continue_in_each_for_statement(make: Any) -> None:
    loop = make(2, max_epochs=2)
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                if batch == "a":
                    continue
                loop.log(loss=1)
            if epoch == 0:
                continue
            with loop.val() as val:
                for _ in val.batches("xy"):
                    continue
    assert loop.told.story == f"run(train(epoch(iter()iter()){EPOCH}))"
    assert loop.told.given("after_train_iter", "outputs") == [None, {"loss": 1}] * 2


@pytest.mark.parametrize(
    ("place", "story"),
    [
        ("run", "run()"),
        ("epoch", "run(train(epoch()))"),
        ("iter", "run(train(epoch(iter())))"),
        ("after the pass", "run(train(epoch(iter()iter())))"),
        ("val", "run(train(epoch(iter()iter()val(epoch()))))"),
        ("val iter", "run(train(epoch(iter()iter()val(epoch(iter())))))"),
        ("after val", f"run(train({EPOCH}))"),
        ("test iter", f"run(train({EPOCH}{EPOCH})test(epoch(iter())))"),
        ("end", f"run(train({EPOCH}{EPOCH})test(epoch(iter())))"),
    ],
)
@pytest.mark.parametrize("as_generator", [False, True])
def test_return_from_each_place(make: Any, place: str, story: str, as_generator: bool) -> None:  # noqa: C901
    loop = make(2, max_epochs=2)

    def train() -> str | None:  # noqa: C901
        with loop.run():
            if place == "run":
                return "returned"
            for _ in loop.epochs():
                if place == "epoch":
                    return "returned"
                for _ in loop.train():
                    if place == "iter":
                        return "returned"
                if place == "after the pass":
                    return "returned"
                with loop.val() as val:
                    if place == "val":
                        return "returned"
                    for _ in val.batches("xy"):
                        if place == "val iter":
                            return "returned"
                if place == "after val":
                    return "returned"
            with loop.test() as test:
                for _ in test.batches("x"):
                    if place == "test iter":
                        return "returned"
            return "returned"

    def train_yielding() -> Any:
        with loop.run():
            yield "run"
            for _ in loop.epochs():
                yield "epoch"
                for _ in loop.train():
                    yield "iter"
                yield "after the pass"
                with loop.val() as val:
                    yield "val"
                    for _ in val.batches("xy"):
                        yield "val iter"
                yield "after val"
            with loop.test() as test:
                for _ in test.batches("x"):
                    yield "test iter"
            yield "end"

    if as_generator:
        generator = train_yielding()
        while next(generator) != place:
            pass
        generator.close()
    else:
        assert train() == "returned"
    assert loop.told.story == story
    assert loop.told.of("on_exception") == []
    before = loop.epoch, loop.iter
    with pytest.warns(FinishedLoopWarning) if before[0] == 2 else contextlib.nullcontext():
        train_all(loop)
    assert (loop.epoch, loop.iter) == (2, before[1] + 2 * (2 - before[0])), "the next run goes on"


def test_early_stop_inside_an_iteration_goes_on_after_the_training(make: Any) -> None:
    loop = make(3, max_epochs=9)
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                loop.log(loss=2.0)
                stop = (epoch, batch) == (1, "b")
                if stop:
                    break
            if stop:
                break
        assert current_hub().get_info("loop_stage") == "train", "until the next call, nobody can know"
        with loop.val():
            pass
    assert loop.told.story == "run(train(epoch(iter()iter()iter())epoch(iter()iter()))val(epoch()))"
    assert len(loop.message_hub.get_scalar("train/loss").data[0]) == 5


# -- exceptions


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("place", "open_scopes", "done"),
    [
        ("run", ["run"], (0, 0)),
        ("epoch", ["run", "train", "train_epoch"], (0, 0)),
        ("iter", ["run", "train", "train_epoch", "train_iter"], (0, 0)),
        ("after the pass", ["run", "train", "train_epoch"], (0, 2)),
        ("val", ["run", "train", "train_epoch", "val"], (0, 2)),
        ("val iter", ["run", "train", "train_epoch", "val", "val_epoch", "val_iter"], (0, 2)),
        ("test iter", ["run", "test", "test_epoch", "test_iter"], (2, 4)),
    ],
)
def test_an_exception_in_each_place(
    make: Any, error: BaseException, place: str, open_scopes: list[str], done: tuple[int, int]
) -> None:
    loop = make(2, max_epochs=2)
    arguments, cause, notes = error.args, error.__cause__, getattr(error, "__notes__", None)
    with pytest.raises(type(error)) as caught:
        train_all(loop, Raise(place, error))
    assert caught.value is error
    assert (error.args, error.__cause__, error.__context__, getattr(error, "__notes__", None)) == (
        arguments, cause, None, notes,
    )  # fmt: skip
    assert loop.told.given("on_exception", "exception") == [error]
    last = [note.event for note in loop.told.notes[-len(open_scopes) - 1 :]]
    assert last == ["on_exception", *(f"after_{scope}" for scope in reversed(open_scopes))]
    assert (loop.epoch, loop.iter) == done
    info = loop.message_hub
    assert (info.get_info("epoch"), info.get_info("iter"), info.get_info("loop_stage")) == (*done, None)


@pytest.mark.parametrize("error", ERRORS[:3], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_an_exception_of_the_loader(make: Any, error: BaseException, fails_at: int) -> None:
    def loader() -> Any:
        for index in range(3):
            if index == fails_at:
                raise error
            yield index

    class Loader:
        def __iter__(self) -> Any:
            return loader()

    loop = make(Loader(), max_epochs=1)
    with pytest.raises(type(error)) as caught:
        train_all(loop)
    assert caught.value is error
    assert loop.told.story == f"run(train(epoch({'iter()' * fails_at}!)))"
    assert loop.iter == fails_at
    loop = make(1, max_epochs=1)
    with pytest.raises(type(error)) as caught, loop.run(), loop.val() as val:
        list(val.batches(Loader()))
    assert caught.value is error
    assert loop.told.story == f"run(val(epoch({'iter()' * fails_at}!)))"


def test_a_loader_that_cannot_be_iterated(make: Any) -> None:
    error = make.Boom()

    class Loader:
        def __iter__(self) -> Any:
            raise error

    loop = make(Loader(), max_epochs=1)
    with pytest.raises(make.Boom) as caught:
        train_all(loop)
    assert caught.value is error
    assert loop.told.story == "run(train(epoch(!)))"


EVENTS_OF_A_TRAINING = [
    event for event in HOOK_POINTS if event not in {"on_exception", "before_save_checkpoint", "after_load_checkpoint"}
]


@pytest.mark.parametrize("error", ERRORS[:3], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("event", EVENTS_OF_A_TRAINING)
def test_an_exception_of_a_hook(make: Any, event: str, error: BaseException) -> None:
    occurrence = 2 if event in {"before_train_epoch", "after_train_epoch", "after_val", "before_train_iter"} else 1
    loop = make(2, max_epochs=2, hooks=(make.RaiseAt(event, error, occurrence),))
    with pytest.raises(type(error)) as caught:
        train_all(loop)
    assert caught.value is error
    # At after_run the run is over: there is nothing left that could end abnormally.
    assert loop.told.given("on_exception", "exception") == ([] if event == "after_run" else [error])
    loop.max_epochs = loop.epoch + 1
    train_all(loop)
    assert resolve_hub() is not loop.message_hub


@pytest.mark.parametrize("second", [ValueError("hook"), KeyboardInterrupt("second")], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("event", ["on_exception", "after_train_iter", "after_train_epoch", "after_train", "after_run"])
def test_a_hook_that_fails_while_the_run_is_ending(
    make: Any, caplog: pytest.LogCaptureFixture, event: str, second: BaseException
) -> None:
    error = make.Boom("user")
    heard = []

    class Later:
        priority = "LOWEST"

        def after_run(self, runner: Any) -> None:
            heard.append("after_run")

    loop = make(2, max_epochs=2, hooks=(make.RaiseAt(event, second), Later()))
    with caplog.at_level(logging.ERROR, "runtimeinfo"), pytest.raises(BaseException) as caught:
        train_all(loop, Raise("iter", error))
    assert loop.told.story == "run(train(epoch(iter(!))))"
    if isinstance(second, Exception):
        assert caught.value is error
        assert f"a hook failed at {event}, while the run was ending with Boom('user')" in caplog.text
        assert "ValueError: hook" in caplog.text
    else:
        assert caught.value is second
        assert second.__context__ is error
    assert heard == ["after_run"]  # also from behind a hook that raised at that very event
    assert loop.emitter.lifecycle.open_scopes == ()


def test_a_hook_that_fails_while_a_generator_closes_the_run(make: Any) -> None:
    error = make.Boom()
    loop = make(2, hooks=(make.RaiseAt("after_train", error),))

    def train() -> Any:
        with loop.run():
            yield from loop.train()

    generator = train()
    next(generator)
    with pytest.raises(make.Boom) as caught:
        generator.close()
    assert caught.value is error
    assert loop.told.story == "run(train(epoch(iter()))!)"


# -- exceptions that are handled inside the run


def test_handled_around_a_validation(make: Any) -> None:
    loop = make(2, max_epochs=1)
    error = make.Boom()
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                loop.log(loss=1)
                if batch == "a":
                    with pytest.raises(make.Boom), loop.val() as val:
                        for _ in val.batches("xy"):
                            raise error
                    assert current_hub().get_info("loop_stage") == "train"
    assert loop.told.story == "run(train(epoch(iter(val(epoch(iter(!))))iter())))"
    assert loop.told.given("after_train_iter", "outputs") == [{"loss": 1}] * 2
    assert (loop.epoch, loop.iter) == (1, 2)


def test_handled_around_a_pass(make: Any) -> None:
    loop = make(2, max_epochs=2)
    stages = []
    with loop.run():
        for _ in loop.epochs():
            try:
                for _ in loop.train():
                    raise make.Boom
            except make.Boom:
                stages.append(current_hub().get_info("loop_stage"))
                with loop.val():
                    pass
    assert stages == ["train", "train"]
    assert loop.told.story == "run(train(epoch(iter()val(epoch()))epoch(iter()val(epoch()))))"
    assert (loop.epoch, loop.iter) == (2, 2)


def test_handled_around_all_epochs(make: Any) -> None:
    loop = make(2, max_epochs=2)
    with loop.run():
        with pytest.raises(make.Boom):
            for _ in loop.epochs():
                for _ in loop.train():
                    raise make.Boom
        with loop.test():
            pass
        assert current_hub().get_info("loop_stage") is None
        assert list(loop.epochs()) == [1]
    assert loop.told.story == "run(train(epoch(iter()))test(epoch())train(epoch()))"


def test_announced_once_however_far_out_it_goes(make: Any) -> None:
    loop = make(1)
    error = make.Boom()
    with pytest.raises(make.Boom), loop.run():
        for _ in loop.train():
            with loop.val():
                raise error
    assert loop.told.story == "run(train(epoch(iter(val(!)))))"
    assert loop.told.given("on_exception", "exception") == [error]


def test_another_exception_after_a_handled_one_is_announced_too(make: Any) -> None:
    loop = make(1)
    first, second = make.Boom(1), make.Boom(2)
    with pytest.raises(make.Boom) as caught, loop.run():
        for _ in loop.train():
            with pytest.raises(make.Boom), loop.val():
                raise first
            raise second
    assert caught.value is second
    assert loop.told.given("on_exception", "exception") == [first, second]
    assert loop.told.story == "run(train(epoch(iter(val(!)!))))"


def test_a_handled_exception_does_not_keep_iterators_alive() -> None:
    loop: Loop[str] = Loop(None, "abc")

    def train() -> None:
        batches = iter(loop.train())  # a variable of a frame which the traceback holds
        for _ in batches:
            with loop.val():
                raise ValueError

    with loop.run():
        with contextlib.suppress(ValueError):
            train()
        with loop.test():
            assert (loop.epoch, loop.iter) == (1, 1)


# -- generators


def batches_of(loop: Any) -> Any:
    """As tqdm does: wrap an iterable."""
    yield from loop.train()


def test_wrapped_by_a_generator(make: Any) -> None:
    loop = make(3, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            for index, batch in enumerate(batches_of(loop)):
                loop.log(loss=index)
                if batch == "b":
                    break
            with loop.val():
                pass
    epoch = "epoch(iter()iter()val(epoch()))"
    assert loop.told.story == f"run(train({epoch}{epoch}))"


def test_a_wrapper_that_is_held_is_closed_with_its_epoch(make: Any) -> None:
    loop = make(3, max_epochs=2)
    held = []
    with loop.run():
        for _ in loop.epochs():
            progress_bar = batches_of(loop)
            held.append(progress_bar)
            for _ in progress_bar:
                break
    assert loop.told.story == "run(train(epoch(iter())epoch(iter())))"
    assert (loop.epoch, loop.iter) == (2, 2)
    with pytest.raises(LoopError, match="this pass over the loader is over"):
        next(held[0])


def test_held_passes_without_epochs_are_an_epoch_each(make: Any) -> None:
    loop = make(3)
    with loop.run():
        held = [iter(loop.train()) for _ in range(3)]
        next(held[2])
        list(loop.train())
    assert loop.told.story == "run(train(epoch()epoch()epoch(iter())epoch(iter()iter()iter())))"
    assert (loop.epoch, loop.iter) == (4, 4)


@pytest.mark.parametrize("finish", ["close", "collect", "cycle", "throw"])
def test_a_generator_around_the_run_that_is_never_finished(make: Any, finish: str) -> None:
    loop = make(3, max_epochs=2)
    nobody = resolve_hub()

    def train() -> Any:
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    loop.log(loss=1)
                    with loop.val() as val:
                        for _ in val.batches("xy"):
                            yield batch

    generator = train()
    assert next(generator) == "a"
    assert resolve_hub() is loop.message_hub
    if finish == "close":
        generator.close()
    elif finish == "collect":
        del generator
    elif finish == "cycle":
        ring: list[Any] = [generator]
        ring.append(ring)
        del generator, ring
        gc.collect()
    else:
        error = make.Boom()
        with pytest.raises(make.Boom) as caught:
            generator.throw(error)
        assert caught.value is error
    failed = finish == "throw"
    inner = "iter(val(epoch(iter(!))))" if failed else "iter(val(epoch(iter())))"
    assert loop.told.story == f"run(train(epoch({inner})))"
    assert (loop.epoch, loop.iter) == ((0, 0) if failed else (1, 1))
    assert resolve_hub() is nobody


# -- a second run


def test_the_same_loop_again_after_an_interrupt(make: Any) -> None:
    loop = make(3, max_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train_all(loop, Raise("iter", KeyboardInterrupt(), occurrence=5))
    assert (loop.epoch, loop.iter) == (1, 4)
    assert loop.emitter.lifecycle.open_scopes == ()
    loop.told.notes.clear()
    train_all(loop)
    assert (loop.epoch, loop.iter) == (2, 6)
    epoch = "epoch(iter()iter()val(epoch(iter()iter())))"
    assert loop.told.story == f"run(train({epoch})test(epoch(iter())))"
    assert loop.told.given("before_train_iter", "data_batch") == ["b", "c"], "the interrupted batch comes again"
    assert loop.told.given("before_train_iter", "batch_idx") == [1, 2]


def test_interrupted_again_and_again(make: Any) -> None:
    loop = make(2, max_epochs=2)
    done = []
    for _ in range(20):
        try:
            train_all(loop, Raise("iter", KeyboardInterrupt(), occurrence=2))
        except KeyboardInterrupt:
            done.append((loop.epoch, loop.iter))
        else:
            break
    assert done == [(0, 1), (1, 2), (1, 3)]
    assert (loop.epoch, loop.iter) == (2, 4)


# -- generated programs

LEAVE = st.sampled_from(["", "", "break", "continue", "raise"])


def evaluations() -> st.SearchStrategy[Any]:
    return st.tuples(st.sampled_from(["val", "test"]), st.integers(0, 2), LEAVE)


@functools.cache  # a recursive strategy has to meet itself again
def blocks(depth: str) -> st.SearchStrategy[Any]:
    """A list of statements, which may end by leaving."""
    inner: list[st.SearchStrategy[Any]] = [evaluations(), evaluations()]
    if depth in {"run", "epoch"}:
        inner.append(st.tuples(st.just("train"), st.deferred(lambda: blocks("iter")), st.booleans()))
    if depth == "run":
        inner.append(st.tuples(st.just("epochs"), st.integers(0, 3), st.deferred(lambda: blocks("epoch"))))
    inner.append(st.tuples(st.just("handled"), st.deferred(lambda: blocks(depth))))
    return st.tuples(st.lists(st.one_of(inner), max_size=3), LEAVE)


class Program:
    """Runs a generated program, and counts by itself what has to be counted."""

    def __init__(self, loop: Any, boom: type[Exception]) -> None:
        self.loop, self.boom = loop, boom
        self.done = 0
        self.is_open = self.was_left = False
        self.held: list[Any] = []

    def settle(self) -> None:
        """Any call on the loop: an iteration that was left counts now."""
        if self.was_left:
            self.count()

    def count(self) -> None:
        self.done += self.is_open
        self.is_open = self.was_left = False

    def leave(self, how: str) -> str:
        if how == "raise":
            raise self.boom
        return how

    def block(self, block: Any, place: str) -> str:
        statements, how = block
        for statement in statements:
            signal = getattr(self, statement[0])(place, *statement[1:])
            if signal:
                return str(signal)
        return self.leave(how)

    def handled(self, place: str, block: Any) -> str:
        try:
            return self.block(block, place)
        except self.boom:
            return ""

    def evaluate(self, stage: str, batches: int, how: str) -> None:
        self.settle()
        with getattr(self.loop, stage)() as evaluation:
            for _ in evaluation.batches(range(batches)):
                assert current_hub().get_info("loop_stage") == stage
                if self.leave(how) == "break":
                    break
            evaluation.log_metrics(acc=1)

    def val(self, place: str, batches: int, how: str) -> None:
        self.evaluate("val", batches, how)

    def test(self, place: str, batches: int, how: str) -> None:
        self.evaluate("test", batches, how)

    def batches(self, hold: bool) -> Any:
        batches = iter(self.loop.train())
        self.count()  # whatever is open: another pass takes its place
        if hold:
            self.held.append(batches)
        return batches

    def train(self, place: str, block: Any, hold: bool) -> None:
        # No variable for the iterator: the recorder keeps the exceptions, and they keep the frames.
        try:
            for _ in self.batches(hold):
                self.count()
                self.is_open = True
                assert current_hub().get_info("iter") == self.done
                assert current_hub().get_info("loop_stage") == "train"
                if self.block(block, "iter") == "break":
                    break
            else:
                self.count()
                return
        finally:
            self.was_left = not hold and self.is_open

    def epochs(self, place: str, count: int, block: Any) -> None:
        self.count()  # whatever is open: it begins a new one
        self.loop.max_epochs = self.loop.epoch + count
        try:
            for epoch in self.loop.epochs():
                self.count()
                assert epoch == current_hub().get_info("epoch") == self.loop.epoch
                if self.block(block, "epoch") == "break":
                    break
            else:
                self.count()
        finally:
            self.was_left = self.is_open


# The fixture only collects what has to be judged.
@settings(
    deadline=None,
    max_examples=300,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=blocks("run"), batches=st.integers(0, 3))
def test_generated_programs_stay_in_the_grammar(make: Any, program: Any, batches: int) -> None:
    loop = make(batches)
    model = Program(loop, make.Boom)
    try:
        with loop.run():
            model.block(program, "run")
    except make.Boom:
        assert loop.told.given("on_exception", "exception")
    else:
        model.count()
    loop.told.judge()
    assert loop.iter == model.done, loop.told.story
