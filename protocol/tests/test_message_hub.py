from __future__ import annotations

import copy
import pickle
from typing import Any, Protocol

import pytest
from typing_extensions import get_protocol_members

from runtimeinfo import InfoReader, MessageHub, ScalarHistory


class PlainHistory:
    data = ((), ())

    def current(self) -> float:
        return 0.0

    mean = min = max = statistics = current


class InheritingHistory(ScalarHistory):
    def __init__(self, value: float, *, scale: float = 1.0) -> None:
        self.value = value * scale

    def current(self) -> float:
        return self.value


class WithoutInit(MessageHub):
    pass


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class HubWithNamedBase(MessageHub, Named):
    pass


class HubOfStrings(MessageHub, tuple[str, ...]):
    __slots__ = ()


class LargerProtocol(MessageHub, Protocol):
    pass


@pytest.mark.parametrize(
    ("arguments", "example"), [(("x",), "MessageHub('x')"), ((), "MessageHub('name')"), ((3,), "MessageHub('name')")]
)
def test_the_interface_of_a_hub_names_the_class_to_create(arguments: tuple[Any, ...], example: str) -> None:
    with pytest.raises(TypeError) as raised:
        MessageHub(*arguments)  # type: ignore[misc]
    assert str(raised.value) == (
        "MessageHub is the interface of a hub and cannot be instantiated: create a "
        f"runtimeinfo_adapters.{example}, or pass any object that has its methods"
    )


@pytest.mark.parametrize("arguments", [(), ([1.0],)])
def test_the_interface_of_a_history_names_the_class_to_create(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"^ScalarHistory is the interface.* runtimeinfo_adapters.ScalarHistory\(\)"):
        ScalarHistory(*arguments)  # type: ignore[misc]


def test_a_subclass_of_an_interface_is_created_as_any_class() -> None:
    assert InheritingHistory(2.0, scale=3.0).current() == 6.0  # type: ignore[abstract]
    assert HubWithNamedBase("run").name == "run"  # type: ignore[abstract]
    assert HubOfStrings(["a"]) == ("a",)  # type: ignore[abstract]
    assert isinstance(WithoutInit(), InfoReader)  # type: ignore[abstract]
    with pytest.raises(TypeError, match=r"WithoutInit\(\) takes no arguments"):
        WithoutInit("x")  # type: ignore[abstract, call-arg]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_an_instance_of_a_subclass_can_be_copied(duplicate: Any) -> None:
    assert duplicate(InheritingHistory(2.0)).current() == 2.0  # type: ignore[abstract]


def test_a_protocol_that_extends_an_interface_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="Protocols cannot be instantiated"):
        LargerProtocol()  # type: ignore[misc]


def test_an_object_satisfies_an_interface_by_its_methods() -> None:
    assert isinstance(PlainHistory(), ScalarHistory)
    assert not isinstance(PlainHistory(), MessageHub)
    assert not isinstance([1.0], ScalarHistory)


def test_the_members_of_an_interface_are_its_methods() -> None:
    assert get_protocol_members(ScalarHistory) == {"data", "current", "mean", "min", "max", "statistics"}
    assert not {"__new__", "__init__"} & get_protocol_members(MessageHub)
