"""Scalars on a real device, in a file of their own: it needs nothing but PyTorch and pytest."""

import pytest
import torch

from runtimeinfo.authoring import is_scalar, lies_on_device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_tensor_on_a_device_lies_on_it_and_so_does_a_parameter() -> None:
    tensor = torch.ones((), device="cuda")
    assert lies_on_device(tensor)
    assert lies_on_device(torch.nn.Parameter(tensor))
    assert is_scalar(tensor)
