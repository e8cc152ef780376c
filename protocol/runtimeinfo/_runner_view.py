"""A runner for adapters: the view of a framework that hooks get, and the saved form of a training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from runtimeinfo._emitter import Emitter
from runtimeinfo._errors import LoopError, RunnerError, StateError
from runtimeinfo._message_hub import MessageHub
from runtimeinfo._runner import Config, TrainDataLoader, TrainRunner
from runtimeinfo._runtime_info_hook import publish_totals
from runtimeinfo._scalar import describe, shown
from runtimeinfo._scopes import use_hub

if TYPE_CHECKING:
    from collections.abc import Generator

STATE_VERSION = 1
"""The version of the saved form of a training."""

_REMEDY = "load what state_dict() returned"


class TextConfig:
    """Satisfies `runtimeinfo.authoring.Config` with any text, or a mapping written out as JSON.

    Args:
        data: The text, or a mapping such as ``vars(args)``; a value that JSON has no word for is shown by its repr.

    Example:
        >>> print(TextConfig({"lr": 0.1, "epochs": 3}).pretty_text)
        {
          "lr": 0.1,
          "epochs": 3
        }

    Source: META-01.
    """

    def __init__(self, data: str | Mapping[str, Any] = "") -> None:
        # Written out at once: a later change of the mapping does not change what the run was started with.
        self._text = data if isinstance(data, str) else json.dumps(data, indent=2, default=repr, skipkeys=False)

    @property
    def pretty_text(self) -> str:
        """The configuration as text."""
        return self._text

    @classmethod
    def of(cls, cfg: Config | str | Mapping[str, Any] | None) -> Config:
        """Return a configuration as it is if it satisfies `Config`, otherwise wrapped; None is empty."""
        if cfg is None:
            return cls()
        if isinstance(cfg, str | Mapping):
            # A mapping may have its own pretty_text: mmengine's Config has.
            return cfg if isinstance(cfg, Config) else cls(cfg)
        return cfg


class RunnerView:
    """Satisfies `runtimeinfo.Runner` for an adapter, which emits its events through `emitter`.

    A subclass names its framework. To train it adds, as attributes or properties, what else a
    `runtimeinfo.TrainRunner` has: `max_epochs`, `max_iters`, `train_dataloader` and `optim_wrapper`.

    Args:
        hub: Where to publish.
        hooks: More hooks. `runtimeinfo.RuntimeInfoHook` runs in any case.
        cfg: The configuration: a mapping, text, or anything with `pretty_text`.
        seed: The random seed; it is published, not set here.
        experiment_name: The name of the experiment.

    Attributes:
        emitter: Where the framework's events go; it has the counters.

    Raises:
        HookError: If a hook cannot be registered.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> class MyRunner(RunnerView):
        ...     framework_name, framework_version = "myframework", "1.0"
        ...     max_epochs, max_iters = 3, None
        ...     train_dataloader, optim_wrapper = with_dataset([1, 2]), LearningRates(None)
        >>> runner = MyRunner(MessageHub("doc-runner-view"), seed=0)
        >>> with runner.running():
        ...     runner.emitter.emit("before_train")
        ...     print(runner.message_hub.get_info("loop_stage"), runner.message_hub.get_info("seed"))
        train 0

    Source: META-01 to META-07, COUNT-01 to COUNT-08.
    """

    framework_name: str
    framework_version: str

    def __init__(
        self,
        hub: MessageHub,
        *,
        hooks: Iterable[object] = (),
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
    ) -> None:
        self.message_hub: MessageHub = hub
        self.cfg: Config = TextConfig.of(cfg)
        self.seed: int | None = seed
        self.experiment_name: str | None = experiment_name
        self.emitter: Emitter = self._make_emitter(hooks)

    def _make_emitter(self, hooks: Iterable[object]) -> Emitter:
        return Emitter(self, hooks)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.emitter.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: batches, however many of them make an optimizer step."""
        return self.emitter.iter

    @contextmanager
    def running(self) -> Generator[None]:
        """Frame a call of the framework: the hub is the current one, and a run is open, this one or one around it.

        Whatever leaves it closes what was opened inside, in order.

        Source: LIFE-02, LIFE-15, FAIL-01 to FAIL-03.
        """
        emitter = self.emitter
        with ExitStack() as stack:
            stack.enter_context(use_hub(self.message_hub))
            stack.enter_context(emitter.guard() if emitter.is_open("run") else emitter.scope("run"))
            yield

    def total_iters(self, max_epochs: int | None, length: int | None) -> int | None:
        """Return the iterations of the whole training, from today's length of an epoch.

        Those before this epoch, and the length times the epochs that are left. None if either is not known, or if an
        epoch turned out to be longer than its loader had said.

        Args:
            max_epochs: Epochs of the whole training.
            length: Batches of this epoch, or of the next one between two epochs.

        Source: COUNT-08.
        """
        emitter = self.emitter
        if max_epochs is None or length is None or emitter.is_longer_than_told:
            return None
        epochs_left = max_epochs - emitter.epoch
        if epochs_left <= 0:
            return emitter.iter
        # A training may be resumed after more batches than the epoch has today.
        done = emitter.iter - emitter.epoch_start
        return emitter.epoch_start + max(length, done) + length * (epochs_left - 1)

    def publish_totals(self) -> None:
        """Publish `max_epochs` and `max_iters` if they have changed: `RuntimeInfoHook` does so as an epoch begins.

        Source: COUNT-07, COUNT-08.
        """
        publish_totals(cast("TrainRunner", self))

    def publish_iter(self) -> None:
        """Publish `iter` ahead of ``before_train_iter``, for handlers that ask while the batch begins.

        Where a framework has several handlers of that moment, an adapter calls this in the first one, and emits the
        event in the last: by then the learning rate of the iteration is set.

        Source: COUNT-01, COUNT-05, SCALAR-03.
        """
        self.message_hub.update_info("iter", self.emitter.iter)

    def state_dict(self) -> dict[str, Any]:
        """Return the saved form of the training, which `load_state_dict` takes.

        Source: RESUME-01, RESUME-02.
        """
        return training_state(self.message_hub, epoch=self.epoch, iter=self.iter)

    def load_state_dict(self, state_dict: Any) -> None:
        """Go on from a saved state, before the training begins: the hub and the counters take it over.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.

        Source: RESUME-01, RESUME-02.
        """
        load_training(self.message_hub, self.emitter, state_dict)


class LearningRates:
    """Satisfies `runtimeinfo.authoring.HasLearningRates` with optimizers that have param groups, as PyTorch's have.

    Args:
        optimizers: One optimizer, whose rates are called ``lr``; several by name, whose rates are ``<name>.lr``; or
            None for none.

    Raises:
        LoopError: If it is something else.

    Example:
        >>> class SGD:
        ...     def __init__(self, lr):
        ...         self.param_groups = [{"lr": lr}]
        >>> LearningRates(SGD(0.1)).get_lr()
        {'lr': [0.1]}
        >>> LearningRates({"generator": SGD(0.1), "critic": SGD(0.2)}).get_lr()
        {'generator.lr': [0.1], 'critic.lr': [0.2]}

    Source: SCALAR-02, SCALAR-03.
    """

    def __init__(self, optimizers: object | Mapping[str, Any] | None) -> None:
        named: dict[str, Any] = {}
        if isinstance(optimizers, Mapping):
            for name, optimizer in cast("Mapping[str, Any]", optimizers).items():
                named[f"{name}.lr"] = optimizer
        elif optimizers is not None:
            named["lr"] = optimizers
        for name, optimizer in named.items():
            if not hasattr(optimizer, "param_groups"):
                raise LoopError(
                    f"optimizer{'' if name == 'lr' else f' {name[:-3]!r}'}: an optimizer has param_groups, "
                    f"but this is {describe(optimizer)}; give one optimizer, a dict of them by name, or None"
                )
        self._named = named

    @classmethod
    def of_list(cls, optimizers: Sequence[Any], names: Sequence[str] = ()) -> LearningRates:
        """Return the rates of a list of optimizers: ``lr`` for a single one, otherwise ``<name>.lr`` for each.

        Args:
            optimizers: The optimizers.
            names: Their names. Without, they are named after their class, the second one of a class ``<class>-1``.

        Raises:
            RunnerError: If there are names, but not as many as optimizers.

        Example:
            >>> class SGD:
            ...     param_groups = [{"lr": 0.1}]
            >>> LearningRates.of_list([SGD(), SGD()]).get_lr()
            {'SGD.lr': [0.1], 'SGD-1.lr': [0.1]}

        Source: SCALAR-02, SCALAR-03.
        """
        if names and len(names) != len(optimizers):
            raise RunnerError(
                f"optimizer_names has {len(names)} names ({', '.join(names)}), but there are {len(optimizers)} "
                "optimizers: give a name for each, in their order",
                requirement="SCALAR-02",
            )
        if not names and len(optimizers) == 1:
            return cls(optimizers[0])
        return cls(dict(zip(names or _by_class(optimizers), optimizers, strict=True)))

    def get_lr(self) -> dict[str, list[Any]]:
        """Return the rates as they are now: a number, or a tensor if the optimizer has one, for each param group."""
        rates: dict[str, list[Any]] = {}
        for name, optimizer in self._named.items():
            groups = optimizer.param_groups
            # Once an iteration, and nearly always of one group: a comprehension would be another call.
            rates[name] = [groups[0]["lr"]] if len(groups) == 1 else [group["lr"] for group in groups]
        return rates


def _by_class(optimizers: Sequence[Any]) -> list[str]:
    seen: dict[str, int] = {}
    names: list[str] = []
    for optimizer in optimizers:
        kind = type(optimizer).__name__
        before = seen.get(kind, 0)
        names.append(f"{kind}-{before}" if before else kind)
        seen[kind] = before + 1
    return names


def with_dataset(loader: Any) -> TrainDataLoader:
    """Return a loader as it is, or something that has it as its dataset if it has none.

    Example:
        >>> with_dataset([1.0, 2.0]).dataset
        [1.0, 2.0]

    Source: META-07.
    """
    return cast("TrainDataLoader", loader if hasattr(loader, "dataset") else SimpleNamespace(dataset=loader))


def length_of(loader: Any) -> int | None:
    """Return how many batches a loader has; None if it has no length.

    Example:
        >>> length_of([1.0, 2.0]), length_of(iter([1.0]))
        (2, None)

    Source: COUNT-08.
    """
    try:
        return len(loader)
    except (TypeError, NotImplementedError):  # loaders without a length raise the one or the other
        return None


def detached(value: Any) -> Any:
    """Return a value without its autograd graph; return one that has none as it is.

    A hook that keeps an output would keep the graph, and all of its activations, with it.
    """
    return value.detach() if getattr(value, "requires_grad", False) else value


# -- The saved form of a training, where an adapter keeps it in its framework's checkpoints. Its fields:
#
#     {"version": 1, "epoch": int, "iter": int,   completed
#      "message_hub": the hub's own state,
#      "hub_entries": int}                         how many entries that has; not in a state of an earlier release


def training_state(hub: MessageHub, *, epoch: int, iter: int, **more: Any) -> dict[str, Any]:
    """Return the saved form of a training.

    Args:
        hub: The hub that it publishes to.
        epoch: Completed epochs.
        iter: Completed iterations.
        more: The fields that only one adapter has.

    Source: RESUME-01.
    """
    saved = hub.state_dict()
    counters = {"version": STATE_VERSION, "epoch": epoch, "iter": iter}
    return {**counters, **more, "message_hub": saved, "hub_entries": _count_entries(saved)}


def check_training_state(state_dict: Any, more_counters: tuple[str, ...] = ()) -> None:
    """Check every field but the hub's, which it checks itself.

    Args:
        state_dict: The state.
        more_counters: Further fields that must be counts.

    Raises:
        StateError: Naming the first field that is missing or wrong.

    Source: RESUME-01.
    """
    if not isinstance(state_dict, Mapping):
        raise StateError(f"a state must be a mapping, but is {describe(state_dict)}: {_REMEDY}", field="state_dict")
    state = cast("Mapping[str, Any]", state_dict)
    for field in ("version", "epoch", "iter", *more_counters):
        value = state.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise StateError(f"{field} must be an int from 0, but is {shown(value)}: {_REMEDY}", field=field)
    if state["version"] != STATE_VERSION:
        raise StateError(
            f"version is {state['version']}, and this release reads {STATE_VERSION}: load it with "
            "the release that saved it, or start the training again",
            field="version",
        )
    if "message_hub" not in state:
        raise StateError(f"message_hub is missing: {_REMEDY}", field="message_hub")
    found, saved = _count_entries(state["message_hub"]), state.get("hub_entries")
    if None not in (saved, found) and saved != found:
        raise StateError(
            f"message_hub has {found} entries, and {shown(saved)} were saved: load it as a whole. What "
            "torch.distributed.checkpoint loads into a new training lacks each entry that this does not have yet: put "
            "the training in as a runtimeinfo_adapters.distributed.PackedState",
            field="message_hub",
        )


def _count_entries(hub_state: object) -> int | None:
    """Return the number of entries in the mappings of a hub's state. Loading key by key can lose some.

    None if there is no mapping in it: the hub says what is wrong then.
    """
    fields = cast("Mapping[Any, Any]", hub_state).values() if isinstance(hub_state, Mapping) else ()
    sizes = [len(cast("Mapping[Any, Any]", field)) for field in fields if isinstance(field, Mapping)]
    return sum(sizes) if sizes else None


def load_hub(hub: MessageHub, state: Mapping[str, Any]) -> None:
    """Let a hub take over its part of a checked state.

    Raises:
        StateError: If the hub refuses it, with the path of the field in the whole state.

    Source: RESUME-01.
    """
    try:
        hub.load_state_dict(state["message_hub"])
    except StateError as error:
        raise StateError(
            f"message_hub: {error.message}", field=f"message_hub.{error.field}", requirement=error.requirement
        ) from None


def load_training(hub: MessageHub, counters: Emitter, state: Mapping[str, Any]) -> None:
    """Go on from a saved state, before the training begins: the hub and the counters take it over.

    Args:
        hub: The hub.
        counters: What counts: its `epoch` and `iter` are set.
        state: What `training_state` returned.

    Raises:
        StateError: If a field is missing or wrong; nothing has changed.

    Source: RESUME-01, RESUME-02.
    """
    check_training_state(state)
    load_hub(hub, state)
    counters.epoch, counters.iter = state["epoch"], state["iter"]
    # The hub has the stage in which the state was saved, and the counters then.
    hub.update_info_dict({"epoch": counters.epoch, "iter": counters.iter})
    hub.pop_info("loop_stage")
