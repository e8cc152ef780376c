"""The adapter for mmengine: its Runner, its FlexibleRunner, and runners of their shape.

In a config, instead of mmengine's own hook:

    default_hooks = dict(runtime_info=dict(type='runtimeinfo_adapters.mmengine.RuntimeInfoHook'))

Or, for a runner that was built already, `attach`. mmengine itself need not be installed: whatever has a runner's
members, calls its hooks at mmengine's hook points, and lets them be registered, will do.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack, cast

from runtimeinfo import Event, HubError, MessageHub, RunnerError
from runtimeinfo.authoring import length_of, on_any_event, shown
from runtimeinfo_adapters._adapter import (
    Displaced,
    FrameworkRunner,
    HubInForce,
    RunOptions,
    Target,
    check_options,
    check_target,
    displace,
    put_back,
    remove_wrappers,
    wrap_method,
    wrapped_methods,
)
from runtimeinfo_adapters._framework import import_of_extra, load_framework
from runtimeinfo_adapters._mmengine_hubs import (
    belongs_to_another,
    exchange_hub,
    holds_another_run,
    hub_class,
    put_hub_back,
)
from runtimeinfo_adapters._wrong_target import full_name, remedy
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub

__all__ = ["MMEngineRunner", "RuntimeInfoHook", "attach", "detach"]

_LOOPS = ("train", "val", "test")

# The events after which a loop is iterated over, with its name.
_STAGES = {
    "before_train": "train",
    "before_train_epoch": "train",
    "before_val_epoch": "val",
    "before_test_epoch": "test",
}

# What this adapter relies on of what mmengine does not promise, where the runner is one of mmengine's, and of its hub.
_PRIVATE = ("_hooks", "_train_loop", "_val_loop", "_test_loop")
_PRIVATE_OF_HUB = ("_instance_dict",)
_PRIVATE_OF_HISTORY = ("_statistics_methods",)  # for what is registered there: see ScalarHistory.statistics

_mmengine: Any = None
_hooks: Any = None
if importlib.util.find_spec("mmengine"):
    _mmengine = load_framework("mmengine")
    # It needs torch, which the package mmengine does not.
    _hooks = import_of_extra("mmengine.hooks", distribution="mmengine", extra="mmengine", used_by="this adapter")

if TYPE_CHECKING:  # mmengine has no types
    _Hook = object
else:
    # mmengine registers only subclasses of its own hook.
    _Hook = object if _hooks is None else _hooks.Hook


class MMEngineRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a runner of mmengine's shape.

    Args:
        runner: The runner, which is held weakly.
        options: The run options; what is left out is the runner's own: its hub, config, seed and experiment name.

    Source: META-04, COUNT-01 to COUNT-08.
    """

    def __init__(self, runner: Any, **options: Unpack[RunOptions]) -> None:
        name, version = _framework_of(runner)
        self.framework_name: str = name
        self.framework_version: str = version
        self._target = Target(runner)
        self._progress = Target()  # the loop that counts, if it is there
        self._has_placeholder = self._counts_by_length = False
        self._follows_runner = options.get("hub") is None
        if self._follows_runner:
            options["hub"] = runner.message_hub
        super().__init__(**options)
        self.refresh()

    @property
    def runner(self) -> Any:
        """The runner."""
        return self._target()

    def is_of(self, runner: Any) -> bool:
        """Return whether this is the view of a runner."""
        return self._target.get() is runner

    def refresh(self) -> None:
        """Take from the runner what may have changed since: its identity, its hub, and the loop that counts."""
        runner = self.runner
        if self._follows_runner and not self.emitter.is_open("run"):
            self.message_hub: MessageHub = runner.message_hub
        self.identify(runner.cfg, runner.seed, runner.experiment_name)
        # In a lone val() or test() the training loop is still its config. To ask the runner itself would build
        # it, with the data set and all.
        loop: Any = getattr(runner, "_train_loop", runner)
        if isinstance(loop, dict):
            loop = None
        if loop is not self._progress.get():
            self._progress = Target(loop)
            self._has_placeholder = _is_by_iterations(loop)
            self._counts_by_length = _is_by_length(loop)
        emitter = self.emitter
        if not emitter.is_open("train_epoch"):
            emitter.epoch, emitter.iter = self.epoch, self.iter
            emitter.epoch_start = emitter.iter

    def take_length(self) -> None:
        """Take the length of the epoch that begins, and publish the totals if they have changed by that."""
        if self._counts_by_length:
            length = length_of(self._progress().dataloader)
            self.emitter.epoch_length = math.inf if length is None else length
            self.publish_totals()

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        progress = self._progress()
        return 0 if progress is None else progress.epoch

    @property
    def iter(self) -> int:
        """Completed iterations."""
        progress = self._progress()
        return 0 if progress is None else progress.iter

    @property
    def max_epochs(self) -> int | None:
        """Epochs of the training; None if it was asked for iterations."""
        progress = self._progress()
        if progress is None or (self._has_placeholder and progress.max_epochs == 1):
            return None
        epochs: int | None = progress.max_epochs
        return epochs

    @property
    def max_iters(self) -> int | None:
        """Iterations of the training: by epochs, from today's length of the loader; mmengine takes the first one."""
        progress = self._progress()
        if progress is None:
            return None
        if self._counts_by_length:
            return self.total_iters(progress.max_epochs, length_of(progress.dataloader))
        iters: int | None = progress.max_iters
        return iters

    @property
    def train_dataloader(self) -> Any:
        """The runner's training loader."""
        return self.runner.train_dataloader

    @property
    def optim_wrapper(self) -> Any:
        """The runner's optimizer wrapper."""
        return self.runner.optim_wrapper


@on_any_event(by="hear")
class _Listener(_Hook):
    """Hands every event that mmengine calls a hook at to one method."""

    def hear(self, event: Event, runner: Any, arguments: dict[str, Any]) -> None:
        raise NotImplementedError


class _Priority:
    """The priority of a hook, which a runner asks for as it registers the hook: that is how the hook meets its runner.

    mmengine tells a hook of its runner inside ``train()`` only, too late to put anything around that call. Nothing that
    it promises comes earlier, so this looks at who asks. Where that is not a runner, nothing happens.

    Args:
        level: The priority of hooks that are not given a different one.
    """

    def __init__(self, level: Any) -> None:
        self._level = level

    def __get__(self, hook: RuntimeInfoHook | None, kind: type | None = None) -> Any:
        if hook is None:
            return self._level
        frame = inspect.currentframe()
        asking: object = None if frame is None or frame.f_back is None else frame.f_back.f_locals.get("self")
        if hasattr(type(asking), "register_hook"):
            hook.meet(asking)
        return vars(hook).get("priority", self._level)

    def __set__(self, hook: RuntimeInfoHook, level: Any) -> None:
        vars(hook)["priority"] = level


class RuntimeInfoHook(_Listener):
    """Takes the place of mmengine's hook: its events go through the lifecycle to `runtimeinfo.RuntimeInfoHook`.

    The runner's ``train``, ``val`` and ``test`` are wrapped: an exception from anywhere inside them, KeyboardInterrupt
    included, closes all scopes. Until then `runtimeinfo.current_hub` answers with the runner's hub.

    The hub is the runner's: what runs on one runner is appended to it, and a second ``train()`` continues. mmengine
    hands out its own hubs by the name of the experiment and the second, so that runners built in the same second share
    one, with all histories. With `replace_hub` each runner gets its own.

    Args:
        replace_hub: Put a new reference hub in the place of mmengine's, for all code that asks mmengine for it. This is
            what a config can say, which has no place for an object. Of several runners whose hub has one name, mmengine
            hands out the newest.
        options: The run options. `hub` takes the place of mmengine's hub in the same way; it is yours, and every runner
            appends to it. A new hub, and one of yours that is empty, takes over what mmengine's holds, unless that is
            of another run. Without both, mmengine's stays. `cfg`, `seed` and `experiment_name` are the runner's own if
            left out. `hooks` run in this hook's place, by their priority among themselves.

    Raises:
        HubError: If `hub` is text.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-10, LIFE-15, FAIL-01 to FAIL-06.
    """

    priority: Any = _Priority("VERY_HIGH")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        level = vars(cls).get("priority")
        if level is not None and not isinstance(level, _Priority):
            cls.priority = _Priority(level)

    def __init__(self, *, replace_hub: bool = False, **options: Unpack[RunOptions]) -> None:
        check_options(options, "RuntimeInfoHook")
        hub: object = options.get("hub")
        if isinstance(hub, str):
            raise HubError(f"hub must be a hub object, but is {shown(hub)}: say replace_hub=True for the reference hub")
        self._replace_hub = replace_hub
        self._options: RunOptions = {**options, "hooks": tuple(options.get("hooks", ()))}  # for each runner
        self._view: MMEngineRunner | None = None
        self._attached_to = Target()
        self._replaced_hub: Any = None
        self._displaced: Displaced = []
        self._in_force = HubInForce()
        self._under_way: list[Any] = []  # the runners whose train(), val() or test() has been called

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_under_way": []}  # a copy is in no call

    def hear(self, event: Event, runner: Any, arguments: dict[str, Any]) -> None:
        """Take an event of the runner."""
        view = self.view_of(runner)
        emitter = view.emitter
        if event in {"before_run", "after_run"} and emitter.is_open("run") and self._is_nested(runner):
            return
        if event == "before_run":
            self.meet(runner)
            for name in _LOOPS:
                for loop in _loops(runner, name):
                    self._guard(loop, "run", self._run)
        view.refresh()
        if event == "before_train_epoch":
            view.take_length()
        # A run that was left in its preparations, where nothing was guarded yet, is open still.
        if event == "before_run" or not emitter.is_open("run"):
            self._enter(view)
        try:
            emitter.emit(event, **arguments)
            if event in _STAGES:
                view.claim_workers(*_loaders(runner, _STAGES[event]))
        finally:
            self._leave_ended_run()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Open an iteration."""
        view = self._view
        if view is not None and self._in_force.is_in_force and view.is_of(runner):
            if not batch_idx:
                view.take_length()  # a hook may have given the sampler its epoch, and another length, meanwhile
            view.emitter.emit("before_train_iter", batch_idx=batch_idx, data_batch=data_batch)
        else:
            self.hear("before_train_iter", runner, {"batch_idx": batch_idx, "data_batch": data_batch})

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Close the iteration."""
        view = self._view
        if view is not None and self._in_force.is_in_force and view.is_of(runner):
            view.emitter.emit("after_train_iter", outputs=outputs)
        else:
            arguments = {"batch_idx": batch_idx, "data_batch": data_batch, "outputs": outputs}
            self.hear("after_train_iter", runner, arguments)

    def view_of(self, runner: Any) -> MMEngineRunner:
        """Return the view of a runner, which the hooks get; the first time, put the hub into its place."""
        view = self._view
        if view is None or not view.is_of(runner):
            _check_members(runner)
            self._put_hub_into_place(runner)
            # The hub is there by now, whether mmengine's or a different one.
            options: RunOptions = {**self._options, "hub": None}
            view = self._view = MMEngineRunner(runner, **options)
        return view

    def meet(self, runner: Any) -> None:
        """Guard a runner that has this hook: an exception that leaves it closes what it opened."""
        # Runner(...).train() leaves nothing that refers to the runner but this, until it has built a loop.
        kept = [runner]
        for name in _LOOPS:
            if callable(getattr(runner, name, None)):
                self._guard(runner, name, functools.partial(self._run_runner, kept))

    def attach_to(self, runner: Any) -> None:
        """Register this hook with a runner, in the place of those that publish the same: see `attach`."""
        self.view_of(runner)
        self._displaced = displace(getattr(runner, "_hooks", []), _publishes_this)
        runner.register_hook(self)
        self.meet(runner)
        self._attached_to = Target(runner)

    def is_attached_to(self, runner: Any) -> bool:
        """Return whether `attach_to` was called for a runner, and not taken back."""
        return self._attached_to.get() is runner

    def detach_from(self, runner: Any) -> None:
        """Undo everything that `attach_to` did, and restore the loops and the hub that this hook has changed since."""
        view, displaced, replaced_hub = self._view, self._displaced, self._replaced_hub
        self._view, self._displaced, self._replaced_hub, self._attached_to = None, [], None, Target()
        is_running = view is not None and view.emitter.is_open("run")
        if hasattr(runner, "_hooks"):
            put_back(runner, "_hooks", self, displaced, is_running=is_running)
        remove_wrappers(runner, _LOOPS, self)
        for name in _LOOPS:
            for loop in _loops(runner, name):
                remove_wrappers(loop, ("run",), self)
        if replaced_hub is not None:
            put_hub_back(runner, replaced_hub)
        try:
            if view is not None:
                view.emitter.emit("after_run")  # of a run that is under way
        finally:
            self._in_force.leave()

    def _guard(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """Wrap a method, unless it is wrapped."""
        if not any(each.adapter is self for each in wrapped_methods(owner, name)):
            wrap_method(owner, name, around)

    def _run_runner(self, kept: list[Any], runner: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        kept.clear()  # from now on it lives as long as it does without this
        self._under_way.append(runner)
        try:
            if not self._is_nested(runner):
                # Before before_run: a loop by iterations begins to draw from its loader when it is built.
                view = self.view_of(runner)
                self._enter(view)
                view.claim_workers(*(each for name in _LOOPS for each in _loaders(runner, name)))
            return self._run(runner, original, *args, **kwargs)
        finally:
            self._under_way.pop()
            self._leave_ended_run()

    def _enter(self, view: MMEngineRunner) -> None:
        """Make the hub of a runner the current one, unless its train(), val() or test() has done so."""
        if self._in_force.hub is not view.message_hub or not self._under_way:
            self._in_force.enter(view.message_hub)

    def _run(self, owner: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        runner = owner if hasattr(owner, "register_hook") else getattr(owner, "runner", None)
        view = self._view
        outside = 0 if view is None or not view.is_of(runner) else len(view.emitter.lifecycle.open_scopes)
        try:
            return original(*args, **kwargs)
        except BaseException as caught:
            error = _raised_by_hook(caught)
            view = self._view  # the run may have begun inside
            if view is not None and view.is_of(runner):
                # With the run alone around it, this is the outermost loop, and the run ends too.
                try:
                    view.emitter.abort(error, keep=outside if outside > 1 else 0)
                finally:
                    self._leave_ended_run()
            if error is caught:
                raise
        raise error  # outside of the handler: what mmengine has made of it did not lead to it

    def _is_nested(self, runner: Any) -> bool:
        """Return whether user code has called ``val()``, for example, inside the runner's ``train()``."""
        return sum(each is runner for each in self._under_way) > 1

    def _leave_ended_run(self) -> None:
        if self._view is None or not self._view.emitter.is_open("run"):
            self._in_force.leave()

    def _put_hub_into_place(self, runner: Any) -> None:
        theirs: Any = runner.message_hub
        ours: Any = self._options.get("hub")
        if ours is None:
            # A reference hub that is there already is this runner's, or was put there by the user.
            if not self._replace_hub or (isinstance(theirs, ReferenceHub) and not belongs_to_another(theirs, runner)):
                return
            ours = ReferenceHub.renew_instance(theirs.instance_name)
        if ours is theirs:
            return
        is_empty = not (ours.log_scalars or ours.runtime_info)
        if is_empty and isinstance(ours, ReferenceHub) and not holds_another_run(theirs, runner):
            ours.load_state_dict(theirs)
        self._replaced_hub = theirs
        exchange_hub(runner, theirs, ours)


def attach(runner: Any, *, replace_hub: bool = False, **options: Unpack[RunOptions]) -> RuntimeInfoHook:
    """Make a runner that was built already publish through this protocol.

    mmengine's own hook is taken out, and so is one of this class: two would publish everything twice. Apart from that
    the hook works as one from the config: see `RuntimeInfoHook`.

    Args:
        runner: A runner of mmengine, or of that shape: with `register_hook`.
        replace_hub: As for `RuntimeInfoHook`.
        options: As for `RuntimeInfoHook`.

    Returns:
        The hook, registered.

    Raises:
        RunnerError: If the runner has no `register_hook`, or lacks what this adapter relies on.
        HubError, HookError: As for `RuntimeInfoHook`.

    Source: LIFE-01, FAIL-01.
    """
    _check_runner(runner)
    if "hooks" in options:
        options["hooks"] = tuple(options["hooks"])  # they may come from a generator
    hook = RuntimeInfoHook(replace_hub=replace_hub, **options)
    MMEngineRunner(runner, hooks=options.get("hooks", ()))  # raises before anything has changed
    detach(runner)
    hook.attach_to(runner)
    return hook


def detach(runner: Any) -> None:
    """Take back what `attach` did; do nothing if it was not called. A run that is under way ends for the hooks.

    Args:
        runner: The runner.

    Raises:
        RunnerError: If the runner has no `register_hook`.

    Source: LIFE-01.
    """
    _check_runner(runner)
    adapters = [each.adapter for name in _LOOPS for each in wrapped_methods(runner, name)]
    for adapter in dict.fromkeys(each for each in adapters if isinstance(each, RuntimeInfoHook)):
        if adapter.is_attached_to(runner):  # and not from the config
            adapter.detach_from(runner)


def _check_runner(runner: Any) -> None:
    if not callable(getattr(runner, "register_hook", None)):
        raise RunnerError(
            f"{full_name(runner)} has no register_hook(), which mmengine's runners have: {remedy(runner, _runners())}"
        )
    _check_members(runner)


def _runners() -> tuple[type, ...]:
    """Return the classes of mmengine's runners; none where it is not installed."""
    module: Any = None if _mmengine is None else importlib.import_module("mmengine.runner")
    return () if module is None else (module.Runner, module.FlexibleRunner)


def _check_members(runner: Any) -> None:
    if _mmengine is not None and "mmengine" in _roots_of(runner):
        check_target(runner, object, "a runner", _PRIVATE)
        check_target(hub_class(), object, "a runner", _PRIVATE_OF_HUB)
        check_target(importlib.import_module("mmengine.logging").HistoryBuffer, object, "a runner", _PRIVATE_OF_HISTORY)


def _loops(runner: Any, name: str) -> list[Any]:
    # From the instance: mmengine's properties of these names would build a loop that is not needed.
    attributes = cast("dict[str, Any]", vars(runner))
    found = (attributes.get(attribute) for attribute in (f"_{name}_loop", f"{name}_loop"))
    return [loop for loop in found if hasattr(loop, "run")]


def _loaders(runner: Any, name: str) -> list[Any]:
    """Return what has, or might have, the workers of a loop: its loader, and the iterator of one by iterations."""
    holders = [cast("dict[str, Any]", vars(each)) for each in (runner, *_loops(runner, name))]
    names = (f"{name}_dataloader", f"_{name}_dataloader", "dataloader", "dataloader_iterator")
    return [holder[each] for holder in holders for each in names if each in holder]


def _publishes_this(hook: object) -> bool:
    return isinstance(hook, RuntimeInfoHook) or (_hooks is not None and type(hook) is _hooks.RuntimeInfoHook)


def _framework_of(runner: Any) -> tuple[str, str]:
    own = getattr(runner, "framework_name", None)
    if own is not None:
        return str(own), str(getattr(runner, "framework_version", "unknown"))
    roots = _roots_of(runner)
    if "mmengine" in roots:  # a subclass is a runner of mmengine's as well
        return "mmengine", str(importlib.import_module("mmengine").__version__)
    return roots[0], str(getattr(sys.modules.get(roots[0]), "__version__", "unknown"))


def _roots_of(runner: Any) -> list[str]:
    return [kind.__module__.partition(".")[0] for kind in type(runner).__mro__]


def _is_by_iterations(loop: Any) -> bool:
    """Return whether mmengine trains by iterations: its ``max_epochs`` is 1 then, for compatibility."""
    return _mmengine is not None and isinstance(loop, importlib.import_module("mmengine.runner").IterBasedTrainLoop)


def _is_by_length(loop: Any) -> bool:
    """Return whether the iterations of a loop follow from the length of its loader."""
    if _mmengine is None:
        return False
    by_epochs: Any = importlib.import_module("mmengine.runner").EpochBasedTrainLoop
    if not isinstance(loop, by_epochs):
        return False
    # A subclass may count by something else, by several loaders for example: what it says is taken as it is.
    by_length = loop.max_epochs * (length_of(loop.dataloader) or 0)
    return type(loop) is by_epochs or loop.max_iters == by_length


def _raised_by_hook(error: BaseException) -> BaseException:
    """Return what a hook has raised: `Runner.call_hook` raises another TypeError in the place of a TypeError.

    Source: FAIL-01.
    """
    original = error.__context__
    is_hidden = type(error) is TypeError and error.__cause__ is None and error.__suppress_context__
    if is_hidden and isinstance(original, TypeError) and str(error).startswith(f"{original} in "):
        return original
    return error
