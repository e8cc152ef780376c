"""`reduce` in one process: without a group, and with one of one rank. For more see `test_torchrun.py`."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist

from runtimeinfo import DistributedError, HubError, current_hub, use_hub
from runtimeinfo_adapters import MessageHub, ScalarHistory, distributed
from runtimeinfo_adapters.distributed import Reducer, _reduce, reduce


@pytest.fixture(params=["no group", "gloo"])
def hub(request: pytest.FixtureRequest) -> Iterator[MessageHub]:
    if request.param == "gloo":
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    hub = MessageHub("reduced")
    hub.update_scalars({"loss": {"value": 8.0, "count": 4}, "lr": 0.5})
    yield hub
    if request.param == "gloo":
        dist.destroy_process_group()


def test_one_process_is_the_only_rank(hub: MessageHub) -> None:
    hub.update_scalar("loss", 1.0, 2)
    loss = reduce(hub)["loss"]
    assert (loss.sum, loss.count, loss.mean, loss.min, loss.max, loss.updates) == (9.0, 6, 1.5, 1.0, 8.0, 2)
    assert type(loss.count) is int
    assert loss.mean == hub.get_scalar("loss").mean()


def test_the_hub_stays_as_it_is_and_the_result_cannot_be_changed(hub: MessageHub) -> None:
    before = hub.state_dict()
    result: Any = reduce(hub)
    assert hub.state_dict() == before
    with pytest.raises(TypeError):
        result["loss"] = None
    with pytest.raises(AttributeError):
        result["loss"].sum = 0


def test_any_reader_works_if_the_keys_are_named(hub: MessageHub) -> None:
    with use_hub(hub):
        assert list(reduce(current_hub(), keys=["lr", "unheard of"])) == ["lr"]
    assert dict(reduce(current_hub(), keys=["lr"])) == {}, "nothing was published since"


class Reader:
    def get_info(self, key: str, default: Any = None) -> Any:
        return default

    def get_scalar(self, key: str) -> Any:
        raise KeyError(key)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda hub: reduce(hub, keys="loss"), "keys must be a collection of strings, but is 'loss'"),
        (lambda hub: reduce(hub, keys=[1]), r"keys must be a collection of strings, but is \[1\]"),
        (lambda hub: reduce(hub, window=0), "window must be a positive int, or None for all that is new, but is 0"),
        (lambda hub: reduce(hub, missing="ignore"), "missing must be 'error' or 'empty', but is 'ignore'"),
        (
            lambda hub: reduce(Reader()),
            r"a Reader cannot list its scalars: name them in keys=\[...\]|.*Reader.* cannot",
        ),
    ],
)
def test_wrong_arguments(hub: MessageHub, call: Any, message: str) -> None:
    with pytest.raises(HubError, match=message):
        call(hub)
    assert list(reduce(hub)) == ["loss", "lr"]


def test_offsets_are_dropped_with_the_hub(hub: MessageHub) -> None:
    gc.collect()
    known = len(_reduce._offsets)
    reduce(hub)
    assert len(_reduce._offsets) == known + 1
    other = MessageHub("other")
    reduce(other)
    del other
    gc.collect()
    assert len(_reduce._offsets) == known + 1


def test_a_hub_that_takes_no_weak_reference_is_remembered() -> None:
    class Slotted:
        __slots__ = ("log_scalars",)

    slotted: Any = Slotted()
    slotted.log_scalars = {"loss": ScalarHistory()}
    slotted.log_scalars["loss"].update(1.0)
    assert list(reduce(slotted)) == ["loss"]
    assert list(reduce(slotted)) == []
    assert list(Reducer(slotted).reduce()) == ["loss"]


def test_a_hub_without_a_hash_is_remembered() -> None:
    class Equal(MessageHub):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    hub = Equal("equal")
    hub.update_scalar("loss", 1.0)
    assert list(reduce(hub)) == ["loss"]
    assert list(reduce(hub)) == []


def test_value_on_a_device_is_read(hub: MessageHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
        hub.update_scalar("loss", torch.tensor(2.0))
    assert reduce(hub)["loss"].sum == 10.0


def test_a_launcher_without_a_process_group_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(DistributedError, match=r"^WORLD_SIZE is 4, and torch.distributed is not set up: call"):
        reduce(MessageHub("launched"))


def test_a_group_without_a_process_group_is_an_error() -> None:
    group: Any = object()
    with pytest.raises(DistributedError, match=r"^a group was given, and torch.distributed is not set up"):
        reduce(MessageHub("grouped"), group)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device, and NCCL needs one a rank")
def test_with_nccl_the_exchange_lies_on_the_device() -> None:
    torch.cuda.set_device(0)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        hub = MessageHub("nccl")
        hub.update_scalar("loss", torch.tensor(2.0, device="cuda"))
        assert reduce(hub)["loss"].mean == 2.0
    finally:
        dist.destroy_process_group()


def test_neither_import_nor_a_lone_process_loads_pytorch() -> None:
    code = (
        "import sys, runtimeinfo_adapters, runtimeinfo_adapters.distributed as d\n"
        "hub = runtimeinfo_adapters.MessageHub('alone'); hub.update_scalar('loss', 1.0)\n"
        "print(d.reduce(hub)['loss'].mean, 'torch' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "1.0 False\n"


BLOCKS = {
    "not there": "sys.modules['torch'] = None",
    "refused": """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Finder())""",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_without_pytorch_the_import_names_the_extra(block: str) -> None:
    code = f"import sys\n{BLOCKS[block]}\nfrom runtimeinfo_adapters.distributed import reduce"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    expected = "ModuleNotFoundError: runtimeinfo_adapters.distributed needs torch: pip install 'runtimeinfo[torch]'"
    assert asked.stderr.splitlines()[-1] == expected


def test_without_pytorch_the_hub_and_sharing_work() -> None:
    code = """
import sys
sys.modules['torch'] = None
from runtimeinfo import use_hub
from runtimeinfo_adapters import MessageHub, sharing
hub = MessageHub('no torch', share=False)
with use_hub(hub):
    hub.update_scalar('loss', 1.0)
    print(hub.get_scalar('loss').current())
"""
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "1.0\n"


def test_exports() -> None:
    assert sorted(distributed.__all__) == ["PackedState", "ReducedScalar", "Reducer", "reduce"]
