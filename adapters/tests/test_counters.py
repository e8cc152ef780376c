import pytest

from runtimeinfo.spec import EVENTS
from runtimeinfo_adapters import Counters


@pytest.mark.parametrize("event", ["after_train_iter", "after_train_epoch"])
def test_counters_count_only_these(event):
    counters = Counters()
    for other in EVENTS:
        if other not in {"after_train_iter", "after_train_epoch"}:
            counters.count(other)
    assert counters == Counters(epoch=0, iter=0)
    counters.count(event)
    assert counters == Counters(epoch=event == "after_train_epoch", iter=event == "after_train_iter")
