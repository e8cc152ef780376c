import copy
import enum
import io
import json
import logging
import math
import pickle
import subprocess
import sys
import tempfile
import types
import warnings
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtimeinfo import StateError
from runtimeinfo_adapters import MessageHub, ScalarHistory, UnsavedInfoWarning
from runtimeinfo_adapters.hub._state import NotPlainError, from_plain, to_plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import HistoryBuffer
    from mmengine.logging import MessageHub as SeedHub

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=100)

keys = st.text(min_size=1, max_size=6)
numbers = st.integers(-(2**53), 2**53) | st.floats(width=32)
updates = st.lists(st.tuples(numbers, st.integers(1, 5)), min_size=1, max_size=6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def make_hub(infos, scalars):
    hub = MessageHub("state")
    hub.update_info_dict(infos)
    for key, values in scalars.items():
        for value, count in values:
            hub.update_scalar(key, value, count)
    return hub


def contents(hub):
    scalars = {
        key: (history.max_length, *(array.tolist() for array in history.data))
        for key, history in sorted(hub.log_scalars.items())
    }
    return repr((dict(sorted(hub.runtime_info.items())), scalars, sorted(hub._resumed_keys.items())))


def through_torch(state, **options):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, **options)


def through_json(state):
    return json.loads(json.dumps(state, default=lambda tensor: tensor.tolist()))


@LENIENT
@given(
    infos=st.dictionaries(keys, plain, max_size=4),
    scalars=st.dictionaries(keys, updates, max_size=4),
    carry=st.sampled_from([copy.deepcopy, lambda state: through_torch(state, weights_only=True), through_json]),
)
def test_a_saved_hub_comes_back(infos, scalars, carry):
    hub = make_hub(infos, scalars)
    restored = MessageHub("restored")
    restored.load_state_dict(carry(hub.state_dict()))
    assert contents(restored) == contents(hub)
    for key in scalars:  # and goes on
        restored.update_scalar(key, 1.0)


def test_values_are_tensors_and_counts_only_where_they_differ():
    state = make_hub({"epoch": 3}, {"a": [(1.5, 1), (2.5, 1)], "b": [(1, 2)]}).state_dict()
    assert state["version"] == 2
    assert state["resumed_keys"] == {"epoch": True, "a": True, "b": True}
    assert state["log_scalars"]["a"]["values"].dtype == torch.float64
    assert state["log_scalars"]["a"]["counts"] is None
    assert state["log_scalars"]["b"]["values"].dtype == torch.int64
    assert state["log_scalars"]["b"]["counts"].tolist() == [2]
    assert state["log_scalars"]["b"]["max_length"] == 1_000_000


def test_a_saved_state_does_not_change_with_the_hub_nor_the_hub_with_it():
    hub = make_hub({"list": [1]}, {"a": [(1.0, 1)]})
    state = hub.state_dict()
    hub.get_info("list").append(2)
    hub.update_scalar("a", 2.0)
    assert state["runtime_info"]["list"] == [1]
    assert state["log_scalars"]["a"]["values"].tolist() == [1.0]
    restored = MessageHub("restored")
    restored.load_state_dict(state)
    restored.get_info("list").append(3)
    restored.update_scalar("a", 3.0)
    assert state["runtime_info"]["list"] == [1]
    assert state["log_scalars"]["a"]["values"].tolist() == [1.0]


def test_a_key_that_is_missing_in_the_state_stays():
    hub = make_hub({"mine": 1, "both": 2}, {"loss": [(1.0, 1)]})
    hub.load_state_dict(make_hub({"both": 3}, {"lr": [(0.1, 1)]}).state_dict())
    assert dict(hub.runtime_info) == {"mine": 1, "both": 3}
    assert set(hub.log_scalars) == {"loss", "lr"}


def test_a_key_that_is_not_resumed_is_not_saved():
    hub = MessageHub("local")
    hub.update_info("device", object(), resumed=False)
    hub.update_scalar("time", 1.0, resumed=False)
    state = hub.state_dict()
    assert (state["log_scalars"], state["runtime_info"], state["resumed_keys"]) == ({}, {}, {})


def test_info_that_is_not_plain_is_left_out_with_one_warning():
    hub = make_hub({"epoch": 3, "model": {"net": [object()]}}, {})
    with pytest.warns(UnsavedInfoWarning, match=r"info 'model' is not saved: \['net'\]\[0\] is an object") as caught:
        state = hub.state_dict()
    assert [warning.filename for warning in caught] == [__file__]
    assert state["runtime_info"] == {"epoch": 3}
    assert state["resumed_keys"] == {"epoch": True}
    hub.state_dict()  # warnings are errors here: it warns once a key
    restored = MessageHub("restored")
    restored.load_state_dict(state)


def test_without_torch_a_state_holds_lists():
    program = """
import json, sys
from runtimeinfo_adapters import MessageHub
import numpy as np
hub = MessageHub("light")
hub.update_scalar("a", 1.5); hub.update_scalar("a", 2.5, count=2)
hub.update_info("array", np.arange(3, dtype=np.int16))
hub.update_info("empty", {"a": np.empty((0, 3)), "b": np.empty((2, 0), "U2"), "c": np.array(2.5)})
assert "torch" not in sys.modules
print(json.dumps(hub.state_dict()))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    state = json.loads(result.stdout)
    assert state["log_scalars"]["a"] == {"values": [1.5, 2.5], "counts": [1, 2], "max_length": 1_000_000}
    hub = MessageHub("light")
    hub.load_state_dict(state)
    assert hub.get_info("array").dtype == np.int16
    assert hub.get_info("array").tolist() == [0, 1, 2]
    assert same(hub.get_info("empty"), {"a": np.empty((0, 3)), "b": np.empty((2, 0), "U2"), "c": np.array(2.5)})


# -- mmengine's


def seed_hub():
    hub = SeedHub("seed")
    for number in range(5):
        hub.update_scalar("train/loss", number / 2, count=number + 1)
    hub.update_scalar("own", 1.0, resumed=False)
    hub.update_info_dict({"epoch": 3, "cfg": "text", "metainfo": {"classes": ("cat", "dog"), "palette": np.eye(2)}})
    hub.update_info("gone", 1)
    hub.pop_info("gone")
    return hub


def assert_is_seed_hub(hub):
    assert hub.get_info("epoch") == 3
    assert hub.get_info("metainfo")["classes"] == ("cat", "dog")
    assert hub.get_info("metainfo")["palette"].tolist() == np.eye(2).tolist()
    assert [array.tolist() for array in hub.get_scalar("train/loss").data] == [[0, 0.5, 1, 1.5, 2], [1, 2, 3, 4, 5]]


def test_a_checkpoint_of_mmengine_loads():
    state = through_torch({"message_hub": seed_hub().state_dict()}, weights_only=False)["message_hub"]
    assert isinstance(state["log_scalars"]["train/loss"], HistoryBuffer)
    hub = MessageHub("from-seed")
    hub.load_state_dict(state)
    assert_is_seed_hub(hub)
    assert "gone" not in hub._resumed_keys
    hub.update_scalar("train/loss", 9.0)
    assert_is_seed_hub_again = MessageHub("again")
    assert_is_seed_hub_again.load_state_dict(through_torch(hub.state_dict(), weights_only=True))
    assert assert_is_seed_hub_again.get_scalar("train/loss").current() == 9.0


def test_a_pickled_hub_of_mmengine_replaces_everything():
    hub = make_hub({"mine": 1}, {"mine/too": [(1.0, 1)]})
    hub.load_state_dict(through_torch(seed_hub(), weights_only=False))
    assert_is_seed_hub(hub)
    assert hub.get_info("mine") is None
    assert set(hub.log_scalars) == {"train/loss", "own"}


def test_one_of_our_hubs_replaces_everything_and_stays_independent():
    source = make_hub({"epoch": 1}, {"a": [(1.0, 1)]})
    hub = make_hub({"mine": 1}, {})
    hub.load_state_dict(source)
    assert contents(hub) == contents(source)
    source.update_scalar("a", 2.0)
    assert hub.get_scalar("a").current() == 1.0
    hub.load_state_dict(hub)
    assert hub.get_scalar("a").current() == 1.0


def test_a_scalar_that_early_mmengine_saved_otherwise_is_skipped(caplog):
    hub = MessageHub("early")
    with caplog.at_level(logging.WARNING, logger="runtimeinfo"):
        hub.load_state_dict({"log_scalars": {"old": 1.5}, "runtime_info": {"a": 1}, "resumed_keys": {"old": True}})
    assert "log_scalars['old'] is not a HistoryBuffer, but float" in caplog.text
    assert contents(hub) == contents(MessageHub("early", runtime_info={"a": 1}))


def test_an_object_in_mmengines_info_is_kept():
    thing = object()
    hub = MessageHub("objects")
    hub.load_state_dict({"log_scalars": {}, "runtime_info": {"thing": thing}, "resumed_keys": {"thing": True}})
    assert hub.get_info("thing") is thing


# -- damage


def valid_state():
    hub = make_hub({"epoch": 3, "meta": {"array": np.arange(3)}}, {"a": [(1.5, 1), (2.5, 2)], "b": [(1, 1)]})
    return hub.state_dict()


MISSING = object()
NOT_MAPPINGS = st.sampled_from([None, 1, "text", [("a", 1)], {1, 2}])
NOT_NUMBERS = st.sampled_from(
    [
        "12",
        3,
        {"0": 1.0},
        [1.0, "x"],
        [1.0, None],
        [[1.0], [2.0, 3.0]],
        [[1.0, 2.0]],
        ["1", "2"],
        [1j, 2.0],
        [object(), 1.0],
        [1.0, 10**400],
        torch.ones(2, 2),
        torch.tensor(1.0),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, requires_grad=True),
        torch.ones(2, device="meta"),
        np.ones((2, 1)),
        np.array(["a", "b"]),
        np.array(["2020", "2021"], dtype="M8[s]"),
    ]
)
NOT_PLAIN = st.sampled_from(
    [object(), [object()], {"x": {1}}, 1j, {"__ndarray__": [1]}, {"__ndarray__": [999], "dtype": "uint8"}]
)

# path to the damaged place, what comes there, and the field that the error has to name
damages = st.one_of(
    st.tuples(st.just(("version",)), st.sampled_from([0, 3, 1.0, 2.0, "1", None, True, [1]]), st.just("version")),
    st.tuples(st.just(("version",)), st.just(MISSING), st.just("version")),
    st.tuples(
        st.just(("run_id",)), st.sampled_from([MISSING, None, "", "a/b", "a\n", "ä", 7, "a" * 129]), st.just("run_id")
    ),
    *(
        st.tuples(st.just((field,)), st.just(MISSING) | NOT_MAPPINGS, st.just(field))
        for field in ("log_scalars", "runtime_info", "resumed_keys")
    ),
    *(
        st.tuples(st.just((field, key)), st.just(1), st.just(field))
        for field in ("log_scalars", "runtime_info", "resumed_keys")
        for key in (1, None, ("a",))
    ),
    st.tuples(st.just(("log_scalars", "a")), NOT_MAPPINGS, st.just("log_scalars['a']")),
    *(
        st.tuples(st.just(("log_scalars", "a", name)), st.just(MISSING), st.just(f"log_scalars['a'].{name}"))
        for name in ("values", "counts", "max_length")
    ),
    st.tuples(st.just(("log_scalars", "a", "values")), NOT_NUMBERS | st.none(), st.just("log_scalars['a'].values")),
    st.tuples(st.just(("log_scalars", "a", "counts")), NOT_NUMBERS, st.just("log_scalars['a'].counts")),
    st.tuples(
        st.just(("log_scalars", "a", "counts")),
        st.lists(st.integers(1, 9), max_size=5).filter(lambda counts: len(counts) != 2),
        st.just("log_scalars['a'].counts"),
    ),
    st.tuples(
        st.just(("log_scalars", "a", "max_length")),
        st.sampled_from([0, -1, 1.5, "3", None, True, [3]]),
        st.just("log_scalars['a'].max_length"),
    ),
    st.tuples(st.just(("runtime_info", "meta")), NOT_PLAIN, st.just("runtime_info['meta']")),
    st.tuples(st.just(("resumed_keys", "a")), st.sampled_from([1, None, "yes"]), st.just("resumed_keys['a']")),
    *(st.tuples(st.just(("resumed_keys", key)), st.just(MISSING), st.just(f"resumed_keys['{key}']")) for key in "ab"),
    st.tuples(st.just(("resumed_keys", "ghost")), st.booleans(), st.just("resumed_keys['ghost']")),
    st.tuples(st.just(("runtime_info", "ghost")), st.just(1), st.just("resumed_keys['ghost']")),
    st.tuples(st.just(("log_scalars", "b")), st.just(MISSING), st.just("resumed_keys['b']")),
)


@settings(LENIENT, max_examples=400)
@given(damage=damages)
def test_a_damaged_state_is_refused_by_name_and_changes_nothing(damage):
    (*parents, last), value, field = damage
    state = valid_state()
    place = state
    for parent in parents:
        place = place[parent]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value

    hub = make_hub({"epoch": 1}, {"a": [(7.0, 1)]})
    before, histories = contents(hub), dict(hub.log_scalars)
    with pytest.raises(StateError) as caught:
        hub.load_state_dict(state)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)
    assert caught.value.requirement == "HUB-13"
    assert contents(hub) == before
    assert dict(hub.log_scalars) == histories


@pytest.mark.parametrize("state", [None, 1, "state", [], [("version", 1)], object()])
def test_a_state_is_a_mapping(state):
    with pytest.raises(StateError, match=r"^state_dict must be a mapping"):
        MessageHub("none").load_state_dict(state)


def test_a_broken_hub_is_refused():
    class Broken:
        _log_scalars = 5

    hub = make_hub({"epoch": 1}, {})
    with pytest.raises(StateError, match="state_dict is Broken, which is not a hub"):
        hub.load_state_dict(Broken())
    assert hub.get_info("epoch") == 1


def test_a_broken_history_of_mmengine_is_refused():
    broken = HistoryBuffer([1.0, 2.0], [1, 1])
    broken._count_history = np.array([1])
    hub = make_hub({"epoch": 1}, {})
    with pytest.raises(StateError, match="has 1 entries for 2 values"):
        hub.load_state_dict({"log_scalars": {"a": broken}, "runtime_info": {}, "resumed_keys": {"a": True}})
    assert contents(hub) == contents(make_hub({"epoch": 1}, {}))


def test_the_bound_of_a_history_is_saved():
    hub = MessageHub("bound", {"a": ScalarHistory([1, 2, 3], max_length=3)}, None, {"a": True})
    restored = MessageHub("restored")
    restored.load_state_dict(through_json(hub.state_dict()))
    restored.update_scalar("a", 4)
    assert restored.get_scalar("a").data[0].tolist() == [2, 3, 4]


# -- plain data


atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
kinds = npst.boolean_dtypes() | npst.integer_dtypes(endianness="?") | npst.unsigned_integer_dtypes(endianness="?")
kinds |= npst.floating_dtypes(endianness="?") | npst.unicode_string_dtypes()
kinds |= npst.complex_number_dtypes(endianness="=", sizes=(64, 128))
kinds = kinds.filter(lambda kind: kind.char not in "gG")
arrays = npst.arrays(kinds, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
layouts = [
    np.asarray,
    np.asfortranarray,
    np.transpose,
    np.flip,
    lambda array: np.broadcast_to(array, (2, *array.shape)),
]
arrays = st.builds(lambda layout, array: np.asarray(layout(array)), st.sampled_from(layouts), arrays)
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


def through_a_mapped_file(state):
    with tempfile.NamedTemporaryFile() as file:
        torch.save(state, file.name)
        return torch.load(file.name, weights_only=True, mmap=True)


CARRIES = {
    "itself": lambda state: state,
    "weights only": lambda state: through_torch(state, weights_only=True),
    "mapped": through_a_mapped_file,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
    "deepcopy": copy.deepcopy,
}


@LENIENT
@given(values, st.sampled_from(sorted(CARRIES)))
@example(np.empty((0, 0), "<U1"), "weights only")
@example({"a": (np.empty((2, 0, 4), ">U3"), np.array("text"))}, "pickle")
@example([np.array([2**16 - 1], np.uint16), np.array([2**32 - 1], ">u4"), np.array([2**64 - 1], ">u8")], "pickle")
def test_plain_data_survives_a_checkpoint(value, carry):
    assert same(from_plain(CARRIES[carry](to_plain(value))), value)
    hub, restored = MessageHub("saved"), MessageHub("restored")
    hub.update_info("value", value)
    restored.load_state_dict(CARRIES[carry](hub.state_dict()))
    assert same(restored.get_info("value"), value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


# JSON has no complex numbers; an array without any needs none.
json_arrays = arrays.filter(lambda array: array.dtype.kind != "c" or not array.size)


@LENIENT
@given(json_values, json_arrays)
@example(None, np.empty((0, 3)))
@example(None, np.empty((2, 0, 4), ">i2"))
@example(None, np.empty((0, 0), "<U1"))
@example(None, np.empty((0, 2), np.complex64))
@example(None, np.array(3.0))
def test_plain_data_survives_json(value, array):
    text = json.dumps(to_plain([value, array]), default=lambda tensor: tensor.tolist())
    assert same(from_plain(json.loads(text)), [value, array])


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.int16).reshape(2, 3), np.array("text"), np.empty(0, np.uint8)])
def test_arrays_of_a_release_that_saved_no_shape_load(array):
    plain = to_plain(array)
    del plain["shape"]
    assert same(from_plain(plain), array)


def test_plain_data_is_a_deep_copy():
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
def test_a_subclass_is_written_as_its_plain_type(value, plain):
    def kinds(item):
        inner = [part for pair in item.items() for part in pair] if isinstance(item, dict) else []
        return [type(item), *(kind for part in inner for kind in kinds(part))]

    written = to_plain(value)
    assert written == plain
    assert kinds(written) == kinds(plain)


def test_a_tensor_is_plain_without_its_graph():
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
        (np.ma.masked_greater([1, 5], 3), "^it is an array with a mask$"),
        (1j, "^it is a complex$"),
        (b"", "^it is a bytes$"),
        (np.array([b"a"]), "^it is an array of dtype"),
        (torch.ones(2).as_subclass(Tagged), "^it is a Tagged$"),
        (torch.ones(2, device="meta"), "^it is a Tensor$"),
        (itself, "^it is nested too deeply, or holds itself$"),
    ],
)
def test_a_part_that_is_not_plain_is_named_with_its_place(value, message):
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
        {"__ndarray__": torch.ones(1, device="meta"), "dtype": "float32"},
        {"__ndarray__": [1, 2], "dtype": "int64", "shape": [3]},
        {"__ndarray__": [1, 2], "dtype": "int64", "shape": [2, 1]},
        {"__ndarray__": [], "dtype": "int64", "shape": [0, -1]},
        {"__ndarray__": [], "dtype": "int64", "shape": [2]},
        {"__ndarray__": [], "dtype": "int64", "shape": [0, 2.5]},
        {"__ndarray__": [], "dtype": "int64", "shape": ["0"]},
        {"__ndarray__": [], "dtype": "int64", "shape": 0},
        {"__ndarray__": [], "dtype": "int64", "shape": None},
        itself,
        object(),
    ],
)
def test_damaged_plain_data_is_refused(damaged):
    if damaged is not itself and isinstance(damaged, dict) and damaged.get("dtype", 0) is None:
        assert from_plain(damaged).tolist() == [1]  # NumPy's own default
        return
    with pytest.raises(NotPlainError):
        from_plain(damaged)
