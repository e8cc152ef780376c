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
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from runtimeinfo import HubError, MessageHub, RunnerError, use_hub
from runtimeinfo.authoring import on_any_event, shown
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub

__all__ = ["MMEngineRunner", "RuntimeInfoHook", "attach"]

_LOOPS = ("train", "val", "test")


def _mmengine(module: str) -> Any:
    """Return a module of mmengine, or None if it is not installed."""
    return importlib.import_module(module) if importlib.util.find_spec("mmengine") else None


_hooks = _mmengine("mmengine.hooks")

if TYPE_CHECKING:  # mmengine has no types
    _Hook = object
else:
    # mmengine registers nothing else than its own hooks' subclasses.
    _Hook = object if _hooks is None else _hooks.Hook


class MMEngineRunner:
    """Satisfies `runtimeinfo.TrainRunner` with a runner of mmengine's shape.

    Args:
        runner: The runner.

    Source: META-04, COUNT-01 to COUNT-08.
    """

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        name, version = _framework_of(runner)
        self.framework_name: str = name
        self.framework_version: str = version

    @property
    def cfg(self) -> Any:
        """The runner's config."""
        return self.runner.cfg

    @property
    def seed(self) -> int | None:
        """The runner's seed."""
        return cast("int | None", self.runner.seed)

    @property
    def experiment_name(self) -> str | None:
        """The runner's experiment name."""
        return cast("str | None", self.runner.experiment_name)

    @property
    def message_hub(self) -> MessageHub:
        """The runner's hub: mmengine's, or the reference hub in its place."""
        return cast("MessageHub", self.runner.message_hub)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return cast("int", self.runner.epoch) if self._has_train_loop() else 0

    @property
    def iter(self) -> int:
        """Completed iterations."""
        return cast("int", self.runner.iter) if self._has_train_loop() else 0

    @property
    def max_epochs(self) -> int | None:
        """Epochs of the training; 1 under an IterBasedTrainLoop."""
        return cast("int | None", self.runner.max_epochs) if self._has_train_loop() else None

    @property
    def max_iters(self) -> int | None:
        """Iterations of the training."""
        return cast("int | None", self.runner.max_iters) if self._has_train_loop() else None

    @property
    def train_dataloader(self) -> Any:
        """The runner's training loader."""
        return self.runner.train_dataloader

    @property
    def optim_wrapper(self) -> Any:
        """The runner's optimizer wrapper."""
        return self.runner.optim_wrapper

    def _has_train_loop(self) -> bool:
        # In a lone val() or test() the training loop is still its config. To ask the runner itself would build
        # it, with the data set and all.
        loop: Any = getattr(self.runner, "_train_loop", self.runner)
        return loop is not None and not isinstance(loop, dict)


@on_any_event(by="publish")
class RuntimeInfoHook(_Hook):
    """Takes the place of mmengine's hook: its events go through the lifecycle to `runtimeinfo.RuntimeInfoHook`.

    Once the run has begun, whatever its loops raise, KeyboardInterrupt included, closes all scopes. Until then the
    runner's hub is what `runtimeinfo.current_hub` returns.

    Args:
        hub: ``"runtimeinfo"`` puts the reference hub in the place of mmengine's, for everybody who asks mmengine
            for it; ``"mmengine"`` leaves it.
        hooks: More hooks of this protocol. They run in this hook's place, by their priority among themselves.

    Raises:
        HubError: If `hub` is neither.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, LIFE-15, FAIL-01 to FAIL-06.
    """

    priority = "VERY_HIGH"

    def __init__(self, hub: str = "mmengine", hooks: Iterable[object] = ()) -> None:
        if hub not in {"mmengine", "runtimeinfo"}:
            raise HubError(
                f"hub must be 'mmengine' or 'runtimeinfo', but is {shown(hub)}: leave it out for mmengine's own"
            )
        self._replace_hub = hub == "runtimeinfo"
        self._hooks = tuple(hooks)
        self._publisher: Publisher | None = None
        self._runner: Any = None
        self._current = ExitStack()  # what makes the hub the current one

    def publish(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        """Take an event of the runner."""
        publisher = self.publisher_of(runner)
        # A FlexibleRunner resumes before before_run, and the state shall find the hub that can read it.
        if self._replace_hub and event in {"before_run", "after_load_checkpoint"}:
            _replace_hub(runner)
        if event == "before_run":
            for name in _LOOPS:
                # From the instance: mmengine's properties of these names would build a loop that is not needed.
                for attribute in (f"_{name}_loop", f"{name}_loop"):
                    self._guard_loop(cast("dict[str, Any]", vars(runner)).get(attribute))
        # A run that was left in its preparations, where no loop is guarded yet, is open still.
        if event == "before_run" or not publisher.lifecycle.is_open("run"):
            self._current.close()
            self._current.enter_context(use_hub(runner.message_hub))
        try:
            publisher.emit(event, **arguments)
        finally:
            self._leave_ended_run(publisher)

    def publisher_of(self, runner: Any) -> Publisher:
        """Return what publishes the events of a runner."""
        if self._publisher is None or self._runner is not runner:
            self._publisher = Publisher(MMEngineRunner(runner), self._hooks)
            self._runner = runner
        return self._publisher

    def guard(self, runner: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function of the runner: an exception that leaves it closes what was opened inside."""

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            publisher = self.publisher_of(runner)
            outside = len(publisher.lifecycle.open_scopes)
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                # With the run alone around it, this is the outermost loop, and the run ends too.
                try:
                    publisher.abort(error, keep=outside if outside > 1 else 0)
                finally:
                    self._leave_ended_run(publisher)
                raise

        guarded.__dict__["guarded_by"] = self
        return guarded

    def _leave_ended_run(self, publisher: Publisher) -> None:
        if not publisher.lifecycle.is_open("run"):
            self._current.close()

    def _guard_loop(self, loop: Any) -> None:
        run = getattr(loop, "run", None)
        if run is not None and getattr(run, "guarded_by", None) is not self:
            loop.run = self.guard(self._runner, run)


def attach(runner: Any, *, hub: str = "mmengine", hooks: Iterable[object] = ()) -> RuntimeInfoHook:
    """Make a runner that was built already publish through this protocol.

    mmengine's own hook is taken out, and so is one of this class: two would publish everything twice. The runner's
    ``train``, ``val`` and ``test`` are wrapped, so that an exception from anywhere inside them closes all scopes.

    Args:
        runner: A runner of mmengine, or of that shape: with `register_hook`.
        hub: As for `RuntimeInfoHook`.
        hooks: As for `RuntimeInfoHook`.

    Returns:
        The hook, registered.

    Raises:
        RunnerError: If the runner has no `register_hook`.
        HubError, HookError: As for `RuntimeInfoHook`.

    Source: LIFE-01, FAIL-01.
    """
    if not callable(getattr(runner, "register_hook", None)):
        raise RunnerError(
            f"{type(runner).__name__} has no register_hook(), which mmengine's runners have: pass a Runner"
        )
    hook = RuntimeInfoHook(hub, hooks)
    hook.publisher_of(runner)
    registered = getattr(runner, "_hooks", None)
    if isinstance(registered, list):
        registered[:] = [other for other in cast("list[Any]", registered) if not _publishes_this(other)]
    runner.register_hook(hook)
    for name in _LOOPS:
        entry = getattr(runner, name, None)
        if callable(entry):
            setattr(runner, name, hook.guard(runner, entry))
    return hook


def _publishes_this(hook: object) -> bool:
    return isinstance(hook, RuntimeInfoHook) or (_hooks is not None and type(hook) is _hooks.RuntimeInfoHook)


def _framework_of(runner: Any) -> tuple[str, str]:
    own = getattr(runner, "framework_name", None)
    if own is not None:
        return str(own), str(getattr(runner, "framework_version", "unknown"))
    roots = [kind.__module__.partition(".")[0] for kind in type(runner).__mro__]
    if "mmengine" in roots:  # a subclass is a runner of mmengine's as well
        return "mmengine", str(importlib.import_module("mmengine").__version__)
    return roots[0], str(getattr(sys.modules.get(roots[0]), "__version__", "unknown"))


def _replace_hub(runner: Any) -> None:
    """Put the reference hub in the place of mmengine's, with all that it holds."""
    theirs: Any = runner.message_hub
    if isinstance(theirs, ReferenceHub):
        return
    ours = ReferenceHub.get_instance(theirs.instance_name)
    ours.load_state_dict(theirs)
    runner.message_hub = ours
    # Optimizer wrappers have looked their hub up when they were built.
    wrapper: Any = getattr(runner, "optim_wrapper", None)
    for each in (wrapper, *getattr(wrapper, "optim_wrappers", {}).values()):
        if getattr(each, "message_hub", None) is theirs:
            each.message_hub = ours
    # Whoever asks mmengine for the hub by name, or for the current one, gets this one.
    instances: Any = getattr(theirs, "_instance_dict", {})
    if instances.get(theirs.instance_name) is theirs:
        instances[theirs.instance_name] = ours
