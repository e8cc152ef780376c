"""A hub and a loop in a real checkpoint of torch.distributed.checkpoint."""

import json
import multiprocessing
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.stateful import Stateful

from runtimeinfo import StateError
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.distributed import PackedState
from runtimeinfo_adapters.pytorch import Loop

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized")


def published_hub():
    hub = MessageHub("published")
    for number in range(3):
        hub.update_scalar("train/loss", number / 2, count=2)
    hub.update_info_dict({"epoch": 3, "anchors": torch.ones(2, 2), "palette": np.zeros((0, 3)), "names": ("a", "b")})
    return hub


def save(checkpoint, **entries):
    dcp.save({"weight": torch.ones(2), **entries}, checkpoint_id=checkpoint)


def load(checkpoint, **entries):
    dcp.load({"weight": torch.zeros(2), **entries}, checkpoint_id=checkpoint)


def assert_is_published_hub(hub):
    assert hub.get_info("epoch") == 3
    assert hub.get_info("anchors").tolist() == [[1, 1], [1, 1]]
    assert hub.get_info("palette").shape == (0, 3)
    assert hub.get_info("names") == ("a", "b")
    assert [part.tolist() for part in hub.get_scalar("train/loss").data] == [[0, 0.5, 1], [2, 2, 2]]


def test_a_hub_without_keys_loads_all_of_them(tmp_path):
    packed = PackedState(published_hub())
    assert isinstance(packed, Stateful)
    save(tmp_path, hub=packed)
    hub = MessageHub("new")
    load(tmp_path, hub=PackedState(hub))
    assert_is_published_hub(hub)


def test_a_history_loads_into_a_longer_and_a_shorter_one(tmp_path):
    save(tmp_path, hub=PackedState(published_hub()))
    for length in (1, 3, 5000):
        hub = MessageHub("other")
        for _ in range(length):
            hub.update_scalar("train/loss", 7.0)
        hub.update_info("anchors", "of another type")
        load(tmp_path, hub=PackedState(hub))
        assert_is_published_hub(hub)


def test_a_checkpoint_that_is_written_later_has_the_values_of_the_call(tmp_path):
    hub = published_hub()
    saving = dcp.async_save({"hub": PackedState(hub)}, checkpoint_id=tmp_path)
    hub.get_info("anchors").fill_(9)
    for _ in range(5000):
        hub.update_scalar("train/loss", 9.0)
    saving.result()
    loaded = MessageHub("loaded")
    load_only = {"hub": PackedState(loaded)}
    dcp.load(load_only, checkpoint_id=tmp_path)
    assert_is_published_hub(loaded)


def test_entries_inside_the_state_of_an_application(tmp_path):
    class Application:
        def __init__(self, hub):
            self.packed = PackedState(hub)

        def state_dict(self):
            return {"step": torch.tensor(5), "runtimeinfo": self.packed.state_dict()}

        def load_state_dict(self, state):
            self.packed.load_state_dict(state["runtimeinfo"])

    save(tmp_path, application=Application(published_hub()))
    hub = MessageHub("new")
    load(tmp_path, application=Application(hub))
    assert_is_published_hub(hub)


def test_a_loop_goes_on_in_mid_epoch(tmp_path):
    def loader():
        return torch.utils.data.DataLoader(range(8), 2, shuffle=True)

    had = []
    torch.manual_seed(1)
    first = Loop(train_loader=loader(), max_epochs=1)
    with first.run():
        for batch in first.train():
            had += batch.tolist()
            if len(had) == 4:
                save(tmp_path, loop=PackedState(first))
                break
    torch.manual_seed(2)
    second = Loop(train_loader=loader(), max_epochs=1)
    load(tmp_path, loop=PackedState(second))
    assert (second.epoch, second.iter) == (0, 2)
    with second.run():
        had += [item for batch in second.train() for item in batch.tolist()]
    assert sorted(had) == list(range(8))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "^packed must be bytes, but is None"),
        ({"packed": torch.ones(2)}, "^packed must be bytes, but is Tensor"),
        ({"packed": b""}, "^packed cannot be read: EOFError"),
        ({"packed": PackedState(published_hub()).state_dict()["packed"][:-100]}, "^packed cannot be read: "),
    ],
)
def test_an_entry_that_is_damaged_is_refused(entry, message):
    hub = published_hub()
    with pytest.raises(StateError, match=message) as caught:
        PackedState(hub).load_state_dict(entry)
    assert caught.value.field == "packed"
    assert_is_published_hub(hub)


def contents(hub):
    infos = {key: value.tolist() for key, value in hub.runtime_info.items()}
    return [infos, {key: history.data[0].tolist() for key, history in hub.log_scalars.items()}]


def save_and_load_on_a_rank(rank, folder):
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 2), rank=rank, world_size=2)
    hub = MessageHub(f"rank {rank}")
    for number in range(3 + rank):
        hub.update_scalar("loss", 10.0 * rank + number)
    hub.update_info(f"only on {rank}", torch.tensor([rank]))

    def loaded(checkpoint, key):
        new = MessageHub("new")
        load(checkpoint, **{key: PackedState(new)})
        return contents(new)

    noted = {}
    save(folder / "rank 0 alone", **({"hub": PackedState(hub)} if rank == 0 else {}))
    noted["rank 0 alone"] = loaded(folder / "rank 0 alone", "hub")

    save(folder / "all", hub=PackedState(hub))
    noted["all"] = loaded(folder / "all", "hub")

    saving = dcp.async_save({"weight": torch.ones(2), f"hub{rank}": PackedState(hub)}, checkpoint_id=folder / "own")
    hub.update_scalar("loss", -1.0)
    hub.get_info(f"only on {rank}").fill_(99)
    saving.result()
    noted["own"] = loaded(folder / "own", f"hub{rank}")

    (folder / f"{rank}.json").write_text(json.dumps(noted), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")  # Python 3.12
def test_the_ranks_load_what_rank_0_saved_or_each_its_own(tmp_path, monkeypatch):
    if sys.platform == "linux":  # the name of this machine may not resolve
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    # Forked, as two new processes would load PyTorch for seconds.
    forked = multiprocessing.get_context("fork")
    ranks = [forked.Process(target=save_and_load_on_a_rank, args=(rank, tmp_path), daemon=True) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    noted = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    of_rank_0 = [{"only on 0": [0]}, {"loss": [0.0, 1.0, 2.0]}]
    of_rank_1 = [{"only on 1": [1]}, {"loss": [10.0, 11.0, 12.0, 13.0]}]
    assert [each["rank 0 alone"] for each in noted] == [of_rank_0, of_rank_0]
    assert [each["own"] for each in noted] == [of_rank_0, of_rank_1]
    # Of two entries under one key PyTorch keeps one, as a whole.
    assert noted[0]["all"] == noted[1]["all"]
    assert noted[0]["all"] in (of_rank_0, of_rank_1)


def trained(**options):
    """Return a loop that has trained for an epoch of two batches."""
    loop = Loop(train_loader=[1.0, 2.0], max_epochs=3, **options)
    with loop.run():
        for batch in loop.train():
            loop.log(loss=batch)
    return loop


def load_as_object(checkpoint, loop):
    load(checkpoint, loop=loop)


def load_as_state(checkpoint, loop):
    entry = loop.state_dict()
    load(checkpoint, loop=entry)
    loop.load_state_dict(entry)


@pytest.mark.parametrize("load_into", [load_as_object, load_as_state])
def test_a_fresh_loop_refuses_what_is_loaded_without_its_hub(tmp_path, load_into):
    save(tmp_path, loop=trained())
    fresh = Loop(train_loader=[1.0, 2.0], max_epochs=3)
    with pytest.raises(StateError, match=r"message_hub has 0 entries, and \d+ were saved.*PackedState") as refused:
        load_into(tmp_path, fresh)
    assert refused.value.field == "message_hub"
    assert (fresh.epoch, fresh.iter) == (0, 0)


def hub_of(loss, **infos):
    hub = MessageHub("hub")
    hub.update_scalar("loss", loss)
    hub.update_info_dict({name: torch.tensor(info) for name, info in infos.items()})
    return hub


@pytest.mark.parametrize("fresh", [MessageHub("no keys"), hub_of(9.0)], ids=lambda hub: hub.instance_name)
def test_a_hub_refuses_what_is_loaded_without_keys_that_it_lacks(tmp_path, fresh):
    save(tmp_path, hub=hub_of(1.0, epoch=3))
    before = contents(fresh)
    with pytest.raises(
        StateError, match=r"entries is 2, but [01] histories and infos are there.*PackedState"
    ) as refused:
        load(tmp_path, hub=fresh)
    assert refused.value.field == "entries"
    assert refused.value.requirement == "HUB-13"
    assert contents(fresh) == before


def test_a_hub_with_the_same_keys_loads_all_of_them_without_being_packed(tmp_path):
    save(tmp_path, hub=hub_of(1.0, epoch=3))
    same = hub_of(2.0, epoch=7)
    load(tmp_path, hub=same)
    assert contents(same) == contents(hub_of(1.0, epoch=3))


def test_a_state_without_the_count_of_its_entries_is_refused():
    state = hub_of(1.0, epoch=3).state_dict()
    assert state.pop("entries") == 2
    loaded = MessageHub("loaded")
    with pytest.raises(StateError, match="entries is missing") as refused:
        loaded.load_state_dict(state)
    assert refused.value.requirement == "HUB-13"
    assert contents(loaded) == contents(MessageHub("empty"))


def test_a_loop_with_the_same_keys_loads_all_of_them_without_being_packed(tmp_path):
    saved, other = trained(), trained()
    saved.message_hub.update_scalar("train/loss", 7.0)
    other.message_hub.update_scalar("train/loss", 8.0)
    save(tmp_path, loop=saved)
    load(tmp_path, loop=other)
    assert other.message_hub.get_scalar("train/loss").data[0].tolist() == [1.0, 2.0, 7.0]
