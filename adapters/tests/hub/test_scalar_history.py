import copy
import fractions
import itertools
import pickle
import subprocess
import sys
import threading
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import runtimeinfo
from runtimeinfo import EmptyHistoryError, HubError, ScalarTypeError, UnknownStatisticError
from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.hub._counted_values import Ring
from runtimeinfo_adapters.hub._scalar_history import BLOCK, update_count

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import HistoryBuffer

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=100)

numbers = st.integers(-(2**53), 2**53) | st.floats(width=32) | st.booleans()
counts = st.integers(1, 9) | st.just(1)


def same(ours, seeds):
    np.testing.assert_array_equal(np.asarray(ours, dtype=np.float64), np.asarray(seeds, dtype=np.float64))


def close(ours, seeds):
    # The seed sums integers as integers only as long as no float has come; the last bits may differ after that.
    np.testing.assert_allclose(float(ours), float(seeds), rtol=1e-12)


@LENIENT
@given(
    start=st.lists(st.tuples(numbers, counts), max_size=6),
    updates=st.lists(st.tuples(numbers, counts), max_size=20),
    max_length=st.integers(1, 12),
    windows=st.lists(st.none() | st.integers(1, 15), min_size=4, max_size=4),
    readings=st.sets(st.integers(0, 20)),
)
def test_agrees_with_the_seeds_history_buffer(start, updates, max_length, windows, readings):
    start = start[:max_length]
    values, weights = [value for value, _ in start], [count for _, count in start]
    ours = ScalarHistory(values, weights, max_length=max_length)
    seeds = HistoryBuffer(values, weights, max_length=max_length)
    with np.errstate(all="ignore"):
        for index, (value, count) in enumerate(updates):
            ours.update(value, count)
            seeds.update(value, count)
            if index in readings:  # reading in between moves what waits
                same(ours.current(), seeds.current())
                same(ours.data[0], seeds.data[0])
        for mine, its in zip(ours.data, seeds.data, strict=True):
            same(mine, its)
        if not len(seeds.data[0]):
            return
        same(ours.current(), seeds.current())
        same(ours.statistics("current"), seeds.statistics("current"))
        for window in windows:
            close(ours.mean(window), seeds.mean(window))
            same(ours.min(window), seeds.min(window))
            same(ours.max(window), seeds.max(window))
            for name in ("mean", "min", "max"):
                close(ours.statistics(name, window), seeds.statistics(name, window_size=window))


@pytest.mark.parametrize("read", ["current", "mean", "min", "max"])
def test_an_empty_history_says_so(read):
    for history in (ScalarHistory(), ScalarHistory([], [], max_length=3)):
        with pytest.raises(EmptyHistoryError, match="holds no value yet"):
            getattr(history, read)()
        with pytest.raises(ValueError):  # as in the seed
            history.statistics(read)


@pytest.mark.parametrize("window", [0, -1, 1.0, "2"])
@pytest.mark.parametrize("read", ["mean", "min", "max"])
def test_a_window_is_a_positive_int(read, window):
    with pytest.raises(HubError, match="window_size must be a positive int"):
        getattr(ScalarHistory([1.0]), read)(window)


@pytest.mark.parametrize(
    "call",
    [
        lambda value: ScalarHistory(max_length=value),
        lambda value: ScalarHistory(max_on_device=value),
        lambda value: ScalarHistory([1.0]).mean(value),
    ],
)
def test_a_wrong_number_is_shown_cut(call):
    with pytest.raises(HubError) as raised:
        call(list(range(10_000)))
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("max_length", [0, -1, 1.5, True, None])
def test_max_length_is_a_positive_int(max_length):
    with pytest.raises(HubError, match="max_length"):
        ScalarHistory(max_length=max_length)


def test_counts_match_values():
    with pytest.raises(HubError, match="2 values cannot have 1 counts"):
        ScalarHistory([1, 2], [1])


@pytest.mark.parametrize("value", ["0.5", None, [0.5], 1j, np.array(["a"]), np.ones(2), torch.ones(2), {}, 10**400])
def test_a_value_that_is_not_a_scalar_is_refused_and_changes_nothing(value):
    history = ScalarHistory([1.0])
    with pytest.raises(ScalarTypeError):
        history.update(value)
    with pytest.raises(ScalarTypeError):
        history.update(1.0, value)
    assert history.data[0].tolist() == [1.0]
    assert history.data[1].tolist() == [1]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1),
        (np.bool_(True), 1),
        (np.float16(0.5), 0.5),
        (np.array([[2]]), 2),
        (fractions.Fraction(1, 4), 0.25),
        (torch.tensor([[0.5]], dtype=torch.bfloat16), 0.5),
        (torch.tensor(3), 3),
        (torch.tensor(True), 1),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (2**63 - 1, 2**63 - 1),
        (10**30, 1e30),
        (float("inf"), float("inf")),
    ],
)
def test_every_scalar_becomes_a_number(value, number):
    history = ScalarHistory()
    history.update(value)
    assert history.current() == number
    assert type(history.current()) in (int, float)
    assert history.data[0].dtype in (np.int64, np.float64)


def test_a_count_beyond_64_bits_becomes_a_float():
    history = ScalarHistory()
    history.update(1.0, 10**30)
    assert history.data[1].tolist() == [1e30]
    assert history.data[1].dtype == np.float64


def test_data_is_a_copy():
    history = ScalarHistory([1.0, 2.0], [1, 2])
    for array in history.data:
        array[:] = -1
    assert [array.tolist() for array in history.data] == [[1.0, 2.0], [1, 2]]


def test_an_update_moves_nothing_until_a_block_is_full():
    history, grown = ScalarHistory(), 0
    for number in range(200_000):
        before = history._kept._values._buffer
        history.update(float(number))
        grown += history._kept._values._buffer is not before
        assert len(history.pending) < BLOCK
        assert grown <= 10  # to 513 * 2**k at least
    assert history.data[0].tolist() == list(map(float, range(200_000)))


def test_memory_is_eight_bytes_a_value_and_bounded():
    history = ScalarHistory(max_length=10_000)
    for number in range(50_000):
        history.update(float(number))
    assert history.current() == 49_999.0
    kept = history._kept
    assert kept._values._buffer.nbytes == 8 * 10_000
    assert kept._counts is None
    history.update(1.0, count=2)
    assert history.mean(1) == 0.5
    assert kept._counts._buffer.nbytes <= 8 * 10_000
    assert history.data[1].tolist() == [1] * 9_999 + [2]


def test_the_current_value_is_the_last_one_also_around_a_full_block():
    history = ScalarHistory()
    for number in itertools.chain(range(BLOCK - 2, BLOCK + 2)):
        history.update(float(number))
        assert history.current() == number
    for number in range(BLOCK + 2):
        history.update(float(number))
    assert history.current() == BLOCK + 1


def test_statistics_can_be_registered_once():
    def range_of(history, window_size=None):
        return history.max(window_size) - history.min(window_size)

    assert ScalarHistory.register_statistics(range_of) is range_of
    try:
        assert ScalarHistory([1.0, 5.0, 2.0]).statistics("range_of", 2) == 3.0
        with pytest.raises(HubError, match="'range_of' is registered already"):
            ScalarHistory.register_statistics(range_of)
    finally:
        del ScalarHistory.statistics_methods["range_of"]


def test_an_unknown_statistic_names_those_there_are():
    with pytest.raises(UnknownStatisticError, match=r"'median'.*current, max, mean, min"):
        ScalarHistory([1.0]).statistics("median")


@pytest.fixture
def of_mmengine():
    """Register a statistic with mmengine, under a name that ours does not have yet."""

    @HistoryBuffer.register_statistics
    def weighted_sum(self, window_size=None, *, weight=1.0):
        window = slice(-window_size if window_size else None, None)
        return type(self), self.max_length, float((self._log_history * self._count_history)[window].sum() * weight)

    yield "weighted_sum"
    del HistoryBuffer._statistics_methods["weighted_sum"]
    ScalarHistory.statistics_methods.pop("weighted_sum", None)


def test_a_statistic_registered_with_mmengine_gets_its_buffer(of_mmengine):
    history = ScalarHistory([1.0, 2.0, 3.0], [1, 2, 1], max_length=3)
    history.update(5.0, 3)
    assert history.statistics(of_mmengine) == (HistoryBuffer, 3, 4.0 + 3.0 + 15.0)
    assert history.statistics(of_mmengine, 2, weight=2.0) == (HistoryBuffer, 3, 36.0)
    assert ScalarHistory().statistics(of_mmengine)[2] == 0
    with pytest.raises(TypeError, match="weighted_sum"):
        history.statistics(of_mmengine, wait=1)


def test_a_statistic_of_ours_wins_over_one_of_that_name_of_mmengine(of_mmengine):
    @ScalarHistory.register_statistics
    def weighted_sum(history):
        return "ours"

    assert ScalarHistory([1.0]).statistics(of_mmengine) == "ours"


def test_an_unknown_statistic_names_those_of_mmengine_too(of_mmengine):
    with pytest.raises(UnknownStatisticError, match=r"'median'.*current, max, mean, min, weighted_sum"):
        ScalarHistory([1.0]).statistics("median")


def test_statistics_do_not_load_mmengine():
    code = """
import sys
from runtimeinfo import UnknownStatisticError
from runtimeinfo_adapters import ScalarHistory
try:
    ScalarHistory([1.0]).statistics("median")
except UnknownStatisticError:
    print([name for name in sys.modules if name.startswith("mmengine")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_a_copy_holds_the_same_and_is_independent(duplicate):
    history = ScalarHistory([1.0, 2.0], [1, 3], max_length=5)
    history.update(4.0)
    twin = duplicate(history)
    history.update(8.0)
    assert [array.tolist() for array in twin.data] == [[1.0, 2.0, 4.0], [1, 3, 1]]
    assert twin.max_length == 5
    assert repr(twin) == "ScalarHistory(n=3, current=4.0)"


@pytest.mark.parametrize(("counts", "arrays"), [(None, 1), ([1] * 5000, 1), ([2] * 5000, 2)])
def test_a_pickle_holds_counts_only_where_they_differ(counts, arrays):
    history = ScalarHistory(np.arange(5000.0), counts)
    data = pickle.dumps(history)
    assert len(data) < arrays * 5000 * 8 + 500
    twin = pickle.loads(data)
    assert [array.tolist() for array in twin.data] == [array.tolist() for array in history.data]
    twin.update(1.0, count=3)
    assert twin.tail(2)[1].tolist() == [history.data[1][-1], 3]


def test_satisfies_the_protocol():
    assert isinstance(ScalarHistory(), runtimeinfo.ScalarHistory)


def test_a_value_that_comes_while_others_are_moved_is_not_lost(monkeypatch):
    history, extend = ScalarHistory(), Ring.extend
    history.update(1.0)

    def extend_while_another_thread_writes(ring, block):
        extend(ring, block)
        if len(ring) == 1:
            history.update(2.0)

    monkeypatch.setattr(Ring, "extend", extend_while_another_thread_writes)
    assert history.data[0].tolist() == [1.0]
    assert history.data[0].tolist() == [1.0, 2.0]


def test_the_tail_of_a_history_is_a_copy():
    history = ScalarHistory([1.0, 2.0], [1, 2])
    for array, ring in zip(history.tail(2), (history._kept._values, history._kept._counts), strict=True):
        assert not np.shares_memory(array, ring._buffer)


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("statistic", ["mean", "min", "max"])
@pytest.mark.parametrize("weights", [None, range(1, 100_001)])
def test_a_statistic_copies_no_values(statistic, weights):
    history = ScalarHistory(np.arange(100_000.0), weights, max_length=100_000)
    history.update(7.0)
    history.current(), len(history.data)  # it has wrapped around
    assert peak_bytes(getattr(history, statistic)) < 50_000


def test_the_contents_of_a_history_have_no_ones():
    history = ScalarHistory(np.arange(100_000.0))
    assert peak_bytes(history.contents) < 900_000
    history.update(1.0, 2)
    assert [part.tolist()[-2:] for part in history.contents()] == [[99_999.0, 1.0], [1, 2]]
    history.drop_latest()
    assert history.contents()[1] is None


def test_statistics_are_right_while_another_thread_writes():
    history = ScalarHistory(np.full(5000, 0.5), max_length=5000)
    writer = threading.Thread(target=lambda: [history.update(0.5) for _ in range(100_000)])
    writer.start()
    while writer.is_alive():
        assert (history.mean(), history.min(), history.max(), history.mean(4000)) == (0.5, 0.5, 0.5, 0.5)
    writer.join()
    assert history.update_count == 100_000


def test_histories_that_are_updated_together_move_their_values_at_different_times():
    histories = [ScalarHistory() for _ in range(100)]
    for _ in range(2):
        moved = []
        for number in range(2 * BLOCK):
            for history in histories:
                history.update(float(number))
            moved.append(sum(not history.pending for history in histories))
        assert 1 <= max(moved) <= 2
        for history in histories:  # all lists are empty together, as where a logger has read each mean
            assert history.mean(1) == 2 * BLOCK - 1


def test_since_returns_the_values_after_an_update_count():
    history = ScalarHistory([9.0])
    assert history.since(0) == ([], [], 0)
    for value in (1.0, 2, 3.0):
        history.update(value)
    assert history.since(1) == ([2, 3.0], [1, 1], 3)
    history.mean()  # moves the values to the arrays
    history.update(4.0)
    assert [list(part) for part in history.since(2)[:2]] == [[3.0, 4.0], [1, 1]]
    assert history.since(3) == ([4.0], [1], 4)
    history.update(5.0, count=2)
    assert [list(part) for part in history.since(3)[:2]] == [[4.0, 5.0], [1, 2]]
    history.drop_latest()
    assert (len(history.since(5)[0]), history.since(5)[2]) == (0, 4)


@pytest.mark.parametrize("is_read", [False, True])
def test_since_returns_what_a_full_history_still_has(is_read):
    history = ScalarHistory(max_length=2)
    for value in (1.0, 2.0, 3.0):
        history.update(value)
    if is_read:
        history.mean()
    values, counts, updates = history.since(0)
    assert (list(values), list(counts), updates) == ([2.0, 3.0], [1, 1], 3)


def test_the_updates_are_counted_wherever_they_are():
    history = ScalarHistory([1.0, 2.0], max_length=3)
    assert history.update_count == 0  # what it began with was never an update
    for number in range(1, BLOCK + 2):
        history.update(float(number))
        assert history.update_count == number
    history.update(7.0, count=2)
    assert history.current() == 7.0
    assert history.mean(3)
    assert (history.update_count, len(history.data[0])) == (BLOCK + 2, 3)
    for duplicate in (copy.copy(history), pickle.loads(pickle.dumps(history))):
        assert duplicate.update_count == 0


def test_an_update_that_is_refused_does_not_count():
    history = ScalarHistory()
    with pytest.raises(ScalarTypeError):
        history.update("0.5")
    assert history.update_count == 0


@pytest.mark.parametrize("values", [[1.5, 2.5], [1, 2], [True, 2.5], [np.float32(0.5)], [torch.tensor(3)], [10**30]])
@pytest.mark.parametrize("read", ["current", "min", "max", "mean"])
def test_statistics_are_python_numbers(read, values):
    updated = ScalarHistory()
    for value in values:
        updated.update(value)
    settled = ScalarHistory(values)
    for history in (updated, settled):
        for result in (getattr(history, read)(), history.statistics(read)):
            assert type(result) is float or (type(result) is int and read != "mean")


def test_a_mean_over_counts_of_zero_is_that_of_numpy():
    history = ScalarHistory([1.0], [0])
    with np.errstate(all="ignore"):
        assert history.mean() == float("inf")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_a_copy_of_a_subclass_keeps_its_attributes(duplicate):
    history = Tagged([1.0])
    history.tag = "validation"
    twin = duplicate(history)
    assert (type(twin), twin.tag, twin.current()) == (Tagged, "validation", 1.0)
    twin.tag = "test"
    assert history.tag == "validation"


class Tagged(ScalarHistory):
    tag = ""


# -- how often a history was updated


def test_the_reference_history_counts():
    history = ScalarHistory([1.0])
    history.update(2.0)
    assert update_count(history) == 1


@pytest.mark.parametrize("history", [HistoryBuffer([1.0], [1]), SimpleNamespace(update_count=lambda: 3)])
def test_another_history_does_not_count(history):
    assert update_count(history) is None


@pytest.mark.parametrize("max_length", [3, 100])
@pytest.mark.parametrize("settle", [False, True], ids=["pending", "settled"])
def test_latest_value_can_be_taken_back(max_length: int, settle: bool) -> None:
    history, model = ScalarHistory(max_length=max_length), []
    for number in range(8):
        history.update(float(number), count=number + 1)
        model.append(float(number))
        if settle:
            history.current(), history.data
        if number % 3 == 2:
            history.drop_latest()
            model.pop()
    assert history.data[0].tolist()[-1:] == model[-1:]
    assert history.update_count == len(model) == 6
    assert history.data[0].tolist() == model if max_length == 100 else len(history.data[0]) <= 3


def test_to_take_back_from_an_empty_history_does_nothing() -> None:
    history = ScalarHistory()
    history.drop_latest()
    assert (history.update_count, len(history.data[0])) == (0, 0)
    history.update(1.0)
    history.drop_latest()
    history.drop_latest()
    history.update(2.0)
    assert (history.update_count, history.data[0].tolist()) == (1, [2.0])
