"""Values on a device that another process sees while the training runs: copied to the host, and never waited for."""

import time
import warnings
from types import SimpleNamespace

import pytest
import torch

from runtimeinfo import MissingScalarError, use_hub
from runtimeinfo.board import BoardReader
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.hub import _device_queue
from runtimeinfo_adapters.hub._device_ring import Place, Torch
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sharing import _board

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SYNC = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")

MILLISECOND = 1_000_000


class Streams:
    """A stand-in for `torch.cuda`: an event is ready so many milliseconds after it was recorded.

    Attributes:
        now: The time, in nanoseconds.
        delay: The milliseconds.
        stream: The number of the current stream.
        recorded: When an event was recorded.
    """

    def __init__(self):
        self.now = 1_000 * MILLISECOND
        self.delay = 3.0
        self.stream = 0
        self.recorded = []
        streams = self

        class Event:
            def record(self, stream):
                assert stream == streams.stream
                self.ready_ns = streams.now + streams.delay * MILLISECOND
                streams.recorded.append(streams.now)

            def query(self):
                return streams.now >= self.ready_ns

        self.Event = Event

    def current_stream(self, device):
        return self.stream

    def monotonic_ns(self):
        self.now += 1_000  # a microsecond for each look at the clock
        return self.now


@pytest.fixture
def streams(device, board_folder, monkeypatch):
    """The device of the fixture `device` has streams and events, and time passes as the test says."""
    streams, make = Streams(), Place.__init__

    def make_place(place, device):
        make(place, device)
        place.events = streams
        place.stream = lambda: streams.stream

    monkeypatch.setattr(Place, "__init__", make_place)

    def empty_on_host(self, size, dtype):
        device.host.append(torch.empty(size, dtype=dtype))
        return device.host[-1]

    monkeypatch.setattr(Torch, "empty_pinned", empty_on_host)
    monkeypatch.setattr(_device_queue, "time", SimpleNamespace(monotonic_ns=streams.monotonic_ns))
    monkeypatch.setattr(_board, "time_ns", streams.monotonic_ns)
    return streams


@pytest.fixture
def hub():
    hub = MessageHub("live", max_on_device=1_000)
    yield hub
    hub.unshare()


def seen(reader, key="loss"):
    """Return the value of a scalar on the board, or None."""
    try:
        return reader.get_scalar(key).current()
    except MissingScalarError:
        return None


def step(hub, streams, number, milliseconds=1.0):
    """Do one iteration that takes so long."""
    hub.update_info("iter", number)
    streams.now += int(milliseconds * MILLISECOND)
    hub.update_scalars({"loss": torch.tensor(float(number)), "seen": torch.tensor(number)})


def test_a_value_is_seen_once_its_copy_is_done(device, streams, hub):
    reader = hub.share()
    step(hub, streams, 5)
    hub.update_info("epoch", 0)
    assert seen(reader) is None
    streams.now += 4 * MILLISECOND
    hub.update_info("epoch", 1)
    assert seen(reader) == 5.0
    assert seen(reader, "seen") == 5
    assert device.synchronisations == 0
    assert hub.get_scalar("loss").data[0].tolist() == [5.0]
    assert device.synchronisations == 0  # it has come over already


@pytest.mark.parametrize("milliseconds", [0.5, 9, 40])
def test_the_newest_value_is_at_most_a_tenth_of_a_second_old_on_a_running_loop(device, streams, hub, milliseconds):
    reader, begin = hub.share(), streams.now
    published = {}
    for number in range(int(500 / milliseconds)):
        step(hub, streams, number, milliseconds)
        published[number] = streams.now
        if streams.now - begin > 100 * MILLISECOND:
            assert streams.now - published[int(seen(reader))] < 100 * MILLISECOND
    assert device.synchronisations == 0
    gaps = [after - before for before, after in zip(streams.recorded, streams.recorded[1:], strict=False)]
    assert min(gaps) >= 30 * MILLISECOND
    assert hub.get_scalar("seen").data[0].tolist() == list(range(int(500 / milliseconds)))


def test_a_queue_whose_values_come_over_is_never_full(device, streams, hub):
    hub.share()
    for number in range(2_000):
        step(hub, streams, number, 2)
    assert device.transfers == 0
    assert len(hub._on_device) < 100
    assert len(hub.get_scalar("loss").pending) <= 1_024
    assert device.transfers <= 1
    assert hub.get_scalar("loss").data[0].tolist() == list(range(2_000))


def test_a_hub_that_is_not_shared_sends_no_copy(streams, hub):
    for number in range(200):
        step(hub, streams, number)
    assert streams.recorded == []
    hub.share()
    step(hub, streams, 200)
    step(hub, streams, 201)
    assert len(streams.recorded) >= 1
    hub.unshare()
    sent = len(streams.recorded)
    for number in range(200):
        step(hub, streams, number)
    assert len(streams.recorded) == sent


def test_the_end_of_a_run_shows_what_the_device_has_done(device, streams, hub):
    streams.delay = 0.5
    with use_hub(hub):
        reader = BoardReader(hub.board_path)
        assert seen(reader) is None  # and the reader keeps the board open
        for number in range(3):
            step(hub, streams, number, 0.01)
    assert seen(reader) == 2.0
    assert device.synchronisations == 0


def test_the_end_of_a_run_does_not_wait_for_a_device_that_is_behind(device, streams, hub):
    streams.delay = 10_000
    with use_hub(hub):
        reader = BoardReader(hub.board_path)
        assert seen(reader) is None
        step(hub, streams, 3)
        ended = streams.now
    assert streams.now - ended < 5 * MILLISECOND
    assert seen(reader) is None
    assert device.synchronisations == 0
    assert hub.get_scalar("loss").current() == 3.0


def test_values_that_are_read_while_their_copy_is_on_its_way_come_once(device, streams, hub):
    hub.share()
    for number in range(70):  # more than a block has slots
        step(hub, streams, number, 0.01)
    hub.update_info("epoch", 0)
    assert len(streams.recorded) == 1
    assert hub.get_scalar("loss").data[0].tolist() == list(range(70))
    streams.now += 100 * MILLISECOND
    for number in range(70, 140):
        step(hub, streams, number, 1)
    assert hub.get_scalar("loss").data[0].tolist() == hub.get_scalar("seen").data[0].tolist() == list(range(140))
    assert len(hub._on_device) == 0


def test_numbers_and_counts_among_tensors_are_seen_in_their_order(streams, hub):
    reader = hub.share()
    hub.update_scalar("loss", torch.tensor(1.0), count=2)
    hub.update_info("epoch", 0)
    hub.update_scalar("loss", torch.tensor(2.0))
    streams.now += 4 * MILLISECOND
    hub.update_info("epoch", 1)
    assert seen(reader) == 1.0
    streams.now += 50 * MILLISECOND
    hub.update_info("epoch", 2)
    streams.now += 4 * MILLISECOND
    hub.update_info("epoch", 3)
    assert seen(reader) == 2.0
    hub.update_scalar("loss", 3.0)
    hub.update_info("epoch", 4)
    assert seen(reader) == 3.0
    assert [part.tolist() for part in hub.get_scalar("loss").data] == [[1, 2, 3], [2, 1, 1]]


def test_values_of_two_streams_are_copied_each_on_its_own(device, streams, hub):
    reader = hub.share()
    for number in range(400):
        streams.stream = number % 2
        key = "ab"[number % 2]
        hub.update_scalar(key, torch.tensor(float(number)))
        hub.update_info("epoch", number)
        for (_, stream), flight in hub._on_device._flights.items():
            assert {span.page.stream for span in flight.spans} == {stream}
        streams.now += MILLISECOND
    assert seen(reader, "a") > 300
    assert seen(reader, "b") > 300
    assert device.synchronisations == 0


@pytest.mark.parametrize("failing", ["record", "query"])
def test_a_device_that_fails_to_copy_stops_no_training(streams, hub, monkeypatch, failing):
    reader = hub.share()

    def fail(*_):
        raise RuntimeError("device lost")

    monkeypatch.setattr(streams.Event, failing, fail)
    for number in range(40):
        step(hub, streams, number, 5)
    assert seen(reader) is None
    assert hub.get_scalar("loss").data[0].tolist() == list(range(40))
    hub.update_info("epoch", 1)
    assert seen(reader) == 39.0
    step(hub, streams, 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hub.unshare()
    assert [str(warning.message) for warning in caught] == []
    assert hub.get_scalar("loss").current() == 40


def test_nothing_is_copied_while_a_graph_is_captured_or_code_is_traced(streams, hub):
    hub.share()
    with torch._subclasses.FakeTensorMode():
        hub.update_info("epoch", 0)
    for place in hub._on_device._places.values():
        place.is_capturing = lambda: True
    step(hub, streams, 0)
    place = next(iter(hub._on_device._places.values()))
    place.is_capturing = lambda: True
    sent = len(streams.recorded)
    streams.now += 100 * MILLISECOND
    hub.update_info("epoch", 1)
    step(hub, streams, 1)
    assert len(streams.recorded) == sent


# -- on a real device


@pytest.mark.gpu
@CUDA
@SYNC
@pytest.mark.usefixtures("board_folder")
def test_on_a_real_device_losses_are_seen_without_a_wait():
    hub = MessageHub("live")
    model = torch.nn.Linear(64, 1, device="cuda")
    batch, optimizer = torch.ones(32, 64, device="cuda"), torch.optim.SGD(model.parameters(), lr=0.0)
    number = torch.zeros((), dtype=torch.int64, device="cuda")
    loop = Loop(optimizer, range(10**9), max_iters=10**9, hub=hub)
    shown, end = [], time.monotonic() + 2
    with loop.run():
        reader = BoardReader(hub.board_path)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        for index in loop.train():
            loss = model(batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            number.fill_(index)
            loop.log(loss=loss, number=number)
            shown.append((index, seen(reader, "train/number"), time.monotonic()))
            if time.monotonic() > end:
                break
        torch.cuda.set_sync_debug_mode("default")
    times = {index: at for index, _, at in shown}
    late = [
        at - times[value + 1] for index, value, at in shown[len(shown) // 10 :] if value is not None and value < index
    ]
    assert late
    assert sum(age > 0.1 for age in late) < len(late) / 50  # a machine that others use too can stop a loop for longer
    assert hub.get_scalar("train/number").data[0].tolist() == [index for index, _, _ in shown]
