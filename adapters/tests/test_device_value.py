"""Tensors on an accelerator, without one.

`Tensor.is_cpu` is patched to say no, so that ordinary tensors take the path of those on a device; a dispatch
mode records what PyTorch is asked to do.
"""

import gc
import weakref
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from runtimeinfo import ScalarTypeError, lies_on_device
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters._device_value import read_all
from runtimeinfo_adapters._scalar_history import _BLOCK

READS = ("_local_scalar_dense", "_to_copy", "copy_", "tolist", "item")


class Recorder(TorchDispatchMode):
    """Counts the operations by name."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def reads(self):
        return sum(self.seen[name] for name in READS)


@pytest.fixture
def device(monkeypatch):
    """Every tensor lies on a device now; yields what is done with them."""
    recorder = Recorder()
    to_list, item = torch.Tensor.tolist, torch.Tensor.item

    def counting_to_list(tensor):
        recorder.seen["tolist"] += 1
        return to_list(tensor)

    def counting_item(tensor):
        recorder.seen["item"] += 1
        return item(tensor)

    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    monkeypatch.setattr(torch.Tensor, "tolist", counting_to_list)
    monkeypatch.setattr(torch.Tensor, "item", counting_item)
    with recorder:
        yield recorder


def test_the_recorder_sees_a_read(device):
    torch.ones(()).item()
    assert device.reads >= 1


def test_an_update_does_not_read(device):
    hub = MessageHub("device")
    for _ in range(3):
        hub.update_scalar("train/loss", torch.tensor([[0.5]]))
        hub.update_scalar("train/seen", torch.tensor(3), count=2)
        hub.update_scalars({"train/ok": torch.tensor(True)})
    assert device.reads == 0
    assert device.seen["clone"] == 9


def test_all_that_waits_is_read_in_one_batch(device):
    history = ScalarHistory()
    for number in range(100):
        history.update(torch.tensor(float(number)))
    assert device.reads == 0
    assert history.mean() == 49.5
    assert device.reads == device.seen["tolist"] == device.seen["stack"] == 1
    assert history.current() == 99.0  # and not read again
    assert history.data[0].tolist() == list(map(float, range(100)))
    assert device.reads == 1


def test_a_full_block_is_read_in_one_batch_too(device):
    history, value = ScalarHistory(), torch.ones(())
    for _ in range(_BLOCK - 1):
        history.update(value)
    assert device.reads == 0
    history.update(value)
    assert device.reads == 1
    assert history._pending == []


def test_one_batch_for_each_dtype(device):
    values = [torch.tensor(1.5), 2.5, torch.tensor(7), torch.tensor([True]), torch.tensor(3.5), 4]
    assert read_all(values) == [1.5, 2.5, 7, 1, 3.5, 4]
    assert type(read_all(values)[3]) is int
    assert device.seen["tolist"] == 6  # three a call


def test_the_value_is_that_of_the_call(device):
    history, static_output = ScalarHistory(), torch.zeros(1)
    for number in range(4):
        static_output.fill_(number)
        history.update(static_output, count=number + 1)
    static_output.fill_(-1)
    assert history.data[0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert history.data[1].tolist() == [1, 2, 3, 4]


def test_no_autograd_graph_is_held(device):
    weight = torch.ones(8, requires_grad=True)
    loss = (weight * 2).sum()
    leaf = weakref.ref(weight)
    history = ScalarHistory()
    history.update(loss)
    del weight
    gc.collect()
    assert leaf() is not None  # the graph of the loss holds it
    del loss
    gc.collect()
    assert leaf() is None
    assert history.current() == 16.0


def test_a_tensor_with_several_elements_is_refused_without_reading(device):
    with pytest.raises(ScalarTypeError, match=r"Tensor of shape \(2,\)"):
        ScalarHistory().update(torch.ones(2))
    assert device.reads == 0


class Distributed(torch.Tensor):
    """Claims to be on a device; stands for a DTensor, which all ranks have to read together."""

    @staticmethod
    def __new__(cls, inner):
        outer = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device="cuda")
        outer.inner = inner
        return outer

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return func(*(arg.inner if isinstance(arg, Distributed) else arg for arg in args), **(kwargs or {}))


def test_a_tensor_subclass_is_read_at_once():
    value = Distributed(torch.tensor(1.5))
    assert not value.is_cpu
    assert not lies_on_device(value)
    history = ScalarHistory()
    history.update(value)
    value.inner.fill_(9)
    assert history.current() == 1.5


def test_a_tensor_without_data_fails_at_once_and_not_at_every_later_reading():
    hub = MessageHub("meta")
    hub.update_scalar("train/loss", 0.5)
    with pytest.raises(ScalarTypeError, match="train/loss"):
        hub.update_scalar("train/loss", torch.ones((), device="meta"))
    assert hub.get_scalar("train/loss").data[0].tolist() == [0.5]


@pytest.mark.parametrize("value", [0.5, 1, True, None, "x", torch.ones(())])
def test_what_does_not_lie_on_a_device(value):
    assert not lies_on_device(value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_real_device_an_update_does_not_synchronise():
    history, loss = ScalarHistory(), torch.zeros((), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(10):
            loss.fill_(number)
            history.update(loss)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert history.data[0].tolist() == list(map(float, range(10)))
