import numpy as np
import pytest

from runtimeinfo_adapters.hub._counted_values import CountedValues


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
def test_the_tail_is_a_copy(counts):
    kept = CountedValues(10)
    kept.extend(np.array([1.0, 2.0]), counts)
    before = [part.tolist() for part in kept.tail(2)]
    for part in kept.tail(2):
        part[:] = -1
    assert [part.tolist() for part in kept.tail(2)] == before


def test_there_may_be_nothing():
    assert [part.tolist() for part in CountedValues(3).tail(2)] == [[], []]
