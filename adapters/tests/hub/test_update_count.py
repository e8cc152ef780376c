import warnings
from types import SimpleNamespace

import pytest

from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.hub._scalar_history import update_count

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import HistoryBuffer


def test_the_reference_history_counts():
    history = ScalarHistory([1.0])
    history.update(2.0)
    assert update_count(history) == 1


@pytest.mark.parametrize("history", [HistoryBuffer([1.0], [1]), SimpleNamespace(update_count=lambda: 3)])
def test_any_other_does_not(history):
    assert update_count(history) is None
