import copy
import io
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from runtimeinfo import RuntimeInfoHook
from runtimeinfo_adapters import MessageHub

THREADS, UPDATES, CHECKPOINTS = 16, 3_000, 25

# On a busy machine the thread that trains may not get a turn during so many checkpoints, each of which takes little.
MOST_CHECKPOINTS = 2_000


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=[True, False], ids=["shared", "unshared"])
def hub(request):
    hub = MessageHub("threads", share=request.param)
    if request.param:
        hub.share()
    yield hub
    hub.unshare()


def write_and_read(hub, thread):
    """Write values of which one can tell who wrote them, and when; look now and then at what all of them wrote."""
    for number in range(UPDATES):
        hub.update_scalar("floats", float(thread * UPDATES + number))
        hub.update_scalar("ints", thread * UPDATES + number)
        hub.update_scalar(f"counted/{thread}", float(number), count=1 + number % 2)
        hub.update_info(f"latest/{thread}", number)
        hub.update_info("iter", number)
        assert hub.get_info(f"latest/{thread}") == number
        if number % 100 == 0:
            hub.update_scalar(f"new/{thread}/{number}", 1.0)
        if number % 500 == thread:
            for history in hub.log_scalars.values():
                history.current()  # a key that is there has a value
                values, counts = history.data
                assert len(values) == len(counts)
            assert in_order_for_each_thread(hub.get_scalar("floats").data[0])
            assert in_order_for_each_thread(torch.as_tensor(hub.state_dict()["log_scalars"]["ints"]["values"]).numpy())


def in_order_for_each_thread(values):
    """Tell whether each thread's values are its first ones, without a gap, in the order in which it wrote them."""
    by_thread = [values[values // UPDATES == thread] for thread in range(THREADS)]
    return all(mine.tolist() == [at * UPDATES + n for n in range(len(mine))] for at, mine in enumerate(by_thread))


def test_sixteen_threads_write_and_read_and_lose_nothing(hub):
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(write_and_read, hub, thread) for thread in range(THREADS)]
    for future in futures:
        future.result()  # raises what the thread raised
    for key in ("floats", "ints"):
        values, counts = hub.get_scalar(key).data
        assert len(values) == THREADS * UPDATES
        assert (counts == 1).all()
        assert in_order_for_each_thread(values)
    for thread in range(THREADS):
        values, counts = hub.get_scalar(f"counted/{thread}").data
        assert values.tolist() == list(map(float, range(UPDATES)))
        assert counts.tolist() == [1, 2] * (UPDATES // 2)
        assert hub.get_info(f"latest/{thread}") == UPDATES - 1
    assert len(hub.log_scalars) == 2 + THREADS + THREADS * UPDATES // 100


def train(hub, done):
    rates = {"lr": [0.0]}
    runner = SimpleNamespace(iter=0, message_hub=hub, optim_wrapper=SimpleNamespace(get_lr=lambda: rates))
    hook = RuntimeInfoHook()
    while not done.is_set():
        rates["lr"][0] = float(runner.iter)
        hook.before_train_iter(runner, runner.iter, None)
        hook.after_train_iter(runner, runner.iter, None, {"loss": float(runner.iter), "count": runner.iter})
        runner.iter += 1


def test_each_checkpoint_that_is_saved_while_training_writes_is_whole(hub):
    done, written_meanwhile = threading.Event(), 0
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train, hub, done)
        try:
            for turn in range(MOST_CHECKPOINTS):
                before = wait_for_more(hub, training)
                assert completed_in_checkpoint_of(hub) >= before
                written_meanwhile += hub.get_info("iter") - before
                if turn >= CHECKPOINTS and written_meanwhile:
                    break
        finally:
            done.set()
    training.result()
    assert written_meanwhile > 0


def wait_for_more(hub, training):
    """Return how many iterations are complete, once there are more than at the call."""
    before = hub.get_info("iter", 0)
    while hub.get_info("iter", 0) == before or "train/count" not in hub.log_scalars:
        assert not training.done()
        time.sleep(0)
    return hub.get_info("iter")


def completed_in_checkpoint_of(hub):
    file = io.BytesIO()
    torch.save(hub.state_dict(), file)
    file.seek(0)
    resumed = MessageHub("resumed", share=False)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    completed = resumed.get_info("iter")
    for key in ("train/lr", "train/loss", "train/count"):
        values, counts = resumed.get_scalar(key).data
        assert values.tolist() == list(range(len(values)))
        assert len(values) >= completed  # nothing of an iteration that it says is complete is missing
        assert (counts == 1).all()
    return completed


def publish_changing_keys(hub, thread, done):
    number = 0
    while not done.is_set():
        hub.update_info(f"info/{thread}/{number % 300}", number)
        hub.update_scalar(f"scalar/{thread}/{number % 50}", float(number))
        hub.update_scalar(f"counted/{thread}", number, count=2)
        hub.pop_info(f"info/{thread}/{(number + 150) % 300}")
        number += 1


def contents(hub):
    return dict(hub.runtime_info), {key: [part.tolist() for part in it.data] for key, it in hub.log_scalars.items()}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda hub: pickle.loads(pickle.dumps(hub))])
def test_a_copy_that_is_made_while_threads_write_is_whole_and_independent(hub, duplicate):
    done = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(publish_changing_keys, hub, thread, done) for thread in range(2)]
        try:
            for _ in range(10):
                twin = duplicate(hub)
                infos, scalars = contents(twin)
                assert all(len(values) == len(counts) > 0 for values, counts in scalars.values())
                twin.update_info("mine", 1)
                twin.update_scalar("mine", 1.0)
                assert contents(twin) == ({**infos, "mine": 1}, {**scalars, "mine": [[1.0], [1.0]]})
        finally:
            done.set()
    for writer in writers:
        writer.result()  # raises what the thread raised
    assert (hub.get_info("mine"), "mine" in hub.log_scalars) == (None, False)
    assert len(hub.log_scalars) > 2
