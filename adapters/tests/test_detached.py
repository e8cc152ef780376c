import pytest
import torch

from runtimeinfo_adapters._detached import detached


def test_a_value_loses_its_graph_and_keeps_its_memory():
    loss = (torch.ones(2, requires_grad=True) * 3).sum()
    value = detached(loss)
    assert value.grad_fn is None
    assert not value.requires_grad
    assert value.data_ptr() == loss.data_ptr()
    assert loss.grad_fn is not None


@pytest.mark.parametrize("value", [torch.ones(2), 0.5, None, "text"])
def test_what_has_no_graph_stays_as_it_is(value):
    assert detached(value) is value
