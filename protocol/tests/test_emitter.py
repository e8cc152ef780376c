import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo import RunnerError, RuntimeInfoHook
from runtimeinfo.authoring import Emitter, TextConfig
from runtimeinfo.spec import CLOSES, EVENTS, HOOK_POINTS, Lifecycle
from runtimeinfo_adapters import MessageHub

LENIENT = settings(deadline=None, derandomize=True, database=None, max_examples=200)


class Loader:
    dataset = ()


class Optimizer:
    def get_lr(self):
        return {"lr": [0.1]}


class Run:
    """The least that satisfies TrainRunner."""

    cfg, seed, experiment_name = TextConfig("cfg"), 1, "test"
    framework_name, framework_version = "plain", "1.0"
    max_epochs = max_iters = None
    train_dataloader, optim_wrapper = Loader(), Optimizer()

    def __init__(self):
        self.emitter = None
        self.message_hub = MessageHub("emitter")

    epoch = property(lambda self: self.emitter.epoch)
    iter = property(lambda self: self.emitter.iter)


class FailureError(Exception):
    pass


class Recorder:
    """Hears everything; raises at chosen calls."""

    priority = "LOWEST"

    def __init__(self, fail_at=()):
        self.heard, self.arguments, self.fail_at = [], [], set(fail_at)
        for event in EVENTS:
            setattr(self, event, self._listen(event))

    def _listen(self, event):
        def listen(runner, **arguments):
            assert tuple(arguments) == HOOK_POINTS[event]
            self.heard.append(event)
            self.arguments.append((event, arguments))
            if event in self.fail_at or len(self.heard) - 1 in self.fail_at:
                raise FailureError(f"hook at {event}")

        if not HOOK_POINTS[event]:
            return lambda runner: listen(runner)
        names = ", ".join(HOOK_POINTS[event])
        scope = {"listen": listen}
        exec(f"def hook(runner, {names}): listen(runner, {', '.join(f'{n}={n}' for n in HOOK_POINTS[event])})", scope)
        return scope["hook"]

    def of(self, event):
        return [arguments for name, arguments in self.arguments if name == event]


def emitter_of(*hooks, run=None):
    run = run or Run()
    run.emitter = Emitter(run, hooks)
    return run.emitter, run


def assert_legal(events):
    lifecycle = Lifecycle()
    for event in events:
        lifecycle.advance(event)
    return lifecycle


def arguments_of(event):
    return {"checkpoint": {}} if event.endswith("checkpoint") else {}


ABORT_KEEPING = st.integers(0, 3).map(lambda keep: ("abort", keep))


@LENIENT
@given(
    feed=st.lists(st.sampled_from(EVENTS) | ABORT_KEEPING, max_size=15),
    failures=st.sets(st.integers(0, 40), max_size=3),
)
def test_hooks_always_hear_a_legal_stream(feed, failures):
    recorder = Recorder(failures)
    emitter, run = emitter_of(recorder)
    for event in [*feed, ("abort", 0)]:
        try:
            if isinstance(event, tuple):
                emitter.abort(FailureError("loop"), keep=event[1])
            elif event == "on_exception":
                emitter.emit(event, exception=FailureError("raw"))
            else:
                emitter.emit(event, **arguments_of(event))
        except FailureError:
            pass  # a hook's, in the middle of the steps that one event amounts to
        assert_legal(recorder.heard)
    assert assert_legal(recorder.heard).open_scopes == ()
    assert emitter.lifecycle.open_scopes == ()
    assert run.message_hub.get_info("loop_stage") is None
    completed = recorder.heard.count("after_train_iter")
    assert run.emitter.iter <= completed


def test_events_missing_in_the_framework_are_filled_in():
    recorder = Recorder()
    emitter, run = emitter_of(recorder)
    emitter.emit("before_train_iter", batch_idx=0, data_batch="data")
    assert recorder.heard == ["before_run", "before_train", "before_train_epoch", "before_train_iter"]
    assert run.message_hub.get_info("loop_stage") == "train"
    emitter.emit("after_train")
    assert recorder.heard[4:] == ["after_train_iter", "after_train_epoch", "after_train"]
    emitter.emit("after_val")  # there is nothing to close
    assert len(recorder.heard) == 7
    emitter.emit("before_val")
    emitter.emit("after_val")
    assert recorder.heard[7:] == ["before_val", "before_val_epoch", "after_val_epoch", "after_val"]


def test_arguments_go_with_the_raw_event_only():
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    emitter.emit("before_val_iter", batch_idx=5, data_batch="data")
    emitter.emit("after_val_iter", outputs="anything")
    emitter.emit("after_val_epoch", metrics={"acc": 0.5})
    emitter.emit("before_val_epoch")
    emitter.emit("after_val")
    assert recorder.of("before_val_iter") == [{"batch_idx": 5, "data_batch": "data"}]
    assert recorder.of("after_val_iter") == [{"batch_idx": 5, "data_batch": "data", "outputs": "anything"}]
    assert recorder.of("after_val_epoch") == [{"metrics": {"acc": 0.5}}, {"metrics": None}]


def test_completed_epochs_and_iterations_are_counted_after_everybody_has_heard():
    seen = []

    class Look:
        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            seen.append(("iter", runner.iter))

        def after_train_epoch(self, runner):
            seen.append(("epoch", runner.epoch, runner.iter))

    emitter, run = emitter_of(Look())
    for _ in range(2):
        emitter.emit("before_train_epoch")
        for _ in range(2):
            emitter.emit("before_train_iter")
            emitter.emit("after_train_iter", outputs={"loss": 0.5})
        emitter.emit("before_val_epoch")
        emitter.emit("after_train_epoch")
    assert seen == [("iter", 0), ("iter", 1), ("epoch", 0, 2), ("iter", 2), ("iter", 3), ("epoch", 1, 4)]
    assert (run.epoch, run.iter) == (2, 4)
    emitter.emit("after_run")
    assert run.message_hub.get_info("epoch") == 2
    assert run.message_hub.get_info("iter") == 4


def test_a_synthesised_close_counts_and_an_aborted_one_does_not():
    emitter, run = emitter_of()
    emitter.emit("before_train_iter")
    emitter.emit("before_train_iter")  # the framework has no after_train_iter
    assert (run.epoch, run.iter) == (0, 1)
    emitter.abort(FailureError())
    assert (run.epoch, run.iter) == (0, 1)


def test_an_announced_exception_unwinds_everything_and_counts_nothing():
    (emitter, run), error = emitter_of(), FailureError()
    emitter.emit("before_train_iter")
    emitter.emit("on_exception", exception=error)
    assert (run.epoch, run.iter) == (0, 0)
    assert not emitter.lifecycle.open_scopes


def test_batch_idx_goes_up_by_itself_and_starts_again_with_the_epoch():
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    for _ in range(2):
        emitter.emit("before_train_epoch")
        for _ in range(3):
            emitter.emit("before_train_iter")
            emitter.emit("before_val_iter")  # a validation within does not disturb it
            emitter.emit("after_val")
            emitter.emit("after_train_iter")
        emitter.emit("after_train_epoch")
    assert [arguments["batch_idx"] for arguments in recorder.of("before_train_iter")] == [0, 1, 2] * 2
    assert [arguments["batch_idx"] for arguments in recorder.of("after_train_iter")] == [0, 1, 2] * 2
    assert [arguments["batch_idx"] for arguments in recorder.of("after_val_iter")] == [0] * 6


def test_the_close_gets_the_batch_of_the_open_and_then_lets_it_go():
    class Batch:
        pass

    batches, given = [], []

    class Look:
        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            given.append((batch_idx, type(data_batch)))

    emitter, _ = emitter_of(Look())
    for close in (lambda: emitter.emit("after_train_iter"), lambda: emitter.abort(FailureError())):
        batch = Batch()
        batches.append(weakref.ref(batch))
        emitter.emit("before_train_iter", batch_idx=4, data_batch=batch)
        del batch
        close()
        gc.collect()
        assert batches[-1]() is None
    assert given == [(4, Batch), (4, Batch)]


def test_an_abort_announces_and_closes_from_the_inside():
    recorder, error = Recorder(), FailureError("loop")
    emitter, run = emitter_of(recorder)
    emitter.emit("before_train_iter", batch_idx=2, data_batch="data")
    emitter.emit("before_val_iter", batch_idx=0)
    emitter.abort(error)
    assert recorder.heard[-8:] == [
        "on_exception",
        *(f"after_{scope}" for scope in ("val_iter", "val_epoch", "val", "train_iter", "train_epoch", "train", "run")),
    ]
    assert recorder.of("on_exception") == [{"exception": error}]
    assert recorder.of("after_val_epoch") == [{"metrics": None}]
    assert recorder.of("after_train_iter") == [{"batch_idx": 2, "data_batch": "data", "outputs": None}]
    assert run.message_hub.get_info("loop_stage") is None


def test_an_exception_is_announced_once_however_many_scopes_it_leaves():
    recorder, error = Recorder(), FailureError("loop")
    emitter, run = emitter_of(recorder)
    emitter.emit("before_train_iter")
    emitter.abort(error, keep=4)  # leaves no scope yet: nothing to hear
    assert recorder.heard[-1] == "before_train_iter"
    emitter.abort(error, keep=3)
    assert recorder.heard[-2:] == ["on_exception", "after_train_iter"]
    emitter.abort(error, keep=2)
    assert run.message_hub.get_info("loop_stage") == "train"
    emitter.abort(error, keep=0)
    assert recorder.heard[-3:] == ["after_train_epoch", "after_train", "after_run"]
    assert recorder.heard.count("on_exception") == 1


def test_an_exception_that_was_handled_and_comes_again_is_announced_again():
    recorder, error = Recorder(), FailureError("loop")
    emitter, _ = emitter_of(recorder)
    emitter.emit("before_train_iter")
    emitter.abort(error, keep=3)
    emitter.emit("before_train_iter")  # the loop went on
    emitter.abort(error, keep=3)
    emitter.abort(FailureError("another"), keep=0)
    assert recorder.heard.count("on_exception") == 3
    assert_legal(recorder.heard)


def test_after_the_last_scope_the_exception_is_let_go():
    emitter, _ = emitter_of()
    emitter.emit("before_train")
    error = FailureError("loop")
    held = weakref.ref(error)
    emitter.abort(error)
    del error
    gc.collect()
    assert held() is None


def test_a_hook_that_fails_in_an_abort_is_logged_and_the_other_scopes_still_close(caplog):
    recorder = Recorder(fail_at={"on_exception", "after_train_iter", "after_train"})
    emitter, run = emitter_of(recorder)
    emitter.emit("before_train_iter")
    error = FailureError("the user's")

    def loop():
        try:
            raise error
        except FailureError as under_way:
            emitter.abort(under_way)
            raise

    with pytest.raises(FailureError) as caught:
        loop()
    assert caught.value is error
    assert error.__context__ is None
    assert recorder.heard[-5:] == [
        "on_exception",
        *(f"after_train{part}" for part in ("_iter", "_epoch", "")),
        "after_run",
    ]
    assert run.message_hub.get_info("loop_stage") is None
    logged = [record.getMessage() for record in caplog.records]
    assert [message.partition(",")[0] for message in logged] == [
        "a hook failed at on_exception",
        "a hook failed at after_train_iter",
        "a hook failed at after_train",
    ]
    assert all("the user's" in message for message in logged)
    assert all(record.exc_info and "hook at" in str(record.exc_info[1]) for record in caplog.records)


@pytest.mark.parametrize("fail_at", range(4))
def test_a_hook_that_fails_among_synthesised_steps_stops_there(fail_at):
    recorder = Recorder(fail_at={fail_at})
    emitter, run = emitter_of(recorder)
    with pytest.raises(FailureError) as caught:
        emitter.emit("before_train_iter")
    opened = ["before_run", "before_train", "before_train_epoch", "before_train_iter"][: fail_at + 1]
    assert recorder.heard == opened
    emitter.abort(caught.value)
    closes = [event.replace("before", "after") for event in reversed(opened)]
    assert recorder.heard == [*opened, "on_exception", *closes]
    assert (run.epoch, run.iter) == (0, 0)


@pytest.mark.parametrize(
    ("event", "argument"),
    [("after_train_iter", "outputs"), ("after_val_epoch", "metrics"), ("after_test_epoch", "metrics")],
)
def test_non_mapping_is_refused_before_anything_changes(event, argument):
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    emitter.emit(event.replace("after", "before"))
    heard = list(recorder.heard)
    with pytest.raises(RunnerError, match=f"{event} must be given {argument} as a mapping.*but got float"):
        emitter.emit(event, **{argument: 0.5})
    assert recorder.heard == heard
    emitter.abort(FailureError())
    assert assert_legal(recorder.heard).open_scopes == ()
    assert recorder.heard.count(event) == 1


def test_a_runtime_info_hook_is_added_only_if_there_is_none():
    class Mine(RuntimeInfoHook):
        pass

    mine, recorder = Mine(), Recorder()
    assert [type(hook) for hook in emitter_of(recorder)[0].dispatcher.hooks] == [RuntimeInfoHook, Recorder]
    assert emitter_of(recorder, mine)[0].dispatcher.hooks == (mine, recorder)


def test_an_unknown_event_raises():
    emitter, _ = emitter_of()
    with pytest.raises(Exception, match="there is no such event"):
        emitter.emit("before_training")
    assert emitter.lifecycle.open_scopes == ()


def test_every_close_can_be_emitted_with_nothing_open():
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    for event in CLOSES:
        emitter.emit(event)
    emitter.emit("on_exception", exception=FailureError())
    emitter.abort(FailureError())
    assert recorder.heard == []


def test_a_second_interrupt_comes_out_once_every_scope_is_closed():
    class Interrupted:
        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            raise KeyboardInterrupt

    recorder = Recorder()
    emitter, run = emitter_of(recorder, Interrupted())
    emitter.emit("before_train_iter")
    with pytest.raises(KeyboardInterrupt):
        emitter.abort(FailureError())
    assert recorder.heard[-1] == "after_run"
    assert run.message_hub.get_info("loop_stage") is None


def test_an_exception_that_was_handled_can_be_forgotten():
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    emitter.emit("before_train_iter")
    try:
        raise FailureError
    except FailureError as error:
        held = weakref.ref(error)
        emitter.abort(error, keep=3)
        emitter.forget_handled()  # not yet: it is under way
        emitter.abort(error, keep=2)  # so it is not announced again
    assert recorder.heard.count("on_exception") == 1
    recorder.arguments.clear()
    gc.collect()
    assert held() is not None
    emitter.forget_handled()
    gc.collect()
    assert held() is None


def epoch_of(emitter, batches, length=None):
    """Emit an epoch of training, and return the batch numbers."""
    emitter.emit("before_train_epoch")
    if length is not None:
        emitter.epoch_length = length
    for _ in range(batches):
        emitter.emit("before_train_iter")
        emitter.emit("after_train_iter")
    emitter.emit("after_train_epoch")


def test_a_resumed_epoch_numbers_its_batches_from_where_it_was_stopped():
    recorder = Recorder()
    emitter, _ = emitter_of(recorder)
    emitter.epoch, emitter.iter, emitter.resumed_at = 2, 13, 3
    emitter.emit("before_train")
    assert emitter.epoch_start == 10
    epoch_of(emitter, 2)
    assert [each["batch_idx"] for each in recorder.of("before_train_iter")] == [3, 4]
    assert (emitter.epoch, emitter.iter, emitter.epoch_start, emitter.resumed_at) == (3, 15, 15, 0)
    epoch_of(emitter, 2)
    assert [each["batch_idx"] for each in recorder.of("before_train_iter")] == [3, 4, 0, 1]
    assert emitter.epoch_start == 17


def test_an_epoch_that_is_longer_than_told_withdraws_the_total_at_once():
    class Told(Run):
        published = ()

        def publish_totals(self):
            self.published = (*self.published, self.emitter.iter)

    emitter, run = emitter_of(run=Told())
    epoch_of(emitter, 2, length=2)
    assert (run.published, emitter.is_longer_than_told) == ((), False)
    epoch_of(emitter, 4, length=2)
    assert (run.published, emitter.is_longer_than_told) == ((4,), True)  # once, at the third batch
    emitter.emit("after_train")
    emitter.emit("before_train")
    assert not emitter.is_longer_than_told


def test_validation_batches_beyond_the_length_of_the_training_epoch_withdraw_nothing():
    emitter, _ = emitter_of()
    emitter.emit("before_train_epoch")
    emitter.epoch_length = 1
    for _ in range(3):
        emitter.emit("before_val_iter")
        emitter.emit("after_val_iter")
    assert not emitter.is_longer_than_told
