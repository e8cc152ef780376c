"""Infos as tensors: their values, copies and threads, and compiled code that reads them."""

import copy
import os
import pickle
import shutil
import threading

import pytest
import torch
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from runtimeinfo import HubError, StateError, current_hub, use_hub
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._tensor_view import TensorViews
from runtimeinfo_adapters.pytorch import Loop

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SYNC = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
STEPS = 1_000


@pytest.fixture
def hub():
    return MessageHub("tensors")


# -- what it holds


def test_a_view_shows_each_later_value(hub):
    hub.update_info("iter", 3)
    view = hub.tensor("iter")
    assert (view.shape, view.dtype, view.device, view.requires_grad) == ((), torch.int64, torch.device("cpu"), False)
    assert view == 3
    for number in (4, 2**62, -5, True):
        hub.update_info("iter", number)
        assert view.item() == number
    hub.update_info_dict({"iter": 8, "epoch": 1})
    assert view == 8


def test_the_same_arguments_give_the_same_tensor(hub):
    view = hub.tensor("iter")
    assert hub.tensor("iter") is view
    assert hub.tensor("iter", dtype=torch.int64, device=torch.device("cpu")) is view
    others = [hub.tensor("epoch"), hub.tensor("iter", dtype=torch.int32), hub.tensor("iter", dtype=torch.float32)]
    assert len({id(view), *map(id, others)}) == 4
    hub.update_info("iter", 5)
    assert [float(view), *map(float, others)] == [5, -1, 5, 5]


def test_an_unknown_value_is_minus_one_or_nan(hub):
    count, real = hub.tensor("max_iters"), hub.tensor("max_iters", dtype=torch.float32)
    assert count == -1
    assert real.isnan()
    hub.update_info("max_iters", 10)
    assert (count, real) == (10, 10.0)
    hub.update_info("max_iters", None)
    assert count == -1
    assert real.isnan()
    hub.update_info("max_iters", 10)
    assert hub.pop_info("max_iters") == 10
    assert count == -1
    assert real.isnan()


def test_a_float_needs_a_float_dtype(hub):
    view = hub.tensor("temperature", dtype=torch.float64)
    for number in (0.1, 3, float("inf"), float("-inf")):
        hub.update_info("temperature", number)
        assert view.item() == number
    with pytest.raises(HubError, match=r"'temperature' is -?inf, which its tensor view of torch.int64 cannot hold"):
        hub.tensor("temperature")


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (torch.int64, 0.5, r"info 'x' is 0.5, which its tensor view of torch.int64 cannot hold; ask for"),
        (torch.int8, 128, r"info 'x' is 128, which its tensor view of torch.int8 cannot hold"),
        (torch.int64, 2**63, "cannot hold"),
        (torch.float16, 1e6, "cannot hold"),
        (torch.float32, 2**200, "cannot hold"),
        (torch.int64, "three", r"info 'x' has or gets a tensor view and must be a number .* but is str"),
        (torch.float32, [1.0], r"must be a number or None, but is list"),
        (torch.float32, torch.ones(2), r"must be a number or None, but is Tensor of shape \(2,\)"),
    ],
    ids=str,
)
def test_a_value_that_a_view_cannot_show_is_refused_and_changes_nothing(hub, dtype, value, message):
    view = hub.tensor("x", dtype=dtype)
    hub.update_info("x", 7)
    hub.update_info("y", 1)
    with pytest.raises(HubError, match=message):
        hub.update_info("x", value)
    with pytest.raises(HubError, match=message):
        hub.update_info_dict({"y": 2, "x": value})
    assert (hub.get_info("x"), hub.get_info("y"), view) == (7, 1, 7)
    other = MessageHub("other")
    other.update_info("x", value)
    with pytest.raises(HubError, match=message):
        other.tensor("x", dtype=dtype)
    other.update_info("x", 3)
    assert other.tensor("x", dtype=dtype) == 3


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.uint8, int, "int64"])
def test_a_dtype_must_be_able_to_say_not_known(hub, dtype):
    with pytest.raises(HubError, match="tensor view of 'iter' must be of a signed integer or a float dtype, not"):
        hub.tensor("iter", dtype=dtype)


def test_a_hub_without_views_takes_any_info(hub):
    hub.tensor("iter")
    hub.update_info("cfg", "lr = 0.1")
    hub.update_info("iter", 1)
    assert hub.tensor("iter") == 1


# -- saving and copying


def test_a_resume_shows_in_the_views(hub):
    saved = MessageHub("saved")
    saved.update_info_dict({"iter": 40, "epoch": 4})
    iteration, epoch = hub.tensor("iter"), hub.tensor("epoch")
    hub.load_state_dict(saved.state_dict())
    assert (iteration, epoch) == (40, 4)
    hub.update_info("iter", 41)
    assert iteration == 41
    other = MessageHub("whole")
    other.update_info("epoch", 9)
    hub.load_state_dict(other)
    assert (iteration, epoch) == (-1, 9)  # a hub replaces everything


def test_a_state_that_a_view_cannot_show_changes_nothing(hub):
    saved = MessageHub("saved", {"loss": ScalarHistory([1.0])}, None, {"loss": True})
    saved.update_info("iter", "many")
    view = hub.tensor("iter")
    hub.update_info("iter", 3)
    for state in (saved.state_dict(), saved):
        with pytest.raises(StateError, match=r"info 'iter' has or gets a tensor view.* The hub is unchanged"):
            hub.load_state_dict(state)
        assert (hub.get_info("iter"), view, len(hub.log_scalars)) == (3, 3, 0)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda hub: pickle.loads(pickle.dumps(hub))])
def test_a_copy_leaves_the_views_to_the_original(hub, clone):
    view = hub.tensor("iter")
    hub.update_info("iter", 1)
    other = clone(hub)
    other.update_info("iter", 2)
    assert view == 1
    assert other.tensor("iter") == 2
    assert other.tensor("iter") is not view


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_changes_only_its_own(hub):
    view = hub.tensor("iter")
    hub.update_info("iter", 1)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        hub.update_info("iter", 2)
        os.write(writing, str(view.item()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"2"
    assert view == 1


# -- where it is made and written


def test_inference_mode_may_be_on_when_it_is_made_or_written(hub):
    with torch.inference_mode():
        view = hub.tensor("iter")
    assert not view.is_inference()
    hub.update_info("iter", 2)
    x = torch.ones(3, requires_grad=True)
    (x * view).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    with torch.inference_mode():
        hub.update_info("iter", 3)
    with torch.no_grad():
        hub.update_info("iter", 4)
    assert view == 4


def test_a_default_device_or_dtype_changes_nothing(hub):
    with torch.device("meta"):
        assert hub.tensor("iter").device.type == "cpu"
        hub.update_info("iter", 6)
    assert hub.tensor("iter") == 6


def test_a_backward_after_the_next_update_is_an_error_and_no_wrong_gradient(hub):
    view = hub.tensor("iter")
    hub.update_info("iter", 2)
    x = torch.ones((), requires_grad=True)
    loss = x * view
    hub.update_info("iter", 3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    kept = x * view.clone()  # what the message of PyTorch suggests
    hub.update_info("iter", 4)
    kept.backward()
    assert x.grad == 3


def test_of_many_threads_the_last_one_shows(hub):
    view = hub.tensor("iter")
    start, views = threading.Barrier(4), []

    def write(first):
        start.wait()
        for number in range(first, 2_000, 4):
            hub.update_info("iter", number)
            views.append(hub.tensor(f"key {number % 7}"))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert view.item() == hub.get_info("iter")
    assert len(set(map(id, views))) == 7


class SlowOnce(dict):
    """Infos, of which the first reader is held up once it has its answer."""

    def __init__(self):
        super().__init__()
        self.read, self.go_on = threading.Event(), threading.Event()

    def get(self, key, default=None):
        value = super().get(key, default)
        if not self.read.is_set():
            self.read.set()
            self.go_on.wait()
        return value


def test_a_writer_that_was_held_up_does_not_bring_an_old_value_back():
    infos = SlowOnce()
    infos.read.set()
    views = TensorViews(infos)
    view = views.get("iter", None, "cpu")
    infos.read.clear()

    def publish(number):
        infos["iter"] = number
        views.refresh("iter")

    first, second = (threading.Thread(target=publish, args=(number,)) for number in (1, 2))
    first.start()
    infos.read.wait()
    second.start()
    second.join(0.2)  # it would come to its end here, and be overwritten, if it could pass the first
    infos.go_on.set()
    first.join()
    second.join()
    assert view == 2


# -- compiled code


class Warmup(torch.nn.Module):
    """Scales what goes through by the iteration; PyTorch saves only buffers of the module."""

    def __init__(self, hub):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2, bias=False)
        torch.nn.init.eye_(self.linear.weight)
        self.iteration = hub.tensor("iter")

    def forward(self, x):
        return self.linear(x) * torch.where(self.iteration < 500, self.iteration, 500)


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_module_is_one_graph_over_a_thousand_steps(hub, dynamo, backend):
    counter = CompileCounterWithBackend(backend)
    model = Warmup(hub)
    assert "iteration" not in model.state_dict()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    x = torch.ones(1, 2)
    loop = Loop(torch.optim.SGD(model.parameters(), lr=0.0), range(STEPS), max_epochs=1, hub=hub)
    with loop.run(), torch._dynamo.config.patch(error_on_recompile=True):
        for _ in loop.epochs():
            for number in loop.train():
                model.linear.weight.grad = None
                output = compiled(x)
                output.sum().backward()
                assert output.tolist() == [[min(number, 500.0)] * 2]
                assert model.linear.weight.grad.tolist() == [[min(number, 500.0)] * 2] * 2
    assert counter.frame_count == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_module_is_one_graph_with_inductor(hub, dynamo):
    view = hub.tensor("iter")
    x = torch.arange(3.0)
    compiled = torch.compile(lambda x: x * view, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(STEPS):
            hub.update_info("iter", number)
            assert compiled(x).tolist() == [0.0, number, 2.0 * number]


def test_a_view_that_is_there_may_be_asked_for_in_compiled_code(hub, dynamo):
    hub.tensor("iter")
    counter = CompileCounter()
    compiled = torch.compile(lambda x: x + hub.tensor("iter"), backend=counter, fullgraph=True)
    for number in range(20):
        hub.update_info("iter", number)
        assert compiled(torch.zeros(())) == number
    assert counter.frame_count == 1


def test_a_number_in_the_module_is_recompiled_at_each_step(hub, dynamo):
    class Number(torch.nn.Module):
        iteration = 0

        def forward(self, x):
            return x * self.iteration

    counter, model = CompileCounter(), Number()
    compiled = torch.compile(model, backend=counter, fullgraph=True)

    def train():
        for number in range(STEPS):
            model.iteration = number
            compiled(torch.ones(()))

    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        train()
    assert counter.frame_count == torch._dynamo.config.recompile_limit


# -- on a real device


@pytest.mark.gpu
@CUDA
@SYNC
def test_on_a_real_device_an_update_does_not_synchronise(hub):
    view = hub.tensor("iter", device="cuda")
    assert hub.tensor("iter", device="cuda:0") is view
    seen = torch.zeros(STEPS, dtype=torch.int64, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(STEPS):
            hub.update_info("iter", number)
            seen[number].copy_(view)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen.tolist() == list(range(STEPS))


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_a_cuda_graph_reads_the_value_of_each_replay(hub):
    hub.update_info("iter", 0)
    view, output = hub.tensor("iter", device="cuda"), torch.zeros((), dtype=torch.int64, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output.copy_(view * 2)
    for number in range(STEPS):
        hub.update_info("iter", number)
        graph.replay()
        assert output.item() == number * 2


@pytest.mark.gpu
@CUDA
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_on_a_real_device_compiled_code_is_one_graph(hub, dynamo, mode):
    view = hub.tensor("iter", device="cuda")
    compiled = torch.compile(lambda x: x * view, fullgraph=True, mode=mode)
    x = torch.ones(3, device="cuda")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(STEPS):
            hub.update_info("iter", number)
            assert compiled(x).tolist() == [number] * 3


# -- through the current hub


class Scaled(torch.nn.Module):
    def forward(self, x):
        return x * current_hub().tensor("iter")


def test_a_component_asks_in_each_run():
    module, seen = Scaled(), []
    for iteration in (3, 4):
        run = MessageHub("a run")
        run.update_info("iter", iteration)
        with use_hub(run):
            seen.append(module(torch.ones(1)).item())
            assert current_hub().tensor("iter", dtype=torch.float32) is run.tensor("iter", dtype=torch.float32)
    assert seen == [3, 4]


def test_a_component_may_ask_first_where_it_is_exported(hub):
    hub.update_info("iter", 3)
    with use_hub(hub):
        torch.export.export(Scaled(), (torch.ones(1),))
        hub.update_info("iter", 4)
        assert Scaled()(torch.ones(1)).tolist() == [4]
    assert type(hub.tensor("iter")) is torch.Tensor


def test_outside_of_any_run_there_is_no_tensor():
    with pytest.raises(HubError, match=r"has no tensor\(\): use it in a run whose hub has it"):
        current_hub().tensor("iter")
