"""Publish to the hub where the run is: the hook that this project is about."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast

from runtimeinfo._errors import RunnerError
from runtimeinfo._message_hub import MessageHub, SupportsDropLatest, SupportsPopScalar
from runtimeinfo._runner import Runner, TrainRunner, check_runner, check_train_runner
from runtimeinfo._scalar import SCALAR_OF, describe, is_scalar, lies_on_device, scalar_value, shown
from runtimeinfo._version import __version__


class SkippedOutputWarning(UserWarning):
    """A training output was not published, because it is not a scalar."""


_NOT_PUBLISHED = object()


def publish_totals(runner: TrainRunner) -> None:
    """Publish `max_epochs` and `max_iters` of a runner, if they have changed.

    Source: COUNT-07, COUNT-08.
    """
    hub = runner.message_hub
    totals = {"max_epochs": runner.max_epochs, "max_iters": runner.max_iters}
    if any(hub.get_info(name, _NOT_PUBLISHED) != total for name, total in totals.items()):
        hub.update_info_dict(totals)  # together, as the counters are


class RuntimeInfoHook:
    """Publishes to the runner's hub where the run is: stage, counters, learning rates, losses, metrics.

    It touches nothing but the members of `Runner` and `TrainRunner`. One hook serves any number of runs, one
    after the other.

    Example:
        >>> from runtimeinfo.authoring import Dispatcher
        >>> Dispatcher([RuntimeInfoHook()]).hooks[0].priority
        'VERY_HIGH'

    Source: STAGE-01 to STAGE-06, COUNT-05 to COUNT-08, META-01 to META-08, SCALAR-01 to SCALAR-08.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        # The open stages, outermost first. Neither an Emitter nor the grammar is asked: a runner need have neither, and
        # a stage that closes must restore the one before it at any depth (STAGE-03). Nor is the hub: what it holds may
        # come from a checkpoint.
        self._stages: list[str] = []
        # `train/<name>` by name: the same few come back each iteration. A plain dict, because a subclass with
        # `__missing__` takes twice as long to subscript.
        self._train_keys: dict[str, str] = {}
        self._skipped: set[str] = set()
        # The iteration whose learning rates were published last, and whether an exception was announced since.
        self._rates_of: int | None = None
        self._has_failed = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run: it gives up the iteration that is open, and repeats it.
        return {**vars(self), "_has_failed": True}

    # -- the run

    def before_run(self, runner: Runner) -> None:
        """Publish the identity of the run (META-01 to META-05), and forget a stage that a crash left behind."""
        check_runner(runner)
        # A hub that was copied in mid-run still has the stage. One that is new, or has loaded a state, has none.
        if not self._has_failed or runner.message_hub.get_info("loop_stage") is None:
            self._rates_of, self._has_failed = None, False
        self._stages.clear()
        self._publish_stage(runner)
        self._publish_metadata(runner)

    def after_run(self, runner: Runner) -> None:
        """Leave no stage behind (STAGE-06)."""
        self._stages.clear()
        self._publish_stage(runner)
        self._publish_counters(runner)

    def on_exception(self, runner: Runner, exception: BaseException) -> None:  # noqa: ARG002
        """Publish how far the run came.

        The stage stays for now: a hook that reports the crash wants to know it. The closes that follow
        (FAIL-03) take it back scope by scope, as far out as the exception goes.
        """
        self._publish_counters(runner)
        self._has_failed = True

    # -- training

    def before_train(self, runner: TrainRunner) -> None:
        """Publish the stage, the counters, the totals and the dataset's metainfo.

        The metadata comes once more: between `before_run` and here, a resume may have loaded a checkpoint's
        into the hub, and this run's own has to win (META-08).
        """
        check_train_runner(runner)
        hub = runner.message_hub
        self._publish_metadata(runner)
        # A resumed hub holds the stage in which it was saved: outside of this training there is none.
        self._stages.clear()
        self._enter_stage(runner, "train")
        publish_totals(runner)
        dataset = runner.train_dataloader.dataset
        if hasattr(dataset, "metainfo"):
            hub.update_info("dataset_meta", dataset.metainfo)

    def after_train(self, runner: TrainRunner) -> None:
        """Take the stage back."""
        self._leave_stage(runner, "train")

    def before_train_epoch(self, runner: TrainRunner) -> None:
        """Publish the counters, and the totals if they have changed: a loader can have another length each epoch."""
        self._publish_counters(runner)
        publish_totals(runner)

    def after_train_epoch(self, runner: TrainRunner) -> None:
        """Publish the counters: the last iteration is complete by now, unless it was aborted."""
        if self._has_failed:
            self._take_back_rates(runner)
        self._publish_counters(runner)

    def before_train_iter(self, runner: TrainRunner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Publish the iteration, and each learning rate as it is before the iteration."""
        if self._has_failed:
            self._take_back_rates(runner)
        hub = runner.message_hub
        completed = runner.iter
        hub.update_info("iter", completed)
        rates = runner.optim_wrapper.get_lr()
        train_keys = self._train_keys
        try:
            for name, values in rates.items():
                try:
                    key = train_keys[name]
                except KeyError:
                    key = train_keys[name] = f"train/{name}"
                hub.update_scalar(key, values[0])
        except Exception:  # each hub refuses in its own way: mmengine's asserts
            _check_learning_rates(rates)
            raise
        self._rates_of = completed

    def after_train_iter(
        self,
        runner: TrainRunner,
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish each output that is a scalar; skip the others, with one warning for each key."""
        if outputs is None:
            return
        hub = runner.message_hub
        train_keys = self._train_keys
        try:
            items = outputs.items()
        except AttributeError:
            raise _no_mapping(outputs, "after_train_iter", "outputs") from None
        waiting: dict[str, Any] | None = None
        for name, value in items:
            if type(value) is float:
                scalar = value
            else:
                scalar = SCALAR_OF[type(value)](value)
                # Only what lies on an accelerator comes back as it is. The first time it takes the usual way, so that
                # the hub has its keys in the order of the outputs.
                if scalar is value is not None and type(value) is not int and name in train_keys:
                    if waiting is None:
                        waiting = {}
                    waiting[train_keys[name]] = value
                    continue
            if scalar is not None:
                try:
                    key = train_keys[name]
                except KeyError:
                    key = train_keys[name] = f"train/{name}"
                    scalar = _crossing(hub, scalar)  # later ones that wait on a device do not come by here
                hub.update_scalar(key, scalar)  # a bound method, kept in a variable, takes 25 ns more
            elif name not in self._skipped:
                self._skipped.add(name)
                if waiting is not None:  # a filter can make an error of the warning
                    _update_device_scalars(hub, waiting)
                    waiting = None
                warnings.warn(
                    f"output {name!r} is not published: only scalars are, and this is {describe(value)}. Give its "
                    "mean, for example, or publish it with update_info [SCALAR-05]",
                    SkippedOutputWarning,
                    stacklevel=2,
                )
        if waiting is not None:
            _update_device_scalars(hub, waiting)

    # -- validation and test

    def before_val(self, runner: Runner) -> None:
        """Enter the stage ``val``."""
        self._enter_stage(runner, "val")

    def after_val(self, runner: Runner) -> None:
        """Restore the stage before it, or none."""
        self._leave_stage(runner, "val")

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """Publish each metric under ``val/<key>``: a scalar if it is one, otherwise an info."""
        self._publish_metrics(runner, "val", metrics)

    def before_test(self, runner: Runner) -> None:
        """Enter the stage ``test``."""
        self._enter_stage(runner, "test")

    def after_test(self, runner: Runner) -> None:
        """Restore the stage before it, or none."""
        self._leave_stage(runner, "test")

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """Publish each metric under ``test/<key>``: a scalar if it is one, otherwise an info."""
        self._publish_metrics(runner, "test", metrics)

    # -- how

    def _publish_metadata(self, runner: Runner) -> None:
        runner.message_hub.update_info_dict(
            {
                "cfg": runner.cfg.pretty_text,
                "seed": runner.seed,
                "experiment_name": runner.experiment_name,
                f"{runner.framework_name}_version": runner.framework_version,
                "runtimeinfo_version": __version__,
            }
        )

    def _take_back_rates(self, runner: TrainRunner) -> None:
        """Remove the learning rates of an iteration that was aborted: its history has one value an iteration."""
        self._has_failed = False
        if self._rates_of is not None and self._rates_of == getattr(runner, "iter", None):
            for name in runner.optim_wrapper.get_lr():
                _drop_latest(runner.message_hub, f"train/{name}")
        self._rates_of = None

    def _publish_counters(self, runner: Runner) -> None:
        """Publish `epoch` and `iter`, if there is anything to count: a runner that only validates has no training."""
        # Together: another process must not see the one without the other (SHARE-04).
        counters = {counter: getattr(runner, counter, None) for counter in ("epoch", "iter")}
        runner.message_hub.update_info_dict(
            {counter: completed for counter, completed in counters.items() if completed is not None}
        )

    def _enter_stage(self, runner: Runner, stage: str) -> None:
        self._stages.append(stage)
        self._publish_stage(runner)
        self._publish_counters(runner)

    def _leave_stage(self, runner: Runner, stage: str) -> None:
        # It is not there if this hook was registered inside the scope, or if one before it failed at the opening.
        if self._stages[-1:] == [stage]:
            self._stages.pop()
        self._publish_stage(runner)
        self._publish_counters(runner)

    def _publish_stage(self, runner: Runner) -> None:
        if self._stages:
            runner.message_hub.update_info("loop_stage", self._stages[-1])
        else:
            runner.message_hub.pop_info("loop_stage")

    def _publish_metrics(self, runner: Runner, stage: str, metrics: Mapping[str, Any] | None) -> None:
        if metrics is None:
            return
        hub = runner.message_hub
        try:
            items = metrics.items()
        except AttributeError:
            raise _no_mapping(metrics, f"after_{stage}_epoch", "metrics") from None
        for name, value in items:
            key = f"{stage}/{name}"
            scalar = SCALAR_OF[type(value)](value)
            if scalar is not None:
                # The last write wins: what was an info in the last validation would be stale beside it.
                hub.pop_info(key)
                hub.update_scalar(key, _crossing(hub, scalar))
            else:
                _pop_scalar(hub, key)
                hub.update_info(key, value)


def _update_device_scalars(hub: MessageHub, tensors: dict[str, Any]) -> None:
    """Publish tensors that lie on an accelerator: together, to a hub that takes them so."""
    # Of the class: a wrapper that passes on unknown names would let them go past its own `update_scalar`.
    update: Callable[[Any, dict[str, Any]], None] | None = getattr(type(hub), "update_device_scalars", None)
    if update is not None and len(tensors) > 1:
        update(hub, tensors)
        return
    for key, tensor in tensors.items():
        hub.update_scalar(key, _crossing(hub, tensor))


def _crossing(hub: MessageHub, scalar: Any) -> Any:
    """Return the value to publish: a number for a JAX array, unless the hub takes values that wait on a device.

    Any other hub can know PyTorch's tensors, and nothing of JAX.
    """
    if hasattr(type(hub), "update_device_scalars") or hasattr(scalar, "is_cpu") or not lies_on_device(scalar):
        return scalar
    return scalar_value(scalar)


def _drop_latest(hub: MessageHub, key: str) -> None:
    """Take back the latest value of a scalar. mmengine's hub has no method for it: its history is made without it."""
    histories = hub.log_scalars
    if isinstance(hub, SupportsDropLatest):
        hub.drop_latest(key)
    elif isinstance(histories, MutableMapping) and hasattr(histories.get(key), "max_length"):
        history: Any = histories[key]
        values, counts = history.data
        histories[key] = type(history)(values[:-1], counts[:-1], history.max_length)
    elif key in histories:
        _warn_that_it_stays(hub, f"the learning rate of the aborted iteration stays in {key!r}", "drop_latest", "27")


def _pop_scalar(hub: MessageHub, key: str) -> None:
    """Forget a scalar. mmengine's hub has no method for it, but hands out the dictionary itself."""
    if isinstance(hub, SupportsPopScalar):
        hub.pop_scalar(key)
    elif isinstance(hub.log_scalars, MutableMapping):
        hub.log_scalars.pop(key, None)
    elif key in hub.log_scalars:
        _warn_that_it_stays(
            hub, f"the history {key!r} stays, though its metric is not a scalar now", "pop_scalar", "26"
        )


def _warn_that_it_stays(hub: MessageHub, what: str, method: str, rule: str) -> None:
    warnings.warn(f"{what}: {type(hub).__name__} has no {method}(key). Add it to the hub [HUB-{rule}]", stacklevel=4)


_REQUIREMENTS = {"after_train_iter": "SCALAR-04", "after_val_epoch": "SCALAR-06", "after_test_epoch": "SCALAR-09"}


def _no_mapping(values: object, event: str, argument: str) -> RunnerError:
    return RunnerError(
        f"{event} must be given {argument} as a mapping from names to values, or None, but got {describe(values)}: "
        f"for example {argument}={{'loss': loss}}",
        requirement=_REQUIREMENTS[event],
    )


def _check_learning_rates(rates: object) -> None:
    """Raise if `get_lr()` broke its contract; otherwise the error came from elsewhere."""
    if not isinstance(rates, Mapping):
        raise RunnerError(
            "optim_wrapper.get_lr() must return a mapping from names to a rate for each param group, "
            f"but returned {describe(rates)}: return, for example, {{'lr': [0.1]}}",
            requirement="SCALAR-02",
        )
    for name, values in cast("Mapping[object, Any]", rates).items():
        try:
            first = values[0]
        except (IndexError, KeyError, TypeError):
            first = None
        if not is_scalar(first):
            raise RunnerError(
                f"optim_wrapper.get_lr()[{name!r}] must be a sequence whose first entry is a number, but is "
                f"{shown(values)}: give a list with the rate of each param group",
                requirement="SCALAR-02",
            )
