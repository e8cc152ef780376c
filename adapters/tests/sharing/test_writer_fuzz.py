"""Whatever a run publishes, a reader finds the value, or its default with a warning; and no publish fails."""

from __future__ import annotations

import enum
import json
import math
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo import MissingScalarError
from runtimeinfo.board import BoardReader, UnsharedWarning, layout, read_board
from runtimeinfo_adapters import MessageHub

STEPS = 250
"""`make nightly` tries 10,000: see FUZZ_VARIABLE."""

FUZZ_VARIABLE = "RUNTIMEINFO_WRITES_TO_BOARDS"


class Raises:
    """An object that answers nothing."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def fail(self, *_: object) -> Any:
        raise RuntimeError("of the object")

    __repr__ = __str__ = __eq__ = __iter__ = __float__ = __int__ = __index__ = __len__ = __bool__ = fail  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class RaisingText(str):
    """A text that cannot be compared."""

    __slots__ = ()
    __eq__ = __iter__ = __len__ = __repr__ = Raises.fail  # type: ignore[assignment]
    __hash__ = Raises.fail  # type: ignore[assignment]


class RaisingNumber(float):
    """A number that cannot be read."""

    __float__ = __repr__ = __eq__ = __int__ = Raises.fail  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class RaisingList(list[Any]):
    """A list that cannot be read."""

    __iter__ = __len__ = __repr__ = Raises.fail  # type: ignore[assignment]


class Stage(enum.StrEnum):
    """As a framework names its stages."""

    TRAIN = "train"


class Number(enum.IntEnum):
    """A number with a name."""

    ONE = 1


def nested(depth: int, make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def texts(chance: random.Random) -> str:
    alphabet = chance.choice(["ab", "ü€", '\0\n"\\', "\ud83d\ude00", "😀\ud83d", "\x7f\x80\uffff"])
    length = chance.choice([0, 1, 2, 10, 80, 81, 100, 101, 1000, 16_000, 17_000, 60_000])
    return "".join(chance.choices(alphabet, k=length))


def values(chance: random.Random) -> Any:
    """Return a value of any kind."""
    number = chance.choice([0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) + 1, -(2**63) + 2, 10**400, 10**5000])
    depth = chance.choice([1, 50, 99, 150, 400, 5_000])
    make: Callable[[], Any] = chance.choice(
        [
            lambda: number,
            lambda: chance.choice([0.5, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e308]),
            lambda: chance.choice([True, False, None]),
            lambda: texts(chance),
            lambda: chance.choice([Raises, RaisingText, RaisingNumber, object, RaisingList, bytearray])(),
            lambda: chance.choice([Stage.TRAIN, Number.ONE, RaisingText("train"), "train", "x"]),
            lambda: chance.choice([[number], (number, (number,)), {"a": {1: (None, number)}}, {(1, 2): ["x"]}]),
            lambda: [1] * chance.choice([10, 1000, 100_000]),
            lambda: nested(depth, lambda inner: [inner]),
            lambda: nested(depth, lambda inner: {"a": inner}),
            lambda: nested(depth, lambda inner: (inner,)),
            lambda: chance.choice([itself(), [Raises()], {"a": RaisingText()}, [texts(chance)], {texts(chance): 1}]),
            lambda: chance.choice([np.float32(0.1), np.int64(7), np.bool_(True), np.zeros(3), np.array(2)]),
            lambda: chance.choice([torch.tensor(0.5), torch.zeros(2), torch.tensor(3), torch.empty(1, device="meta")]),
        ]
    )
    return make()


def as_read(value: Any) -> Any:
    """Return what another process is to find in the place of a value."""
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return value.item()
    return value


def same(found: Any, published: Any) -> bool:
    if isinstance(published, (bool, type(None), str)) and not isinstance(published, enum.Enum):
        return type(found) is type(published) and found == published
    if isinstance(published, enum.Enum):
        return bool(found == published.value)
    published = as_read(published)
    if isinstance(published, bool):
        return bool(found == published)
    return type(found) is type(published) and repr(found) == repr(published)


DEFAULT = object()


def check(reader: BoardReader, hub: MessageHub, keys: list[str]) -> int:
    """Compare what a reader finds with what the hub has, and return how much had no place."""
    infos = hub.runtime_info
    unshared = 0
    fresh = BoardReader(reader.path)  # one that has not warned yet
    try:
        for key in dict.fromkeys(keys):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = fresh.get_info(key, DEFAULT)
            assert all(each.category is UnsharedWarning for each in caught)
            if key not in infos:
                assert found is DEFAULT, key[:50]
            elif found is DEFAULT:
                assert len(caught) == 1, key[:50]
                unshared += 1
            else:
                assert not caught
                assert same(found, infos[key]), (key[:50], str(found)[:50])
    finally:
        fresh.close()
    return unshared


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20261130)


def all_keys(chance: random.Random) -> Iterator[str]:
    yield from layout.SLOTS
    yield from ("", "loss", "\0", "\ud800", "\ud83d\ude00", "😀", "k" * 80, "k" * 81, "k" * 101, "k" * 20_000)
    for number in range(260):
        yield f"{chance.choice('abc')}{number}" * chance.choice([1, 1, 5, 30])


def test_reader_finds_each_value_or_its_default_with_a_warning(
    hub: MessageHub, reader: BoardReader, chance: random.Random
) -> None:
    """After each step some keys are read, after each fiftieth all of them."""
    steps = int(os.environ.get(FUZZ_VARIABLE, STEPS))
    keys = list(all_keys(chance))
    used = keys[:15]
    unshared = shared = 0
    for step in range(steps):
        if step % 60 == 0:
            used = chance.sample(keys, chance.choice([5, 20, 275])) + list(layout.SLOTS)
            for key in list(hub.runtime_info):
                hub.pop_info(key)
        touched = [chance.choice(used)]
        action = chance.randrange(10)
        if action < 6:
            hub.update_info(touched[0], values(chance))
        elif action < 8:
            touched = chance.sample(used, min(len(used), chance.choice([1, 3, 200])))
            hub.update_info_dict({key: values(chance) for key in touched})
        elif action < 9:
            hub.pop_info(touched[0])
        else:
            for key in touched:
                hub.update_scalar(key, chance.choice([0.5, 3, math.inf, math.nan]), chance.choice([1, 2]))
            hub.update_info("epoch", step)
        assert hub.board_path == reader.path
        asked = used if step % 50 == 0 else [*touched[:3], *chance.sample(used, 3)]
        missing = check(reader, hub, asked)
        unshared += missing
        shared += len(asked) - missing
    assert unshared > steps // 10
    assert shared > steps
    found = read_board(reader.path)
    assert (found.is_whole, found.state) == (True, "live")


def test_scalars_of_any_name_and_value_are_read_or_missing(
    hub: MessageHub, reader: BoardReader, chance: random.Random
) -> None:
    for step in range(300):
        key = chance.choice([f"s{step}", "\ud800", "", "k" * 81, "loss", "ünï" * 10])
        value, count = chance.choice([0.5, 3, -(2**62), math.inf, 5e-324]), chance.choice([1, 2, 7])
        hub.update_scalar(key, value, count)
        hub.update_info("epoch", step)
        try:
            found = reader.get_scalar(key)
        except MissingScalarError:
            assert read_board(reader.path).unshared_numbers > 0
            continue
        assert (found.current(), found.update_count) == (value, hub.get_scalar(key).update_count)
        assert found.mean(1) == value / count


def test_value_that_another_thread_changes_is_read_as_it_was_or_not_at_all(
    hub: MessageHub, reader: BoardReader
) -> None:
    done = threading.Event()
    changing: dict[str, int] = {f"key{number}": number for number in range(1000)}

    def change() -> None:  # so that a dictionary changes its size while it is read
        number = 0
        while not done.is_set():
            number += 1
            changing[f"key{number % 1200}"] = number
            changing.pop(f"key{number * 7 % 1200}", None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(200):
            hub.update_info("changing", changing)
            hub.update_info("number", number)
            assert reader.get_info("number") == number
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnsharedWarning)
                assert type(reader.get_info("changing", {})) is dict
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert hub.board_path == reader.path


def test_forks_of_a_process_that_publishes_find_what_was_published(hub: MessageHub, chance: random.Random) -> None:
    """The parent writes in a thread while it forks; each child reads, trains with a hub itself, and publishes."""
    reader = BoardReader(hub.share().path)
    done = threading.Event()

    def publish() -> None:
        number = 0
        while not done.is_set():
            number += 1
            hub.update_info_dict({"epoch": number, "iter": 7 * number, "cfg": [number] * 100})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                code = 1
                try:
                    position: Any = reader.position()
                    own = MessageHub("own")
                    mine = own.share()
                    own.update_info("cfg", [position.epoch])
                    hub.update_info("epoch", -1)  # a copy, which is not on the board
                    right = position.iter == 7 * position.epoch and mine.get_info("cfg") == [position.epoch]
                    code = 0 if right and (reader.get_info("epoch") or 0) >= position.epoch else 2
                    own.unshare()
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        thread.join()
    assert read_board(reader.path).infos["epoch"] == hub.get_info("epoch")


def test_json_of_the_greatest_length_fits(hub: MessageHub, reader: BoardReader) -> None:
    """Around the last byte: infos that fill the JSON, and others that have no place beside them."""
    for left in range(40):
        for key in list(hub.runtime_info):
            hub.pop_info(key)
        hub.update_info("object", object())
        for number in range(3):
            used = len(json.dumps([[["a0", "x"]] * 3, ["object"]]))
            length = (layout.INFO_CAPACITY - used - left) // 3 + (number < (layout.INFO_CAPACITY - used - left) % 3)
            hub.update_info(f"a{number}", "x" * min(length, layout.MAX_INFO - 2))
        hub.update_info("b", "x")
        check(reader, hub, ["object", "a0", "a1", "a2", "b"])
        hub.update_info("c" * 200, object())
        check(reader, hub, ["object", "a0", "a1", "a2", "b", "c" * 200])
        hub.pop_info("a0")
        check(reader, hub, ["object", "a0", "a1", "a2", "b", "c" * 200])
