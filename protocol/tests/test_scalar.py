from __future__ import annotations

import math
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo import ScalarTypeError
from runtimeinfo.authoring import describe, is_scalar, lies_on_device, scalar_value, shown

NUMPY_REAL = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
              "float64", "longdouble")  # fmt: skip
NUMPY_OTHER = ("complex64", "complex128", "clongdouble", "U1", "S1", "object", "datetime64[s]", "timedelta64[s]", "V8",
               "f4,f4")  # fmt: skip
TORCH_REAL = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
              torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn,
              torch.float8_e5m2)  # fmt: skip
TORCH_COMPLEX = (torch.complex64, torch.complex128)
ONE_ELEMENT_SHAPES = ((), (1,), (1, 1), (1, 1, 1, 1))
OTHER_SHAPES = ((0,), (2,), (1, 2), (3, 0))


class Level(IntEnum):
    LOW = 3


class FakeArray:
    """An array of JAX's or CuPy's kind: `size` is a number, `dtype` is NumPy's or ml_dtypes'."""

    def __init__(self, value: object, dtype: object = np.dtype("float32"), shape: tuple[int, ...] = ()) -> None:
        self._value, self._dtype, self._shape = value, dtype, shape

    @property
    def dtype(self) -> object:
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def size(self) -> int:
        return math.prod(self._shape)

    def item(self) -> object:
        return self._value


class FakeUnreadableArray(FakeArray):
    def item(self) -> object:
        raise AssertionError("the device must not be waited for")


class FakeDtypelessArray:
    def __init__(self, value: object, shape: tuple[int, ...] = ()) -> None:
        self._value = value
        self.shape = shape

    def item(self) -> object:
        return self._value


class FakeSizelessArray:
    """It can be asked for a value, but not for how many it has."""

    def item(self) -> object:
        return 1.0


class FakeTensorFlowTensor:
    """It has no `item`, only `numpy()`."""

    dtype = SimpleNamespace(name="float32", is_complex=False)
    shape = ()

    def numpy(self) -> object:
        return np.float32(1.0)


class FakeMlDtype:
    kind = "V"

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (-5, -5),
        (2**1000, 2**1000),
        (1.5, 1.5),
        (True, 1),
        (False, 0),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (Fraction(1, 4), 0.25),
        (Level.LOW, 3),
    ],
    ids=repr,
)
def test_a_real_python_number_is_a_scalar(value: object, number: float) -> None:
    assert is_scalar(value)
    assert scalar_value(value) == number
    assert type(scalar_value(value)) is type(number)


@pytest.mark.parametrize("nan", [math.nan, np.float32("nan"), np.array([np.nan]), torch.tensor(math.nan)], ids=repr)
def test_nan_is_a_scalar(nan: object) -> None:
    assert is_scalar(nan)
    assert math.isnan(scalar_value(nan))


LARGEST_FLOAT = 2**1024 - 2**971


@pytest.mark.parametrize("expression", ["2**1023 - 1", "2**1023", "-(2**1023)", "LARGEST_FLOAT", "Fraction(2**1023)"])
def test_a_number_that_a_float_can_just_hold_is_a_scalar(expression: str) -> None:
    value = eval(expression)
    assert is_scalar(value)
    assert float(scalar_value(value)) == float(value)


@pytest.mark.parametrize("expression", ["2**1024 - 1", "2**1024", "-(2**1024)", "10**400", "Fraction(10**400)"])
def test_a_number_that_no_float_can_hold_is_no_scalar(expression: str) -> None:
    assert not is_scalar(eval(expression))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1",
        b"1",
        "",
        1j,
        Decimal("0.5"),
        [],
        [1.0],
        (1.0,),
        {1.0},
        {"value": 1.0},
        range(1),
        object(),
        int,
        np.ndarray,
        FakeTensorFlowTensor(),
        FakeSizelessArray(),
    ],
    ids=lambda value: describe(value),
)
def test_everything_else_is_no_scalar(value: object) -> None:
    assert not is_scalar(value)
    with pytest.raises(ScalarTypeError):
        scalar_value(value)


@pytest.mark.parametrize("shape", ONE_ELEMENT_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", NUMPY_REAL)
def test_a_numpy_array_of_one_real_number_is_a_scalar(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, dtype=dtype)
    assert is_scalar(array)
    assert scalar_value(array) == 1
    assert type(scalar_value(array)) is (int if array.dtype.kind in "biu" else float)


@pytest.mark.parametrize("dtype", NUMPY_REAL)
def test_a_real_numpy_scalar_is_a_scalar(dtype: str) -> None:
    value = np.dtype(dtype).type(1)
    assert is_scalar(value)
    assert scalar_value(value) == 1
    assert type(scalar_value(value)) is (int if value.dtype.kind in "biu" else float)


@pytest.mark.parametrize("shape", ONE_ELEMENT_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", NUMPY_OTHER)
def test_a_numpy_array_of_anything_else_is_no_scalar(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype=dtype)
    assert not is_scalar(array)


@pytest.mark.parametrize("dtype", NUMPY_OTHER)
def test_a_numpy_scalar_of_anything_else_is_no_scalar(dtype: str) -> None:
    value = np.zeros(1, dtype=dtype)[0]
    assert is_scalar(value) is (dtype == "object")  # NumPy hands out the object itself: the int 0


def test_an_object_array_is_no_scalar_even_if_it_holds_a_number() -> None:
    assert not is_scalar(np.array([1.0], dtype=object))


@pytest.mark.parametrize("shape", OTHER_SHAPES, ids=str)
def test_an_array_of_no_or_several_elements_is_no_scalar(shape: tuple[int, ...]) -> None:
    assert not is_scalar(np.ones(shape))
    assert not is_scalar(torch.ones(shape))
    assert not is_scalar(FakeArray(1.0, shape=shape))
    assert not is_scalar(FakeDtypelessArray(1.0, shape=shape))


@pytest.mark.parametrize("shape", ONE_ELEMENT_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TORCH_REAL, ids=str)
def test_a_real_tensor_of_one_element_is_a_scalar(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape).to(dtype)
    assert is_scalar(tensor)
    assert scalar_value(tensor) == 1
    is_floating = dtype.is_floating_point
    assert type(scalar_value(tensor)) is (float if is_floating else int)


@pytest.mark.parametrize("dtype", TORCH_COMPLEX, ids=str)
def test_a_complex_tensor_is_no_scalar(dtype: torch.dtype) -> None:
    assert not is_scalar(torch.ones((), dtype=dtype))


def test_a_tensor_with_a_graph_and_a_parameter_are_scalars() -> None:
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    assert scalar_value(parameter) == 2.0
    assert scalar_value(parameter * 2) == 4.0


@pytest.mark.parametrize("shape", ONE_ELEMENT_SHAPES, ids=str)
@pytest.mark.parametrize(
    "dtype",
    [np.dtype("float32"), np.dtype("int8"), np.dtype("bool"), FakeMlDtype("bfloat16"), FakeMlDtype("float8_e5m2")],
    ids=str,
)
def test_any_array_of_one_real_number_is_a_scalar(dtype: object, shape: tuple[int, ...]) -> None:
    array = FakeArray(1.5, dtype, shape)
    assert is_scalar(array)
    assert scalar_value(array) == 1.5


@pytest.mark.parametrize("dtype", [np.dtype("complex64"), np.dtype("U1"), FakeMlDtype("|V2"), "float32", None], ids=str)
def test_any_array_of_something_else_is_no_scalar(dtype: object) -> None:
    assert not is_scalar(FakeArray(1.5, dtype))


@pytest.mark.parametrize(("value", "expected"), [(1.5, True), (2, True), ("1", False), (1j, False), (10**400, False)])
def test_without_a_dtype_the_element_decides(value: object, expected: bool) -> None:
    assert is_scalar(FakeDtypelessArray(value)) is expected
    assert is_scalar(FakeDtypelessArray(value, (1, 1))) is expected


def test_is_scalar_does_not_read_the_value() -> None:
    assert is_scalar(FakeUnreadableArray(1.0))


def test_the_answer_does_not_depend_on_what_was_asked_of_the_type_before() -> None:
    answers = [is_scalar(np.ones(size)) for size in (1, 2, 1)] + [is_scalar(10**power) for power in (1, 400, 2)]
    assert answers == [True, False, True] * 2


@given(st.floats() | st.integers(-(2**1023), 2**1023) | st.booleans())
def test_a_number_survives_any_wrapping(number: float) -> None:
    assert scalar_value(number) == number or math.isnan(number)
    if abs(number) < 2**63 or isinstance(number, float):
        assert scalar_value(np.asarray(number)) == number or math.isnan(number)


def test_the_error_names_the_key_the_value_and_the_rule() -> None:
    with pytest.raises(ScalarTypeError) as caught:
        scalar_value(np.zeros((2, 3), dtype="int8"), key="train/loss")
    assert caught.value.key == "train/loss"
    assert caught.value.requirement == "SCALAR-01"
    assert "'train/loss'" in str(caught.value)
    assert "ndarray of shape (2, 3) and dtype int8" in str(caught.value)


def test_the_error_of_a_value_without_a_key_names_none() -> None:
    with pytest.raises(ScalarTypeError, match=r"^a value must be a scalar") as caught:
        scalar_value([])
    assert caught.value.key is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "list"),
        (None, "NoneType"),
        (torch.zeros(2, dtype=torch.int8), "Tensor of shape (2,) and dtype torch.int8"),
        (SimpleNamespace(shape=5), "SimpleNamespace"),
        (SimpleNamespace(shape=len), "SimpleNamespace"),
    ],
    ids=repr,
)
def test_describe_says_what_a_value_is(value: object, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize(
    "value",
    [1.0, None, "cuda", np.ones(1), torch.ones(1), torch.ones((), device="meta"), SimpleNamespace(is_cpu=False)],
    ids=describe,
)
def test_immediate_or_unreadable_values_are_not_on_a_device(value: object) -> None:
    assert lies_on_device(value) is False


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("it has none")


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), dict.fromkeys(range(200), "x" * 200)])
def test_long_text_is_cut(value: object) -> None:
    assert len(shown(value)) < 1_000


def test_short_values_are_shown_in_full() -> None:
    assert shown("7") == "'7'"
    assert shown([0.1, None]) == "[0.1, None]"


def test_a_repr_that_raises_does_not_hide_the_error() -> None:
    assert shown(Silent()).startswith("<Silent instance at ")


def test_an_int_that_has_no_repr_does_not_either() -> None:
    assert shown([10**9_000]) == "<list>"
