"""mmengine's own RuntimeInfoHook, over mmengine's own hub, is the oracle for ours.

Generated lifecycles run through four combinations of hook and hub; after every event the hubs must agree, except for
the differences registered here. Each of them has a test which shows it with the real seed, and an entry in
``docs/differences.md``.
"""

import io
import pickle
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import event as note_event
from hypothesis import strategies as st

import runtimeinfo
from runtimeinfo import EmptyHistoryError, HubError, RunnerError, RuntimeInfoHook, SkippedOutputWarning, StateError
from runtimeinfo_adapters import MessageHub, ScalarHistory, UnsavedInfoWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    import mmengine
    from mmengine.hooks import RuntimeInfoHook as SeedHook
    from mmengine.hooks import runtime_info_hook as seed_module
    from mmengine.logging import HistoryBuffer
    from mmengine.logging import MessageHub as SeedHub
    from mmengine.model import BaseModel
    from mmengine.runner import EpochBasedTrainLoop, Runner

MISSING = type("Missing", (), {"__repr__": lambda self: "<missing>"})()
DOCUMENT = Path(__file__).parents[2] / "docs" / "differences.md"

GIT_HASH = "0123abc"


@pytest.fixture(autouse=True, scope="module")
def _fixed_git_hash():
    """Let git not be asked: it starts a process, and its answer depends on where the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seed_module, "get_git_hash", lambda: GIT_HASH)
        yield


# -- the runner, which knows nothing of who listens


class Text(NamedTuple):
    pretty_text: str


class Dataset:
    pass


class Loader:
    def __init__(self, metainfo):
        self.dataset = Dataset()
        if metainfo is not None:
            self.dataset.metainfo = metainfo


class Optimizers:
    def __init__(self, rates):
        self.rates = rates

    def get_lr(self):
        return self.rates


class Validator:
    """A runner that only validates and tests."""

    framework_name = "mmengine"
    framework_version = mmengine.__version__

    def __init__(self, setup):
        self.cfg, self.seed, self.experiment_name = Text(setup.cfg), setup.seed, setup.name
        self.message_hub = None


class Trainer(Validator):
    def __init__(self, setup):
        super().__init__(setup)
        self.epoch = self.iter = 0
        self.max_epochs, self.max_iters = setup.totals
        self.train_dataloader = Loader(setup.metainfo)
        self.optim_wrapper = Optimizers(setup.rates)


class Setup(NamedTuple):
    cfg: str = "new"
    seed: int | None = 1
    name: str | None = "exp"
    totals: tuple = (2, None)
    metainfo: dict | None = None
    rates: dict = {"lr": [0.1]}  # noqa: RUF012


CHECKPOINT_COUNTERS = {"epoch": 3, "iter": 30}


def checkpoint(stage):
    """Make what an earlier run of mmengine saved."""
    hub = SeedHub("earlier")
    hub.update_info_dict({"cfg": "old", "seed": 99, "experiment_name": "old", "mmengine_version": "old"})
    hub.update_info_dict({**CHECKPOINT_COUNTERS, "max_epochs": 5, "dataset_meta": {"classes": ["old"]}})
    if stage is not None:
        hub.update_info("loop_stage", stage)
    for number in range(3):
        hub.update_scalar("train/loss", float(number), count=number + 1)
        hub.update_scalar("val/acc", number)
    return hub.state_dict()


# -- what is published: a value, and the number that it is for us, or None


class Sample(NamedTuple):
    value: Any
    number: float | None


def sample(value):
    """Make a sample of what both take for a scalar."""
    number = value.item() if hasattr(value, "item") else value
    return Sample(value, float(number) if isinstance(number, float | Fraction) else int(number))


NUMPY = [np.int8, np.uint8, np.int16, np.int64, np.uint32, np.float16, np.float32, np.float64]
TORCH = [torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]

small = st.integers(0, 100)
scalars = st.one_of(
    st.floats().map(sample),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0]).map(sample),
    st.integers(-(2**53), 2**53).map(sample),
    st.booleans().map(sample),
    st.builds(lambda kind, number: sample(kind(number)), st.sampled_from(NUMPY), small),
    st.builds(lambda kind, number: sample(np.array([[number]], dtype=kind)), st.sampled_from(NUMPY), small),
    st.builds(lambda kind, number: sample(torch.tensor(number, dtype=kind)), st.sampled_from(TORCH), small),
    st.builds(lambda number: sample(torch.tensor([[number]], requires_grad=True)), st.floats(width=32)),
    st.booleans().map(lambda flag: sample(torch.tensor(flag))),
    st.booleans().map(lambda flag: sample(np.array([flag]))),
)
disputed = st.sampled_from(
    [
        sample(np.bool_(True)),
        sample(Fraction(1, 4)),
        Sample(np.array(["text"]), None),
        Sample(np.array(None), None),
        Sample(np.complex64(1j), None),
        Sample(torch.tensor(1j), None),
        Sample(10**400, None),
    ]
)
beyond_64_bits = st.sampled_from([2**63, 2**64 - 1, -(2**63), 10**30]).map(lambda number: Sample(number, float(number)))
others = st.sampled_from(
    [
        None,
        "text",
        [0.5],
        {"a": 1},
        1j,
        np.ones(3),
        torch.ones(2, 2),
        np.empty(0),
        object(),
        ("a", 1),
        np.array(["a", "b"]),
    ]
).map(lambda value: Sample(value, None))
samples = st.one_of(scalars, scalars, scalars, others, disputed, beyond_64_bits)
named_samples = st.dictionaries(st.sampled_from(["loss", "acc", "lr"]), samples, max_size=3)


# -- lifecycles


class Event(NamedTuple):
    name: str
    data: Any = None


class Run(NamedTuple):
    setup: Setup
    trains: bool
    events: tuple
    crashes: bool


setups = st.builds(
    Setup,
    cfg=st.sampled_from(["new", "newer"]),
    seed=st.none() | st.integers(0, 9),
    name=st.none() | st.just("exp"),
    totals=st.tuples(st.none() | st.integers(0, 9), st.none() | st.integers(0, 99)),
    metainfo=st.none() | st.just({"classes": ("cat", "dog")}),
    rates=st.sampled_from([{"lr": [0.1]}, {"lr": [0.1, 0.2]}, {"gen.lr": [1e-3], "disc.lr": [2e-3, 5]}, {}]),
)


class Writer:
    """Draws the events of one run."""

    def __init__(self, draw):
        self.draw = draw
        self.events: list[Event] = []

    def emit(self, name, data=None):
        self.events.append(Event(name, data))

    def flip(self, label):
        return self.draw(st.sampled_from([False, False, True]), label=label)

    def evaluate(self, kind, depth=0):
        self.emit(f"before_{kind}")
        for _ in range(self.draw(st.integers(1, 2), label="epochs")):
            self.emit(f"before_{kind}_epoch")
            for _ in range(self.draw(st.integers(0, 1), label="iterations")):
                self.emit(f"before_{kind}_iter")
                self.emit(f"after_{kind}_iter")
            self.maybe_evaluate(depth + 1)
            self.emit(f"after_{kind}_epoch", self.draw(st.none() | named_samples, label="metrics"))
        self.emit(f"after_{kind}")

    def maybe_evaluate(self, depth=0):
        if depth <= 2 and self.flip("evaluate"):
            self.evaluate(self.draw(st.sampled_from(["val", "val", "test"]), label="kind"), depth)

    def train(self):
        if self.flip("resume"):
            self.emit("load", self.draw(st.sampled_from(["train", "val", None]), label="saved stage"))
        self.emit("before_train")
        for _ in range(self.draw(st.integers(0, 2), label="epochs")):
            self.emit("before_train_epoch")
            for _ in range(self.draw(st.integers(0, 2), label="iterations")):
                self.emit("before_train_iter")
                self.maybe_evaluate()
                self.emit("after_train_iter", self.draw(st.none() | named_samples, label="outputs"))
            self.maybe_evaluate()
            self.emit("after_train_epoch")
        self.emit("after_train")

    def run(self, trains):
        self.emit("before_run")
        self.maybe_evaluate()
        if trains:
            self.train()
        self.maybe_evaluate()
        self.emit("after_run")


@st.composite
def runs(draw):
    kind = draw(st.sampled_from(["train", "train", "train", "evaluate", "lone"]), label="run")
    writer = Writer(draw)
    if kind == "lone":  # no run around it
        writer.evaluate("val")
    else:
        writer.run(trains=kind == "train")
    crashes = kind != "lone" and writer.flip("crash")
    end = draw(st.integers(1, len(writer.events) - 1), label="crash after") if crashes else None
    trains = kind == "train" or draw(st.booleans(), label="has train state")
    return Run(draw(setups, label="setup"), trains, tuple(writer.events[:end]), crashes)


# -- the four combinations


def seed_takes(hub, key, value):
    """Tell whether the seed's hub would take a value for a scalar, as it is now."""
    probe = SeedHub("probe")
    if key in hub.log_scalars:
        probe.log_scalars[key] = pickle.loads(pickle.dumps(hub.log_scalars[key]))
    try:
        probe.update_scalar(key, value)
    except (AssertionError, TypeError):
        return False
    return True


class Combination:
    """A hook over a hub, and what we expect of the keys on which it may differ from the oracle."""

    def __init__(self, hook, hub):
        self.hook, self.hub = hook, hub
        self.our_hook, self.our_hub = isinstance(hook, RuntimeInfoHook), isinstance(hub, MessageHub)
        self.scalars: dict[str, list] = {}
        self.infos: dict[str, Any] = {}

    def takes(self, key, item):
        # Our hook makes numbers of scalars, which each hub takes.
        return item.number is not None if self.our_hub or self.our_hook else seed_takes(self.hub, key, item.value)

    def is_scalar(self, item):
        return item.number is not None if self.our_hook else seed_module._is_scalar(item.value)

    def append(self, key, number):
        if self.our_hook:
            self.infos.pop(key, None)
        self.scalars.setdefault(key, []).append(number)

    def select(self, event, prefix, items):
        """Return what this combination can be given without ending the run, and expect what becomes of it."""
        chosen = {}
        for name, item in items.items():
            key = f"{prefix}/{name}"
            if prefix == "train":
                if self.our_hook and item.number is None:
                    chosen[name] = item.value  # skipped
                elif self.takes(key, item):
                    chosen[name] = item.value
                    self.append(key, item.number)
            elif not self.is_scalar(item):
                chosen[name] = item.value
                if self.our_hook:
                    self.scalars.pop(key, None)
                self.infos[key] = item.value
            elif self.takes(key, item):
                chosen[name] = item.value
                self.append(key, item.number)
        return chosen

    def snapshot(self):
        places = {("info", key): value for key, value in self.hub.runtime_info.items()}
        for key, history in self.hub.log_scalars.items():
            values, counts = history.data
            places["scalar", key] = (values.tolist(), counts.tolist())
        return places

    def loaded(self, state):
        for key, history in state["log_scalars"].items():
            self.scalars[key] = history.data[0].tolist()


def same(left, right):
    if left is right:
        return True
    if any(one is MISSING or isinstance(one, np.ndarray | torch.Tensor) for one in (left, right)):
        return False  # an info is the very object that was published
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (left != left and right != right)


RUN_ENDS = {"after_run", "on_exception"}


def same_numbers(left, right):
    return same([float(number) for number in left], [float(number) for number in right])


class Story:
    """Tells what has happened so far: the facts by which a difference is excused."""

    def __init__(self):
        self.stages: list[dict] = []
        self.stale_stage = None
        self.crashing = False
        self.loaded: dict | None = None
        self.loaded_stage = None
        self.republished: dict | None = None
        # What each hook has published last.
        self.aborted: set[str] = set()
        self.seed_counters = {"epoch": MISSING, "iter": MISSING}
        self.our_counters = {"epoch": MISSING, "iter": MISSING}
        self.disputed: set[str] = set()
        self.flipped: set[str] = set()
        self.beyond_64_bits: set[str] = set()
        self._kinds: dict[str, bool] = {}

    @property
    def stage(self):
        return self.stages[-1]["name"] if self.stages else None

    def tell(self, step, runner):
        moment, _, scope = step.name.partition("_")
        if step.name in {"before_run", "after_run", "before_train"}:
            self.loaded_stage = None
        if step.name == "before_run":
            self.loaded, self.republished = None, None
        elif step.name == "load":
            self.loaded = checkpoint(step.data)["runtime_info"]
            self.loaded_stage = step.data
            self.seed_counters.update(CHECKPOINT_COUNTERS)
            self.our_counters.update(CHECKPOINT_COUNTERS)
            for key in checkpoint(step.data)["log_scalars"]:
                self._kind_is(key, True)
        elif scope in {"train", "val", "test"}:
            self._enter(scope) if moment == "before" else self._leave(scope)
        if step.name == "before_train":
            self.stale_stage = None
            self.republished = {
                "cfg": runner.cfg.pretty_text,
                "seed": runner.seed,
                "experiment_name": runner.experiment_name,
                "mmengine_version": runner.framework_version,
            }
        if step.name in {"before_train", "before_train_epoch"}:
            self.seed_counters["epoch"] = runner.epoch
        if step.name in {"before_train", "before_train_iter"}:
            self.seed_counters["iter"] = runner.iter
        if hasattr(runner, "iter") and (scope in {"train", "train_epoch", "val", "test"} or step.name in RUN_ENDS):
            self.our_counters.update(epoch=runner.epoch, iter=runner.iter)
        if step.name == "before_train_iter":
            self.our_counters["iter"] = runner.iter

    def _enter(self, scope):
        self.stages.append({"name": scope, "test inside": False, "deep inside": False, "any inside": False})

    def _leave(self, scope):
        inner = self.stages.pop()
        if self.stages:
            outer = self.stages[-1]
            outer["any inside"] = True
            outer["test inside"] |= scope == "test"
            outer["deep inside"] |= scope == "val" and (outer["name"] != "train" or inner["any inside"])

    def publish(self, prefix, items, oracle):
        for name, item in items.items():
            key = f"{prefix}/{name}"
            ours = item.number is not None
            seeds = taken = seed_takes(oracle.hub, key, item.value)
            if prefix != "train":
                seeds = seed_module._is_scalar(item.value)
                self._kind_is(key, ours)
            # The seed's hook may also take a value for a scalar, and its hub then refuse it.
            if ours is not seeds or (seeds and not taken):
                self.disputed.add(key)
            if ours and isinstance(item.value, int) and not -(2**63) < item.value < 2**63:
                self.beyond_64_bits.add(key)

    def _kind_is(self, key, scalar):
        if self._kinds.setdefault(key, scalar) is not scalar:
            self.flipped.add(key)
        self._kinds[key] = scalar


# -- the registry


class Case(NamedTuple):
    """One place where a combination differs from the oracle."""

    combination: Combination
    story: Story
    runner: Any
    place: str
    key: str
    seeds: Any
    ours: Any

    @property
    def as_expected(self):
        """Whether ours is just what was published there last, as we define a scalar."""
        if self.place == "info":
            return same(self.ours, self.combination.infos.get(self.key, MISSING))
        expected = self.combination.scalars.get(self.key, MISSING)
        return self.ours is expected if MISSING in (self.ours, expected) else same_numbers(self.ours[0], expected)


class Difference(NamedTuple):
    name: str
    part: str  # in which part of ours it lies: the hook, the hub, either; or outside of what the oracle sees
    excuses: Callable[[Case], bool] | None = None


def _is(case, place, *keys):
    return case.place == place and case.key in keys


def _stage_after_exception(case):
    story = case.story
    return (
        _is(case, "info", "loop_stage")
        and story.stale_stage is not None
        and (story.crashing or story.stage is None)
        and case.seeds == story.stale_stage
        and case.ours == (story.stage or MISSING)
    )


def _lost_stage(mark):
    def excuses(case):
        story = case.story
        return (
            _is(case, "info", "loop_stage")
            and story.stage is not None
            and any(scope[mark] for scope in story.stages)
            and case.seeds is MISSING
            and case.ours == story.stage
        )

    return excuses


def _metadata_after_resume(case):
    story = case.story
    return (
        _is(case, "info", "cfg", "seed", "experiment_name", "mmengine_version")
        and None not in (story.loaded, story.republished)
        and case.seeds == story.loaded[case.key]
        and case.ours == story.republished[case.key]
    )


def _what_a_scalar_is(case):
    return case.key in case.story.disputed and case.as_expected


def _last_write_wins(case):
    if case.key not in case.story.flipped or not case.as_expected:
        return False
    if case.place == "info":
        return case.ours is MISSING
    return case.ours is MISSING or same_numbers(case.seeds[0][-len(case.ours[0]) :], case.ours[0])


def _counters_at_every_stage_change(case):
    return (
        _is(case, "info", "epoch", "iter")
        and case.ours == case.story.our_counters[case.key]
        and case.seeds == case.story.seed_counters[case.key]
    )


def _git_hash(case):
    return (
        _is(case, "info", "mmengine_version")
        and case.seeds == mmengine.__version__ + GIT_HASH
        and case.ours == mmengine.__version__
    )


def _own_version(case):
    return _is(case, "info", "runtimeinfo_version") and case.seeds is MISSING and case.ours == runtimeinfo.__version__


def _rates_of_aborted_iterations(case):
    """Excuse what the seed has kept of the iterations that were aborted: the rest is as expected."""
    return case.place == "scalar" and case.key in case.story.aborted and case.as_expected


def _integers_beyond_64_bits(case):
    return (
        case.place == "scalar"
        and case.key in case.story.beyond_64_bits
        and MISSING not in (case.seeds, case.ours)
        and same_numbers(case.seeds[0], case.ours[0])
        and same(case.seeds[1], case.ours[1])
    )


DIFFERENCES = {
    1: Difference("the stage after an exception", "hook", _stage_after_exception),
    2: Difference("stages nested deeper than one", "hook", _lost_stage("deep inside")),
    3: Difference("an output that is no scalar", "outside"),
    4: Difference("metadata after a resume", "hook", _metadata_after_resume),
    5: Difference("errors instead of asserts", "outside"),
    6: Difference("a close without its open", "outside"),
    7: Difference("device synchronisation", "outside"),
    8: Difference("the cost of an update", "outside"),
    9: Difference("checkpoints of weights only", "outside"),
    10: Difference("what a scalar is", "either", _what_a_scalar_is),
    11: Difference("a metric that changes its kind", "hook", _last_write_wins),
    12: Difference("loaders without a length", "outside"),
    13: Difference("counters at every stage change", "hook", _counters_at_every_stage_change),
    14: Difference("a test inside training", "hook", _lost_stage("test inside")),
    15: Difference("the git hash", "hook", _git_hash),
    16: Difference("our own version", "hook", _own_version),
    17: Difference("integers beyond 64 bits", "either", _integers_beyond_64_bits),
    18: Difference("statistics of nothing", "outside"),
    19: Difference("windows of no size", "outside"),
    20: Difference("updates of several keys", "outside"),
    21: Difference("read-only snapshots", "outside"),
    22: Difference("info that cannot be saved", "outside"),
    23: Difference("damaged states", "outside"),
    24: Difference("the name of the first instance", "outside"),
    25: Difference("histories of other things than numbers", "outside"),
    26: Difference("epochs of a training by iterations", "outside"),
    27: Difference("totals that change", "outside"),
    28: Difference("the learning rate of an aborted iteration", "hook", _rates_of_aborted_iterations),
}


# -- the oracle


ABORTED = {"after_val_epoch", "after_test_epoch", "after_train_iter"}


class Comparison:
    def __init__(self):
        self.oracle = Combination(SeedHook(), SeedHub("oracle"))
        self.candidates = [
            Combination(SeedHook(), MessageHub("candidate")),
            Combination(RuntimeInfoHook(), SeedHub("candidate")),
            Combination(RuntimeInfoHook(), MessageHub("candidate")),
        ]
        self.story = Story()
        self.runner = None
        self.open: list[str] = []
        self.used: Counter = Counter()

    def run(self, run):
        self.runner = (Trainer if run.trains else Validator)(run.setup)
        self.open = []
        for step in run.events:
            self.feed(step)
        if run.crashes:
            self.crash()

    def feed(self, step):
        moment, _, scope = step.name.partition("_")
        prefix = scope.partition("_")[0]
        publishes = step.data is not None and step.name in ABORTED
        if publishes:
            self.story.publish(prefix, step.data, self.oracle)
            if step.name == "after_train_iter":
                self.check_that_the_seed_fails(step.data)
        for one in (self.oracle, *self.candidates):
            self.runner.message_hub = one.hub
            if step.name == "load":
                state = checkpoint(step.data)
                one.loaded(state)
                one.hub.load_state_dict(state)
                continue
            data = one.select(step, prefix, step.data) if publishes else None
            if step.name == "before_train_iter":
                for name, rates in self.runner.optim_wrapper.rates.items():
                    one.append(f"train/{name}", rates[0])
            self.call(one, step.name, data)
        if step.name == "load":
            self.runner.__dict__.update(CHECKPOINT_COUNTERS)
        elif moment == "before":
            self.open.append(scope)
        else:
            assert self.open.pop() == scope
        self.story.tell(step, self.runner)
        self.compare(step.name)
        if step.name in {"after_train_iter", "after_train_epoch"}:
            counter = scope.removeprefix("train_")
            setattr(self.runner, counter, getattr(self.runner, counter) + 1)

    def crash(self):
        """An exception: the seed hears nothing of it, ours hears it and the closes."""
        self.story.stale_stage = self.oracle.hub.get_info("loop_stage")
        self.story.crashing = True
        for name in ("on_exception", *(f"after_{scope}" for scope in reversed(self.open))):
            if name == "after_train_epoch" and "train_iter" in self.open:
                self.take_back_rates()
            for one in self.candidates:
                if one.our_hook:
                    self.runner.message_hub = one.hub
                    self.call(one, name, None)
            self.story.tell(Event(name), self.runner)
            self.compare(name)
        self.story.crashing = False

    def take_back_rates(self):
        """Expect of our hook that the aborted iteration leaves no learning rate."""
        for name in self.runner.optim_wrapper.rates:
            self.story.aborted.add(f"train/{name}")
            for one in self.candidates:
                if one.our_hook:
                    one.scalars[f"train/{name}"].pop()

    def call(self, one, name, data):
        method = getattr(one.hook, name, None)
        if method is None:
            return
        arguments = {}
        if name == "on_exception":
            arguments = {"exception": ValueError()}
        elif name.endswith("_iter"):
            arguments = {"batch_idx": 0, "data_batch": None}
            if name.startswith("after"):
                arguments["outputs"] = data
        elif name in ABORTED:
            arguments = {"metrics": data}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedOutputWarning)
            method(self.runner, **arguments)

    def check_that_the_seed_fails(self, outputs):
        """Difference 3: what we left out for the seed would have ended its run."""
        if all(seed_takes(self.oracle.hub, f"train/{name}", item.value) for name, item in outputs.items()):
            return
        self.runner.message_hub = SeedHub("scratch")
        self.runner.message_hub.load_state_dict(pickle.loads(pickle.dumps(self.scalars_of_the_oracle())))
        with pytest.raises((AssertionError, TypeError)):
            SeedHook().after_train_iter(self.runner, 0, None, {name: item.value for name, item in outputs.items()})
        self.used[3] += 1

    def scalars_of_the_oracle(self):
        return {"log_scalars": dict(self.oracle.hub.log_scalars), "runtime_info": {}, "resumed_keys": {}}

    def compare(self, name):
        seeds = self.oracle.snapshot()
        for one in self.candidates:
            ours = one.snapshot()
            if one.our_hook:  # where ours has to differ, to agree with the seed is wrong
                wanted = {
                    **self.story.our_counters,
                    "loop_stage": self.story.stage or self.story.loaded_stage or MISSING,
                }
                for key, value in wanted.items():
                    assert ours.get(("info", key), MISSING) == value, (name, key)
            for place, key in seeds.keys() | ours.keys():
                values = seeds.get((place, key), MISSING), ours.get((place, key), MISSING)
                if not same(*values):
                    self.excuse(name, Case(one, self.story, self.runner, place, key, *values))

    def excuse(self, name, case):
        one = case.combination
        parts = {"either", *(["hook"] if one.our_hook else []), *(["hub"] if one.our_hub else [])}
        for number, difference in DIFFERENCES.items():
            if difference.excuses is not None and difference.part in parts and difference.excuses(case):
                self.used[number] += 1
                return
        raise AssertionError(
            f"at {name}, {type(one.hook).__module__} over {type(one.hub).__module__}: {case.place} {case.key!r} "
            f"is {case.ours!r}, but the seed's is {case.seeds!r}"
        )


USED: Counter = Counter()


@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.lists(runs(), min_size=1, max_size=2))
@example([])
def test_the_hubs_agree_after_every_event(plan):
    comparison = Comparison()
    for run in plan:
        comparison.run(run)
    for number in comparison.used:
        note_event(f"difference {number}")
    USED.update(comparison.used)


def test_every_excuse_was_needed():
    """An excuse that nothing needs any more hides something sooner or later."""
    if not USED:
        pytest.skip("the oracle has not run in this process")
    assert set(USED) == {number for number, one in DIFFERENCES.items() if one.excuses} | {3}


# -- each difference, with the real seed


BOTH_HOOKS = (("seed", "RuntimeInfoHook"), ("ours", "runtimeinfo_adapters.mmengine.RuntimeInfoHook"))


class Sampler(torch.utils.data.Sampler):
    """Has as many items in each epoch as it is told; mmengine tells it the epoch."""

    def __init__(self, length_of_epoch):
        self.length_of_epoch, self.epoch = length_of_epoch, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.length_of_epoch(self.epoch)

    def __iter__(self):
        return iter(range(len(self)))


class Net(BaseModel):
    """Fails in the iteration that it is told."""

    def __init__(self, fail_at):
        super().__init__()
        self.layer, self.fail_at, self.seen = torch.nn.Linear(1, 1), fail_at, 0

    def forward(self, inputs, mode="loss"):
        if self.seen == self.fail_at:
            raise KeyError("user")
        self.seen += 1
        return {"loss": self.layer(inputs).square().mean()}


def trained(work_dir, hook, *, fail_at=None, length_of_epoch=lambda _: 2, **train_cfg):
    """Return a real runner that has trained, with one of the two hooks over mmengine's hub."""
    data = torch.utils.data.TensorDataset(torch.ones(99, 1))
    sampler = Sampler(length_of_epoch) if train_cfg["by_epoch"] else None
    loader = torch.utils.data.DataLoader(data, sampler=sampler)
    runner = Runner(
        Net(fail_at),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=train_cfg,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={"runtime_info": {"type": hook}, "logger": None, "checkpoint": None},
        experiment_name=f"{work_dir.parent.name}-{work_dir.name}",
        log_level="CRITICAL",
    )
    if fail_at is None:
        runner.train()
    else:
        with pytest.raises(KeyError, match="user"):
            runner.train()
    return runner


def play(hook, runner, hub, *names, **arguments):
    """Call hook points one after the other, as far as the hook has them; return the stage after each."""
    runner.message_hub = hub
    stages = []
    for name in names:
        method = getattr(hook, name, None)
        if method is not None:
            given = {"batch_idx": 0} if name.endswith("_iter") else {}
            if name == "on_exception":
                given = {"exception": ValueError()}
            method(runner, **given, **arguments.get(name, {}))
        stages.append(hub.get_info("loop_stage"))
    return stages


def both(*names, setup=Setup(), **arguments):  # noqa: B008
    """Play the same to the seed's hook and hub and to ours; return hubs and stages."""
    results = []
    for hook, hub in ((SeedHook(), SeedHub("seed")), (RuntimeInfoHook(), MessageHub("ours"))):
        results.append((hub, play(hook, Trainer(setup), hub, *names, **arguments)))
    return results


def test_difference_01_stage_after_exception():
    crash = ("before_run", "before_train")  # and then the run is over for the seed
    ((seeds, _), _) = both(*crash)
    assert seeds.get_info("loop_stage") == "train"
    (_, (ours, stages)) = both(*crash, "on_exception", "after_train", "after_run")
    assert stages == [None, "train", "train", None, None]
    assert ours.get_info("loop_stage") is None


def test_difference_02_nested_stages():
    names = ("before_run", "before_train", "before_val", "before_val", "after_val", "after_val", "after_train")
    (_, seeds), (_, ours) = both(*names)
    assert seeds == [None, "train", "val", "val", None, None, None]
    assert ours == [None, "train", "val", "val", "val", "train", None]


def test_difference_03_output_that_is_no_scalar():
    outputs = {"loss": 0.5, "boxes": [1, 2], "acc": 0.25}
    runner = Trainer(Setup())
    runner.message_hub = SeedHub("seed")
    with pytest.raises(AssertionError, match=r"^$"):
        SeedHook().after_train_iter(runner, 0, None, outputs)
    assert set(runner.message_hub.log_scalars) == {"train/loss"}

    hook, runner.message_hub = RuntimeInfoHook(), MessageHub("ours")
    with pytest.warns(SkippedOutputWarning, match="output 'boxes' is not published"):
        hook.after_train_iter(runner, 0, None, outputs)
    hook.after_train_iter(runner, 1, None, outputs)  # warnings are errors: it warns once a key
    assert set(runner.message_hub.log_scalars) == {"train/loss", "train/acc"}


def test_difference_04_metadata_after_resume():
    values = []
    for hook, hub in ((SeedHook(), SeedHub("seed")), (RuntimeInfoHook(), MessageHub("ours"))):
        runner = Trainer(Setup())
        play(hook, runner, hub, "before_run")
        hub.load_state_dict(checkpoint("train"))
        play(hook, runner, hub, "before_train")
        values.append([hub.get_info(key) for key in ("cfg", "seed", "experiment_name", "mmengine_version")])
    assert values == [["old", 99, "old", "old"], ["new", 1, "exp", mmengine.__version__]]


def test_difference_05_errors_instead_of_asserts():
    for hook, hub, error in (
        (SeedHook(), SeedHub("seed"), AssertionError),
        (RuntimeInfoHook(), MessageHub("ours"), RunnerError),
    ):
        runner = Trainer(Setup(rates=[0.1]))
        runner.message_hub = hub
        with pytest.raises(error) as caught:
            hook.before_train_iter(runner, 0)
        assert getattr(caught.value, "requirement", None) == (None if error is AssertionError else "SCALAR-02")
    program = """
import warnings; warnings.simplefilter("ignore")
from mmengine.logging import HistoryBuffer
HistoryBuffer([1.0], [1, 2])
print("accepted")
from runtimeinfo_adapters import ScalarHistory
ScalarHistory([1.0], [1, 2])
"""
    result = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout == "accepted\n"
    assert "HubError: a history of 1 values cannot have 2 counts" in result.stderr


def test_difference_06_close_without_its_open():
    runner = Validator(Setup())
    runner.message_hub = SeedHub("seed")
    with pytest.raises(AttributeError, match="last_loop_stage"):
        SeedHook().after_val(runner)
    runner.message_hub = MessageHub("ours")
    RuntimeInfoHook().after_val(runner)
    assert runner.message_hub.get_info("loop_stage") is None


def test_difference_07_device_synchronisation(monkeypatch):
    reads, item, to_list = [], torch.Tensor.item, torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: (reads.append("item"), item(tensor))[1])
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: (reads.append("tolist"), to_list(tensor))[1])
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))  # as if on an accelerator
    runner, loss = Trainer(Setup()), torch.tensor(0.5)
    for hook, hub, during, at_the_end in (
        (SeedHook(), SeedHub("seed"), ["item"] * 10, []),
        (RuntimeInfoHook(), MessageHub("ours"), [], ["tolist"]),
    ):
        runner.message_hub = hub
        for index in range(10):
            hook.after_train_iter(runner, index, None, {"loss": loss})
        assert reads == during
        reads.clear()
        assert hub.get_scalar("train/loss").mean() == 0.5
        assert reads == at_the_end
        reads.clear()


def test_difference_08_cost_of_an_update():
    seeds, ours = HistoryBuffer(), ScalarHistory()
    buffers = {"seeds": [], "ours": []}
    for number in range(300):
        for name, history in (("seeds", seeds), ("ours", ours)):
            history.update(float(number))
            held = history._log_history if name == "seeds" else history._kept._values._buffer
            if not any(held is other for other in buffers[name]):
                buffers[name].append(held)
    assert len(buffers["seeds"]) == 300  # all are copied for each new one
    assert len(buffers["ours"]) == 1
    assert ours.data[0].tolist() == seeds.data[0].tolist()


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_difference_09_checkpoints_of_weights_only():
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub in (seeds, ours):
        hub.update_scalar("train/loss", 0.5)
    with pytest.raises(pickle.UnpicklingError, match="HistoryBuffer"):
        saved_and_loaded(seeds.state_dict())
    restored = MessageHub("restored")
    restored.load_state_dict(saved_and_loaded(ours.state_dict()))
    assert restored.get_scalar("train/loss").current() == 0.5


@pytest.mark.parametrize(
    ("value", "for_the_seed", "for_us"),
    [
        (np.bool_(True), False, True),
        (Fraction(1, 4), False, True),
        (np.array(["text"]), True, False),
        (np.array(None), True, False),
        (np.complex64(1j), True, False),
        (torch.tensor(1j), True, False),
        (10**400, True, False),
        (np.bool_(True).item(), True, True),
    ],
)
def test_difference_10_what_a_scalar_is(value, for_the_seed, for_us):
    (seeds, _), (ours, _) = both("after_val_epoch", after_val_epoch={"metrics": {"x": value}})
    assert ("val/x" in seeds.log_scalars, "val/x" in seeds.runtime_info) == (for_the_seed, not for_the_seed)
    assert ("val/x" in ours.log_scalars, "val/x" in ours.runtime_info) == (for_us, not for_us)


def test_difference_11_metric_that_changes_its_kind():
    hubs = []
    for hook, hub in ((SeedHook(), SeedHub("seed")), (RuntimeInfoHook(), MessageHub("ours"))):
        runner = Trainer(Setup())
        for metric in (0.5, "none", 0.75):
            play(hook, runner, hub, "after_val_epoch", after_val_epoch={"metrics": {"acc": metric}})
        hubs.append(hub)
    seeds, ours = hubs
    assert seeds.get_scalar("val/acc").data[0].tolist() == [0.5, 0.75]
    assert seeds.get_info("val/acc") == "none"
    assert ours.get_scalar("val/acc").data[0].tolist() == [0.75]
    assert ours.get_info("val/acc") is None


def test_difference_12_loaders_without_a_length():
    class Stream:
        dataset = Dataset()

        def __iter__(self):
            return iter(())

    with pytest.raises(TypeError, match="has no len"):
        EpochBasedTrainLoop(Trainer(Setup()), Stream(), max_epochs=2)
    (_, (ours, _)) = both("before_run", "before_train", setup=Setup(totals=(2, None)))
    assert ours.get_info("max_iters", "absent") is None


def test_difference_13_counters_at_every_stage_change():
    counters = []
    for hook, hub in ((SeedHook(), SeedHub("seed")), (RuntimeInfoHook(), MessageHub("ours"))):
        runner = Trainer(Setup())
        play(hook, runner, hub, "before_run", "before_train", "before_train_epoch", "before_train_iter")
        runner.iter = 1
        play(hook, runner, hub, "after_train_epoch")
        runner.epoch = 1
        play(hook, runner, hub, "before_val")
        counters.append((hub.get_info("epoch"), hub.get_info("iter")))
        alone = type(hub)("alone")
        play(hook, runner, alone, "before_run", "before_val")
        counters.append((alone.get_info("epoch"), alone.get_info("iter")))
    assert counters == [(0, 0), (None, None), (1, 1), (1, 1)]


def test_difference_14_test_inside_training():
    (_, seeds), (_, ours) = both("before_run", "before_train", "before_test", "after_test", "after_train")
    assert seeds == [None, "train", "test", None, None]
    assert ours == [None, "train", "test", "train", None]


def test_difference_15_git_hash():
    (seeds, _), (ours, _) = both("before_run")
    assert seeds.get_info("mmengine_version") == mmengine.__version__ + GIT_HASH
    assert seeds.get_info("mmengine_version") != mmengine.__version__
    assert ours.get_info("mmengine_version") == mmengine.__version__


def test_difference_16_own_version():
    (seeds, _), (ours, _) = both("before_run")
    assert seeds.get_info("runtimeinfo_version") is None
    assert ours.get_info("runtimeinfo_version") == runtimeinfo.__version__


def test_difference_17_integers_beyond_64_bits():
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub in (seeds, ours):
        hub.update_scalar("seen", 10**30)
    assert seeds.get_scalar("seen").data[0].dtype == object
    assert ours.get_scalar("seen").data[0].dtype == np.float64
    assert ours.get_scalar("seen").current() == 1e30


def test_difference_18_statistics_of_nothing():
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(HistoryBuffer().mean())
    with pytest.raises(ValueError, match="zero-size array"):
        HistoryBuffer().max()
    for read in ("mean", "max", "min", "current"):
        with pytest.raises(EmptyHistoryError):
            getattr(ScalarHistory(), read)()


def test_difference_19_windows_of_no_size():
    values, counts = [1.0, 2.0, 6.0], [1, 1, 1]
    assert HistoryBuffer(values, counts).mean(0) == 3.0  # of all of them
    assert HistoryBuffer(values, counts).mean(-1) == 4.0  # of all but the first one
    for window in (0, -1):
        with pytest.raises(HubError, match="window_size must be a positive int"):
            ScalarHistory(values, counts).mean(window)


def test_difference_20_updates_of_several_keys():
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub, error in ((seeds, AssertionError), (ours, HubError)):
        with pytest.raises(error):
            hub.update_scalars({"a": 1.0, "b": "text"})
        hub.update_info("local", 1, resumed=False)
        with pytest.raises(error):
            hub.update_info_dict({"c": 1, "local": 2})
    assert (set(seeds.log_scalars), dict(seeds.runtime_info)) == ({"a"}, {"c": 1, "local": 1})
    assert (set(ours.log_scalars), dict(ours.runtime_info)) == (set(), {"local": 1})


def test_difference_21_read_only_snapshots():
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub in (seeds, ours):
        hub.update_scalar("loss", 0.5)
        hub.update_info("epoch", 1)
    scalars, infos = seeds.log_scalars, seeds.runtime_info
    scalars.clear()
    infos["epoch"] = 2
    assert (dict(seeds.log_scalars), seeds.get_info("epoch")) == ({}, 2)
    for view in (ours.log_scalars, ours.runtime_info):
        with pytest.raises(TypeError):
            view["epoch"] = 2
    view = ours.runtime_info
    ours.update_info("iter", 1)
    assert dict(view) == {"epoch": 1}
    values, _ = ours.get_scalar("loss").data
    values[0] = 9
    assert ours.get_scalar("loss").current() == 0.5
    buffer = HistoryBuffer([0.5], [1])
    buffer.data[0][0] = 9
    assert buffer.current() == 9


class Thing:
    pass


def test_difference_22_info_that_cannot_be_saved():
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub in (seeds, ours):
        hub.update_info("thing", Thing())
    assert type(seeds.state_dict()["runtime_info"]["thing"]) is Thing
    with pytest.raises(pickle.UnpicklingError, match="Thing"):
        saved_and_loaded({"runtime_info": seeds.state_dict()["runtime_info"]})
    with pytest.warns(UnsavedInfoWarning, match="info 'thing' is not saved"):
        assert ours.state_dict()["runtime_info"] == {}


def test_difference_23_damaged_states():
    damaged = {"log_scalars": {}, "runtime_info": {"epoch": 7}, "resumed_keys": 5}
    seeds, ours = SeedHub("seed"), MessageHub("ours")
    for hub, error in ((seeds, AttributeError), (ours, StateError)):
        hub.update_info("epoch", 1)
        with pytest.raises(error):
            hub.load_state_dict(damaged)
    assert seeds.get_info("epoch") == 7
    assert ours.get_info("epoch") == 1


def test_difference_24_name_of_the_first_instance(monkeypatch):
    monkeypatch.setattr(SeedHub, "_instance_dict", {})
    monkeypatch.setattr(MessageHub, "_instances", {})
    assert SeedHub.get_current_instance().instance_name == "mmengine"
    assert MessageHub.get_current_instance().instance_name == "runtimeinfo"


def test_difference_25_histories_of_other_things_than_numbers():
    seeds = SeedHub("seed")
    seeds.update_scalar("name", np.array(["text"]))
    again, ours = SeedHub("again"), MessageHub("ours")
    again.load_state_dict(seeds.state_dict())
    assert again.get_scalar("name").current() == "text"
    with pytest.raises(StateError, match=r"log_scalars\['name'\]\.values must be numbers"):
        ours.load_state_dict(seeds.state_dict())


def test_difference_26_epochs_of_a_training_by_iterations(tmp_path):
    hubs = [trained(tmp_path / name, hook, by_epoch=False, max_iters=15).message_hub for name, hook in BOTH_HOOKS]
    assert [hub.get_info("max_epochs", "absent") for hub in hubs] == [1, None]
    assert [hub.get_info("max_iters") for hub in hubs] == [15, 15]
    assert [hub.get_info("iter") for hub in hubs] == [14, 15]  # difference 13


def test_difference_27_totals_that_change(tmp_path):
    for (name, hook), total in zip(BOTH_HOOKS, (4, 2 + 3), strict=True):
        runner = trained(tmp_path / name, hook, length_of_epoch=lambda epoch: 2 + epoch, by_epoch=True, max_epochs=2)
        assert runner.iter == 5
        assert runner.message_hub.get_info("max_iters") == total


def test_difference_28_learning_rate_of_an_aborted_iteration(tmp_path):
    for (name, hook), rates in zip(BOTH_HOOKS, (3, 2), strict=True):
        runner = trained(tmp_path / name, hook, fail_at=2, by_epoch=True, max_epochs=2)
        assert runner.iter == 2
        assert len(runner.message_hub.get_scalar("train/loss").data[0]) == 2
        assert len(runner.message_hub.get_scalar("train/lr").data[0]) == rates


def test_registry_tests_and_document_name_the_same_differences():
    tests = {int(name.split("_")[2]): name for name in globals() if name.startswith("test_difference_")}
    document = DOCUMENT.read_text(encoding="utf-8")
    sections = re.findall(r"^## (\d+)\. (.+?)$(.*?)(?=^## |\Z)", document, flags=re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _, _ in sections] == sorted(DIFFERENCES)
    assert sorted(tests) == sorted(DIFFERENCES)
    for number, _, text in sections:
        assert re.findall(r"`(test_difference_\w+)`", text) == [tests[int(number)]]
        for part in ("**mmengine:**", "**Here:**", "**Why:**"):
            assert text.count(part) == 1, (number, part)
