"""Tensors on an accelerator, without one: see `device` in conftest.py."""

import copy
import gc
import pickle
import threading
import weakref
from collections import Counter
from typing import ClassVar

import pytest
import torch

from runtimeinfo import HubError, RuntimeInfoHook, ScalarTypeError
from runtimeinfo.authoring import lies_on_device
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._device_queue import DEFAULT_MAX_ON_DEVICE, DeviceQueue
from runtimeinfo_adapters.hub._scalar_history import BLOCK
from runtimeinfo_adapters.pytorch import Loop

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SYNC = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")


# -- the stand-in sees what it is for


@pytest.mark.parametrize("read", ["item", "tolist", "cpu", "numpy", "__float__", "__bool__", "__array__"])
def test_the_device_sees_a_read(device, read):
    getattr(torch.ones(()), read)()
    assert device.synchronisations >= 1


def test_a_transferred_value_can_be_read(device):
    assert torch.ones(2).cpu()[:1].tolist() == [1.0]
    assert device.synchronisations == 1


# -- writing does not wait


def test_a_training_of_a_thousand_iterations_waits_once_at_the_first_read(device):
    hub = MessageHub("thousand")
    loss, seen = torch.zeros(()), torch.zeros(1, dtype=torch.int64)
    loop = Loop(torch.optim.SGD([torch.ones(1)], lr=0.5), range(1_000), max_epochs=1, hub=hub)
    with loop.run():
        for _ in loop.epochs():
            for number in loop.train():
                loss.fill_(number / 4)
                seen.fill_(2**53 + number)  # no float64 can hold each of them
                loop.log(loss=loss, seen=seen)
    loss.fill_(-1)
    assert device.synchronisations == 0

    assert hub.get_scalar("train/loss").data[0].tolist() == [number / 4 for number in range(1_000)]
    assert device.synchronisations == device.transfers == 1
    assert hub.get_scalar("train/seen").data[0].tolist() == [2**53 + number for number in range(1_000)]
    hub.state_dict()
    assert device.synchronisations == 1


def test_each_way_to_update_takes_one_copy_and_waits_for_nothing(device):
    hub = MessageHub("device")
    for _ in range(3):
        hub.update_scalar("train/loss", torch.tensor([[0.5]]))
        hub.update_scalar("train/seen", torch.tensor(3), count=2)
        hub.update_scalars({"train/ok": torch.tensor(True)})
    assert device.synchronisations == 0
    assert device.seen["copy_"] == 9


def test_the_value_is_that_of_the_call(device):
    history, static_output = ScalarHistory(), torch.zeros(1)
    for number in range(4):
        static_output.fill_(number)
        history.update(static_output, count=number + 1)
    static_output.fill_(-1)
    assert history.data[0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert history.data[1].tolist() == [1, 2, 3, 4]


# -- what waits comes over in one batch


def test_a_history_of_its_own_reads_its_values_in_one_batch(device):
    history = ScalarHistory()
    for number in range(100):
        history.update(torch.tensor(float(number)))
    assert device.synchronisations == 0
    assert history.mean() == 49.5
    assert device.synchronisations == device.transfers == 1
    assert history.current() == 99.0  # and not read again
    assert history.data[0].tolist() == list(map(float, range(100)))
    assert device.synchronisations == 1


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    torch.bool,
]


def test_values_of_all_dtypes_come_over_in_one_transfer(device):
    hub = MessageHub("dtypes")
    for dtype in reversed(DTYPES):
        for number in (1, 0, 1):
            hub.update_scalar(str(dtype), torch.tensor(number).to(dtype))
    for dtype in DTYPES:
        values = hub.get_scalar(str(dtype)).data[0]
        assert values.tolist() == [1, 0, 1]
        assert values.dtype.kind == ("f" if dtype.is_floating_point else "i")
    assert device.transfers == 1


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor(2**63 - 1), 2**63 - 1),
        (torch.tensor(2**64 - 1, dtype=torch.uint64), float(2**64)),  # as any integer beyond 64 bits
        (torch.tensor(1 / 3, dtype=torch.float64), 1 / 3),
        (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
        (torch.tensor(torch.inf, dtype=torch.float16), float("inf")),
        (torch.tensor(1 + 2j).conj().imag, -2.0),  # whose sign is in a bit beside the memory
        (torch.ones(3, 3)[1:2, 1:2], 1.0),
    ],
    ids=str,
)
def test_a_value_is_exact(device, tensor, expected):
    history = ScalarHistory()
    history.update(tensor)
    assert history.current() == expected
    assert device.synchronisations == 1


def test_each_device_takes_one_transfer(device, monkeypatch):
    monkeypatch.setattr(
        torch.Tensor, "device", property(lambda tensor: torch.device("xpu", int(tensor.dtype.is_signed)))
    )
    monkeypatch.setattr(torch.Tensor, "get_device", lambda tensor: int(tensor.dtype.is_signed))
    hub = MessageHub("devices")
    for number in range(3):
        hub.update_scalar("a", torch.tensor(number))
        hub.update_scalar("b", torch.tensor(number, dtype=torch.uint8))
        hub.update_scalar("c", torch.tensor(number / 2))
    assert hub.get_scalar("c").data[0].tolist() == [0, 0.5, 1]
    assert device.transfers == 2
    assert [hub.get_scalar(key).data[0].tolist() for key in "ab"] == [[0, 1, 2], [0, 1, 2]]
    assert device.synchronisations == 2


def test_numbers_and_tensors_keep_their_order(device):
    history = ScalarHistory()
    for value in (torch.tensor(1.5), 2.5, torch.tensor(7), torch.tensor([True]), 4):
        history.update(value, count=2)
    assert history.data[0].tolist() == [1.5, 2.5, 7, 1, 4]


# -- the bound


def test_a_full_queue_is_read_in_one_batch_over_all_keys(device):
    hub = MessageHub("bound", max_on_device=6)
    for number in range(2):
        for key in "abc":
            assert device.synchronisations == 0
            hub.update_scalar(key, torch.tensor(number))
    assert device.synchronisations == device.transfers == 1
    hub.update_scalar("a", torch.tensor(2))
    assert device.synchronisations == 1
    assert hub.get_scalar("a").data[0].tolist() == [0, 1, 2]
    assert hub.get_scalar("c").data[0].tolist() == [0, 1]
    assert device.synchronisations == 2


def test_the_bound_may_be_above_the_block_of_a_history(device):
    history, value = ScalarHistory(max_on_device=BLOCK + 10), torch.ones(())
    for _ in range(BLOCK + 9):
        history.update(value)
    assert device.synchronisations == 0
    history.update(value)
    assert device.synchronisations == 1
    assert len(history._on_device) == 0


def test_a_full_block_of_a_history_reads_nothing(device):
    history, value = ScalarHistory(max_on_device=2 * BLOCK), torch.ones(())
    history.update(0.5)
    for _ in range(BLOCK + 1):
        history.update(value)
    assert device.synchronisations == 0
    assert history.mean() == (BLOCK + 1.5) / (BLOCK + 2)


def test_an_unread_tensor_does_not_hold_back_the_numbers_after_it(device):
    history = ScalarHistory(max_length=10, max_on_device=10_000)
    history.update(torch.ones(()))
    for number in range(20_000):
        history.update(float(number))
    assert len(history.pending) < 10_000
    assert history.data[0].tolist() == list(map(float, range(19_990, 20_000)))


@pytest.mark.parametrize("bound", [0, -1, True, 2.5, "8", None])
def test_a_bound_is_a_positive_int(bound):
    with pytest.raises(HubError, match="max_on_device must be a positive int, but is"):
        MessageHub("bound", max_on_device=bound)
    with pytest.raises(HubError, match="max_on_device must be a positive int, but is"):
        ScalarHistory(max_on_device=bound)


def test_the_default_bound():
    assert DeviceQueue().max_on_device == DEFAULT_MAX_ON_DEVICE == 16_384


# -- saving, copying, resuming


def filled(device):
    hub = MessageHub("saved", {"b": ScalarHistory([9])}, None, {"b": True}, max_on_device=5)
    for number in range(2):
        hub.update_scalar("a", torch.tensor(number))
        hub.update_scalar("b", torch.tensor(-number))
    assert device.synchronisations == 0
    return hub


def test_a_state_has_what_waited(device):
    state = filled(device).state_dict()
    assert device.transfers == 1
    resumed = MessageHub("resumed")
    resumed.load_state_dict(state)
    assert resumed.get_scalar("b").data[0].tolist() == [9, 0, -1]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda hub: pickle.loads(pickle.dumps(hub))])
def test_a_copy_has_what_waited_and_a_queue_of_its_own(device, clone):
    hub = filled(device)
    other = clone(hub)
    assert device.transfers == 1
    assert other.get_scalar("b").data[0].tolist() == [9, 0, -1]
    other.update_scalar("a", torch.tensor(5))
    other.update_scalar("b", torch.tensor(6))
    assert len(other._on_device) == 2
    assert len(hub._on_device) == 0
    assert other.get_scalar("a").data[0].tolist() == [0, 1, 5]
    assert other.get_scalar("b").data[0].tolist() == [9, 0, -1, 6]
    assert device.transfers == 2
    assert other._on_device.max_on_device == 5
    assert clone(ScalarHistory(max_on_device=7))._on_device.max_on_device == 7


@pytest.mark.parametrize("whole", [False, True])
def test_the_histories_of_a_resumed_hub_are_read_together(device, whole):
    other = MessageHub("other", {"a": ScalarHistory([1]), "b": ScalarHistory([2])}, None, {"a": True, "b": True})
    hub = MessageHub("resumed")
    hub.load_state_dict(other if whole else other.state_dict())
    assert device.transfers == (0 if whole else 2)  # the values of the state itself
    device.transfers = 0
    hub.update_scalar("a", torch.tensor(3))
    hub.update_scalar("b", torch.tensor(4))
    assert hub.get_scalar("a").data[0].tolist() == [1, 3]
    assert hub.get_scalar("b").data[0].tolist() == [2, 4]
    assert device.transfers == 1


def test_a_history_that_was_removed_can_still_be_read(device):
    hub = filled(device)
    history = hub.get_scalar("a")
    hub.pop_scalar("a")
    assert hub.get_scalar("b").current() == -1
    assert history.data[0].tolist() == [0, 1]
    assert device.transfers == 1


# -- what goes wrong


def test_a_device_that_fails_loses_nothing(device, monkeypatch):
    hub = filled(device)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "cpu", lambda tensor: pytest.fail("no memory"))
        for key in "ab":
            with pytest.raises(pytest.fail.Exception, match="no memory"):
                hub.get_scalar(key).current()
    assert hub.get_scalar("a").data[0].tolist() == [0, 1]
    assert hub.get_scalar("b").data[0].tolist() == [9, 0, -1]


def test_a_tensor_with_several_elements_is_refused_without_reading(device):
    with pytest.raises(ScalarTypeError, match=r"Tensor of shape \(2,\)"):
        ScalarHistory().update(torch.ones(2))
    assert device.synchronisations == 0


def test_a_complex_tensor_is_refused_by_its_key(device):
    hub = MessageHub("complex")
    with pytest.raises(ScalarTypeError, match=r"the value of 'train/z' must be a scalar .*complex64"):
        hub.update_scalar("train/z", torch.tensor(1 + 2j))
    assert device.synchronisations == 0
    assert not hub.log_scalars


def test_a_tensor_without_data_fails_at_once_and_not_at_every_later_reading():
    hub = MessageHub("meta")
    hub.update_scalar("train/loss", 0.5)
    with pytest.raises(ScalarTypeError, match="train/loss"):
        hub.update_scalar("train/loss", torch.ones((), device="meta"))
    assert hub.get_scalar("train/loss").data[0].tolist() == [0.5]


def test_a_tensor_that_ends_with_its_transform_fails_at_once(device):
    hub = MessageHub("vmap")
    hub.update_scalar("train/loss", torch.ones(()))

    def loss(value):
        hub.update_scalar("train/loss", value)
        return value

    with pytest.raises(ScalarTypeError, match=r"the value of 'train/loss' .* which torch.vmap has batched"):
        torch.vmap(loss)(torch.ones(3))
    assert hub.get_scalar("train/loss").data[0].tolist() == [1.0]
    torch.func.grad(loss)(torch.tensor(3.0))  # one value there, which can be read
    assert hub.get_scalar("train/loss").data[0].tolist() == [1.0, 3.0]


def test_a_sparse_tensor_is_read_at_once_as_it_is_on_the_cpu(device):
    sparse = torch.sparse_coo_tensor([[0]], [2.0], (1,), check_invariants=True)
    history = ScalarHistory()
    try:
        expected = sparse.item()
    except (NotImplementedError, RuntimeError):
        with pytest.raises((NotImplementedError, RuntimeError)):
            history.update(sparse)
        assert len(history._on_device) == 0
    else:
        history.update(sparse)
        assert history.current() == expected


# -- autograd, autocast


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


def test_nothing_but_a_number_is_left_of_each_of_many_losses(device):
    hub = MessageHub("many", max_on_device=64)
    for number in range(2_000):
        hub.update_scalar("train/loss", torch.tensor(float(number), requires_grad=True) * 2)
    gc.collect()
    alive = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.grad_fn is not None]
    assert alive == []
    assert len(hub._on_device) < 64
    device.host.clear()
    assert hub.get_scalar("train/loss").max() == 3998.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_autocast_changes_no_value(device, dtype):
    history = ScalarHistory()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for number in (1 / 3, 1000.5, 3.0):
            history.update(torch.tensor(number, dtype=dtype))
        values = history.data[0].tolist()
    assert values == [float(torch.tensor(number, dtype=dtype)) for number in (1 / 3, 1000.5, 3.0)]


def test_inference_mode_may_begin_and_end_between_writing_and_reading(device):
    history = ScalarHistory()
    history.update(torch.tensor(1.0, requires_grad=True))
    with torch.inference_mode():
        history.update(torch.tensor(2.0))
        assert history.data[0].tolist() == [1.0, 2.0]
        history.update(torch.tensor(3.0))
    history.update(torch.tensor(4.0, requires_grad=True))
    assert history.data[0].tolist() == [1.0, 2.0, 3.0, 4.0]


# -- parameters and subclasses


class Named(torch.Tensor):
    """Has a tensor's memory, and notes each operation."""

    noted: ClassVar[Counter] = Counter()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.noted[getattr(func, "__name__", "")] += 1
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("make", [torch.nn.Parameter, lambda tensor: tensor.as_subclass(Named)])
def test_a_parameter_and_a_subclass_with_memory_wait_like_a_tensor(device, make):
    value = make(torch.tensor(1.5))
    assert type(value) is not torch.Tensor
    hub = MessageHub("subclass")
    hub.update_scalar("scale", value)
    RuntimeInfoHook().after_train_iter(_Runner(hub), 0, outputs={"scale": value})
    assert device.synchronisations == 0
    with torch.no_grad():
        value.fill_(9)
    Named.noted.clear()
    assert hub.get_scalar("scale").current() == hub.get_scalar("train/scale").current() == 1.5
    assert not Named.noted
    assert device.transfers == 1


class _Runner:
    def __init__(self, hub):
        self.message_hub = hub


class Wrapper(torch.Tensor):
    """Claims to be on a device without having memory: only the object itself knows its values."""

    @staticmethod
    def __new__(cls, inner):
        outer = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device="cuda")
        outer.inner = inner
        return outer

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return func(*(arg.inner if isinstance(arg, Wrapper) else arg for arg in args), **(kwargs or {}))


def test_a_wrapper_subclass_is_read_at_once():
    value = Wrapper(torch.tensor(1.5))
    assert not value.is_cpu
    assert not lies_on_device(value)
    history = ScalarHistory()
    history.update(value)
    value.inner.fill_(9)
    assert history.current() == 1.5


def test_a_fake_tensor_fails_at_once():
    hub = MessageHub("fake")
    with torch._subclasses.FakeTensorMode():
        value = torch.ones((), device="cuda")
    with pytest.raises(ScalarTypeError, match=r"the value of 'train/loss' .* where there are no values"):
        hub.update_scalar("train/loss", value)
    assert not hub.log_scalars


# -- threads


def test_many_threads_may_write_and_read(device):
    hub = MessageHub("threads", max_on_device=50)
    errors = []

    def work(key):
        try:
            for number in range(300):
                hub.update_scalar(key, torch.tensor(number))
                if number % 7 == 0:
                    assert hub.get_scalar(key).current() == number
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(key,)) for key in "abcd"]
    with torch.utils._python_dispatch._disable_current_modes():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    for key in "abcd":
        assert hub.get_scalar(key).data[0].tolist() == list(range(300))


@pytest.mark.parametrize("value", [0.5, 1, True, None, "x", torch.ones(())])
def test_a_value_that_does_not_lie_on_a_device(value):
    assert not lies_on_device(value)


# -- on a real device


@pytest.fixture
def no_synchronisation():
    """Any wait for the device raises inside."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@CUDA
@SYNC
def test_on_a_real_device_a_thousand_iterations_do_not_synchronise(no_synchronisation):
    hub = MessageHub("cuda")
    weight = torch.nn.Parameter(torch.ones((), device="cuda"))
    static = torch.zeros((), device="cuda")
    seen = torch.zeros((), dtype=torch.int64, device="cuda")
    for number in range(1_000):
        static.fill_(number / 4)
        seen.fill_(number)
        hub.update_scalars({"loss": static, "half": static.bfloat16(), "weight": weight, "graph": weight * 2})
        hub.update_scalar("seen", seen)
        static.fill_(-1)
    torch.cuda.set_sync_debug_mode("default")
    assert hub.get_scalar("loss").data[0].tolist() == [number / 4 for number in range(1_000)]
    assert hub.get_scalar("seen").data[0].tolist() == list(range(1_000))
    assert set(hub.get_scalar("weight").data[0].tolist()) == {1.0}
    assert len(hub._on_device) == 0


@pytest.mark.gpu
@CUDA
@SYNC
def test_on_a_real_device_a_training_does_not_synchronise(no_synchronisation):
    model = torch.nn.Linear(4, 1, bias=False, device="cuda")
    with torch.no_grad():
        model.weight.fill_(1)
    batch = torch.ones(2, 4, device="cuda")
    hub = MessageHub("training")
    loop = Loop(torch.optim.SGD(model.parameters(), lr=0.0), range(1_000), max_epochs=1, hub=hub)
    with loop.run():
        for _ in loop.epochs():
            for number in loop.train():
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    loss = model(batch).mean() * number
                model.zero_grad()
                loss.backward()
                loop.log(loss=loss, weight=model.weight[0, :1])
    torch.cuda.set_sync_debug_mode("default")
    expected = [float(torch.tensor(4 * number, dtype=torch.bfloat16)) for number in range(1_000)]
    assert hub.get_scalar("train/loss").data[0].tolist() == expected
    assert hub.get_scalar("train/weight").current() == 1.0


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_a_reader_on_another_stream_waits_for_the_value():
    history, side = ScalarHistory(), torch.cuda.Stream()
    big = torch.ones(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        for _ in range(20):
            big = big @ big / 4096
        history.update(big.mean())  # seconds of work may stand before it on this stream
    assert history.current() == 1.0


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_a_graphs_static_output_is_taken_as_it_is():
    static, graph = torch.zeros((), device="cuda"), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        static += 1
    history = ScalarHistory()
    static.zero_()
    for _ in range(5):
        graph.replay()
        history.update(static)
    assert history.data[0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
