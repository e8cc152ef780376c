"""The place in a pass over a loader, so that a resume gives the batches that are left, and no other.

A count of batches is not enough: a shuffled loader has another order in another process. So what the order depends on
is recorded as a pass begins, in `PassStart`, and put back while the batches that were had are drawn once more. A loader
that has its own state gets that instead.

What the order depends on: the global random generators of Python and NumPy, and of PyTorch if it is loaded; the
generators that the loader, its samplers and its dataset have as attributes; and their counters, such as `epoch`. What
else a sampler, a loader or a stream of a user keeps (an order that it shuffles in place, another counter, a list of
generators) is not put back, but compared: a digest tells whether it is the same. A stream that draws from a global
generator during the pass, in between the draws of the training, cannot be repeated.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from runtimeinfo import StateError
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters._adapter import ResumeWarning
from runtimeinfo_adapters._numbers import is_int
from runtimeinfo_adapters._random_states import (
    GlobalStates,
    is_generator,
    is_global_state,
    loaded_torch,
    on_cpu,
    random_marks,
    set_state,
    state_of,
    to_plain,
    torch_state,
)
from runtimeinfo_adapters._rank import global_rank

# A loader with persistent workers keeps its iterator here. The first one draws a seed that the later ones do not.
_ITERATOR = "_iterator"
# torchdata's loader makes its iterator early, and in an unknown order, if it is asked for its state before it begins:
# Accelerate does so as it prepares one.
_IS_EARLY = "_initial_iter_for_state_dict"

# From what wraps a loader to the loader; and what a loader of torchdata or litdata sets while it has a state from which
# its next pass continues.
_INSIDE = ("base_dataloader", "dataloader", "_dataloader", "loader", "_loader")
_PENDING = ("next_iter_state", "restore")

_PARTS = frozenset({"base_dataloader", "batch_sampler", "data_source", "dataloader", "dataset", "loader", "sampler"})
# How often a sampler or a loader has begun, and what it was seeded with. Samplers shuffle by these.
_COUNTERS = frozenset({"epoch", "initial_seed", "iteration", "seed"})
_RANDOM_SAMPLERS = ("RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler")
_PLAIN = frozenset({bool, dict, float, int, list, str, tuple, type(None)})

# Whose loaders and samplers draw from PyTorch's generators only.
_KNOWN = frozenset({"accelerate", "torch", "torchdata"})
_SEQUENCES = frozenset({list, range, tuple})

_REMEDY = "load what Loop.state_dict() returned"


class PassStart(NamedTuple):
    """What the order of a pass depends on, as it was when the pass began."""

    torch: Any
    """The state of PyTorch's generator; None if nothing can draw from it."""

    python: tuple[Any, ...] | None
    """The state of Python's generator; None if nothing can draw from it."""

    numpy: Any
    """The state of NumPy's generator; None if nothing can draw from it."""

    generators: dict[str, Any]
    """The states of the loader's own generators, by where they are."""

    counters: dict[str, int]
    """The loader's own counters, by where they are."""

    others: dict[str, str]
    """Digests of what else decides the order in the code of a user, by where it is."""

    reused: bool | None
    """True if the workers of an earlier pass kept running; None if unknown."""

    early: bool
    """True if the order was decided before the pass."""

    in_order: bool
    """True if the batches came in the sampler's order."""

    rank: int
    """The rank of the process."""

    @classmethod
    def of(cls, loader: Any) -> PassStart:
        """Record it, just before a pass begins."""
        generators: dict[str, Any] = {}
        counters: dict[str, int] = {}
        for path, owner, name, value in _attributes(loader):
            if name in _COUNTERS:
                counters[path] = value
            elif owner is not None and (state := state_of(value)) is not None:
                generators[path] = state
        inner = _data_loader(loader)
        in_order = inner is None or inner.num_workers == 0 or getattr(inner, "in_order", True)
        workers, early = _has_workers(inner), _is_early(inner)
        # To read NumPy's takes longer than all the rest.
        states = (
            GlobalStates(torch_state(), None, None) if _draws_from_torch_only(loader, inner) else GlobalStates.now()
        )
        others = dict(_others(loader))
        return cls(*states, generators, counters, others, workers, early, in_order, global_rank())

    def to_state(self) -> dict[str, Any]:
        """Return it in plain values and tensors."""
        return {name: to_plain(value) for name, value in self._asdict().items()}

    @classmethod
    def from_state(cls, state: Any) -> PassStart:
        """Return what `to_state` has returned once.

        Raises:
            StateError: If a field is missing or wrong.
        """
        if not isinstance(state, Mapping):
            raise _damaged("position.start", "a mapping", state)
        fields = cast("Mapping[str, Any]", state)
        kinds: dict[str, Any] = {"generators": Mapping, "counters": Mapping, "others": Mapping, "reused": bool | None}
        kinds |= {"early": bool, "in_order": bool, "rank": int}
        for name, kind in kinds.items():
            if not isinstance(fields.get(name, _MISSING), kind):
                raise _damaged(f"position.start.{name}", "as it was saved", fields.get(name))
        loaded: dict[str, Any] = {name: fields.get(name) for name in cls._fields}
        for name in GlobalStates._fields:
            if name not in fields or not is_global_state(name, loaded[name]):
                raise _damaged(f"position.start.{name}", "the state of a generator", fields.get(name))
        return cls(**loaded)

    def put_back(self, loader: Any) -> list[str]:
        """Set all generators and counters to what they were, and return where there is none any more."""
        GlobalStates(self.torch, self.python, self.numpy).put_back()
        lost = {*self.generators, *self.counters}
        for path, owner, name, value in _attributes(loader):
            if path in self.counters:
                setattr(owner, name, self.counters[path])
                lost.discard(path)
            elif path in self.generators:
                try:
                    set_state(value, self.generators[path])
                except (KeyError, RuntimeError, TypeError, ValueError):  # it is a generator of another kind
                    continue
                lost.discard(path)
        return sorted(path for path in lost if not self._make_generator(loader, path))

    def _make_generator(self, loader: Any, path: str) -> bool:
        """Make a generator that a sampler makes only when it begins for the first time."""
        *way, name = path.split(".")
        owner = loader
        for each in way:
            owner = getattr(owner, each, None)
        state = self.generators.get(path)
        torch = loaded_torch()
        if torch is None or not isinstance(state, torch.Tensor) or getattr(owner, name, _MISSING) is not None:
            return False
        made = torch.Generator()
        made.set_state(state)
        setattr(owner, name, made)
        return True


class Position(NamedTuple):
    """A place inside an epoch, at which a training resumes."""

    done: int
    """How many batches of the epoch are done."""

    passes: int = 0
    """How many passes of the epoch are over."""

    in_pass: int = 0
    """How many batches of the pass that follows them are done."""

    start: PassStart | None = None
    """What the order of that pass depends on; None in a state of an earlier release."""

    loader: Any = None
    """The loader's own state, if it has one."""

    skip: bool | None = None
    """Whether to draw the batches that were had, and drop them; None leaves it to the loader."""

    is_same_process: bool = False
    """Whether the loader is the very one that had begun the pass."""

    def to_state(self) -> dict[str, Any]:
        """Return it in plain values and tensors, and the loader's own state as it is."""
        start = None if self.start is None else self.start.to_state()
        return {"passes": self.passes, "in_pass": self.in_pass, "start": start, "loader": self.loader}

    @classmethod
    def from_state(cls, done: int, state: Any, skip: bool | None) -> Position:
        """Return what `to_state` has returned once; None stands for a state of an earlier release.

        Raises:
            StateError: If a field is missing or wrong.
        """
        if state is None:
            return cls(done, in_pass=done, skip=skip)
        if not isinstance(state, Mapping):
            raise _damaged("position", "a mapping", state)
        try:
            fields: dict[str, Any] = on_cpu(dict(cast("Mapping[str, Any]", state)))
        except RuntimeError as error:  # of the meta device, for example
            raise StateError(
                f"position cannot be copied to the CPU: {error}. Load the state with map_location='cpu'",
                field="position",
            ) from None
        for name in ("passes", "in_pass"):
            value = fields.get(name)
            if not (is_int(value) and value >= 0):
                raise _damaged(f"position.{name}", "an int from 0", value)
        start = fields.get("start")
        start = None if start is None else PassStart.from_state(start)
        return cls(done, fields["passes"], fields["in_pass"], start, fields.get("loader"), skip)

    @property
    def before_pass(self) -> int:
        """How many batches of the epoch were done when the pass began."""
        return self.done - self.in_pass

    def is_up_to(self, loader: Any) -> bool:
        """Return whether the loader resumes in a way that is not known here."""
        return self.skip is False or (self.skip is None and _own_skip(loader) > 0)

    def resume(self, loader: Any) -> Iterator[Any]:
        """Begin the pass again, and return an iterator over the batches that are left.

        The global random generators are left as they are; the loader's continue from the pass.

        Raises:
            StopIteration: If there are none.
        """
        if self.skip is False:
            return iter(loader)
        if self.is_same_process and _is_iterator(loader):
            return iter(loader)
        by_itself = self.loader is not None and self.skip is None and is_stateful(loader)
        is_restored = not by_itself and self.skip is None and _is_restored(loader)
        own_skip = 0 if by_itself or is_restored or self.skip else _own_skip(loader)
        doubts = () if is_restored else self._doubts(loader, by_itself=by_itself, own_skip=own_skip)
        for reason in doubts:
            warn_user(f"{type(loader).__name__} may give other batches than those that are left: {reason}")
        own = GlobalStates.now()
        try:
            if self.start is not None:
                _prepare_workers(loader, self.start)
                lost = self.start.put_back(loader)
                if lost:
                    warn_user(
                        f"{type(loader).__name__} may give other batches than those that are left: it has no "
                        f"{', '.join(lost)}, which it had when the state was saved. Make it in the same way"
                    )
                if self.loader is None and not is_stateful(loader):
                    self._warn_of_others(loader, self.start.others)
                _draw_seed_of_workers(loader, self.start)
            if by_itself:
                loader.load_state_dict(self.loader)
                if _is_finished(self.loader):  # it would begin the next pass
                    raise StopIteration
            batches: Iterator[Any] = iter(loader)
            goes_on = by_itself or is_restored
            self._skip(loader, batches, 0 if goes_on or own_skip else self.in_pass)
            # Its order is decided at its first batch, which must not be drawn in another random state.
            if own_skip or (goes_on and inspect.isgenerator(batches)):
                return _Prepended(next(batches), batches)
            return batches
        finally:
            own.put_back()

    def _warn_of_others(self, loader: Any, then: Mapping[str, str]) -> None:
        now = dict(_others(loader))
        changed = sorted(path for path in then.keys() | now.keys() if then.get(path) != now.get(path))
        if changed:
            warn_user(
                f"{type(loader).__name__} may give other batches than those that are left: {', '.join(changed)} of it "
                "is not what it was when the pass began, and is not restored here. Restore it, or let the order follow "
                "from a random generator that is an attribute, and from the epoch"
            )

    def _skip(self, loader: Any, batches: Iterator[Any], count: int) -> None:
        """Draw the batches that were had, and drop them."""
        inner = _data_loader(loader)
        is_stream = inner is not None and _is_stream(inner) and inner.num_workers == 0
        begun: tuple[Any, ...] | None = None
        for _ in range(count):
            next(batches)
            if is_stream and begun is None:
                begun = random_marks()
        if begun is not None and begun != random_marks():
            warn_user(
                f"{type(loader).__name__} may give other batches than those that are left: its dataset is a stream "
                "that draws from a global random generator while the pass goes on, as the training may have done in "
                "between. Give the dataset its own generator"
            )

    def _doubts(self, loader: Any, *, by_itself: bool, own_skip: int) -> Iterator[str]:
        """Yield the reasons why the resume may not be exact."""
        if by_itself:
            sampler = _eager_sampler(_data_loader(loader))
            if sampler is not None:
                yield (
                    f"it begins its sampler, {type(sampler).__name__}, several times to go on from its state, and that "
                    "has no state. Let __iter__ of the sampler be a generator, or give it a state_dict()"
                )
            if self.start is not None and self.start.early:
                yield (
                    "its order was decided before the pass began, when it was prepared, or asked for its state, and is "
                    "not in its state. Say use_stateful_dataloader=False, or shuffle with torchdata's RandomSampler"
                )
            return
        if own_skip and own_skip != self.in_pass:
            yield f"it skips {own_skip} by itself, but {self.in_pass} were had. Let it skip as many, or none"
        yield from self._doubts_about_the_state(loader)
        inner: Any = _data_loader(loader)
        start = self.start
        workers: int = 0 if inner is None else inner.num_workers
        if workers and not (getattr(inner, "in_order", True) and (start is None or start.in_order)):
            yield (
                "with in_order=False its workers give batches as they are ready, so that the ones that were had are "
                "not the first ones. Say in_order=True, or give a loader that has its own state, such as torchdata's "
                "StatefulDataLoader"
            )
        if start is None:
            if _shuffles(loader):
                yield (
                    "it shuffles, and the state, of an earlier release, does not say in which order. Save the state "
                    "with this release, or resume at the beginning of an epoch"
                )
            return
        if start.rank != global_rank() and (start.generators or _shuffles(loader)):
            yield (
                f"it shuffles, and the state is that of rank {start.rank}, but this is rank {global_rank()}. Save and "
                "load a state on each rank, or shuffle with a DistributedSampler"
            )
        if start.reused is None:
            yield "whether its workers were those of an earlier pass is not known. Say persistent_workers=False"
        elif start.reused and inner is not None and _is_stream(inner):
            yield (
                "its dataset is a stream in persistent workers, whose random state is lost. Say "
                "persistent_workers=False if the dataset shuffles"
            )

    def _doubts_about_the_state(self, loader: Any) -> Iterator[str]:
        """Yield the reason why the loader does not continue from its own state, if it has one."""
        if not is_stateful(loader):
            if self.loader is not None:
                yield "its state was saved, but it has no load_state_dict() now. Give a loader of the same kind"
        elif self.skip is None and not self.is_same_process:
            yield (
                "it has its own state, but the state of this training lacks it, so that batches are skipped by their "
                "number. Say skip_batches=False if you have loaded the loader's state yourself"
            )
        elif self.skip is None and _data_loader(loader) is None:
            # A DataLoader begins each pass with its first batch, whatever it had given before.
            yield (
                "it has its own state, which was not saved where the last run stopped, so that batches are skipped by "
                "their number. Resume from what state_dict() returned"
            )


class _Prepended(Iterator[Any]):
    """An iterator, with an item in front that was drawn already."""

    def __init__(self, first: Any, rest: Iterator[Any]) -> None:
        self._first = [first]
        self._rest = rest

    def __next__(self) -> Any:
        return self._first.pop() if self._first else next(self._rest)


def _is_iterator(loader: Any) -> bool:
    """Return whether an iterable goes on where it is, rather than begin again."""
    return isinstance(loader, Iterator)


def is_stateful(loader: Any) -> bool:
    """Return whether a loader has its own state, as torchdata's StatefulDataLoader has.

    Example:
        >>> is_stateful([1, 2])
        False
    """
    has_methods = callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))
    # One that Accelerate has prepared always has the methods, and a state only if it wraps such a loader.
    return has_methods and getattr(loader, "use_stateful_dataloader", True) is not False


def _is_restored(loader: Any, depth: int = 3) -> bool:
    """Return whether a loader, or one that it wraps, was given its own state, from which its next pass continues."""
    attributes: dict[str, Any] = getattr(loader, "__dict__", {})
    if is_stateful(loader) and any(attributes.get(name) not in (None, False) for name in _PENDING):
        return True
    return depth > 0 and any(_is_restored(attributes[name], depth - 1) for name in _INSIDE if name in attributes)


def warn_user(message: str, category: type[Warning] = ResumeWarning) -> None:
    """Warn, with the line of the caller of this package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("runtimeinfo_adapters."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


# -- the generators

_MISSING: Any = object()


def _attributes(loader: Any) -> Iterator[tuple[str, Any, str, Any]]:
    """Yield the generators and counters of a loader, of its samplers and its dataset: path, owner, name and value."""
    # Not the global ones, which have to be put back when the pass has begun; they are private in Python and NumPy.
    torch = loaded_torch()
    seen = {id(getattr(torch, "default_generator", None)), id(getattr(random, "_inst", None))}
    seen.add(id(getattr(np.random.mtrand, "_rand", 0)))
    data = None if torch is None else torch.utils.data
    parts = () if data is None else (data.DataLoader, data.Sampler, data.Dataset)
    owners: list[tuple[str, Any]] = [("", loader)]
    for prefix, owner in owners:  # which grows meanwhile: what is nearest comes first
        for name, value in tuple(getattr(owner, "__dict__", {}).items()):
            if type(value) in _PLAIN:
                if type(value) is int and name in _COUNTERS:
                    yield f"{prefix}{name}", owner, name, value
                continue
            if id(value) in seen:
                continue
            if is_generator(value):
                seen.add(id(value))
                yield f"{prefix}{name}", owner, name, value
            elif name.lstrip("_") in _PARTS or isinstance(value, parts):
                seen.add(id(value))
                # A batch sampler that skips is transparent: the one inside is where it was without it.
                is_skipping = name == "batch_sampler" and "skip_batches" in vars(owner)
                owners.append((prefix if is_skipping else f"{prefix}{name}.", value))


def _others(loader: Any) -> Iterator[tuple[str, str]]:
    """Yield where a loader, a sampler or a stream of a user keeps more that can decide the order, with its digest."""
    inner = _data_loader(loader)
    owners: list[tuple[str, Any]] = [("", loader)]
    if inner is not None:
        owners += [("sampler.", inner.sampler), ("batch_sampler.", inner.batch_sampler)]
        owners += [("batch_sampler.sampler.", getattr(inner.batch_sampler, "sampler", None))]
        if _is_stream(inner):
            owners += [("dataset.", inner.dataset)]
    seen: set[int] = set()
    for prefix, owner in owners:
        is_of_user = type(owner).__module__.partition(".")[0] not in _KNOWN
        if not is_of_user or _is_data_loader(owner) or id(owner) in seen:
            continue
        seen.add(id(owner))
        slots = (name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ()))
        names = dict.fromkeys((*getattr(owner, "__dict__", {}), *slots))
        for name in names:
            value = getattr(owner, name, None)
            text = None if name in _COUNTERS else _text_of(value)
            if text is not None:
                yield f"{prefix}{name}", hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _text_of(value: Any) -> str | None:
    """Return numbers, also those in a list, and the states of generators in a list or dict; None for all else."""
    torch = loaded_torch()
    if isinstance(value, np.ndarray) or (torch is not None and isinstance(value, torch.Tensor)):
        return repr(value.tolist())
    if isinstance(value, Mapping):
        value = tuple(cast("Mapping[Any, Any]", value).values())
    elif not isinstance(value, list | tuple):
        return repr(value) if type(value) is int else None
    items = cast("list[Any]", value)
    if items and all(is_generator(item) for item in items):
        states = [state_of(item) for item in items]
        return repr([state.tolist() if hasattr(state, "tolist") else state for state in states])
    return repr(items) if all(type(item) in {int, float} for item in items) else None


# -- the loader


def _data_loader(loader: Any) -> Any:
    """Return the DataLoader that a loader is, or has inside; None if there is none."""
    inner: Any = getattr(loader, "base_dataloader", loader)  # of one that Accelerate has prepared
    return inner if _is_data_loader(inner) else None


def _is_data_loader(loader: Any) -> bool:
    torch = loaded_torch()
    return torch is not None and isinstance(loader, torch.utils.data.DataLoader)


def _is_stream(inner: Any) -> bool:
    """Return whether a DataLoader has a stream for its dataset."""
    return isinstance(inner.dataset, loaded_torch().utils.data.IterableDataset)


def _draws_from_torch_only(loader: Any, inner: Any) -> bool:
    """Return whether no code of a user decides the order: neither a loader, nor a sampler, nor a stream."""
    if inner is None:
        return type(loader) in _SEQUENCES
    parts = (loader, inner, inner.sampler, inner.batch_sampler, _sampler_of(inner))
    known = all(type(part).__module__.partition(".")[0] in _KNOWN for part in parts if part is not None)
    return known and not _is_stream(inner)


def _has_workers(inner: Any) -> bool | None:
    """Return whether a loader has workers that continue with the next pass."""
    if inner is None or not (inner.persistent_workers and inner.num_workers):
        return False
    return vars(inner)[_ITERATOR] is not None if _ITERATOR in vars(inner) else None


def _sampler_of(inner: Any) -> Any:
    """Return what decides the order: the sampler inside of the batch samplers."""
    sampler: Any = inner.sampler if inner.batch_sampler is None else inner.batch_sampler
    while True:
        inside: Any = getattr(sampler, "batch_sampler", getattr(sampler, "sampler", None))
        if inside is None or inside is sampler:
            return sampler
        sampler = inside


def _is_early(inner: Any) -> bool:
    """Return whether a loader has decided an order before the pass began, which is not in its state."""
    attributes: dict[str, Any] = getattr(inner, "__dict__", {})
    if not type(inner).__module__.startswith("torchdata") or not attributes.get(_IS_EARLY, True):
        return False
    sampler = _sampler_of(inner)
    return not (
        isinstance(sampler, loaded_torch().utils.data.SequentialSampler)
        or type(sampler).__module__.startswith("torchdata")
    )


def _prepare_workers(loader: Any, start: PassStart) -> None:
    """Start the workers that the pass had found there."""
    inner = _data_loader(loader)
    if start.reused and _has_workers(inner) is False and inner is not None and inner.persistent_workers:
        iter(inner)


def _draw_seed_of_workers(loader: Any, start: PassStart) -> None:
    """Draw what the pass had drawn to seed its workers, which are there already."""
    inner = _data_loader(loader)
    if start.reused is False and _has_workers(inner):
        torch = loaded_torch()
        torch.empty((), dtype=torch.int64).random_(generator=inner.generator)


def _own_skip(loader: Any) -> int:
    """Return how many batches a loader skips by itself: one of Accelerate's `skip_first_batches`."""
    parts = (loader, getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None))
    found = (getattr(part, "skip_batches", 0) for part in parts)
    return max(count if is_int(count) else 0 for count in found)


def _shuffles(loader: Any) -> bool:
    """Return whether one of PyTorch's random samplers decides the order, which draws from the global generator."""
    torch = loaded_torch()
    if torch is None:
        return False
    kinds: tuple[Any, ...] = tuple(getattr(torch.utils.data, name) for name in _RANDOM_SAMPLERS)
    own_order: list[Any] = [kind.__iter__ for kind in kinds]
    owners: list[Any] = [loader]
    for owner in owners:
        if isinstance(owner, kinds) and cast("Any", type(owner)).__iter__ in own_order:
            return True
        attributes: dict[str, Any] = getattr(owner, "__dict__", {})
        parts = [attributes.get(name) for name in ("base_dataloader", "batch_sampler", "sampler")]
        owners += [part for part in parts if part is not None and not any(part is other for other in owners)]
    return False


def _eager_sampler(inner: Any) -> Any:
    """Return the user's sampler if it decides the order as soon as it begins, and has no state; None otherwise."""
    if inner is None:
        return None
    sampler = _sampler_of(inner)
    module = str(type(sampler).__module__).partition(".")[0]
    begin: Any = getattr(cast("Any", type(sampler)), "__iter__", None)
    if begin is None or module in _KNOWN or inspect.isgeneratorfunction(begin):
        return None
    return None if hasattr(sampler, "state_dict") else sampler


def _is_finished(state: Any) -> bool:
    """Return whether a loader's own state is that of the end of a pass: Accelerate says so from the last batch on."""
    return isinstance(state, Mapping) and bool(cast("Mapping[Any, Any]", state).get("_iterator_finished"))


def _damaged(field: str, expected: str, value: object) -> StateError:
    what = shown(value) if isinstance(value, int | str | None) else describe(value)
    return StateError(f"{field} must be {expected}, but is {what}: {_REMEDY}", field=field)
