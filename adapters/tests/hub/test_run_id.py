"""The id of a run: random or given, and what keeps it."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
import torch.distributed.checkpoint as dcp

from runtimeinfo import HubError, StateError
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.distributed import PackedState
from runtimeinfo_adapters.pytorch import Loop


def saved_by_torch(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_each_hub_has_another_random_run_id():
    ids = {MessageHub(f"hub {number}").run_id for number in range(100)}
    assert len(ids) == 100
    assert all(len(run_id) == 32 and set(run_id) <= set("0123456789abcdef") for run_id in ids)


@pytest.mark.parametrize("carry", [copy.deepcopy, saved_by_torch, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_loaded_state_brings_its_run_id(carry):
    hub, resumed = MessageHub("saved"), MessageHub("resumed")
    resumed.load_state_dict(carry(hub.state_dict()))
    assert resumed.run_id == hub.run_id == resumed.state_dict()["run_id"]


def test_a_resumed_training_keeps_the_run_id_of_its_checkpoint():
    loop, resumed, other = (Loop(train_loader=range(2), max_epochs=1) for _ in range(3))
    resumed.load_state_dict(saved_by_torch(loop.state_dict()))
    assert resumed.message_hub.run_id == loop.message_hub.run_id != other.message_hub.run_id


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("packed", [False, True])
def test_a_distributed_checkpoint_keeps_the_run_id(tmp_path, packed):
    def of(hub):
        return {"hub": PackedState(hub) if packed else hub}

    hub, resumed = MessageHub("saved"), MessageHub("resumed")
    dcp.save(of(hub), checkpoint_id=tmp_path, no_dist=True)
    dcp.load(of(resumed), checkpoint_id=tmp_path, no_dist=True)
    assert resumed.run_id == hub.run_id


def test_a_whole_hub_that_is_loaded_brings_its_run_id():
    hub, resumed = MessageHub("saved"), MessageHub("resumed")
    resumed.load_state_dict(hub)
    assert resumed.run_id == hub.run_id


def test_a_state_of_version_1_is_loaded_and_has_no_run_id():
    hub, resumed = MessageHub("saved"), MessageHub("resumed")
    hub.update_info("epoch", 3)
    state = hub.state_dict() | {"version": 1}
    del state["run_id"]
    before = resumed.run_id
    resumed.load_state_dict(state)
    assert (resumed.get_info("epoch"), resumed.run_id) == (3, before)


def test_a_pickle_keeps_the_run_id_and_a_copy_has_another_one():
    hub = MessageHub("original")
    assert pickle.loads(pickle.dumps(hub)).run_id == hub.run_id
    assert len({hub.run_id, copy.copy(hub).run_id, copy.deepcopy(hub).run_id}) == 3


def test_a_pickle_of_an_earlier_release_is_read():
    hub = MessageHub("original")
    state = hub.__getstate__()
    del state["_run_id"], state["_is_run_id_given"]
    unpickled = MessageHub.__new__(MessageHub)
    unpickled.__setstate__(state)
    assert unpickled.run_id not in {"", hub.run_id}
    assert MessageHub("another").run_id != unpickled.run_id


@pytest.mark.parametrize("give", ["argument", "environment", "renew"])
def test_a_given_run_id_outlives_a_checkpoint(monkeypatch, give):
    state = MessageHub("saved").state_dict()
    if give == "environment":
        monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "sweep-7.a")
    hub = MessageHub("given", run_id="sweep-7.a" if give == "argument" else None)
    if give == "renew":
        assert hub.renew_run_id("sweep-7.a") == "sweep-7.a"
    hub.load_state_dict(state)
    assert hub.run_id == "sweep-7.a"
    assert pickle.loads(pickle.dumps(hub)).run_id == "sweep-7.a"


def test_a_renewed_run_id_is_random(monkeypatch):
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "given")
    hub = MessageHub("renewed")
    renewed = hub.renew_run_id()
    assert renewed == hub.run_id != "given"


@pytest.mark.parametrize("wrong", ["a/b", "..", "-x", "a\n", "ä", "a" * 129, 7, b"a"])
def test_a_text_that_cannot_be_a_run_id_is_refused(wrong, monkeypatch):
    hub = MessageHub("kept")
    before = hub.run_id
    with pytest.raises(HubError, match="run_id must be 1 to 128 letters"):
        MessageHub("wrong", run_id=wrong)
    with pytest.raises(HubError, match="run_id must be 1 to 128 letters"):
        hub.renew_run_id(wrong)
    with pytest.raises(StateError, match="run_id must be 1 to 128 letters"):
        hub.load_state_dict(MessageHub("saved").state_dict() | {"run_id": wrong})
    assert hub.run_id == before
    if isinstance(wrong, str):
        monkeypatch.setenv("RUNTIMEINFO_RUN_ID", wrong)
        with pytest.raises(HubError, match="RUNTIMEINFO_RUN_ID must be 1 to 128 letters"):
            MessageHub("wrong")


def test_an_empty_variable_is_not_a_run_id(monkeypatch):
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "")
    assert len(MessageHub("random").run_id) == 32


def test_a_spawned_process_has_the_run_id_of_the_hub_that_it_gets():
    hub = MessageHub("sent")
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).run_id)"
    got = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(hub), capture_output=True, check=True)
    assert got.stdout.decode().strip() == hub.run_id
