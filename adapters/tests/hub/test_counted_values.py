import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.hub._counted_values import CountedValues, Ring

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=100)


def counts_of(kept):
    return kept.tail(len(kept))[1].tolist()


def test_counts_take_memory_from_the_first_one_on_that_is_not_one():
    kept = CountedValues(10)
    kept.extend(np.array([1.0, 2.0]), np.array([1, 1]))
    assert kept._counts is None
    kept.extend(np.array([8.0]), np.array([4]))
    assert kept._counts is not None
    kept.extend(np.array([3.0]))
    assert counts_of(kept) == [1, 1, 4, 1]


def test_values_and_counts_go_together_where_old_ones_go():
    kept = CountedValues(3)
    for number in range(1, 6):
        kept.extend(np.array([float(number)]), np.array([number]))
    assert [part.tolist() for part in kept.tail(10)] == [[3.0, 4.0, 5.0], [3, 4, 5]]
    assert (len(kept), kept.max_length) == (3, 3)


@pytest.mark.parametrize("counts", [None, np.array([2, 3])])
def test_the_tail_of_counted_values_is_a_copy(counts):
    kept = CountedValues(10)
    kept.extend(np.array([1.0, 2.0]), counts)
    before = [part.tolist() for part in kept.tail(2)]
    for part in kept.tail(2):
        part[:] = -1
    assert [part.tolist() for part in kept.tail(2)] == before


def test_counted_values_can_be_empty():
    assert [part.tolist() for part in CountedValues(3).tail(2)] == [[], []]


integers = st.lists(st.integers(-(2**62), 2**62), max_size=9).map(lambda block: np.array(block, dtype=np.int64))
floats = st.lists(st.floats(allow_nan=False), max_size=9).map(lambda block: np.array(block, dtype=np.float64))


@LENIENT
@given(max_length=st.integers(1, 12), blocks=st.lists(integers | floats, max_size=12), data=st.data())
def test_a_ring_holds_the_values_of_a_list_with_a_bound(max_length, blocks, data):
    ring, model = Ring(max_length), np.empty(0, dtype=np.int64)
    for block in blocks:
        ring.extend(block)
        model = np.append(model, block)[-max_length:] if len(block) else model
        assert len(ring) == len(model)
        count = data.draw(st.integers(0, max_length + 2), label="count")
        tail = ring.tail(count)
        np.testing.assert_array_equal(tail, model[max(len(model) - count, 0) :])
    if any(len(block) and block.dtype == np.float64 for block in blocks):
        assert ring.tail(1).dtype == np.float64


def test_a_ring_stays_integral_until_the_first_other_number():
    ring = Ring(4)
    ring.extend(np.array([2**62 + 1, 3]))
    assert ring.tail(2).dtype == np.int64
    assert ring.tail(2).tolist() == [2**62 + 1, 3]
    ring.extend(np.array([0.5]))
    assert ring.tail(3).dtype == np.float64


@pytest.mark.parametrize("bound", [100_000, 1_000_000])
def test_a_ring_grows_by_doubling_and_never_past_the_bound(bound):
    ring, block, grown = Ring(bound), np.zeros(1), 0
    for _ in range(200_000):
        before = ring._buffer
        ring.extend(block)
        grown += ring._buffer is not before
        assert grown <= 14  # 64 * 2**12 = 262,144, and one for the change of the dtype
    assert ring._buffer.nbytes <= 8 * min(bound, 2 * 200_000)
    assert len(ring) == min(bound, 200_000)


def test_a_ring_never_holds_more_than_its_bound_when_it_gets_more_at_once():
    ring = Ring(3)
    ring.extend(np.arange(1000))
    assert ring.tail(1000).tolist() == [997, 998, 999]
    assert ring._buffer.nbytes == 3 * 8


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("weights", [None, np.arange(1, 11)])
def test_statistics_around_the_end_of_the_buffer(dtype, weights):
    values = np.random.default_rng(1).permutation(10).astype(dtype)
    for begin in range(10):
        kept = CountedValues(10)
        kept.extend(np.zeros(begin, dtype=dtype))
        kept.extend(values, weights)
        for count in range(1, 12):
            of_window, ones = values[-count:], np.ones(min(count, 10))
            expected = of_window.sum() / (ones if weights is None else weights[-count:]).sum()
            assert kept.mean(count) == pytest.approx(expected, rel=1e-15)
            assert (kept.min(count), kept.max(count)) == (of_window.min(), of_window.max())
            assert type(kept.min(count)) is (int if dtype is np.int64 else float)


def test_a_statistic_of_nan_is_nan_on_either_side_of_the_end():
    for begin in range(4):
        ring = Ring(4)
        ring.extend(np.zeros(begin))
        ring.extend(np.array([1.0, np.nan, 2.0, 3.0]))
        assert np.isnan(ring.reduce(np.minimum, 4))
        assert np.isnan(ring.reduce(np.maximum, 3))
        assert ring.reduce(np.minimum, 2) == 2.0
