import enum
import io
import json
import math
import types
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtimeinfo_adapters.hub._plain import NotPlainError, from_plain, to_plain

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=100)

atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
kinds = npst.boolean_dtypes() | npst.integer_dtypes(endianness="?") | npst.unsigned_integer_dtypes(endianness="?")
kinds |= npst.floating_dtypes(endianness="?") | npst.unicode_string_dtypes()
kinds |= npst.complex_number_dtypes(endianness="=", sizes=(64, 128))
kinds = kinds.filter(lambda kind: kind.char not in "gG")
arrays = npst.arrays(kinds, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
values = st.recursive(
    atoms | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(left, right):
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind in "fc")
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or (left != left and right != right))


@LENIENT
@given(values)
def test_comes_back_as_it_was_also_through_torch(value):
    plain = to_plain(value)
    assert same(from_plain(plain), value)
    file = io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    assert same(from_plain(torch.load(file, weights_only=True)), value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@LENIENT
@given(json_values, npst.arrays(npst.integer_dtypes() | npst.floating_dtypes(sizes=(16, 32, 64)), (2, 3)))
def test_comes_back_as_it_was_through_json(value, array):
    text = json.dumps(to_plain([value, array]), default=lambda tensor: tensor.tolist())
    assert same(from_plain(json.loads(text)), [value, array])


def test_is_a_deep_copy():
    inner, array = [1], np.zeros(2)
    plain = to_plain({"inner": inner, "array": array})
    inner.append(2)
    array[:] = 1
    back = from_plain(plain)
    assert back["inner"] == [1]
    assert back["array"].tolist() == [0, 0]
    back["inner"].append(3)
    assert from_plain(plain)["inner"] == [1]


class Colour(str, enum.Enum):  # noqa: UP042  # the old way: its str() is "Colour.RED"
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (np.float64(0.5), 0.5),
        (np.str_("a"), "a"),
        (np.int8(3), 3),
        (np.bool_(True), True),
        ({Colour.RED: 1, Level.HIGH: 2, np.float64(0.5): 3}, {"red": 1, 3: 2, 0.5: 3}),
        (OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": (1, 2)}), {"a": (1, 2)}),
        (Point(1, 2), (1, 2)),
        (math.inf, math.inf),
    ],
)
def test_a_subclass_is_written_as_what_it_is_at_heart(value, plain):
    def kinds(item):
        inner = [part for pair in item.items() for part in pair] if isinstance(item, dict) else []
        return [type(item), *(kind for part in inner for kind in kinds(part))]

    written = to_plain(value)
    assert written == plain
    assert kinds(written) == kinds(plain)


def test_a_tensor_comes_without_its_graph():
    leaf = torch.nn.Parameter(torch.ones(2))
    plain = to_plain({"weight": leaf, "loss": (leaf * 2).sum()})
    assert type(plain["weight"]) is torch.Tensor
    assert not plain["weight"].requires_grad
    assert plain["loss"].grad_fn is None
    with torch.no_grad():
        leaf.fill_(7)
    assert plain["weight"].tolist() == [1, 1]


class Tagged(torch.Tensor):
    pass


itself: list = []
itself.append(itself)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "^it is an object$"),
        ({"a": [1, {2}]}, r"^\['a'\]\[1\] is a set$"),
        ({"a": lambda: 0}, r"^\['a'\] is a function$"),
        ((1, torch.nn.ReLU), r"^\[1\] is a type$"),
        ({(1, 2): 3}, "^a key of it is a tuple$"),
        ({"a": {"__ndarray__": 1}}, r"^\['a'\] has the key '__ndarray__', which marks an array$"),
        (np.array([object()]), "^it is an array of dtype object$"),
        (np.array(["2020"], dtype="M8[s]"), r"^it is an array of dtype datetime64\[s\]$"),
        (np.zeros(2, dtype=[("x", "f4")]), "^it is an array of dtype"),
        (np.zeros(2, dtype=np.longdouble), "^it is an array of dtype"),
        (np.longdouble(1), "^it is an array of dtype"),
        (1j, "^it is a complex$"),
        (b"", "^it is a bytes$"),
        (np.array([b"a"]), "^it is an array of dtype"),
        (torch.ones(2).as_subclass(Tagged), "^it is a Tagged$"),
        (torch.ones(2, device="meta"), "^it is a Tensor$"),
        (itself, "^it is nested too deeply, or holds itself$"),
    ],
)
def test_what_is_not_plain_is_named_with_its_place(value, message):
    with pytest.raises(NotPlainError, match=message):
        to_plain(value)


@pytest.mark.parametrize(
    "damaged",
    [
        {"__ndarray__": [1]},
        {"__ndarray__": [1], "dtype": None, "more": object()},
        {"__ndarray__": [300], "dtype": "uint8"},
        {"__ndarray__": ["x"], "dtype": "float64"},
        {"__ndarray__": [1], "dtype": "object"},
        {"__ndarray__": [1], "dtype": "no such"},
        {"__ndarray__": [1], "dtype": 7},
        {"__ndarray__": [[1], [2, 3]], "dtype": "int64"},
        {"__ndarray__": [None], "dtype": "int64"},
        {"__ndarray__": torch.ones(1, requires_grad=True), "dtype": "float32"},
        itself,
        object(),
    ],
)
def test_a_damaged_one_is_refused(damaged):
    if damaged is not itself and isinstance(damaged, dict) and damaged.get("dtype", 0) is None:
        assert from_plain(damaged).tolist() == [1]  # NumPy's own default
        return
    with pytest.raises(NotPlainError):
        from_plain(damaged)
