"""States whose tensors `torch.load` has put on a device, as mmengine's Runner does with its `map_location`."""

import io

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch._subclasses import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate

from runtimeinfo import StateError
from runtimeinfo_adapters import MessageHub

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

INFOS = {
    "number": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "nested": {"anchors": [torch.arange(6.0).reshape(2, 3).T], "array": (np.arange(3, dtype=">i2"), np.empty((0, 3)))},
    "text": np.array(["a", "b"]),
}


def published_hub():
    hub = MessageHub("published")
    for number in range(3):
        hub.update_scalar("loss", number / 2, count=number + 1)
        hub.update_scalar("step", number)
    hub.update_info_dict(INFOS)
    return hub


def assert_is_published_hub(hub):
    assert [part.tolist() for part in hub.get_scalar("loss").data] == [[0.0, 0.5, 1.0], [1, 2, 3]]
    assert [part.tolist() for part in hub.get_scalar("step").data] == [[0, 1, 2], [1, 1, 1]]
    tensors = [hub.get_info("number"), hub.get_info("half"), hub.get_info("nested")["anchors"][0]]
    for tensor, saved in zip(tensors, [INFOS["number"], INFOS["half"], INFOS["nested"]["anchors"][0]], strict=True):
        assert type(tensor) is torch.Tensor
        assert tensor.device.type == "cpu"
        assert tensor.dtype == saved.dtype
        assert torch.equal(tensor, saved)
    for array, saved in zip(hub.get_info("nested")["array"], INFOS["nested"]["array"], strict=True):
        assert (array.dtype, array.shape, array.tolist()) == (saved.dtype, saved.shape, saved.tolist())
    assert hub.get_info("text").tolist() == ["a", "b"]


def test_a_state_on_another_device_loads(moved):
    hub = MessageHub("loaded")
    hub.load_state_dict(moved(published_hub().state_dict()))
    assert_is_published_hub(hub)
    again = MessageHub("again")
    again.load_state_dict(hub.state_dict())  # nothing of it is left out
    assert_is_published_hub(again)


def test_a_tensor_view_shows_an_info_from_another_device(moved):
    hub = MessageHub("viewed")
    view = hub.tensor("number")
    hub.load_state_dict(moved(published_hub().state_dict()))
    assert view.item() == 7


def test_a_state_of_mmengine_on_another_device_loads(moved):
    state = {"log_scalars": {}, "runtime_info": dict(INFOS), "resumed_keys": dict.fromkeys(INFOS, True)}
    hub = MessageHub("from-mmengine")
    hub.load_state_dict(moved(state))
    assert hub.get_info("number").tolist() == 7
    assert type(hub.get_info("nested")["anchors"][0]) is torch.Tensor


def refused(state, field, message):
    hub = published_hub()
    with pytest.raises(StateError, match=message) as caught:
        hub.load_state_dict(state)
    assert caught.value.field == field
    assert_is_published_hub(hub)


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (("log_scalars", "loss", "values"), "log_scalars['loss'].values"),
        (("log_scalars", "loss", "counts"), "log_scalars['loss'].counts"),
        (("runtime_info", "number"), "runtime_info['number']"),
        (("runtime_info", "nested", "array"), "runtime_info['nested']"),
    ],
)
def test_a_state_on_the_meta_device_is_refused_by_name(place, field):
    state = published_hub().state_dict()
    *parents, last = place
    at = state
    for parent in parents:
        at = at[parent]
    damaged = at[last][0]["__ndarray__"] if isinstance(at[last], tuple) else at[last]
    meta = damaged.to("meta")
    at[last] = [{**at[last][0], "__ndarray__": meta}] if isinstance(at[last], tuple) else meta
    refused(state, field, "a tensor on the meta device holds no values. Load it with map_location='cpu'")


def test_tensors_without_values_in_this_process_are_refused():
    with FakeTensorMode():
        fake = torch.ones(3)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        for tensor in (DTensor.from_local(torch.ones(3), mesh, [Replicate()]), fake, torch.ones(3).to_sparse()):
            state = published_hub().state_dict()
            state["log_scalars"]["loss"]["values"] = tensor
            refused(state, "log_scalars['loss'].values", "cannot be read")
            state = published_hub().state_dict()
            state["runtime_info"]["text"] = {"__ndarray__": tensor, "dtype": "float64"}
            refused(state, "runtime_info['text']", "an array that cannot be read")
            if not tensor.is_sparse:
                state["runtime_info"]["text"] = tensor
                refused(state, "runtime_info['text']", "is not plain data: it is a (DTensor|FakeTensor)")
    finally:
        dist.destroy_process_group()


def test_numbers_that_are_not_contiguous_load():
    state = published_hub().state_dict()
    state["log_scalars"]["loss"]["values"] = torch.stack([torch.tensor([0.0, 0.5, 1.0]), torch.ones(3)], 1)[:, 0]
    state["log_scalars"]["step"]["values"] = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float16)
    hub = MessageHub("strided")
    hub.load_state_dict(state)
    assert_is_published_hub(hub)


@pytest.mark.gpu
@CUDA
@pytest.mark.parametrize("mapped", [False, True])
def test_on_a_real_device_a_checkpoint_loads(tmp_path, mapped):
    hub = published_hub()
    hub.update_info("number", torch.tensor(7, device="cuda"))
    torch.save(hub.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", map_location="cuda", weights_only=True, mmap=mapped)
    assert state["log_scalars"]["loss"]["values"].is_cuda
    loaded = MessageHub("loaded")
    view = loaded.tensor("number", device="cuda")
    loaded.load_state_dict(state)
    assert_is_published_hub(loaded)
    assert view.item() == 7


@pytest.mark.gpu
@CUDA
def test_on_a_real_device_a_loop_goes_on_in_mid_epoch():
    from runtimeinfo_adapters.pytorch import Loop

    def loop():
        return Loop(train_loader=torch.utils.data.DataLoader(range(8), 2, shuffle=True), max_epochs=1)

    first, had, file = loop(), [], io.BytesIO()
    with first.run():
        for batch in first.train():
            had += batch.tolist()
            if len(had) == 4:
                torch.save(first.state_dict(), file)
                break
    file.seek(0)
    second = loop()
    second.load_state_dict(torch.load(file, map_location="cuda", weights_only=True))
    with second.run():
        had += [item for batch in second.train() for item in batch.tolist()]
    assert sorted(had) == list(range(8))
