"""What is written to a board, as it is read."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo import BoardError, MissingScalarError, UnknownStatisticError
from runtimeinfo.board import BoardReader, Position, UnsharedWarning, layout, read_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.sharing import Board
from runtimeinfo_adapters.sharing._board import Latest

NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) + 1, 10**30, 0.5, -0.0, math.inf, True, False, None]
OTHERS = ["", "train", "ünï", "\ud800", [1, 2], (1, (2,)), {"a": {1: (None,)}}, [], {}, [math.inf]]


def same(found: Any, expected: Any) -> bool:
    return type(found) is type(expected) and repr(found) == repr(expected)


@pytest.mark.parametrize("key", ["epoch", "loop_stage", "temperature", "k" * 200, "ключ", "\ud800", ""])
@pytest.mark.parametrize("value", [*NUMBERS, *OTHERS], ids=repr)
def test_an_info_is_read_as_it_was_published(hub: MessageHub, reader: BoardReader, key: str, value: Any) -> None:
    hub.update_info(key, 3)
    assert reader.get_info(key) == 3
    hub.update_info(key, value)
    assert same(reader.get_info(key, "default"), value)
    assert same(read_board(reader.path).infos[key], value)
    hub.update_info(key, 4)
    assert reader.get_info(key) == 4
    assert read_board(reader.path).infos == {key: 4}
    hub.pop_info(key)
    assert reader.get_info(key, "default") == "default"
    assert read_board(reader.path).infos == {}


infos = st.dictionaries(
    st.sampled_from(["epoch", "iter", "max_iters", "loop_stage", "a", "b"]), st.sampled_from([*NUMBERS, *OTHERS])
)


@given(st.lists(infos, max_size=6), st.lists(st.sampled_from(["epoch", "loop_stage", "a"])))
def test_reader_sees_the_infos_of_any_sequence_of_updates(updates: list[dict[str, Any]], pops: list[str]) -> None:
    hub = MessageHub("generated")
    reader = hub.share()
    try:
        for update in updates:
            hub.update_info_dict(update)
        for key in pops:
            hub.pop_info(key)
        expected = dict(hub.runtime_info)
        assert repr({key: reader.get_info(key) for key in expected}) == repr(expected)
        found = read_board(reader.path)
        assert repr(sorted(found.infos.items())) == repr(sorted(expected.items()))
        assert (found.is_whole, found.unshared) == (True, frozenset())
    finally:
        hub.unshare()


def test_reader_sees_values_from_before_sharing() -> None:
    hub = MessageHub("before", runtime_info={"epoch": 3, "classes": ("cat", "dog")})
    hub.update_scalar("train/loss", 0.5)
    reader = hub.share()
    assert (reader.get_info("epoch"), reader.get_info("classes")) == (3, ("cat", "dog"))
    assert reader.get_scalar("train/loss").current() == 0.5
    hub.unshare()


def test_reader_sees_a_loaded_state_and_not_the_replaced_one(hub: MessageHub, reader: BoardReader) -> None:
    other = MessageHub("other", runtime_info={"epoch": 7, "seed": 1}, resumed_keys={"epoch": True, "seed": True})
    hub.update_info("temperature", 0.5)
    hub.load_state_dict(other.state_dict())
    assert (reader.get_info("epoch"), reader.get_info("temperature")) == (7, 0.5)
    hub.load_state_dict(other)  # a whole hub takes the place of everything
    assert (reader.get_info("epoch"), reader.get_info("temperature")) == (7, None)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), torch.tensor(0.5), np.bool_(True), np.array([2])])
def test_a_number_of_numpy_or_pytorch_is_read_as_pythons(hub: MessageHub, reader: BoardReader, value: Any) -> None:
    hub.update_info("temperature", value)
    assert reader.get_info("temperature") == value.item()
    hub.update_info("epoch", value)
    assert reader.get_info("epoch") == value.item()


@pytest.mark.parametrize("value", [object(), np.zeros(3), "x" * 20_000, list(range(20_000)), torch.zeros(2)])
def test_info_without_a_place_gives_the_default_and_one_warning(
    hub: MessageHub, reader: BoardReader, value: object
) -> None:
    hub.update_info("picture", 1)
    hub.update_info("picture", value)
    with pytest.warns(UnsharedWarning, match="'picture' is not seen from other processes"):
        assert reader.get_info("picture", "default") == "default"
    assert reader.get_info("picture", "default") == "default"  # silently now
    assert read_board(reader.path).unshared == {"picture"}
    hub.update_info("picture", 2)
    assert reader.get_info("picture") == 2
    assert read_board(reader.path).unshared == frozenset()


def test_infos_that_fit_are_shared_if_all_together_are_too_many(hub: MessageHub, reader: BoardReader) -> None:
    for number in range(6):
        hub.update_info(f"text{number}", str(number) * 15_000)
    found = read_board(reader.path)
    assert found.infos.keys() == {"text0", "text1", "text2"}
    assert found.unshared == {"text3", "text4", "text5"}
    hub.pop_info("text0")
    hub.update_info("text5", "5" * 15_000)
    assert read_board(reader.path).infos.keys() == {"text1", "text2", "text5"}


def test_more_numbers_than_there_are_entries_go_with_the_rest(hub: MessageHub, reader: BoardReader) -> None:
    numbers = {f"number{index}": index for index in range(layout.MAX_ENTRIES + 50)}
    hub.update_info_dict(numbers)
    assert read_board(reader.path).infos == numbers
    assert {key: reader.get_info(key) for key in numbers} == numbers


def test_an_update_never_fails_however_many_infos_there_are(hub: MessageHub, reader: BoardReader) -> None:
    infos = {f"info/{index}": index for index in range(3_000)}
    for key, value in infos.items():
        hub.update_info(key, value)
    found = read_board(reader.path)
    assert 2_000 < len(found.infos) < 3_000
    assert found.infos.items() <= infos.items()
    assert found.unshared < infos.keys() - found.infos.keys()
    late = MessageHub("late", runtime_info=infos)
    late.share()
    late.unshare()


def test_scalars_that_have_no_place_are_counted(hub: MessageHub, reader: BoardReader) -> None:
    for index in range(layout.MAX_ENTRIES + 2):
        hub.update_scalar(f"scalar{index}", index)
    hub.update_scalar("x" * 100, 1)
    with pytest.warns(
        UnsharedWarning, match=r"^3 of 131 scalars are not seen .*: 'scalar128', 'scalar129', 'xxx.*x'\. "
    ):
        hub.update_info("epoch", 1)
    found = read_board(reader.path)
    assert len(found.scalars) == layout.MAX_ENTRIES
    assert found.unshared_numbers == 3
    with pytest.raises(MissingScalarError, match=r"has no scalar 'scalar129'; 3 scalars found no place"):
        reader.get_scalar("scalar129")


def test_one_warning_of_a_board_names_the_first_scalars_without_a_place(hub: MessageHub, reader: BoardReader) -> None:
    def publish_epochs() -> None:
        for epoch, kind in enumerate(("scalar", "late")):
            hub.update_scalars({f"{kind}{index}": index for index in range(1000)})
            hub.update_info("epoch", epoch)

    first = r"^872 of 1,000 scalars .*: 'scalar128', 'scalar129', 'scalar130' and 869 more\."
    with pytest.warns(UnsharedWarning, match=first) as caught:
        publish_epochs()
    assert [each.filename for each in caught] == [__file__]
    assert read_board(reader.path).unshared_numbers == 1872
    assert reader.get_scalar("scalar127").current() == 127


class CountedHistory:
    """A history that counts how often it is asked, and can fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    def latest(self) -> Latest:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Latest(0.5, 1, self.asked)


def test_scalar_without_a_place_is_not_asked_again() -> None:
    scalars = {f"scalar{index}": CountedHistory() for index in range(layout.MAX_ENTRIES + 2)}
    board = Board({}, scalars)
    with pytest.warns(UnsharedWarning, match="^2 of 130 scalars"):
        board.write_scalars()
    for _ in range(4):
        board.write_scalars()
    assert [each.asked for each in scalars.values()] == [5] * layout.MAX_ENTRIES + [1, 1]
    board.close()


def test_scalar_that_could_not_be_read_is_written_once_it_can() -> None:
    history = CountedHistory(OSError())
    board = Board({}, {"loss": history, "other": CountedHistory()})
    board.write_scalars()
    found = read_board(board.path)
    assert (list(found.scalars), found.unshared_numbers) == (["other"], 1)
    for _ in range(2):
        history.error, history.asked = None, 1
        board.write_scalars()
        assert read_board(board.path).scalars["loss"].updates == 2
        history.error = OSError()
        board.write_scalars()
        assert "loss" not in read_board(board.path).scalars
    board.close()


@pytest.mark.parametrize("latest", [(1, 1), (0.25, 0.5), (0.25, 10**400), (math.nan, 2), (True, 1), (10**30, 1)])
def test_scalar_that_was_a_float_can_become_any_number_and_again_a_float(latest: tuple[Any, Any]) -> None:
    class Told:
        now = Latest(0.5, 1, 1)

        def latest(self) -> Latest:
            return self.now

    history = Told()
    board = Board({}, {"loss": history})
    number, samples = latest
    for each in (Latest(0.5, 1, 1), Latest(0.75, 3, 2), Latest(number, samples, 3), Latest(0.125, 1, 4)):
        history.now = each
        board.write_scalars()
        found = read_board(board.path).scalars["loss"]
        count = math.inf if each.samples == 10**400 else each.samples
        value = float(each.value) if each.value == 10**30 else each.value
        assert same(found.value, value)
        assert (found.count, found.updates) == (count, each.updates)
    board.close()


def test_scalar_that_is_removed_and_published_again_is_there_again() -> None:
    scalars = {"loss": CountedHistory()}
    board = Board({}, scalars)
    board.write_scalars()
    history = scalars.pop("loss")
    board.write_scalars()
    assert not read_board(board.path).scalars
    scalars["loss"] = history
    board.write_scalars()
    assert read_board(board.path).scalars["loss"].updates == 2
    scalars["loss"] = CountedHistory()
    board.write_scalars()
    assert read_board(board.path).scalars["loss"].updates == 1
    board.close()


def test_scalar_that_goes_while_the_board_is_written_is_not_counted() -> None:
    class Listed(dict[str, CountedHistory]):
        def __iter__(self) -> Iterator[str]:
            yield from ["gone", *super().__iter__()]

    board = Board({}, Listed(loss=CountedHistory()))
    board.write_scalars()
    found = read_board(board.path)
    assert (list(found.scalars), found.unshared_numbers) == (["loss"], 0)
    board.close()


def test_a_scalar_and_an_info_may_have_one_key(hub: MessageHub, reader: BoardReader) -> None:
    hub.update_scalar("loss", 0.5)
    hub.update_info("loss", 7)
    hub.update_info("epoch", 0)
    assert reader.get_info("loss") == 7
    assert reader.get_scalar("loss").current() == 0.5


def test_a_scalar_is_there_with_the_next_info(hub: MessageHub, reader: BoardReader) -> None:
    with pytest.raises(MissingScalarError, match="no scalar 'train/loss'"):
        reader.get_scalar("train/loss")
    hub.update_scalar("train/loss", 3.0, count=2)
    hub.update_scalar("train/seen", 64)
    hub.update_info("epoch", 1)
    loss = reader.get_scalar("train/loss")
    assert (loss.current(), loss.mean(1), loss.min(1), loss.max(1), loss.update_count) == (3.0, 1.5, 3.0, 3.0, 1)
    assert loss.statistics("mean", 1) == loss.statistics("mean", window_size=1) == 1.5
    assert [list(each) for each in loss.data] == [[3.0], [2.0]]
    assert type(reader.get_scalar("train/seen").current()) is int
    hub.update_scalar("train/loss", 1.0)
    hub.update_info("epoch", 2)
    assert reader.get_scalar("train/loss").update_count == 2
    assert loss.current() == 3.0  # what was read stays


def test_of_a_history_there_is_the_latest_value_alone(hub: MessageHub, reader: BoardReader) -> None:
    hub.update_scalar("train/loss", 3.0)
    hub.update_info("epoch", 1)
    loss = reader.get_scalar("train/loss")
    for ask in (loss.mean, loss.min, loss.max, lambda: loss.statistics("mean"), lambda: loss.mean(10)):
        with pytest.raises(BoardError, match="'train/loss' has its latest value alone") as caught:
            ask()
        assert caught.value.requirement == "SHARE-03"
    with pytest.raises(UnknownStatisticError, match="no statistic named 'median'"):
        loss.statistics("median")


def test_a_scalar_that_was_forgotten_is_not_read_any_more(hub: MessageHub, reader: BoardReader) -> None:
    hub.update_scalar("val/accuracy", 0.9)
    hub.update_info("loop_stage", "val")
    assert reader.get_scalar("val/accuracy").current() == 0.9
    hub.pop_scalar("val/accuracy")
    hub.update_info("loop_stage", "train")
    with pytest.raises(MissingScalarError):
        reader.get_scalar("val/accuracy")
    hub.update_scalar("val/accuracy", 0.8)
    hub.update_info("loop_stage", "val")
    assert reader.get_scalar("val/accuracy").current() == 0.8
    hub.pop_scalar("val/accuracy")  # and at once another one, with as many values
    hub.update_scalar("val/accuracy", 0.7)
    hub.update_info("loop_stage", "train")
    assert reader.get_scalar("val/accuracy").current() == 0.7


def test_the_position_is_all_that_says_where_the_training_is(hub: MessageHub, reader: BoardReader) -> None:
    assert reader.position() == Position(None, None, None, None, None)
    hub.update_info_dict({"loop_stage": "train", "epoch": 1, "iter": 10, "max_epochs": 3, "max_iters": None})
    assert reader.position() == Position("train", 1, 10, 3, None)
    hub.update_info_dict({"loop_stage": "warm-up", "epoch": 1.5})
    assert reader.position() == Position("warm-up", 1.5, 10, 3, None)


def test_iterations_that_follow_fast_bring_the_scalars_along_now_and_then(
    hub: MessageHub, reader: BoardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() + 10**9
    monkeypatch.setattr("runtimeinfo_adapters.sharing._board.time_ns", lambda: now)
    hub.update_scalar("train/loss", 1.0)
    hub.update_info("iter", 1)
    hub.update_info("iter", 2)
    hub.update_scalar("train/loss", 2.0)
    now += 9_000_000
    hub.update_info("iter", 3)
    first = reader.get_scalar("train/loss").current()
    now += 10_000_000
    hub.update_info("iter", 4)
    assert (first, reader.get_scalar("train/loss").current()) == (1.0, 2.0)


@pytest.mark.parametrize("value", [2**200, -(2**200), 10**400, -(2**63), math.nan])
def test_integers_of_any_size_do_not_fail(value: float) -> None:
    class Keeps:
        def latest(self) -> Latest:
            return Latest(value, value, 1)

    board = Board({"epoch": 10**400}, {"train/loss": Keeps()})
    board.refresh_all()
    found = read_board(board.path)
    board.close()
    assert found.infos == {"epoch": 10**400}
    on_board = found.scalars["train/loss"].value
    assert type(on_board) is float or value == -(2**63)
    assert on_board == (math.inf if value == 10**400 else value) or math.isnan(value)
