"""DTensors: one that each rank has as a whole is a scalar; any other is refused, as reading it takes all ranks."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from runtimeinfo import RuntimeInfoHook, ScalarTypeError, SkippedOutputWarning
from runtimeinfo.authoring import is_scalar, lies_on_device
from runtimeinfo_adapters import MessageHub


@pytest.fixture(params=["gloo", "fake"])
def mesh(request):
    """One real rank, or the first of two that pretend."""
    real = request.param == "gloo"
    store = dist.HashStore() if real else FakeStore()
    dist.init_process_group(request.param, store=store, rank=0, world_size=1 if real else 2)
    try:
        yield init_device_mesh("cpu", (dist.get_world_size(),))
    finally:
        dist.destroy_process_group()


def distributed(mesh, placement, local=1.5, shape=()):
    return DTensor.from_local(torch.full(shape, local), mesh, [placement])


def test_a_replicated_one_is_a_scalar_and_takes_no_other_rank(mesh):
    hub = MessageHub("replicated")
    loss = distributed(mesh, Replicate())
    assert is_scalar(loss)
    with CommDebugMode() as communication:
        hub.update_scalar("loss", loss)
        hub.update_scalar("loss", torch.nn.Parameter(loss) * 2)
        assert hub.get_scalar("loss").data[0].tolist() == [1.5, 3.0]
    assert communication.get_total_counts() == 0


def test_on_a_device_it_waits_like_a_tensor(mesh, monkeypatch):
    hub = MessageHub("device")
    loss = distributed(mesh, Replicate())
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    assert lies_on_device(loss)
    with CommDebugMode() as communication:
        hub.update_scalar("loss", loss)
        assert len(hub._on_device) == 1
        loss.to_local().fill_(9)
        assert hub.get_scalar("loss").current() == 1.5
    assert communication.get_total_counts() == 0


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(
    ("placement", "shape"), [(Partial(), ()), (Partial("max"), (1,)), (Shard(0), (1,))], ids=["sum", "max", "shard"]
)
def test_any_other_is_refused_and_takes_no_other_rank(mesh, monkeypatch, placement, shape, on_device):
    if placement == Shard(0) and mesh.size() > 1:
        value = DTensor.from_local(torch.ones(1), mesh, [placement], shape=torch.Size((1,)), stride=(1,))
    else:
        value = distributed(mesh, placement, shape=shape)
    assert value.numel() == 1
    hub = MessageHub("partial")
    hub.update_scalar("norm", 1.0)
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: not on_device))
    with CommDebugMode() as communication:
        assert not is_scalar(value)
        for key in ("norm", "new"):
            with pytest.raises(ScalarTypeError) as caught:
                hub.update_scalar(key, value)
            message = str(caught.value)
            assert f"the value of {key!r} must be a scalar" in message
            assert f"with placements {value.placements}, which all ranks have to read together" in message
            assert "give its full_tensor(), called on every rank" in message
    assert communication.get_total_counts() == 0
    assert len(hub.get_scalar("norm").data[0]) == 1
    hub.update_scalar("norm", value.full_tensor())
    assert len(hub.get_scalar("norm").data[0]) == 2


def test_the_hook_skips_it_and_says_what_to_do(mesh):
    class Runner:
        message_hub = MessageHub("hook")

    outputs = {"norm": distributed(mesh, Partial()), "loss": distributed(mesh, Replicate())}
    with pytest.warns(SkippedOutputWarning, match=r"output 'norm' is not published.*give its full_tensor\(\)"):
        RuntimeInfoHook().after_train_iter(Runner, 0, outputs=outputs)
    assert list(Runner.message_hub.log_scalars) == ["train/loss"]
