"""A stand-in for an accelerator.

`Tensor.is_cpu` is patched to say no, so that ordinary tensors take the path of those on a device; what PyTorch is
asked to do with them is recorded. What has come over by `Tensor.cpu` can be read freely, as on a real machine.
"""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Device(TorchDispatchMode):
    """Counts the operations by name, and what crosses from the device."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()
        self.transfers = 0
        self.host = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    def is_here(self, tensor):
        return any(tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() for other in self.host)

    @property
    def synchronisations(self):
        reads = ("tolist", "numpy", "_local_scalar_dense", "_to_copy")
        return self.transfers + sum(self.seen[read] for read in reads)


@pytest.fixture
def device(monkeypatch):
    """Every tensor lies on a device now; yields what is done with them."""
    device = Device()

    def counting(name):
        read = getattr(torch.Tensor, name)

        def counted(tensor, *args, **kwargs):
            device.seen[name] += not device.is_here(tensor)
            return read(tensor, *args, **kwargs)

        return counted

    def counting_cpu(tensor):
        device.transfers += 1
        device.host.append(tensor.clone())
        return device.host[-1]

    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    for name in ("tolist", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, counting(name))
    monkeypatch.setattr(torch.Tensor, "cpu", counting_cpu)
    with device:
        yield device
