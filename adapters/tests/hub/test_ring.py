import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.hub._ring import Ring

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=100)

integers = st.lists(st.integers(-(2**62), 2**62), max_size=9).map(lambda block: np.array(block, dtype=np.int64))
floats = st.lists(st.floats(allow_nan=False), max_size=9).map(lambda block: np.array(block, dtype=np.float64))


@LENIENT
@given(max_length=st.integers(1, 12), blocks=st.lists(integers | floats, max_size=12), data=st.data())
def test_holds_what_a_list_with_a_bound_holds(max_length, blocks, data):
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


def test_stays_integral_until_the_first_other_number():
    ring = Ring(4)
    ring.extend(np.array([2**62 + 1, 3]))
    assert ring.tail(2).dtype == np.int64
    assert ring.tail(2).tolist() == [2**62 + 1, 3]
    ring.extend(np.array([0.5]))
    assert ring.tail(3).dtype == np.float64


@pytest.mark.parametrize("bound", [100_000, 1_000_000])
def test_grows_by_doubling_and_never_past_the_bound(bound):
    ring, block, grown = Ring(bound), np.zeros(1), 0
    for _ in range(200_000):
        before = ring._buffer
        ring.extend(block)
        grown += ring._buffer is not before
        assert grown <= 14  # 64 * 2**12 = 262,144, and one for the change of the dtype
    assert ring._buffer.nbytes <= 8 * min(bound, 2 * 200_000)
    assert len(ring) == min(bound, 200_000)


def test_never_holds_more_than_the_bound_when_it_gets_more_at_once():
    ring = Ring(3)
    ring.extend(np.arange(1000))
    assert ring.tail(1000).tolist() == [997, 998, 999]
    assert ring._buffer.nbytes == 3 * 8
