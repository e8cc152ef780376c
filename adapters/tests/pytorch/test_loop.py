# ruff: noqa: PT012  # what raises here is a whole training
from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import itertools
import pickle
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub as SeedHub
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from runtimeinfo import HookError, HubError, LoopError, RunnerError, StateError, TrainRunner, current_hub, use_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import FinishedLoopWarning, Loop


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(5))


def values_of(loop: Any, key: str) -> list[float]:
    return [float(value) for value in loop.message_hub.get_scalar(key).data[0]]


# -- the whole


def test_everything_that_is_published(make: Any) -> None:
    loop = make(2, max_epochs=2, seed=3, cfg={"lr": 0.1}, experiment_name="digits")
    seen = []
    with loop.run() as same:
        assert same is loop
        for epoch in loop.epochs():
            for batch in loop.train():
                hub = current_hub()
                seen.append((epoch, batch, *(hub.get_info(key) for key in ("loop_stage", "epoch", "iter"))))
                loop.log({"loss": torch.tensor(loop.iter / 2, requires_grad=True)}, acc=0.5)
            with loop.val() as val:
                for _ in val.batches("xyz"):
                    seen.append(current_hub().get_info("loop_stage"))
                val.log_metrics({"acc": 0.25 * (epoch + 1)}, confusion=[1, 2])
        with loop.test() as test:
            for _ in test.batches("t"):
                seen.append(current_hub().get_info("loop_stage"))
            test.log_metrics(acc=1.0)
    assert seen == [
        (0, "a", "train", 0, 0),
        (0, "b", "train", 0, 1),
        *["val"] * 3,
        (1, "a", "train", 1, 2),
        (1, "b", "train", 1, 3),
        *["val"] * 3,
        "test",
    ]
    epoch = "epoch(iter()iter()val(epoch(iter()iter()iter())))"
    assert loop.told.story == f"run(train({epoch}{epoch})test(epoch(iter())))"
    assert loop.told.given("before_train_iter", "batch_idx") == [0, 1, 0, 1]
    assert loop.told.given("before_train_iter", "data_batch") == ["a", "b", "a", "b"]
    assert loop.told.given("after_train_iter", "data_batch") == ["a", "b", "a", "b"]
    assert [sorted(outputs) for outputs in loop.told.given("after_train_iter", "outputs")] == [["acc", "loss"]] * 4
    assert loop.told.given("before_val_iter", "data_batch") == list("xyzxyz")
    assert loop.told.given("after_val_epoch", "metrics") == [
        {"acc": 0.25, "confusion": [1, 2]},
        {"acc": 0.5, "confusion": [1, 2]},
    ]
    assert values_of(loop, "train/loss") == [0, 0.5, 1, 1.5]
    assert values_of(loop, "train/acc") == [0.5] * 4
    assert values_of(loop, "train/lr") == pytest.approx([0.1] * 4)
    assert values_of(loop, "val/acc") == [0.25, 0.5]
    assert values_of(loop, "test/acc") == [1]
    info = loop.message_hub.runtime_info
    assert info["val/confusion"] == [1, 2]
    assert info["cfg"] == '{\n  "lr": 0.1\n}'
    assert (info["seed"], info["experiment_name"], info["torch_version"]) == (3, "digits", torch.__version__)
    assert (info["epoch"], info["iter"], info["max_epochs"], info["max_iters"]) == (2, 4, 2, 4)
    assert (loop.epoch, loop.iter) == (2, 4)


def test_it_satisfies_the_protocol(make: Any) -> None:
    assert isinstance(make(max_epochs=1), TrainRunner)


def test_zero_epochs(make: Any) -> None:
    loop = make(max_epochs=0)
    with loop.run():
        assert list(loop.epochs()) == []
    assert loop.told.story == "run(train())"
    assert loop.message_hub.get_info("max_iters") == 0


def test_an_empty_loader(make: Any) -> None:
    loop = make([], max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            assert list(loop.train()) == []
    assert loop.told.story == "run(train(epoch()epoch()))"
    assert (loop.epoch, loop.iter) == (2, 0)


def test_a_run_with_nothing_in_it(make: Any) -> None:
    loop = make()
    with loop.run():
        pass
    assert loop.told.story == "run()"


def test_epochs_without_a_pass_count(make: Any) -> None:
    loop = make(max_epochs=3)
    with loop.run():
        assert list(loop.epochs()) == [0, 1, 2]
    assert loop.told.story == "run(train(epoch()epoch()epoch()))"


def test_without_epochs_each_pass_is_an_epoch(make: Any) -> None:
    loop = make(2)
    with loop.run():
        for _ in range(2):
            for _ in loop.train():
                pass
            with loop.val():
                pass
    assert loop.told.story == "run(train(epoch(iter()iter())val(epoch())epoch(iter()iter())val(epoch())))"
    assert loop.epoch == 2
    assert loop.message_hub.get_info("max_epochs") is None
    assert loop.message_hub.get_info("max_iters") is None


def test_several_passes_in_one_epoch_go_on_counting_batches(make: Any) -> None:
    loop = make(2, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            for _ in itertools.chain(loop.train(), loop.train()):
                pass
    assert loop.told.story == "run(train(epoch(iter()iter()iter()iter())))"
    assert loop.told.given("before_train_iter", "batch_idx") == [0, 1, 2, 3]


def test_training_again_in_the_same_run(make: Any) -> None:
    loop = make(1, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
        assert current_hub().get_info("loop_stage") is None
        loop.max_epochs = 2
        assert list(loop.epochs()) == [1]
    assert loop.told.story == "run(train(epoch(iter()))train(epoch()))"


# -- bounds


def test_max_iters_bounds_a_training_without_epochs(make: Any) -> None:
    loop = make(itertools.count(), max_iters=3)
    with loop.run():
        assert list(loop.train()) == [0, 1, 2]
        assert list(loop.train()) == []
    assert loop.told.story == "run(train(epoch(iter()iter()iter())epoch()))"
    assert next(loop._loader) == 3, "it has drawn a batch more than it hands out"
    assert loop.message_hub.get_info("max_iters") == 3


def test_max_iters_bounds_epochs_without_a_bound(make: Any) -> None:
    loop = make(2, max_iters=5)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                pass
    assert loop.told.story == "run(train(epoch(iter()iter())epoch(iter()iter())epoch(iter())))"
    assert loop.message_hub.get_info("max_epochs") is None
    assert loop.message_hub.get_info("max_iters") == 5


@pytest.mark.parametrize(("max_iters", "total"), [(None, 6), (100, 6), (4, 4)])
def test_max_iters_is_the_smaller_bound(make: Any, max_iters: int | None, total: int) -> None:
    loop = make(2, max_epochs=3, max_iters=max_iters)
    assert loop.max_iters == total
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    assert loop.iter == total


def test_a_loader_without_a_length(make: Any) -> None:
    loop = make(DataLoader(Stream(), batch_size=2), max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            with pytest.raises(TypeError):
                len(loop.train())
            assert [batch.tolist() for batch in loop.train()] == [[0, 1], [2, 3], [4]]
    assert loop.message_hub.get_info("max_iters") is None
    assert loop.message_hub.get_info("max_epochs") == 2
    assert make(DataLoader(Stream()), max_epochs=2, max_iters=7).max_iters == 7


def test_a_loader_whose_length_is_not_implemented(make: Any) -> None:
    class Loader:
        def __iter__(self) -> Any:
            return iter("ab")

        def __len__(self) -> int:
            raise NotImplementedError

    assert make(Loader(), max_epochs=2).max_iters is None


def test_a_pass_has_the_length_of_its_loader(make: Any) -> None:
    loop = make(3)
    with loop.run():
        assert len(loop.train()) == 3
        assert sum(1 for _ in loop.train()) == 3


def test_gradient_accumulation_counts_batches(make: Any) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loop = make([torch.ones(1)] * 5, optimizer=optimizer, max_epochs=1)
    steps = 0
    with loop.run():
        for _ in loop.epochs():
            for batch_idx, batch in enumerate(loop.train()):
                loss = model(batch).sum()
                loss.backward()
                loop.log(loss=loss)
                if batch_idx % 2:
                    optimizer.step()
                    steps += 1
    assert (steps, loop.iter, len(values_of(loop, "train/loss"))) == (2, 5, 5)


# -- the loader


def test_metainfo_of_the_data_set(make: Any) -> None:
    dataset = TensorDataset(torch.zeros(2, 1))
    dataset.metainfo = {"classes": ["cat"]}  # type: ignore[attr-defined]
    loop = make(DataLoader(dataset), max_epochs=1)
    with loop.run():
        list(loop.epochs())
    assert loop.message_hub.get_info("dataset_meta") == {"classes": ["cat"]}
    assert loop.train_dataloader.dataset is dataset


def test_a_loader_that_is_its_own_data_set(make: Any) -> None:
    class Batches(list[str]):
        metainfo = {"classes": ["dog"]}  # noqa: RUF012

    batches = Batches("ab")
    loop = make(batches, max_epochs=1)
    with loop.run():
        list(loop.epochs())
    assert loop.message_hub.get_info("dataset_meta") == {"classes": ["dog"]}
    assert loop.train_dataloader.dataset is batches


def test_the_loader_finds_the_epoch_in_the_hub(make: Any) -> None:
    class Shuffled:
        def __iter__(self) -> Any:
            yield current_hub().get_info("epoch"), current_hub().get_info("loop_stage")

    loop = make(Shuffled(), max_epochs=2)
    with loop.run():
        assert [batch for _ in loop.epochs() for batch in loop.train()] == [(0, "train"), (1, "train")]
        assert list(loop.train()) == [(2, "train")]


def test_val_and_test_alone_need_no_loader(make: Any) -> None:
    loop = make(None, optimizer=None)
    with loop.run():
        for evaluate in (loop.val, loop.test):
            with evaluate() as evaluation:
                assert list(evaluation.batches([1, 2])) == [1, 2]
                evaluation.log_metrics(acc=1)
            assert current_hub().get_info("loop_stage") is None
    assert loop.told.story == "run(val(epoch(iter()iter()))test(epoch(iter()iter())))"
    assert (values_of(loop, "val/acc"), values_of(loop, "test/acc")) == ([1], [1])
    assert (loop.message_hub.get_info("epoch"), loop.message_hub.get_info("iter")) == (0, 0)


# -- the hub


def test_the_hub_is_the_current_one_inside_and_not_after(make: Any, hub: MessageHub) -> None:
    nobody = resolve_hub()
    loop = make(hub=hub)
    with loop.run():
        assert resolve_hub() is hub is loop.message_hub
    assert resolve_hub() is nobody
    for error in (make.Boom(), KeyboardInterrupt(), GeneratorExit(), StopIteration()):
        with pytest.raises(type(error)), loop.run():
            raise error
        assert resolve_hub() is nobody


def test_the_hub_is_the_current_one_in_a_helper_thread(make: Any, hub: MessageHub) -> None:
    found = []

    def look() -> None:
        found.append((resolve_hub(), current_hub().get_info("loop_stage")))

    loop = make(hub=hub)
    with loop.run():
        for _ in loop.train():
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            break
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found[0] == (hub, "train")
    assert found[1][0] is not hub


def test_loops_whose_steps_have_a_context_each_have_their_own_hub(make: Any) -> None:
    # So do the cells of a notebook: each is an asyncio task with a copy of the context before the first one.
    one, other, users = make(3, experiment_name="one"), make(3), MessageHub("of the user")

    def in_a_cell(function: Any, *arguments: Any) -> Any:
        async def cell() -> Any:
            return function(*arguments), resolve_hub()

        return asyncio.run(cell())

    with one.run(), other.run():
        steps = [(loop, iter(loop.train())) for loop in (one, other)]
        for loop, batches in steps * 2:
            assert contextvars.Context().run(in_a_cell, next, batches)[1] is loop.message_hub
        with use_hub(users):
            assert in_a_cell(next, steps[0][1])[1] is users


def test_hooks_find_the_hub(make: Any, hub: MessageHub) -> None:
    found = {}

    class Look:
        def before_run(self, runner: Any) -> None:
            found["before_run"] = resolve_hub()

        def after_run(self, runner: Any) -> None:
            found["after_run"] = resolve_hub()

    with make(hub=hub, hooks=(Look(),)).run():
        pass
    assert found == {"before_run": hub, "after_run": hub}


def test_without_a_hub_each_loop_has_its_own(make: Any) -> None:
    one, other = make(experiment_name="one"), make()
    assert one.message_hub is not other.message_hub
    assert one.message_hub.instance_name == "one"
    assert MessageHub.check_instance_created("one") is False
    with one.run(), other.run():
        assert resolve_hub() is other.message_hub
        list(one.train())
    assert (one.iter, other.iter) == (2, 0)


def test_over_the_hub_of_mmengine(make: Any) -> None:
    hub = SeedHub("runtimeinfo-pytorch-tests")
    loop = make(2, hub=hub, max_epochs=1)
    with pytest.raises(make.Boom), loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=torch.tensor(0.5))
            with loop.val() as val:
                val.log_metrics(acc=[1, 2])
            with loop.val() as val:
                val.log_metrics(acc=1)
            assert resolve_hub() is hub
            raise make.Boom
    assert hub.get_scalar("train/loss").data[0].tolist() == [0.5, 0.5]
    assert hub.get_scalar("val/acc").current() == 1
    assert hub.get_info("val/acc") is None
    resumed = make(2, hub=SeedHub("runtimeinfo-pytorch-tests-2"), max_epochs=1)
    resumed.load_state_dict(loop.state_dict())
    assert (resumed.epoch, resumed.iter) == (0, 2)
    assert resumed.message_hub.get_scalar("train/loss").data[0].tolist() == [0.5, 0.5]


def test_nothing_is_kept_alive_by_a_run_that_is_over(make: Any) -> None:
    class Batch:
        pass

    loop = make([Batch()])
    loop.told.note = lambda *_: None  # the recorder keeps everything
    with pytest.raises(make.Boom), loop.run():
        for batch in loop.train():
            ghost = weakref.ref(batch)
            loop.log(loss=1)
            del batch
            raise make.Boom
    loop._loader.clear()
    gc.collect()
    assert ghost() is None


# -- misuse of run


def test_runs_cannot_be_nested(make: Any) -> None:
    loop = make(1)
    with loop.run():
        with pytest.raises(LoopError, match="this loop is running already, and run\\(\\) cannot be nested"), loop.run():
            pass
        assert list(loop.train()) == ["a"]
    assert loop.told.story == "run(train(epoch(iter())))"


def test_two_loops_cannot_share_a_hub_at_once(make: Any, hub: MessageHub) -> None:
    one, other = make(hub=hub, experiment_name="one"), make(hub=hub)
    with (
        one.run(),
        pytest.raises(LoopError, match="loop 'one' is publishing to this hub already; give each loop its own hub"),
        other.run(),
    ):
        pass
    assert other.told.notes == []
    with other.run():
        pass
    assert other.told.story == "run()"


@pytest.mark.parametrize("method", ["epochs", "train", "log", "val", "test"])
def test_everything_else_belongs_inside_a_run(make: Any, method: str) -> None:
    loop = make()
    message = rf"{method}\(\) belongs inside `with loop.run\(\):`"
    with pytest.raises(LoopError, match=message):
        getattr(loop, method)()
    with loop.run():
        pass
    with pytest.raises(LoopError, match=message):
        getattr(loop, method)()


@pytest.mark.parametrize("stage", ["val", "test"])
@pytest.mark.parametrize("method", ["epochs", "train", "log", "val", "test"])
def test_nothing_else_belongs_inside_an_evaluation(make: Any, stage: str, method: str) -> None:
    loop = make()
    message = rf"{method}\(\) cannot be used inside a {stage}: leave `with loop.{stage}\(\)` first"
    with loop.run():
        for _ in loop.train():
            with getattr(loop, stage)() as evaluation:
                with pytest.raises(LoopError, match=message):
                    getattr(loop, method)()
                evaluation.log_metrics(acc=1)
            break
    assert loop.told.story == f"run(train(epoch(iter({stage}(epoch())))))"


@pytest.mark.parametrize("stage", ["val", "test"])
def test_log_in_an_evaluation_names_the_place_for_metrics(make: Any, stage: str) -> None:
    loop = make()
    with loop.run(), getattr(loop, stage)() as evaluation:
        with pytest.raises(LoopError, match=rf"its metrics go into `{stage}\.log_metrics\(\.\.\.\)`"):
            loop.log(acc=1)
        evaluation.log_metrics(acc=1)


def test_train_needs_a_loader(make: Any) -> None:
    loop = make(None)
    with loop.run(), pytest.raises(LoopError, match="train\\(\\) needs a train_loader: give one to Loop"):
        loop.train()
    assert loop.told.story == "run()"


@pytest.mark.parametrize("bound", ["max_epochs", "max_iters"])
@pytest.mark.parametrize("value", [-1, 1.5, "3", True, float("inf")])
def test_bad_bounds(bound: str, value: Any) -> None:
    with pytest.raises(LoopError, match=rf"{bound} must be an int from 0, or None for no bound, but is {value!r}"):
        Loop(None, [], **{bound: value})


def test_a_loader_that_is_none(make: Any) -> None:
    with pytest.raises(LoopError, match="train_loader must be iterable, but is int"):
        Loop(None, 3)  # type: ignore[arg-type]
    with pytest.raises(LoopError, match="train_loader must be iterable, but is SGD"):
        Loop([], make.optimizer())  # type: ignore[call-overload, arg-type]


def test_a_hook_that_is_none() -> None:
    with pytest.raises(HookError, match="object has no hook point"):
        Loop(None, [], hooks=[object()])


def test_a_name_that_is_none() -> None:
    with pytest.raises(HubError, match="a name must be a non-empty string, but is 3"):
        Loop(None, [], experiment_name=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("cfg", 3, "cfg: must be an object whose pretty_text is a string, but is 3"),
        ("seed", "x", "seed: must be an int or None, but is 'x'"),
        ("hub", {}, "message_hub: must be a MessageHub, but is {}"),
    ],
)
def test_unpublishable_members_are_named_at_before_run(make: Any, argument: str, value: Any, message: str) -> None:
    loop = Loop(make.optimizer(), [], **{argument: value})
    with pytest.raises(RunnerError, match=message), loop.run():
        pass
    assert loop.emitter.lifecycle.open_scopes == ()


# -- state: test_training has what resumes


def damaged(**changes: Any) -> dict[str, Any]:
    loop: Loop[Any] = Loop(None, "ab", max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=1)
    state = loop.state_dict() | changes
    return {key: value for key, value in state.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        *(
            ({name: value}, name, f"{name} must be an int from 0, but is {shown}")
            for name in ("version", "epoch", "iter", "batches")
            for value, shown in ((..., "None"), (-1, "-1"), ("1", "'1'"), (1.0, "1.0"), (True, "True"))
        ),
        ({"version": 9}, "version", "version is 9, and this release reads 1"),
        ({"outputs": ...}, "outputs", "outputs must be a mapping, but is NoneType"),
        ({"outputs": {"loss": "x"}}, "outputs['loss']", "outputs['loss'] must be a scalar, but is str"),
        ({"message_hub": ...}, "message_hub", "message_hub is missing"),
        ({"message_hub": 3}, "message_hub.state_dict", "message_hub: state_dict must be a mapping, but is int"),
        ({"message_hub": {}}, "message_hub.log_scalars", "message_hub: log_scalars is missing"),
    ],
)
def test_a_damaged_state_changes_nothing(make: Any, changes: dict[str, Any], field: str, message: str) -> None:
    loop = make(2, max_epochs=3)
    with loop.run():
        for _ in loop.train():
            loop.log(loss=7)
    before = repr(loop.state_dict())
    with pytest.raises(StateError) as caught:
        loop.load_state_dict(damaged(**changes))
    assert message in str(caught.value)
    assert caught.value.field == field
    assert repr(loop.state_dict()) == before


def test_a_state_that_is_no_mapping(make: Any) -> None:
    with pytest.raises(StateError, match="a state must be a mapping, but is list") as caught:
        make().load_state_dict([])
    assert caught.value.field == "state_dict"


def test_a_state_comes_before_the_training(make: Any) -> None:
    loop = make(2)
    with loop.run():
        for _ in loop.train():
            with pytest.raises(LoopError, match="begun already: call load_state_dict\\(\\) before run"):
                loop.load_state_dict(damaged())
    assert loop.iter == 2


@pytest.mark.parametrize("inside", [False, True])
def test_a_state_does_not_bring_its_stage(make: Any, inside: bool) -> None:
    saved = make(2)
    with saved.run():
        for _ in saved.train():
            state = saved.state_dict()
    loop = make(2)
    if not inside:
        loop.load_state_dict(state)
        assert loop.message_hub.get_info("loop_stage") is None
    with loop.run():
        if inside:
            loop.load_state_dict(state)
        assert loop.message_hub.get_info("loop_stage") is None
        with loop.val():
            if inside:
                loop.load_state_dict(state)
            assert loop.message_hub.get_info("loop_stage") == "val"
        assert loop.message_hub.get_info("loop_stage") is None


def test_metadata_of_the_resumed_run_wins(make: Any) -> None:
    loop = make(1, max_epochs=2, seed=8, experiment_name="second", cfg="cfg of the second")
    with loop.run():
        loop.load_state_dict(damaged())
        for _ in loop.epochs():
            info = loop.message_hub.runtime_info
            assert (info["seed"], info["experiment_name"], info["cfg"]) == (8, "second", "cfg of the second")


def test_a_config_with_a_pretty_text_of_its_own(make: Any) -> None:
    loop = make(cfg=SimpleNamespace(pretty_text="as it is"))
    with loop.run():
        pass
    assert loop.message_hub.get_info("cfg") == "as it is"


# -- copies


class CopyAt:
    """Copies the loop at an event, once it has completed so many iterations."""

    priority = "LOWEST"

    def __init__(self, event: str, iterations: int) -> None:
        self.copies: list[Any] = []

        def copy_it(runner: Any, **_: Any) -> None:
            if runner.iter == iterations and not self.copies:
                self.copies.append(copy.deepcopy(runner))

        setattr(self, event, copy_it)

    def __deepcopy__(self, memo: Any) -> CopyAt:
        return CopyAt("before_run", -1)


@pytest.mark.parametrize(
    ("event", "iterations", "batches"),
    [
        ("before_run", 0, 0),
        ("before_train_epoch", 3, 0),
        ("before_train_iter", 1, 1),
        ("after_train_iter", 1, 1),
        ("after_train_iter", 4, 1),
        ("after_train_epoch", 3, 3),
        ("before_val", 3, 3),
        ("after_run", 6, 0),
    ],
)
def test_a_copy_of_a_running_loop_goes_on_as_the_loop_would_after_an_exception(
    event: str, iterations: int, batches: int
) -> None:
    copies = CopyAt(event, iterations)
    loop = Loop(None, ["a", "b", "c"], max_epochs=2, hooks=[copies])

    def train(each: Any) -> list[str]:
        had = []
        with each.run():
            for _ in each.epochs():
                had += list(each.batches())
                with each.val():
                    pass
        return had

    assert train(loop) == [*"abcabc"]
    (twin,) = copies.copies
    state = twin.state_dict()
    assert (state["iter"], state["batches"], twin.emitter.stage) == (iterations, batches, None)
    with pytest.warns(FinishedLoopWarning) if iterations == 6 else contextlib.nullcontext():
        assert train(twin) == [*"abcabc"][iterations:]
    assert (twin.epoch, twin.iter, loop.epoch, loop.iter) == (2, 6, 2, 6)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda loop: pickle.loads(pickle.dumps(loop))])
@pytest.mark.parametrize("loads", [False, True])
def test_a_copy_in_mid_iteration_repeats_it_with_one_learning_rate(clone: Any, loads: bool) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    loop = Loop(optimizer, range(4), max_epochs=1)
    state: dict[str, Any] = {}

    def train(each: Any, copy_at: int | None = None) -> Any:
        with each.run():
            for _ in each.epochs():
                for batch in each.train():
                    if batch == copy_at:
                        return clone(each)
                    each.log(loss=batch)
                    if batch == 1:
                        state.update(each.state_dict())
        return None

    twin = train(loop, copy_at=2)
    if loads:  # of as many iterations: there is nothing to take back
        twin.load_state_dict(state)
    train(twin)
    histories = twin.message_hub.log_scalars
    assert len(histories["train/lr"].data[0]) == 4
    assert histories["train/loss"].data[0].tolist() == [0, 1, 2, 3]


class _Experiment(torch.utils.data.Dataset[str]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> str:
        return str(current_hub().get_info("experiment_name"))


def test_workers_belong_to_the_loop_that_is_stepped_among_several_open_ones() -> None:
    loaders = [
        torch.utils.data.DataLoader(_Experiment(), num_workers=1, multiprocessing_context="fork") for _ in range(3)
    ]
    outer, inner = (
        Loop(train_loader=loader, max_epochs=1, experiment_name=name)
        for name, loader in zip(("outer", "inner"), loaders, strict=False)
    )
    with outer.run(), inner.run():
        assert [name for names in outer.train() for name in names] == ["outer"]
        assert [name for names in inner.train() for name in names] == ["inner"]
        with outer.val() as val:
            assert [name for names in val.batches(loaders[2]) for name in names] == ["outer"]
