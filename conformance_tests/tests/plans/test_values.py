from __future__ import annotations

import pytest

from runtimeinfo.authoring import is_scalar
from runtimeinfo_conformance.plans._values import (
    CHANGING_KIND,
    OTHER_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    make_value,
)


@pytest.mark.parametrize("kind", [*SCALAR_KINDS, *TENSOR_KINDS])
def test_scalars_are_scalars(kind: str) -> None:
    assert is_scalar(make_value(kind, 3))


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_others_are_not(kind: str) -> None:
    assert not is_scalar(make_value(kind, 3))


@pytest.mark.parametrize("kind", ["numpy_float32", "tensor_float32", "tensor_bfloat16", "array_of_one"])
def test_each_turn_has_a_value_of_its_own(kind: str) -> None:
    assert len({make_value(kind, turn).item() for turn in range(20)}) == 20


def test_changing_is_scalar_and_text_by_turns() -> None:
    assert [make_value(CHANGING_KIND, turn) for turn in range(3)] == [0.5, "value 1.0", 1.5]
