"""The rings of values on a device: which are written, how often, and again when; without a device and on one."""

import gc
import multiprocessing
import pickle
import sys
import threading
import warnings

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from runtimeinfo import RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._device_queue import DeviceQueue
from runtimeinfo_adapters.hub._device_ring import Block, Place, load_torch
from runtimeinfo_adapters.hub._scalar_history import BLOCK

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SYNC = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")


class OneHub:
    """A runner of which nothing but the hub is asked for."""

    def __init__(self, hub):
        self.message_hub = hub


def publish(hook, hub, **outputs):
    hook.after_train_iter(OneHub(hub), 0, outputs=outputs)


def values(hub, key):
    return hub.get_scalar(key).data[0].tolist()


def filled(*keys, count=2, **arguments):
    """Return a hub with values 0, 1, ... that wait."""
    hub = MessageHub("filled", **arguments)
    for number in range(count):
        hub.update_scalars({key: torch.tensor(float(number)) for key in keys})
    return hub


# -- together


def test_the_outputs_of_an_iteration_take_one_launch(device):
    hub, hook = MessageHub("together"), RuntimeInfoHook()
    loss = torch.zeros(())
    for number in range(5):
        loss.fill_(number)
        publish(hook, hub, loss=loss, number=7.5, half=loss, last=torch.full((1, 1), number / 2))
        loss.fill_(-1)
    # The first time each key is new, and comes alone.
    assert device.seen["_foreach_copy_"] == 4
    assert device.seen["copy_"] == 3
    assert device.synchronisations == 0
    assert list(hub.log_scalars) == ["train/loss", "train/number", "train/half", "train/last"]
    assert values(hub, "train/loss") == values(hub, "train/half") == [0, 1, 2, 3, 4]
    assert values(hub, "train/last") == [0, 0.5, 1, 1.5, 2]
    assert device.transfers == 1


def test_an_event_takes_one_launch_for_each_dtype(device):
    hub = filled("a", "b", "c")
    device.seen.clear()
    tensors = {"a": torch.tensor(2.0), "b": torch.tensor(3), "c": torch.tensor(4.0)}
    hub.update_scalars({**tensors, "d": torch.tensor(True)})  # new, and so alone
    hub.update_scalars({**tensors, "d": torch.tensor(False)})
    assert device.seen["_foreach_copy_"] == 1
    assert [values(hub, key)[-2:] for key in "abcd"] == [[2.0] * 2, [3] * 2, [4.0] * 2, [1, 0]]


def test_a_parameter_a_dimension_and_a_graph_go_with_the_rest(device):
    hub = filled("a", "b", "c")
    device.seen.clear()
    loss = torch.tensor(2.0, requires_grad=True)
    hub.update_scalars({"a": torch.nn.Parameter(loss.detach()), "b": torch.full((1, 1), 3.0), "c": loss * 2})
    assert device.seen["_foreach_copy_"] == 1
    assert torch.is_grad_enabled()
    assert [values(hub, key)[-1] for key in "abc"] == [2, 3, 4]


@pytest.mark.usefixtures("device")
def test_a_tensor_that_must_be_read_at_once_goes_beside_the_others():
    hub = filled("a", "b", "c")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_torch(), "readable_dtypes", {torch.float32})
        hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3, dtype=torch.int16), "c": torch.tensor(4.0)})
    assert [values(hub, key) for key in "abc"] == [[0, 1, 2], [0, 1, 3], [0, 1, 4]]


@pytest.mark.usefixtures("device")
def test_a_warning_that_is_an_error_keeps_no_output_before_it_back():
    hub, hook = MessageHub("warned"), RuntimeInfoHook()
    publish(hook, hub, a=torch.tensor(0.0), b=torch.tensor(0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SkippedOutputWarning):
            publish(hook, hub, a=torch.tensor(1.0), b=torch.tensor(1.0), text="skipped")
    assert values(hub, "train/a") == values(hub, "train/b") == [0, 1]


class Watched(MessageHub):
    """Sees each update, as a user's subclass might."""

    def update_scalar(self, key, value, count=1, resumed=True):
        self.__dict__.setdefault("seen", []).append(key)
        super().update_scalar(key, value, count, resumed)


class Wrapper:
    """Watches a hub from outside, and passes everything else on."""

    def __init__(self, hub):
        self.seen = []
        self.hub = hub

    def update_scalar(self, key, value, count=1, resumed=True):
        self.seen.append(key)
        self.hub.update_scalar(key, value, count, resumed)

    def __getattr__(self, name):
        return getattr(self.hub, name)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("make", [lambda: Watched("watched"), lambda: Wrapper(MessageHub("wrapped"))])
def test_code_that_watches_update_scalar_sees_each_value(make):
    hub, hook = make(), RuntimeInfoHook()
    for number in range(3):
        publish(hook, hub, a=torch.tensor(number), b=torch.tensor(number))
    assert hub.seen == ["train/a", "train/b"] * 3
    assert values(hub, "train/b") == [0, 1, 2]


@pytest.mark.usefixtures("device")
def test_a_method_that_was_replaced_on_the_hub_sees_each_value(monkeypatch):
    hub, seen = filled("a", "b"), []
    monkeypatch.setattr(hub, "update_scalar", lambda key, value: seen.append(key))
    hub.update_device_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    assert seen == ["a", "b"]


@pytest.mark.usefixtures("device")
def test_a_key_that_is_not_resumed_is_not_resumed_on_a_device():
    hub = MessageHub("not resumed")
    for number in range(3):
        hub.update_scalars({"a": torch.tensor(number), "b": torch.tensor(number)}, resumed=False)
    assert values(hub, "b") == [0, 1, 2]
    assert hub.state_dict()["log_scalars"] == {}


# -- round and round


def test_a_ring_is_written_again_when_its_values_are_read(device):
    hub = MessageHub("ring", max_on_device=100)
    for number in range(1_000):
        hub.update_scalars({key: torch.tensor(float(number)) for key in "abc"})
    assert all(values(hub, key) == list(map(float, range(1_000))) for key in "abc")
    assert device.transfers == 30
    # Blocks of 64, 100 and 100 slots: what waits can begin in the middle of one, and end in the middle of another.
    assert device.seen["new_empty"] == device.seen["unbind"] == 3


@pytest.mark.usefixtures("device")
def test_an_event_that_is_larger_than_a_block_or_the_bound_is_complete():
    keys = [f"key {index}" for index in range(500)]
    for bound in (7, 10_000):
        hub = filled(*keys, count=3, max_on_device=bound)
        assert len(hub._on_device) < bound
        assert all(values(hub, key) == [0, 1, 2] for key in keys)


def test_a_hundred_thousand_values_take_the_memory_of_the_bound(device):
    hub = MessageHub("long", {key: ScalarHistory(max_length=10) for key in "abcde"}, max_on_device=500)
    hub.update_scalars({key: torch.tensor(0.0) for key in "abcde"})
    loss = torch.tensor(1.0)
    for _ in range(20_000):
        hub.update_device_scalars(dict.fromkeys("abcde", loss))
    device.host.clear()
    gc.collect()
    # What waits, and a block before and one after it that are used in part.
    assert sum(type(thing) is torch.Tensor for thing in gc.get_objects()) < 3_000
    assert len(hub._on_device) < 500
    assert all(len(hub.get_scalar(key).pending) <= BLOCK for key in "abcde")


@pytest.mark.usefixtures("device")
def test_an_event_never_exceeds_the_bound(monkeypatch):
    hub, read, waiting = filled(*map(str, range(50)), count=1, max_on_device=100), DeviceQueue.read, []

    def counting_read(queue, wanted=None):
        waiting.append(len(queue))
        read(queue, wanted)

    monkeypatch.setattr(DeviceQueue, "read", counting_read)
    hub.update_scalars({str(key): torch.tensor(0.0) for key in range(40)})
    for _ in range(10):
        hub.update_scalars({str(key): torch.tensor(0.0) for key in range(50)})
    assert set(waiting) == {100}


def test_a_ring_that_begins_in_inference_mode_goes_on_outside(device):
    hub = MessageHub("inference")
    with torch.inference_mode():
        hub.update_scalar("loss", torch.tensor(1.0))
    hub.update_scalar("loss", torch.tensor(2.0, requires_grad=True) * 1)
    assert device.synchronisations == 0
    assert values(hub, "loss") == [1, 2]


# -- what must not write the ring


def test_a_captured_graph_gets_a_copy_in_place_of_a_slot(device, monkeypatch):
    hub = filled("a")
    device.seen.clear()
    monkeypatch.setattr(Place, "__init__", captured(Place.__init__))
    other = filled("a")
    assert device.seen["clone"] == 2
    assert device.seen["copy_"] == device.seen["new_empty"] == 0
    assert values(hub, "a") == values(other, "a") == [0, 1]


def captured(make):
    def make_captured(place, device):
        make(place, device)
        place.is_capturing = lambda: True

    return make_captured


@pytest.mark.parametrize(
    "trace",
    [
        lambda forward: make_fx(forward)(torch.tensor(2.0)),
        lambda forward: torch.jit.trace(forward, torch.tensor(2.0), check_trace=False),
    ],
    ids=["make_fx", "jit.trace"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_that_runs_again_writes_no_slot(trace, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    hub = filled("a", "b")

    def forward(loss):
        hub.update_device_scalars({"a": loss, "b": loss})
        return loss * 2

    traced = trace(forward)
    assert traced(torch.tensor(9.0)) == 18
    assert [values(hub, key) for key in "ab"] == [[0, 1, 2]] * 2


@pytest.mark.usefixtures("device")
def test_a_signal_handler_that_interrupts_a_write_gets_a_copy(monkeypatch):
    hub, copy_all = filled("a", "b", "c"), load_torch().copy_all

    def interrupted(slots, tensors):
        monkeypatch.setattr(load_torch(), "copy_all", copy_all)
        hub.update_scalar("c", torch.tensor(7.0))
        assert hub.get_scalar("c").current() == 7.0
        copy_all(slots, tensors)

    monkeypatch.setattr(load_torch(), "copy_all", interrupted)
    hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    assert [values(hub, key)[-1] for key in "abc"] == [2, 3, 7]


# -- what goes wrong


@pytest.mark.usefixtures("device")
def test_values_are_read_at_once_where_the_ring_cannot_be_written(monkeypatch):
    hub = filled("a", "b")

    def fail(slots, tensors):
        raise RuntimeError("no memory")

    monkeypatch.setattr(load_torch(), "copy_all", fail)
    hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    assert [values(hub, key) for key in "ab"] == [[0, 1, 2], [0, 1, 3]]
    assert len(hub._on_device) == 0


def test_a_device_that_fails_when_the_queue_is_full_loses_nothing_before(device, monkeypatch):
    hub = filled("a", "b", max_on_device=6)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "cpu", lambda tensor: pytest.fail("device lost"))
        for _ in range(3):
            with pytest.raises(pytest.fail.Exception, match="device lost"):
                hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    assert [values(hub, key) for key in "ab"] == [[0, 1], [0, 1]]
    hub.update_scalars({"a": torch.tensor(4.0), "b": torch.tensor(5.0)})
    assert [values(hub, key) for key in "ab"] == [[0, 1, 4], [0, 1, 5]]
    assert device.transfers == 2


# -- while values wait


@pytest.mark.usefixtures("device")
def test_waiting_values_of_a_history_that_is_dropped_are_in_nobodys_way():
    hub = filled("a", "b", max_on_device=8)
    hub.pop_scalar("a")
    for number in range(2, 20):
        hub.update_scalars({"a": torch.tensor(-1.0), "b": torch.tensor(float(number))})
    assert values(hub, "a") == [-1] * 18
    assert values(hub, "b") == list(range(20))


@pytest.mark.usefixtures("device")
def test_the_latest_value_is_taken_back_while_it_waits():
    hub = filled("a", "b", count=3)
    hub.drop_latest("a")
    hub.update_scalars({"a": torch.tensor(9.0), "b": torch.tensor(9.0)})
    assert values(hub, "a") == [0, 1, 9]
    assert values(hub, "b") == [0, 1, 2, 9]


def test_a_state_a_pickle_and_a_load_have_what_waits(device):
    hub = filled("a", "b")
    state, copied = hub.state_dict(), pickle.loads(pickle.dumps(hub))
    assert device.transfers == 1
    hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(2.0)})
    hub.load_state_dict(state)  # a reset
    hub.update_scalars({"a": torch.tensor(3.0), "b": torch.tensor(3.0)})
    assert values(hub, "a") == [0, 1, 3]
    assert values(copied, "a") == [0, 1]
    copied.update_scalars({"a": torch.tensor(4.0), "b": torch.tensor(4.0)})
    assert values(copied, "b") == [0, 1, 4]


def in_child(hub, connection):
    hub.update_scalars({"a": torch.tensor(5.0), "b": torch.tensor(5.0)})
    connection.send([values(hub, key) for key in "ab"])


@pytest.mark.usefixtures("device")
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_what_waits_and_leaves_the_rest_alone():
    hub = filled("a", "b")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(hub, theirs))
    child.start()
    assert ours.poll(60)
    assert ours.recv() == [[0, 1, 5]] * 2
    child.join()
    hub.update_scalars({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    assert [values(hub, key) for key in "ab"] == [[0, 1, 2], [0, 1, 3]]


@pytest.mark.usefixtures("device")
def test_threads_that_publish_at_once_lose_and_mix_nothing():
    hub = filled(*"abcdefgh", count=1, max_on_device=100)
    errors = []

    def work(keys):
        try:
            for number in range(1, 500):
                hub.update_device_scalars(dict.fromkeys(keys, torch.tensor(float(number))))
                if number % 50 == 0:
                    assert hub.get_scalar(keys[0]).current() == number
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(keys,)) for keys in ("ab", "cd", "ef", "gh")]
    with torch.utils._python_dispatch._disable_current_modes():
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert errors == []
    assert all(values(hub, key) == list(range(500)) for key in "abcdefgh")
    slots = sum(page.block.size for page in hub._on_device._pages)
    assert slots <= 300


# -- on a real device


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_streams_that_publish_at_once_do_not_mix():
    hub = filled("a", "b", count=0)
    streams = [torch.cuda.Stream() for _ in range(4)]
    for stream in streams:
        stream.wait_stream(torch.cuda.current_stream())
    loads = [torch.ones(1024, 1024, device="cuda") for _ in streams]
    torch.cuda.synchronize()
    for number in range(200):
        index = number % len(streams)
        with torch.cuda.stream(streams[index]):
            for _ in range(3):
                loads[index] = loads[index] @ loads[index] / 1024  # the streams are not equally fast
            loss = loads[index].mean() * number
            hub.update_scalars({"a": loss, "b": loss * 2})
            loss.fill_(-1)
            if number % 50 == 49:  # memory of blocks and of losses is used again meanwhile
                assert hub.get_scalar("a").current() == number
    assert values(hub, "a") == list(range(200))
    assert values(hub, "b") == list(range(0, 400, 2))


@pytest.mark.gpu
@CUDA
@pytest.mark.parametrize("is_shared", [False, True])
def test_on_a_real_device_a_captured_update_does_not_write_the_ring_at_each_replay(is_shared):
    hub, static = filled("a", "b", count=0), torch.zeros((), device="cuda")
    if is_shared:
        hub.share()
    for number in range(3):
        hub.update_scalars({"a": static + number, "b": static + number})
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        static += 1
        hub.update_scalars({"a": static, "b": static})
    for number in range(3, 100):
        hub.update_scalars({"a": torch.full((), float(number), device="cuda"), "b": static})
        graph.replay()
    torch.cuda.synchronize()
    found = values(hub, "a")
    assert [*found[:3], *found[4:]] == list(range(100))
    assert found[3] == 97  # as the last replay left its copy
    hub.unshare()


@pytest.mark.gpu
@CUDA
@SYNC
def test_on_a_real_device_a_ring_goes_round_without_a_wait_but_for_reading():
    hub = MessageHub("round", max_on_device=1_000)
    loss, count = torch.zeros((), device="cuda"), torch.zeros((), dtype=torch.int64, device="cuda")
    half = torch.zeros((), dtype=torch.bfloat16, device="cuda")
    for number in range(5_000):
        torch.cuda.set_sync_debug_mode("error" if number % 100 else "default")
        loss.fill_(number / 4)
        count.fill_(number)
        half.fill_(number % 256)
        hub.update_scalars({"loss": loss, "count": count, "half": half})
        loss.fill_(-1)
        if number % 100 == 0:
            assert hub.get_scalar("loss").current() == number / 4
    torch.cuda.set_sync_debug_mode("default")
    assert values(hub, "loss") == [number / 4 for number in range(5_000)]
    assert values(hub, "count") == list(range(5_000))
    assert values(hub, "half") == [number % 256 for number in range(5_000)]
    torch.cuda.synchronize()


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_a_hub_that_is_dropped_in_mid_flight_disturbs_no_other_memory():
    side = torch.cuda.Stream()
    for _ in range(20):
        hub = filled("a", "b", count=0)
        with torch.cuda.stream(side):
            torch.cuda._sleep(1_000_000)
            hub.update_scalars({"a": torch.ones((), device="cuda"), "b": torch.ones((), device="cuda")})
        del hub
        gc.collect()
        others = [torch.full((64,), 5.0, device="cuda") for _ in range(50)]
        side.synchronize()
        assert all(bool((other == 5).all()) for other in others)


def test_a_block_and_a_queue_know_their_sizes():
    memory = torch.empty(3, dtype=torch.int64)
    assert (Block(memory, memory.unbind()).size, Block(memory, ()).item_size) == (3, 8)
    assert len(DeviceQueue(5)) == 0
