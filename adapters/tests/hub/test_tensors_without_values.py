"""Tensors of transforms and tracers: those with a value are published, others are refused, and none of them stays."""

import warnings

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from runtimeinfo import HubError, RunnerError, RuntimeInfoHook, ScalarTypeError, SkippedOutputWarning
from runtimeinfo.authoring import describe, is_scalar, lies_on_device
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._state import UnsavedInfoWarning
from runtimeinfo_adapters.pytorch import Loop

# Of torch.jit.trace, which warns of each value that is read.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


class Module(torch.nn.Module):
    """A module whose forward is a function."""

    def __init__(self, forward):
        super().__init__()
        self.forward = forward


def _vmap(function):
    torch.vmap(function)(torch.full((2,), 3.0))


def _in_fake_mode(function):
    with torch._subclasses.FakeTensorMode():
        function(torch.full((), 3.0))


THREE = torch.tensor(3.0)

WITHOUT_VALUES = {
    "vmap": _vmap,
    "grad inside of vmap": lambda function: _vmap(torch.func.grad(function)),
    "vmap inside of grad": lambda function: torch.func.grad(lambda x: torch.vmap(function)(x).sum())(torch.ones(2)),
    "fake": _in_fake_mode,
    "export": lambda function: torch.export.export(Module(function), (THREE,)),
    "make_fx": lambda function: make_fx(function)(THREE),
    "make_fx, symbolic": lambda function: make_fx(function, tracing_mode="symbolic")(THREE),
    "make_fx, before dispatch": lambda function: make_fx(function, pre_dispatch=True)(THREE),
    "meta": lambda function: function(torch.full((), 3.0, device="meta")),
    "symbolic_trace": torch.fx.symbolic_trace,
    "a number that is traced": lambda function: make_fx(lambda x: function(x.sum().item()), tracing_mode="symbolic")(
        torch.ones(2)
    ),
}
WITH_VALUES = {
    "grad": lambda function: torch.func.grad(function)(THREE),
    "jvp": lambda function: torch.func.jvp(function, (THREE,), (THREE,)),
    "vjp": lambda function: torch.func.vjp(function, THREE),
    "hessian": lambda function: torch.func.hessian(function)(THREE),
    "functionalize": lambda function: torch.func.functionalize(function)(THREE),
    "jit.trace": lambda function: torch.jit.trace(function, (THREE,), check_trace=False),
    "inference mode": lambda function: torch.inference_mode()(function)(THREE),
    "compile": lambda function: torch.compile(function, backend="eager")(THREE),
}


@pytest.fixture(params=["on the CPU", "on a device"])
def place(request, monkeypatch):
    """Tensors lie where they are, or each says that it is not on the CPU."""
    if request.param == "on a device":
        monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    return request.param


def _kept(way):
    """Return a value of a transform that has outlived it."""
    kept = []

    def keep(value):
        kept.append(value)
        return value * 2

    way(keep)
    return kept[0]


def _is_plain(tensor):
    return (
        type(tensor) is torch.Tensor
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not torch._is_functional_tensor(tensor)
        and not tensor.is_inference()
    )


# -- scalars


@pytest.mark.parametrize("way", WITHOUT_VALUES)
def test_a_scalar_without_a_value_is_refused_and_leaves_nothing(way, place):
    if place == "on a device" and way in {"make_fx", "make_fx, before dispatch"}:
        pytest.skip("a tensor on a device is copied there, which can be traced")
    hub, refusals = MessageHub("refused"), []

    def publish(value):
        for call in (
            lambda: hub.update_scalar("train/loss", value),
            lambda: hub.update_scalars({"train/loss": value}),
            lambda: ScalarHistory().update(value),
            lambda: hub.update_scalar("train/loss", 0.5, count=value),
            lambda: hub.update_scalars({"train/loss": {"value": 0.5, "count": value}}),
            lambda: ScalarHistory().update(0.5, count=value),
        ):
            with pytest.raises(ScalarTypeError) as raised:
                call()
            refusals.append(raised.value)
        return value * 2

    WITHOUT_VALUES[way](publish)
    assert [error.key for error in refusals[:2]] == ["train/loss"] * 2
    for error in refusals[:3]:
        assert "must be a scalar" in str(error)
        assert ("publish outside of" in str(error)) is (way != "meta")
        assert error.requirement == "SCALAR-01"
    assert (hub.log_scalars, hub.state_dict()["resumed_keys"]) == ({}, {})
    for value in (1.0, torch.tensor(2.0)):
        hub.update_scalar("train/loss", value)
    assert hub.get_scalar("train/loss").data[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("way", WITH_VALUES)
@pytest.mark.usefixtures("place")
def test_a_scalar_with_a_value_is_that_value(way):
    hub = MessageHub("right")
    hub.update_scalar("train/loss", torch.tensor(1.0))

    def publish(value):
        hub.update_scalar("train/loss", value)
        hub.update_scalar("train/first", value)
        return value * 2

    WITH_VALUES[way](publish)
    hub.update_scalar("train/loss", torch.tensor(4.0))
    assert hub.get_scalar("train/loss").data[0].tolist() == [1.0, 3.0, 4.0]
    assert hub.get_scalar("train/first").current() == 3.0


@pytest.mark.parametrize("way", WITHOUT_VALUES)
def test_an_output_without_a_value_is_skipped_with_one_warning(way):
    hub, hook = MessageHub("skipped"), RuntimeInfoHook()

    class Runner:
        message_hub = hub

    def publish(value):
        with pytest.warns(SkippedOutputWarning, match="output 'aux' is not published"):
            hook.after_train_iter(Runner(), 0, outputs={"aux": value, "loss": 0.5})
        with warnings.catch_warnings():
            warnings.simplefilter("error", SkippedOutputWarning)
            hook.after_train_iter(Runner(), 1, outputs={"aux": value, "loss": 0.25})
        return value * 2

    WITHOUT_VALUES[way](publish)
    assert list(hub.log_scalars) == ["train/loss"]
    assert hub.get_scalar("train/loss").data[0].tolist() == [0.5, 0.25]


LASTING = ["vmap", "fake", "export", "make_fx, symbolic", "meta", "symbolic_trace"]


@pytest.mark.parametrize("way", LASTING)
def test_a_value_that_outlived_its_transform_is_not_a_scalar(way):
    value = _kept(WITHOUT_VALUES[way])
    assert not is_scalar(value)
    assert not lies_on_device(value)
    with pytest.raises(ScalarTypeError, match="SCALAR-01"):
        MessageHub("kept").update_scalar("x", value)


@pytest.mark.parametrize("way", LASTING)
def test_a_learning_rate_without_a_value_is_refused(way):
    optimizer = torch.optim.SGD([torch.ones(1)], lr=0.5)
    optimizer.param_groups[0]["lr"] = _kept(WITHOUT_VALUES[way])
    loop = Loop(optimizer, range(2), max_epochs=1, hub=MessageHub("rates"))

    def train():
        with loop.run():
            for _ in loop.epochs():
                list(loop.train())

    with pytest.raises(RunnerError, match=r"get_lr\(\)\['lr'\] must be a sequence whose first entry is a number"):
        train()


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_nested_tensor_is_refused_and_described(layout):
    nested = torch.nested.nested_tensor([torch.ones(1)], layout=layout)
    assert describe(nested).startswith(("Tensor", "NestedTensor"))
    with pytest.raises(ScalarTypeError, match=r"the value of 'x' .* which is nested: give the one value"):
        MessageHub("nested").update_scalar("x", nested)


def test_a_device_that_fails_is_not_a_refusal(monkeypatch):
    def fail(tensor):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.Tensor, "item", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        MessageHub("fails").update_scalar("x", torch.ones(()))


# -- infos as tensors


def _asking(hub, *, publishes):
    def ask(value):
        if publishes:
            hub.update_info("iter", 3)
        view = hub.tensor("iter")
        return value * view if isinstance(value, torch.Tensor) and not _is_fake(value) else value * 2

    return ask


def _is_fake(value):
    return isinstance(value, torch._subclasses.FakeTensor)


ALL = {**WITHOUT_VALUES, **WITH_VALUES}


@pytest.mark.parametrize("publishes", [False, True])
@pytest.mark.parametrize("way", ALL)
def test_a_tensor_first_asked_for_in_a_transform_is_a_plain_one(way, publishes):
    hub = MessageHub("asked")
    hub.update_info("iter", 2)
    ALL[way](_asking(hub, publishes=publishes))
    view = hub.tensor("iter")
    assert _is_plain(view)
    assert view == (3 if publishes else 2)
    hub.update_info("iter", 4)
    x = torch.ones(1, requires_grad=True)
    (x * view).sum().backward()
    assert (view.item(), x.grad.tolist()) == (4, [4.0])


@pytest.mark.parametrize("way", ["make_fx", "make_fx, before dispatch", "jit.trace"])
def test_hub_calls_are_not_traced(way):
    hub, traced = MessageHub("untraced"), []

    def publish(value):
        hub.tensor("iter")
        hub.update_info("iter", 3)
        return value * 2

    def trace(function):
        traced.append(torch.jit.trace(function, (THREE,)) if way == "jit.trace" else None)

    if way == "jit.trace":
        trace(publish)
        written = str(traced[0].graph)
    else:
        written = make_fx(publish, pre_dispatch=way != "make_fx")(THREE).code
    assert "mul" in written
    assert "fill_" not in written
    assert "full" not in written


def test_an_exported_module_goes_on_training():
    hub = MessageHub("exported")

    class Warmup(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.ones_(self.linear.weight)

        def forward(self, x):
            return self.linear(x) * hub.tensor("iter")

    model = Warmup()
    torch.export.export(model, (torch.ones(1, 1),))
    loop = Loop(torch.optim.SGD(model.parameters(), lr=0.0), range(3), max_epochs=1, hub=hub)
    outputs = []
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loss = model(torch.ones(1, 1)).sum()
                loss.backward()
                loop.log(loss=loss)
                outputs.append(loss.item())
    assert outputs == hub.get_scalar("train/loss").data[0].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("way", LASTING)
def test_an_info_without_a_value_has_no_tensor(way):
    hub = MessageHub("info")
    hub.update_info("x", _kept(WITHOUT_VALUES[way]))
    with pytest.raises(HubError, match="info 'x' has or gets a tensor view and must be a number or None"):
        hub.tensor("x")


@pytest.mark.parametrize("way", [*LASTING, "grad inside of vmap", "grad", "functionalize"])
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor:UserWarning")
def test_an_info_that_outlived_its_transform_is_left_out_of_the_state(way):
    hub = MessageHub("info")
    hub.update_info("x", _kept(ALL[way]))
    hub.update_info("y", 1)
    with pytest.warns(UnsavedInfoWarning, match="info 'x' is not saved: .* only plain data is"):
        assert hub.state_dict()["runtime_info"] == {"y": 1}
