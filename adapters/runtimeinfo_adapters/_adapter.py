"""The base of all adapters: run options, the runner view with its defaults, wrapped methods, the hub in force.

An adapter has three parts. Its runner view (`FrameworkRunner`) says who trains what. Its callback, or whatever hears
the framework's events, hands each one to ``runner.emitter``. Its `attach` wraps the methods that no callback sees
around, with `wrap_method`, and its `detach` takes all of that back.

Trainers are copied and pickled: for k folds, by a search, by a strategy that spawns its ranks. So nothing here is a
closure, nothing holds the trainer strongly (it would be freed by the garbage collector only), and a copy of an attached
trainer gets a copy of its adapter. Libraries copy callbacks, too, and train with the copies: see `_copied_callback`.
"""

from __future__ import annotations

import copy
import copyreg
import difflib
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any, TypedDict, Unpack, cast

from runtimeinfo import InfoReader, MessageHub, RunnerError, RuntimeInfoHook, use_hub
from runtimeinfo.authoring import Config, RunnerView, SupportsSharing, TextConfig
from runtimeinfo_adapters._wrong_target import full_name, remedy
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.sharing import SharingHook, claim_workers


class ResumeWarning(UserWarning):
    """A resumed training cannot continue exactly where the saved one stopped."""


class RunOptions(TypedDict, total=False):
    """The keywords that every adapter takes, in addition to its own."""

    hub: MessageHub | None
    """The hub to publish to. A hub that you give is yours: every run is appended to its contents. If left out, each
    training that does not resume gets a new `runtimeinfo_adapters.MessageHub`."""

    hooks: Iterable[object]
    """More hooks. `runtimeinfo.RuntimeInfoHook` runs in any case."""

    cfg: Config | Mapping[str, Any] | str | None
    """The configuration: a mapping, text, or anything with `pretty_text`."""

    seed: int | None
    """The random seed that you have set; it is published, not set here."""

    experiment_name: str | None
    """The name of the experiment."""


def check_options(options: Mapping[str, object], taken_by: str) -> None:
    """Raise `TypeError`, as Python does for any function, if a keyword is not a run option."""
    for name in options:
        if name not in RunOptions.__annotations__:
            close = difflib.get_close_matches(name, RunOptions.__annotations__, n=1)
            hint = f": did you mean {close[0]!r}?" if close else f"; it takes {', '.join(RunOptions.__annotations__)}"
            raise TypeError(f"{taken_by} got an unexpected keyword argument {name!r}{hint}")


class FrameworkRunner(RunnerView):
    """The runner view of an adapter: a `RunnerView` with the defaults of this package.

    If no hub is given, each training that does not resume gets a new reference hub: see `renew_hub`. A hub that cannot
    share itself with other processes is shared by a hook.

    Args:
        options: The run options.

    Raises:
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: META-01 to META-07, COUNT-01 to COUNT-08, SHARE-01.
    """

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        check_options(options, type(self).__name__)
        name = options.get("experiment_name")
        hub = options.get("hub")
        if hub is None:
            hub = self._make_hub(name)
        hooks = tuple(options.get("hooks", ()))
        super().__init__(
            hub,
            hooks=hooks if isinstance(hub, SupportsSharing) else (SharingHook(), *hooks),
            cfg=options.get("cfg"),
            seed=options.get("seed"),
            experiment_name=name,
        )
        self._given = frozenset(option for option, value in options.items() if value is not None)
        self._has_trained = False
        # The runners that this one was copied from, and those that were copied from it: see `_copied_callback`.
        self._templates: tuple[Target, ...] = ()
        self._copies: list[Target] = []

    def _make_hub(self, experiment_name: str | None) -> MessageHub:
        return ReferenceHub(experiment_name or self.framework_name)

    def renew_hub(self) -> None:
        """Go over to a new hub for a training that begins from its start, unless the hub was given.

        Call it before ``before_run``. A hub that no run has published to yet stays, with what the user has put there.
        The hub of an earlier run keeps its histories for code that holds it.

        Source: LIFE-10.
        """
        self._has_trained = True
        if "hub" in self._given:
            return
        if self.message_hub.get_info("runtimeinfo_version") is not None:
            self.message_hub: MessageHub = self._make_hub(self.experiment_name)
        self._settle_hub()

    def _settle_hub(self) -> None:
        """Give the hub to the templates of this runner, and a different one to the copies that have waited with it."""
        hub = self.message_hub
        family = [self, *(each() for each in self._templates)]
        for template in family[1:]:
            if template is not None and template.is_template:
                template.message_hub = hub
        for waiting in [target() for each in family if each is not None for target in each._copies]:
            if waiting is not None and waiting.message_hub is hub and waiting.is_template and waiting not in family:
                waiting.message_hub = waiting._make_hub(waiting.experiment_name)

    @property
    def is_template(self) -> bool:
        """True if it has trained nothing itself; training by copies of its callback does not count."""
        return not (self._has_trained or self.emitter.is_open("run"))

    def shared_with_copies(self) -> Iterator[object]:
        """Iterate over what copies of a template share: the hub, and the hooks of the user."""
        yield self.message_hub
        for hook in self.emitter.dispatcher.hooks:
            if type(hook) not in {RuntimeInfoHook, SharingHook}:
                yield hook

    def stand_in_for(self, template: FrameworkRunner) -> None:
        """Give the hub of each training to the template, and to what that was copied from."""
        self._templates, self._copies = (*template._templates, Target(template)), []
        for each in self._templates:
            origin: FrameworkRunner | None = each()
            if origin is not None:
                origin._copies = [*(copied for copied in origin._copies if copied() is not None), Target(self)]

    def claim_workers(self, *loaders: Any) -> None:
        """Take over the workers of loaders that were started outside of this run: persistent ones of an earlier run.

        Call it in the run, before a loader is iterated over. Workers that the run itself starts belong to it anyway.

        Args:
            loaders: PyTorch DataLoaders, their iterators, and what wraps either; others have no workers.

        Source: SCOPE-05.
        """
        claim_workers(self.message_hub, [pid for loader in loaders for pid in worker_pids(loader)])

    def identify(
        self,
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
    ) -> None:
        """Take what identifies the run from the framework, unless it was given as a run option.

        Source: META-01 to META-03.
        """
        if "cfg" not in self._given:
            self.cfg: Config = TextConfig.of(cfg)
        if "seed" not in self._given:
            self.seed: int | None = seed
        if "experiment_name" not in self._given:
            self.experiment_name: str | None = experiment_name


# From what wraps a loader to the loader: Accelerate's loaders have the first name, and prefetchers the others.
_INSIDE = ("base_dataloader", "dataloader", "_dataloader", "loader", "_loader")


def worker_pids(loader: Any, depth: int = 3) -> Iterator[int]:
    """Yield the process ids of the workers of a loader, of its iterator, or of the loader that it wraps."""
    # Private members of PyTorch: there is no other way to them. Without them, such a worker knows of no run. The dict,
    # because a loader of another kind can do anything when it is asked for an attribute.
    attributes: dict[str, Any] = getattr(loader, "__dict__", {})
    # The first where it is the iterator itself, the second where mmengine has put something around it.
    for holder in (loader, attributes.get("_iterator")):
        workers = getattr(holder, "__dict__", {}).get("_workers")
        for worker in cast("list[Any]", workers if isinstance(workers, list) else []):
            pid = getattr(worker, "pid", None)
            if isinstance(pid, int):
                yield pid
    if depth:
        for name in _INSIDE:
            if name in attributes:
                yield from worker_pids(attributes[name], depth - 1)


class Target:
    """Refers weakly to what an adapter is attached to.

    A copy that is made together with the target refers to the copied target. Any other copy, and a pickled one, refers
    to nothing until the adapter is told its target again: to copy a callback must not copy the trainer and its model.

    Attributes:
        get: Returns the target, or None if there is none. To call this takes half as long as to call the object.
    """

    __slots__ = ("get",)

    def __init__(self, target: Any = None) -> None:
        self.get: Callable[[], Any]
        try:
            self.get = (lambda: None) if target is None else weakref.ref(target)
        except TypeError:  # it has slots, and none for weak references
            self.get = lambda: target

    def __call__(self) -> Any:
        return self.get()

    def __deepcopy__(self, memo: dict[int, Any]) -> Target:
        return Target(memo.get(id(self.get())))

    def __reduce__(self) -> tuple[type[Target], tuple[()]]:
        return Target, ()


class HubInForce:
    """Keeps a hub the current one from one event of a framework to another. A copy is not in force."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.hub: InfoReader | None = None
        self.is_in_force: bool = False

    def enter(self, hub: InfoReader) -> None:
        """Make a hub the current one, in the place of the one before."""
        self.leave()
        self._stack.enter_context(use_hub(hub))
        self.hub, self.is_in_force = hub, True

    def leave(self) -> None:
        """Restore the previous hub, if this one is current."""
        self.hub, self.is_in_force = None, False
        self._stack.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> HubInForce:
        return HubInForce()

    def __reduce__(self) -> tuple[type[HubInForce], tuple[()]]:
        return HubInForce, ()


_ABSENT: Any = object()

Around = Callable[..., Any]
"""A wrapper around a method, called with the owner, the original method, and the arguments of the call."""


# The wrappers of each object, for one that another wrapper hides: it need not have `__wrapped__`. Held weakly, because
# a wrapper that nothing else holds is out of use.
_wrappers: weakref.WeakKeyDictionary[Any, list[weakref.ref[WrappedMethod]]] = weakref.WeakKeyDictionary()


class WrappedMethod:
    """A method of one object, with an adapter around it.

    The object has it as an attribute, in front of the method of its class. It is copied and pickled with its owner: the
    copy belongs to the copied owner and to the copied adapter.

    Args:
        owner: The object, which is held weakly.
        name: The name of the method.
        around: A method of the adapter, called as ``around(owner, original, *args, **kwargs)``.
    """

    def __init__(self, owner: Any, name: str, around: Around) -> None:
        self._owner = weakref.ref(owner)
        self._name = name
        self._around = around
        # The object's own attribute of this name, in front of the method of its class.
        self._replaced: Any = cast("dict[str, Any]", vars(owner)).get(name, _ABSENT)
        self._is_passive = False
        self._keeps: Any = None
        with suppress(TypeError):  # the owner cannot be hashed
            alive = [each for each in _wrappers.get(owner, ()) if each() is not None]
            _wrappers[owner] = [*alive, weakref.ref(self)]

    @property
    def owner(self) -> Any:
        """The object."""
        owner = self._owner()
        if owner is None:
            raise ReferenceError(
                f"{self._name}() belongs to an object that was freed: keep a reference to it while you use its methods"
            )
        return owner

    def belongs_to(self, owner: Any) -> bool:
        """Return whether an object is the owner, also once that was freed."""
        return self._owner() is owner

    @property
    def adapter(self) -> Any:
        """The adapter whose method `around` is."""
        around = self._around
        return getattr(around.func if isinstance(around, functools.partial) else around, "__self__", None)

    @property
    def around(self) -> Around:
        """The wrapper around the method."""
        return self._around

    @property
    def name(self) -> str:
        """The name of the method."""
        return self._name

    @property
    def is_passive(self) -> bool:
        """Whether it was removed, and only passes calls on for a wrapper that holds on to it."""
        return self._is_passive

    @property
    def __wrapped__(self) -> Any:
        """The method as it was: the signature is read from it."""
        return self._original()

    def _original(self) -> Any:
        if self._replaced is not _ABSENT:
            return self._replaced
        owner = self.owner
        kind = cast("type[Any]", type(owner))
        for each in kind.__mro__:
            if self._name in each.__dict__:
                return each.__dict__[self._name].__get__(owner, kind)
        raise AttributeError(f"{kind.__name__} has no {self._name}()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method through the adapter."""
        original = self._original()
        if self._is_passive:
            return original(*args, **kwargs)
        return self._around(self.owner, original, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__" or "_owner" not in vars(self):  # its class lacks the method, or it is being copied
            raise AttributeError(name)
        return getattr(self._original(), name)  # __name__, __self__ and the like

    def remove(self) -> None:
        """Restore the owner's method. If another wrapper still refers to this one, it passes calls through."""
        self._is_passive = True
        attributes = cast("dict[str, Any]", vars(self.owner))
        if attributes.get(self._name) is self:
            if self._replaced is _ABSENT:
                del attributes[self._name]
            else:
                attributes[self._name] = self._replaced

    def __deepcopy__(self, memo: dict[int, Any]) -> WrappedMethod:
        clone = WrappedMethod.__new__(WrappedMethod)
        memo[id(self)] = clone
        is_part_of_its_owner = id(self.owner) in memo
        clone.__setstate__({name: copy.deepcopy(value, memo) for name, value in self.__getstate__().items()})
        # Copied alone, it is all that refers to the copy of its owner.
        clone._keeps = None if is_part_of_its_owner else clone.owner
        return clone

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (WrappedMethod,), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        replaced = {} if self._replaced is _ABSENT else {"_replaced": self._replaced}
        state = {"_owner": self.owner, "_name": self._name, "_around": self._around, "_is_passive": self._is_passive}
        return state | replaced

    def __setstate__(self, state: dict[str, Any]) -> None:
        owner = state["_owner"]
        vars(self).update({"_replaced": _ABSENT, **state, "_owner": weakref.ref(owner), "_keeps": None})
        # Unpickled as a part of its owner, it is there before the owner's attributes are. Otherwise it was pickled
        # alone, as the target of a process for example, and is all that refers to its owner.
        if cast("dict[str, Any]", vars(owner)).get(self._name) is self:
            self._keeps = owner


def wrap_method(owner: Any, name: str, around: Around) -> WrappedMethod:
    """Put an adapter around a method of one object, and return the wrapper, whose `remove` undoes it."""
    wrapped = WrappedMethod(owner, name, around)
    setattr(owner, name, wrapped)
    return wrapped


def wrapped_methods(owner: Any, name: str) -> Iterator[WrappedMethod]:
    """Iterate over the adapters' wrappers around a method, outermost first, including those that other wrappers hide.

    An adapter that wants to remove its own finds it here: to keep it would copy the target with a copied adapter.
    """
    found: list[WrappedMethod] = []
    method: Any = getattr(owner, name, None)
    while method is not None:
        if isinstance(method, WrappedMethod) and not method.is_passive:
            found.append(method)
        method = getattr(method, "__wrapped__", None)
    with suppress(TypeError):  # the owner cannot be hashed, or is not an object that could have a wrapper
        for each in _wrappers.get(owner, ()):
            hidden = each()
            # An object that equals the owner has its wrappers under the same key.
            if hidden is None or hidden.name != name or not hidden.belongs_to(owner):
                continue
            if not hidden.is_passive and hidden not in found:
                found.append(hidden)
    yield from found


def adapter_around(owner: Any, name: str) -> Any:
    """Return the outermost adapter around a method of an object, or None."""
    return next((method.adapter for method in wrapped_methods(owner, name)), None)


def remove_wrappers(owner: Any, names: Iterable[str], adapter: Any) -> None:
    """Remove an adapter's wrappers from an object, which restores its methods."""
    for name in names:
        for wrapped in tuple(wrapped_methods(owner, name)):
            if wrapped.adapter is adapter:
                wrapped.remove()


Displaced = list[tuple[int, Any]]
"""Callbacks that an adapter has taken the place of, each with its place in the list."""


def displace(registered: list[Any], publishes_the_same: Callable[[Any], bool]) -> Displaced:
    """Take the callbacks that publish the same out of a framework's list: two would publish everything twice."""
    displaced = [(place, each) for place, each in enumerate(registered) if publishes_the_same(each)]
    registered[:] = [each for each in registered if not publishes_the_same(each)]
    return displaced


def put_back(owner: Any, name: str, adapter: Any, displaced: Displaced, *, is_running: bool) -> None:
    """Take an adapter out of a framework's list, and put back what it has displaced.

    Args:
        owner: The object that has the list.
        name: The attribute that is the list.
        adapter: The adapter.
        displaced: What it has displaced.
        is_running: Whether the framework may be going through the list. It then gets a new one: in the old one, the
            entry after the adapter would move up and be passed over.
    """
    registered: list[Any] = getattr(owner, name)
    if is_running:
        registered = list(registered)
        setattr(owner, name, registered)
    registered[:] = [each for each in registered if each is not adapter]
    for place, each in displaced:
        registered.insert(place, each)


def stop_iteration_of_hook() -> RuntimeError:
    """Return the exception to raise from a StopIteration of a hook, which a loop would take for the end of its data.

    Python does the same where a StopIteration leaves a generator (PEP 479).
    """
    return RuntimeError("a hook raised StopIteration")


def check_target(target: object, kind: type | tuple[type, ...], what: str, members: Iterable[str] = ()) -> None:
    """Check the target given to `attach`.

    Args:
        target: The target.
        kind: What it must be an instance of.
        what: What to call that in the error message.
        members: Members, private ones too, that the adapter relies on.

    Raises:
        RunnerError: If it is something else, or lacks a member.
    """
    if not isinstance(target, kind):
        raise RunnerError(f"attach() takes {what}, but got {full_name(target)}: {remedy(target, kind)}")
    lacking = [name for name in members if not hasattr(target, name)]
    if lacking:
        raise RunnerError(
            f"{type(target).__name__} has no {', '.join(lacking)}, which this adapter relies on: use a version of the "
            "framework that the adapter was tried with"
        )
