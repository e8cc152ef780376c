"""The error for the commonest mistake of each kind says what is wrong, by which rule, and what to do.

A class of errors that is not in the table fails.
"""

import ast
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from torch.utils.data import DataLoader

import runtimeinfo as ri
import runtimeinfo_conformance as kit
from runtimeinfo.authoring import Dispatcher, check_runner, check_train_runner
from runtimeinfo.board import BoardReader
from runtimeinfo.board.layout import SIZE
from runtimeinfo.spec import Lifecycle
from runtimeinfo_adapters import MessageHub, ScalarHistory, import_framework, sinks
from runtimeinfo_adapters.autopublish._guard import Part
from runtimeinfo_adapters.distributed import reduce
from runtimeinfo_adapters.distributed._aggregate import EMPTY, Offsets
from runtimeinfo_adapters.distributed._exchange import Agreement, Contribution, exchange
from runtimeinfo_adapters.export import MetricsServer, Security
from runtimeinfo_adapters.plot import picture_of, read_source
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance import _replay
from runtimeinfo_conformance.command_line import _explain, _launch, _target
from runtimeinfo_conformance.plans import HubPlan, parse_plan
from runtimeinfo_conformance.ranks import _rank
from runtimeinfo_conformance.reports import check_folder
from runtimeinfo_conformance.subjects.reference_hub import subject as hub_subject
from runtimeinfo_conformance.traces import TraceHook, check_trace

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol/runtimeinfo", "adapters/runtimeinfo_adapters", "conformance_tests/runtimeinfo_conformance")

# Caught inside of the package, and never shown as they are.
INTERNAL = {
    "ElsewhereError",
    "FreshProcessError",
    "NotPlainError",
    "NotTextError",
    "RuntimeInfoError",
    "_FieldError",
    "_ToldError",
}


class Hook:
    def before_train_iter(self, runner):
        pass


class Writable:
    """A runner with all that is asked for."""

    cfg = SimpleNamespace(pretty_text="lr = 0.1")
    seed = None
    experiment_name = framework_name = framework_version = "x"

    def __init__(self):
        self.message_hub = MessageHub("x")


def two_ranks_of_different_keys(_):
    mine, theirs = (Contribution((key,), np.array([EMPTY])) for key in ("loss", "lr"))

    def gather(sent):
        # Both ranks send as much the first time; the second time what the heads ask for.
        other = theirs.packed(16) if len(sent) == len(mine.packed(16)) else theirs.body(len(sent))
        return np.stack([sent, other])

    exchange(mine, SimpleNamespace(name="0", ranks=(0, 1), timeout=None), Agreement(), gather)


def reduce_before_the_group_is_there(_):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        reduce(MessageHub("x"))


def load_damaged_state(_):
    MessageHub("x").load_state_dict({"version": 1})


def overrun_a_history(_):
    history = ScalarHistory(max_length=2)
    for value in range(4):
        history.update(value)
    Offsets().pending({"loss": history})


def publish_what_is_no_scalar(_):
    runner = Writable()
    ri.RuntimeInfoHook().after_train_iter(runner, 0, None, {"boxes": [1, 2]})


def save_what_is_not_plain(_):
    hub = MessageHub("x")
    hub.update_info("model", object())
    hub.state_dict()


def read_what_is_not_shared(_):
    hub = MessageHub("x")
    hub.update_info("model", object())
    board = hub.share()
    try:
        board.get_info("model")
    finally:
        hub.unshare()


def run_in_no_folder(folder):
    hub = MessageHub("x", share=True)
    (folder / "boards").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIMEINFO_FOLDER", str(folder / "boards"))
        patch.delenv("RUNTIMEINFO_SHARE", raising=False)
        with Loop(hub=hub).run():
            pass


def fill_the_disk(_):
    hook = TraceHook("/dev/full")
    hook.before_run(Writable())
    hook.after_run(Writable())


def sink_on_a_full_disk(_):
    with Loop(train_loader=[1], max_epochs=1, hooks=[sinks.JSONLWriter("/dev/full")]).run() as loop:
        for _ in loop.train():
            loop.log(loss=1.0)


def run_what_is_finished(_):
    loop = Loop(train_loader=[1], max_epochs=1, start_epoch=1)
    with loop.run():
        for _ in loop.epochs():
            pass


def resume_out_of_order(_):
    loader = DataLoader(range(4), num_workers=1, in_order=False)
    loop = Loop(train_loader=loader, max_epochs=1)
    with loop.run():
        for _ in loop.train():
            state = loop.state_dict()
            break
    loop = Loop(train_loader=loader, max_epochs=1)
    loop.load_state_dict(state)
    with loop.run():
        list(loop.train())


def board_of_zeros(folder):
    path = folder / "1-0.board"
    path.write_bytes(bytes(SIZE))
    path.chmod(0o600)
    BoardReader(path).get_info("epoch")


# class, what goes wrong, the culprit, the requirement, and what to do
TABLE = [
    ("RunnerError", lambda _: check_runner(Hook()), "cfg: missing", "META-06", "Give it these members"),
    ("RunnerError", lambda _: check_train_runner(Writable()), "epoch: missing", "COUNT-09", "Give it these members"),
    ("HookError", lambda _: Dispatcher([Hook()]), "Hook.before_train_iter(runner)", "ORDER-03", "Let it take these"),
    ("LifecycleError", lambda _: Lifecycle().advance("after_run"), "after_run", "LIFE-01", "or feed() it"),
    ("LoopError", lambda _: Loop(max_epochs="3"), "max_epochs", None, "leave it out for no bound"),
    ("StateError", load_damaged_state, "log_scalars", "HUB-13", "load a state as state_dict() returns it"),
    ("BoardError", lambda folder: BoardReader(folder / "9").get_info("epoch"), "9", "SHARE-06", "`runtimeinfo top`"),
    ("BoardError", board_of_zeros, "1-0.board", "SHARE-06", "Remove it"),
    ("DistributedError", reduce_before_the_group_is_there, "WORLD_SIZE", None, "init_process_group"),
    ("KeysDifferError", two_ranks_of_different_keys, "rank 0 lacks 'lr'", "DIST-05", "Publish the same keys"),
    ("HubError", lambda _: MessageHub("x").update_info(3, 1), "3", "HUB-08", "publish it as '3'"),
    ("ScalarTypeError", lambda _: MessageHub("x").update_scalar("a", "b"), "'a'", "SCALAR-01", "with update_info"),
    ("MissingScalarError", lambda _: MessageHub("x").get_scalar("a"), "'a'", "HUB-07", "with update_scalar"),
    ("MissingScalarError", lambda _: ri.current_hub().get_scalar("a"), "'a'", "HUB-07", "enter use_hub(hub)"),
    ("EmptyHistoryError", lambda _: ScalarHistory().current(), "the history", None, "update it first"),
    ("UnknownStatisticError", lambda _: ScalarHistory([1]).statistics("med"), "'med'", None, "register_statistics"),
    ("SourceError", lambda folder: read_source(str(folder / "no.csv")), "no.csv", None, "Give the path of CSV"),
    ("PlotOptionError", lambda _: picture_of([], smoothing=2), "smoothing", None, "leave it out"),
    (
        "ExportError",
        lambda folder: MetricsServer(CollectorRegistry(), security=Security(password_file=folder / "no")),
        "no cannot be read",
        None,
        "user:password",
    ),
    ("SinkError", lambda folder: sinks.JSONLWriter(folder).before_run(Writable()), "JSONLWriter", None, "Give it a"),
    ("SubjectError", lambda _: kit.Subject("me", "1", run=print, capabilities={"vall"}), "'vall'", None, "mean 'val'?"),
    ("PlanError", lambda _: kit.Plan(max_epochs=-1), "max_epochs", None, "give that or more"),
    ("PlanTextError", lambda _: parse_plan("Plan(epochs=2)"), "'epochs'", None, "did you mean 'max_epochs'?"),
    ("UnknownRequirementError", lambda _: _explain.explain("STAG-02"), "'STAG-02'", None, "did you mean STAGE-02"),
    ("UnknownVersionError", lambda _: _explain.spec("7"), "'7'", None, "there are 0.1"),
    (
        "RanksError",
        lambda _: _rank.PickledFunction.of(lambda hub, group: {}),
        "<lambda>",
        None,
        "at the top of a module",
    ),
    ("ReportError", lambda _: check_folder(ROOT / "README.md"), "README.md", None, "Give another folder"),
    ("ReplayError", lambda _: _replay.replay(hub_subject(), "LIFE-01", HubPlan()), "LIFE-01", None, "name one"),
    ("TargetError", lambda _: _target.find_subjects("no.py"), "no.py", None, "give the path from"),
    ("LaunchError", lambda _: _launch.launch(["-I", "train.py"]), "-I", None, "leave that option out"),
    ("TraceError", lambda _: check_trace(ROOT / "README.md"), "line 1", None, "that a TraceHook wrote"),
    ("SkippedOutputWarning", publish_what_is_no_scalar, "'boxes'", "SCALAR-05", "with update_info"),
    ("UnsavedInfoWarning", save_what_is_not_plain, "'model'", None, "Publish it with resumed=False"),
    ("UnsharedWarning", read_what_is_not_shared, "'model'", "SHARE-03", "Publish the part that is needed"),
    ("UnsharedWarning", run_in_no_folder, "boards", None, "RUNTIMEINFO_SHARE=0 turns"),
    ("UnreducedValuesWarning", overrun_a_history, "'loss'", None, "Reduce more often"),
    (
        "UntestedVersionWarning",
        lambda _: import_framework("numpy", distribution="numpy", extra="x", at_least="98", below="99", used_by="this"),
        "numpy",
        None,
        "run the conformance kit on it",
    ),
    ("SinkWarning", sink_on_a_full_disk, "/dev/full", None, "Give the next one a path"),
    ("ResumeWarning", resume_out_of_order, "DataLoader", None, "Say in_order=True"),
    ("FinishedLoopWarning", run_what_is_finished, "max_epochs=1", None, "raise max_epochs to go on"),
    ("AutopublishWarning", lambda _: Part("Lightning").guard(len)(3), "Lightning", None, "Attach the adapter in the"),
    ("TraceWarning", fill_the_disk, "/dev/full", None, "a path that can be written to"),
]


@pytest.mark.parametrize(("kind", "mistake", "culprit", "id", "remedy"), TABLE)
def test_error_says_culprit_rule_and_remedy(kind, mistake, culprit, id, remedy, tmp_path):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            mistake(tmp_path)
        except Exception as error:
            told = error
        else:
            (told,) = [each.message for each in warned]
    assert type(told).__name__ == kind
    message = str(told)
    assert culprit in message
    # What to do comes last; only the id stands behind it.
    assert remedy in message
    assert message.index(remedy) > message.index(culprit)
    assert re.findall(r"\[([A-Z]+-\d\d)\]$", message) == ([] if id is None else [id])
    if id is not None:
        assert _explain.explain(id)[0].startswith(f"{id} (")
    assert getattr(told, "requirement", id) == id


def test_each_kind_of_error_is_in_the_table():
    defined = {
        node.name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and re.search(r"(Error|Warning)$", node.name)
    }
    assert {kind for kind, *_ in TABLE} == defined - INTERNAL
