import copy
import json
import pickle
import subprocess
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtimeinfo
from runtimeinfo import HubError, MissingScalarError, ScalarTypeError
from runtimeinfo_adapters import MessageHub, ScalarHistory, UnsavedInfoWarning
from runtimeinfo_adapters.hub._scalar_history import BLOCK

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import MessageHub as SeedHub

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=150)

keys = st.sampled_from(["a", "b", "train/loss"])
infos = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
scalars = st.integers(-(2**40), 2**40) | st.floats(width=32) | st.booleans()
scalars |= st.floats(width=32).map(np.float32) | st.integers(0, 9).map(lambda number: np.array([number]))
entries = scalars | st.builds(dict, value=scalars) | st.builds(dict, value=scalars, count=st.integers(1, 9))

operations = st.one_of(
    st.tuples(st.just("update_info"), keys, infos, st.booleans()),
    st.tuples(st.just("update_info_dict"), st.dictionaries(keys, infos)),
    st.tuples(st.just("get_info"), keys, infos),
    st.tuples(st.just("pop_info"), keys, infos),
    st.tuples(st.just("update_scalar"), keys, scalars, st.integers(1, 9), st.booleans()),
    st.tuples(st.just("update_scalars"), st.dictionaries(keys, entries, max_size=1)),
    st.tuples(st.just("get_scalar"), keys),
)


def call(hub, name, *arguments):
    """Return what the call returned, or that it was refused."""
    try:
        result = getattr(hub, name)(*arguments)
    except KeyError:
        return "no such key"
    except (AssertionError, HubError):  # the seed's, ours
        return "refused"
    return hub_history(result) if name == "get_scalar" else result


def hub_history(history):
    return [np.asarray(array, dtype=np.float64).tolist() for array in history.data]


def contents(hub):
    return dict(hub.runtime_info), {key: hub_history(history) for key, history in hub.log_scalars.items()}


@LENIENT
@given(operations=st.lists(operations, max_size=25))
def test_agrees_with_the_seeds_hub(operations):
    ours, seeds = MessageHub("model"), SeedHub("model")
    for name, *arguments in operations:
        if name == "update_info_dict" and len({seeds._resumed_keys.get(key, True) for key in arguments[0]}) > 1:
            continue  # the seed publishes half of it: differences.md
        assert repr(call(ours, name, *arguments)) == repr(call(seeds, name, *arguments))
        assert repr(contents(ours)) == repr(contents(seeds))
        assert ours._resumed_keys == seeds._resumed_keys
        assert set(ours.state_dict()["runtime_info"]) == set(seeds.state_dict()["runtime_info"])
        assert set(ours.state_dict()["log_scalars"]) == set(seeds.state_dict()["log_scalars"])


def test_satisfies_the_protocols():
    hub = MessageHub("protocol")
    assert isinstance(hub, runtimeinfo.MessageHub)
    assert isinstance(hub, runtimeinfo.authoring.SupportsPopScalar)
    assert isinstance(hub, runtimeinfo.authoring.SupportsDropLatest)
    assert isinstance(hub, runtimeinfo.authoring.SupportsDeviceScalars)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log_scalars": [1]}, "log_scalars must be a mapping, but is list"),
        ({"runtime_info": 1}, "runtime_info must be a mapping, but is int"),
        ({"log_scalars": {"a": [1.0]}}, r"log_scalars\['a'\] must be a ScalarHistory, but is list"),
        ({"resumed_keys": {"a": True}}, "resumed_keys has 'a', which is neither"),
    ],
)
def test_the_first_contents_are_checked(arguments, message):
    with pytest.raises(HubError, match=message):
        MessageHub("begin", **arguments)


def test_the_first_contents_are_published():
    hub = MessageHub("begin", {"a": ScalarHistory([1.0])}, {"b": 2}, {"a": True, "b": False})
    assert hub.get_scalar("a").current() == 1.0
    assert hub.get_info("b") == 2
    assert hub.state_dict()["runtime_info"] == {}
    with pytest.raises(HubError, match="resumed=False"):
        hub.update_info("b", 3)


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
@pytest.mark.parametrize("name", ["update_info", "update_scalar"])
def test_a_key_is_a_string(name, key):
    hub = MessageHub("keys")
    with pytest.raises(HubError, match="a key must be a string"):
        getattr(hub, name)(key, 1.0)
    assert contents(hub) == ({}, {})


def test_a_key_keeps_its_resumed_flag():
    hub = MessageHub("flags")
    hub.update_info("a", 1, resumed=False)
    hub.update_scalar("b", 1.0)
    for publish in (
        lambda: hub.update_info("a", 2),
        lambda: hub.update_scalar("a", 2.0),
        lambda: hub.update_scalar("b", 2.0, resumed=False),
        lambda: hub.update_info_dict({"c": 1, "a": 2}),
        lambda: hub.update_scalars({"c": 1.0, "a": 2.0}),
    ):
        with pytest.raises(HubError, match="a key keeps its flag") as caught:
            publish()
        assert caught.value.key in {"a", "b"}
    assert contents(hub) == ({"a": 1}, {"b": [[1.0], [1.0]]})


@pytest.mark.parametrize("count", [1.0, "1", None, np.int64(1), np.ones(2)])
def test_a_count_is_an_int_at_each_update(count):
    hub = MessageHub("counts")
    for _ in range(2):  # the first update makes the history, the second finds it
        with pytest.raises(ScalarTypeError, match="the count of 'a' must be an int"):
            hub.update_scalar("a", 1.0, count)
        hub.update_scalar("a", 1.0)
    assert hub.get_scalar("a").data[0].tolist() == [1.0, 1.0]


def test_a_refused_scalar_names_the_key_and_changes_nothing():
    hub = MessageHub("refused")
    with pytest.raises(ScalarTypeError, match="the value of 'a' must be a scalar"):
        hub.update_scalar("a", "x")
    with pytest.raises(MissingScalarError):
        hub.get_scalar("a")
    hub.update_scalar("a", 1.0)
    with pytest.raises(TypeError, match="the value of 'a' must be a scalar"):
        hub.update_scalar("a", np.ones(2))
    assert contents(hub) == ({}, {"a": [[1.0], [1.0]]})


@pytest.mark.parametrize("wrong", [{"b": "x"}, {"b": {"count": 1}}, {"b": {"value": 1.0, "count": 1.5}}, {2: 1.0}])
def test_update_scalars_is_all_or_nothing(wrong):
    hub = MessageHub("atomic")
    with pytest.raises(HubError):
        hub.update_scalars({"a": 1.0, **wrong})
    assert contents(hub) == ({}, {})


def test_update_info_dict_is_all_or_nothing():
    hub = MessageHub("atomic")
    with pytest.raises(HubError):
        hub.update_info_dict({"a": 1, 2: 2})
    assert contents(hub) == ({}, {})


@pytest.mark.parametrize("wrong", [None, [("a", 1)], 1])
def test_several_at_once_come_as_a_mapping(wrong):
    hub = MessageHub("mapping")
    with pytest.raises(HubError, match="info_dict must be a mapping"):
        hub.update_info_dict(wrong)
    with pytest.raises(HubError, match="log_dict must be a mapping"):
        hub.update_scalars(wrong)


def test_a_missing_scalar_names_those_there_are():
    hub = MessageHub("missing")
    with pytest.raises(MissingScalarError, match="hub 'missing' has no scalar 'los'; it has none"):
        hub.get_scalar("los")
    hub.update_scalar("loss", 1.0)
    with pytest.raises(KeyError, match="it has loss"):
        hub.get_scalar("los")


def test_the_views_are_snapshots_and_read_only():
    hub = MessageHub("views")
    hub.update_info("a", 1)
    hub.update_scalar("b", 1.0)
    infos, histories = hub.runtime_info, hub.log_scalars
    hub.update_info("c", 2)
    hub.update_scalar("d", 1.0)
    assert set(infos) == {"a"}
    assert set(histories) == {"b"}
    for view in (infos, histories):
        with pytest.raises(TypeError):
            view["e"] = 1
    assert histories["b"] is hub.get_scalar("b")


def test_pop_scalar_forgets_the_history():
    hub = MessageHub("pop")
    hub.update_scalar("a", 1.0)
    hub.pop_scalar("a")
    hub.pop_scalar("a")
    hub.update_scalar("a", 2.0)
    assert contents(hub) == ({}, {"a": [[2.0], [1.0]]})


def test_an_update_goes_on_in_the_history_that_a_state_brought():
    hub, saved = MessageHub("loads"), MessageHub("saved")
    for value in (1.0, 2.0, 3.0):
        hub.update_scalar("a", value)
        saved.update_scalar("a", -value)
    for state in (saved.state_dict(), saved):
        hub.load_state_dict(state)
        hub.update_scalar("a", 4.0)
        assert hub.get_scalar("a").data[0].tolist() == [-1.0, -2.0, -3.0, 4.0]
    assert saved.get_scalar("a").data[0].tolist() == [-1.0, -2.0, -3.0]


def test_a_whole_hub_replaces_everything():
    hub, saved = MessageHub("replaced"), MessageHub("saved")
    hub.update_scalar("a", 1.0)
    hub.load_state_dict(saved)
    hub.update_scalar("a", 2.0)
    assert contents(hub) == ({}, {"a": [[2.0], [1.0]]})


def test_a_history_with_an_update_of_its_own_gets_each_value():
    class Doubling(ScalarHistory):
        def update(self, log_val, count=1):
            super().update(2 * log_val, count)

    hub = MessageHub("own history", {"a": Doubling()}, resumed_keys={"a": True})
    for value in (1.0, 2.0, 3.0):
        hub.update_scalar("a", value)
    assert hub.get_scalar("a").data[0].tolist() == [2.0, 4.0, 6.0]


def test_no_more_than_a_block_waits():
    hub = MessageHub("blocks")
    for number in range(3 * BLOCK):
        hub.update_scalar("a", float(number))
        assert len(hub.get_scalar("a").pending) < BLOCK
    assert hub.get_scalar("a").data[0].tolist() == list(map(float, range(3 * BLOCK)))


# -- copies


def pickled(hub):
    return pickle.loads(pickle.dumps(hub))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_holds_the_same_and_is_independent(duplicate):
    hub = MessageHub("copied")
    hub.update_info("a", [1])
    hub.update_scalar("b", 1.0)
    twin = duplicate(hub)
    hub.get_info("a").append(2)
    hub.update_scalar("b", 2.0)
    assert contents(twin) == ({"a": [1]}, {"b": [[1.0], [1.0]]})
    twin.update_scalar("b", 3.0)
    assert contents(twin) == ({"a": [1]}, {"b": [[1.0, 3.0], [1.0, 1.0]]})
    twin.update_scalar("c", 1.0)
    assert repr(twin) == "<MessageHub 'copied': 1 infos, 2 scalars>"


def test_a_shallow_copy_has_the_same_infos_and_its_own_histories():
    hub = MessageHub("copied")
    hub.update_info("a", [1])
    hub.update_scalar("b", 1.0)
    twin = copy.copy(hub)
    assert twin.get_info("a") is hub.get_info("a")
    twin.update_info("a", 2)
    twin.update_scalar("b", 2.0)
    assert contents(hub) == ({"a": [1]}, {"b": [[1.0], [1.0]]})
    assert contents(twin) == ({"a": 2}, {"b": [[1.0, 2.0], [1.0, 1.0]]})


@pytest.mark.parametrize(("keys", "length"), [(300, 300), (2, 100_000)])
def test_a_pickle_is_as_large_as_the_values(keys, length):
    hub = MessageHub("large", {f"key {key}": ScalarHistory(np.arange(float(length))) for key in range(keys)})
    values = keys * length * 8
    tracemalloc.start()
    try:
        data = pickle.dumps(hub)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) < 1.1 * values
    assert peak < 5 * values  # the values, their bytes and the pickle, which grows in steps


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_keeps_flags_and_is_neither_shared_nor_registered(duplicate):
    hub = MessageHub.get_instance("test-copies")
    hub.share()
    try:
        hub.update_info("a", 1, resumed=False)
        hub.update_scalar("b", 1.0)
        twin = duplicate(hub)
        assert twin.instance_name == "test-copies"
        assert MessageHub.get_instance("test-copies") is hub
        assert (twin.board_path, hub.board_path is None) == (None, False)
        with pytest.raises(HubError, match="a key keeps its flag"):
            twin.update_info("a", 2)
        assert list(twin.state_dict()["log_scalars"]) == ["b"]
        twin.update_info("iter", 7)
        assert hub.share().get_info("iter") is None
        assert twin._lock is not hub._lock
        with twin.sharing():
            assert twin.board_path not in (None, hub.board_path)
    finally:
        hub.unshare()


class Own(MessageHub):
    """A hub with an attribute of its own, which holds itself as an info."""

    def __init__(self, name):
        super().__init__(name)
        self.tags = ["first"]
        self.update_info("hub", self)
        self.update_info("hubs", [self])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_of_a_subclass_keeps_attributes_and_refers_to_itself(duplicate):
    hub = Own("own")
    twin = duplicate(hub)
    assert type(twin) is Own
    assert twin.get_info("hub") is twin
    assert twin.get_info("hubs") == [twin]
    twin.tags.append("second")
    assert hub.tags == ["first"]


class OnlyHere:
    """An object that can be pickled but not unpickled, as its class may be missing elsewhere."""

    def __reduce__(self):
        return _fail, ()


def _fail():
    raise ImportError("there is no such class here")


def test_an_info_that_cannot_be_pickled_is_left_out_with_one_warning():
    hub = MessageHub("unpicklable")
    hub.update_info_dict({"epoch": 3, "net": {"scale": lambda value: value}})
    with pytest.warns(UnsavedInfoWarning, match="info 'net' is left out of the pickled hub: .*lambda") as caught:
        twin = pickled(hub)
    assert [warning.filename for warning in caught] == [__file__]
    assert contents(twin) == ({"epoch": 3}, {})
    assert contents(pickled(hub)) == ({"epoch": 3}, {})  # warnings are errors here: it warns once a key
    with pytest.warns(UnsavedInfoWarning, match="info 'net' is not saved"):
        hub.state_dict()
    twin.update_info("net", 1)


def test_an_info_that_cannot_be_unpickled_is_left_out_with_a_warning():
    hub = MessageHub("elsewhere")
    hub.update_info_dict({"epoch": 3, "model": OnlyHere()})
    data = pickle.dumps(hub)
    with pytest.warns(UnsavedInfoWarning, match="info 'model' is missing in the unpickled hub: ImportError: there is"):
        twin = pickle.loads(data)
    assert contents(twin) == ({"epoch": 3}, {})


def test_a_deep_copy_keeps_an_info_that_cannot_be_copied_as_the_same_object():
    lock, shared = threading.Lock(), [1]
    hub = MessageHub("uncopyable")
    hub.update_info_dict({"lock": [shared, lock], "shared": shared, "both": [shared, shared]})
    twin = copy.deepcopy(hub)
    assert twin.get_info("lock") is hub.get_info("lock")
    assert twin.get_info("shared") == [1]
    assert twin.get_info("shared") is not shared
    assert twin.get_info("both")[0] is twin.get_info("both")[1] is twin.get_info("shared")


def test_a_spawned_process_receives_an_independent_hub():
    program = Path(__file__).parent / "spawned_process.py"
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    received = [{"epoch": 3, "classes": ["cat", "dog"]}, [4.0, 2.0], "None", False]
    assert found["child"] == [received, 30, [4.0, 2.0, 9.0]]
    assert found["parent"] == [3, [4.0, 2.0], True]
    assert len(found["left_out"]) == 1
    assert found["left_out"][0].startswith("info 'scale' is left out of the pickled hub: ")
    assert found["exit_code"] == 0
