"""Faults of hubs that the kit must notice under the right requirement.

Nearly all of them are relays between the kit and any hub, so they also work with a user's hub.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from runtimeinfo import __version__
from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_conformance._subject import HubSubject
from runtimeinfo_conformance.plans import is_resumed


@dataclass(frozen=True)
class HubMutant:
    """A hub with a fault.

    Attributes:
        name: The fault in words.
        requirement: The requirement that it breaks.
        around: Inserts the fault into a hub. Called with the hub, it returns the replacement.
        is_canary: Whether it shows in every hub that meets the requirement, so that it must be noticed.
    """

    name: str
    requirement: str
    around: Callable[[Any], Any]
    is_canary: bool = True

    def subject(self) -> HubSubject:
        """Return the reference hub with the fault in it."""
        return self.applied_to(HubSubject("reference hub", __version__, make=MessageHub))

    def applied_to(self, subject: HubSubject) -> HubSubject:
        """Return the subject with the fault in it."""
        make = _FaultyHub(subject.make, self.around)
        return HubSubject(f"{subject.name} ({self.name})", subject.version, make=make, spec=subject.spec)


@dataclass(frozen=True)
class _FaultyHub:
    """Factory for hubs with a fault. It is a class, because another process must be able to import it."""

    make: Callable[[str], Any]
    around: Callable[[Any], Any]

    def __call__(self, name: str) -> Any:
        return self.around(self.make(name))


class Relay:
    """Relay that forwards everything to a hub."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a relay has no hub yet while it is being copied
            raise AttributeError(name)
        return getattr(self._hub, name)

    def get_info(self, key: str, default: Any = None) -> Any:
        return self._hub.get_info(key, default)

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._hub.update_info(key, value, resumed)

    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        self._hub.update_info_dict(info_dict, resumed)

    def pop_info(self, key: str, default: Any = None) -> Any:
        return self._hub.pop_info(key, default)

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self._hub.update_scalar(key, value, count, resumed)

    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        self._hub.update_scalars(log_dict, resumed)

    def get_scalar(self, key: str) -> Any:
        return self._hub.get_scalar(key)

    def pop_scalar(self, key: str) -> None:
        self._hub.pop_scalar(key)

    def drop_latest(self, key: str) -> None:
        self._hub.drop_latest(key)

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        infos: Mapping[str, Any] = self._hub.runtime_info
        return infos

    @property
    def log_scalars(self) -> Mapping[str, Any]:
        histories: Mapping[str, Any] = self._hub.log_scalars
        return histories

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = self._hub.state_dict()
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        self._hub.load_state_dict(state_dict)


# -- infos


class _FirstWriteWins(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, self.get_info(key, value), resumed)


class _FalsyIsNothing(Relay):
    def get_info(self, key: str, default: Any = None) -> Any:
        return super().get_info(key) or default


class _TrueIsOne(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, int(value) if isinstance(value, bool) else value, resumed)


class _InfosThroughFloats(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, int(float(value)) if type(value) is int else value, resumed)


class _DefaultIgnored(Relay):
    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return super().get_info(key)


class _FalseDefaultIsNone(Relay):
    def get_info(self, key: str, default: Any = None) -> Any:
        return super().get_info(key, default or None)


class _MissingInfoRaises(Relay):
    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return self.runtime_info[key]


class _PopDoesNotRemove(Relay):
    def pop_info(self, key: str, default: Any = None) -> Any:
        return self.get_info(key, default)


class _PopReturnsNothing(Relay):
    def pop_info(self, key: str, default: Any = None) -> Any:
        super().pop_info(key)
        return default


class _PopOfMissingRaises(Relay):
    def pop_info(self, key: str, default: Any = None) -> Any:
        self.runtime_info[key]
        return super().pop_info(key, default)


class _PopOfNoneIsTheDefault(Relay):
    def pop_info(self, key: str, default: Any = None) -> Any:
        value = super().pop_info(key)
        return default if value is None else value


class _FlagByNameOnly(Relay):
    def update_info(self, key: str, value: Any, *args: Any, resumed: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # the fault
        if args:
            raise TypeError("resumed is given by name")
        super().update_info(key, value, resumed)


class _NamedDefaultIsIgnored(Relay):
    def get_info(self, key: str, *args: Any, default: Any = None) -> Any:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride]  # the fault
        return super().get_info(key, *args)


class _DictLosesItsLast(Relay):
    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_info_dict(_without_last(info_dict), resumed)


class _PoppedIsListed(Relay):
    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._popped: dict[str, Any] = {}

    def pop_info(self, key: str, default: Any = None) -> Any:
        self._popped[key] = None
        return super().pop_info(key, default)

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        return {**self._popped, **super().runtime_info}


class _KeysInLowerCase(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key.lower(), value, resumed)

    def get_info(self, key: str, default: Any = None) -> Any:
        return super().get_info(key.lower(), default)


# -- histories


class HistoryRelay:
    """Relay that forwards everything to a history."""

    def __init__(self, history: Any) -> None:
        self._history = history

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = self._history.data
        return np.asarray(values), np.asarray(counts)

    def current(self) -> Any:
        return self._history.current()

    def mean(self, window_size: int | None = None) -> Any:
        return self._history.mean(window_size)

    def min(self, window_size: int | None = None) -> Any:
        return self._history.min(window_size)

    def max(self, window_size: int | None = None) -> Any:
        return self._history.max(window_size)

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        if method_name in ("current", "mean", "min", "max"):
            return getattr(self, method_name)(*args, **kwargs)
        return self._history.statistics(method_name, *args, **kwargs)


class _CurrentIsFirst(HistoryRelay):
    def current(self) -> Any:
        return self.data[0][0]


class _UnweightedMean(HistoryRelay):
    def mean(self, window_size: int | None = None) -> Any:
        return self.data[0][-(window_size or 0) :].mean()


class _MeanOfAll(HistoryRelay):
    def mean(self, window_size: int | None = None) -> Any:  # noqa: ARG002
        return super().mean()


class _MinOfAll(HistoryRelay):
    def min(self, window_size: int | None = None) -> Any:  # noqa: ARG002
        return super().min()


class _Swapped(HistoryRelay):
    def min(self, window_size: int | None = None) -> Any:
        return super().max(window_size)

    def max(self, window_size: int | None = None) -> Any:
        return super().min(window_size)


class _MaxFromZero(HistoryRelay):
    def max(self, window_size: int | None = None) -> Any:
        return np.maximum(0.0, super().max(window_size))


class _WindowMissesTheLast(HistoryRelay):
    def max(self, window_size: int | None = None) -> Any:
        before_last = self.data[0][:-1][-(window_size or 0) :]
        return before_last.max() if len(before_last) else super().max()


class _InSinglePrecision(HistoryRelay):
    def current(self) -> Any:
        return np.float32(super().current())


class _Reversed(HistoryRelay):
    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values[::-1], counts[::-1]


class _CountsForgotten(HistoryRelay):
    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values, np.ones_like(counts)


class _OnlyTheLatest(HistoryRelay):
    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values[-1:], counts[-1:]


class _BlockIsLost(HistoryRelay):
    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values[-4096:], counts[-4096:]


class _NamesAreMixedUp(HistoryRelay):
    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return super().statistics("max" if method_name == "min" else method_name, *args, **kwargs)


class _AnyNameIsCurrent(HistoryRelay):
    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return self.current() if not hasattr(self, method_name) else super().statistics(method_name, *args, **kwargs)


class _NamedWindowIsDropped(HistoryRelay):
    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return super().statistics(method_name, *args)


class _MinOfNamedWindow(HistoryRelay):
    def min(self, *args: Any, window_size: int | None = None) -> Any:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().min(*args)

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return super().statistics(method_name, *args, **kwargs)


class _Reading(Relay):
    """A hub with faulty histories from `get_scalar`."""

    def __init__(self, kind: type[HistoryRelay], hub: Any) -> None:
        super().__init__(hub)
        self._kind = kind

    def get_scalar(self, key: str) -> Any:
        return self._kind(super().get_scalar(key))


class _Listing(Relay):
    """A hub with faulty histories in `log_scalars`."""

    def __init__(self, kind: type[HistoryRelay], hub: Any) -> None:
        super().__init__(hub)
        self._kind = kind

    @property
    def log_scalars(self) -> Mapping[str, Any]:
        return {key: self._kind(history) for key, history in super().log_scalars.items()}


def _reading(kind: type[HistoryRelay]) -> Callable[[Any], Any]:
    return partial(_Reading, kind)


def _listing(kind: type[HistoryRelay]) -> Callable[[Any], Any]:
    return partial(_Listing, kind)


class _Window(HistoryRelay):
    def __init__(self, hub: Any, key: str) -> None:
        super().__init__(hub.get_scalar(key))
        self._hub, self._key, self._length = hub, key, len(super().data[0])

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = self._hub.get_scalar(self._key).data
        return values[-self._length :], counts[-self._length :]


class _KeptIsAWindow(Relay):
    """A hub whose returned histories keep their length."""

    def get_scalar(self, key: str) -> Any:
        return _Window(self._hub, key)


class _SharedData(HistoryRelay):
    def __init__(self, history: Any, key: str, shared: dict[str, Any]) -> None:
        super().__init__(history)
        self._key, self._shared = key, shared

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        data: tuple[Any, Any] = self._shared.setdefault(self._key, (np.array(values), np.array(counts)))
        return data


class _DataIsShared(Relay):
    """A hub that returns the same arrays until a new value arrives."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._shared: dict[str, Any] = {}

    def get_scalar(self, key: str) -> Any:
        return _SharedData(super().get_scalar(key), key, self._shared)

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, value, count, resumed)
        self._shared.clear()

    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars(log_dict, resumed)
        self._shared.clear()

    def pop_scalar(self, key: str) -> None:
        super().pop_scalar(key)
        self._shared.clear()

    def drop_latest(self, key: str) -> None:
        super().drop_latest(key)
        self._shared.clear()

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._shared.clear()


class _CachedData(HistoryRelay):
    def __init__(self, history: Any, key: str, cache: dict[str, Any]) -> None:
        super().__init__(history)
        self._key, self._cache = key, cache

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        known = self._cache.get(self._key)
        if known is None or len(known[0]) != len(values):
            known = self._cache[self._key] = (np.array(values), np.array(counts))
        return known[0].copy(), known[1].copy()


class _DataIsCachedByLength(Relay):
    """A hub that caches the arrays of a history by length."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._cache: dict[str, Any] = {}

    @property
    def log_scalars(self) -> Mapping[str, Any]:
        return {key: _CachedData(history, key, self._cache) for key, history in super().log_scalars.items()}

    def pop_scalar(self, key: str) -> None:
        super().pop_scalar(key)
        self._cache.clear()

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._cache.clear()


class _ReadsLate(HistoryRelay):
    def __init__(self, history: Any, given: Any) -> None:
        super().__init__(history)
        self._given = given

    def current(self) -> float:
        return float(self._given)


class _ValueIsReadLate(Relay):
    """A hub that keeps the latest published array, and reads it when the current value is requested."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._given: dict[str, Any] = {}

    def get_scalar(self, key: str) -> Any:
        history = super().get_scalar(key)
        return _ReadsLate(history, self._given[key]) if key in self._given else history

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, value, count, resumed)
        self._given.pop(key, None)
        if isinstance(value, np.ndarray):
            self._given[key] = value

    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars(log_dict, resumed)
        self._given.clear()

    def drop_latest(self, key: str) -> None:
        super().drop_latest(key)
        self._given.pop(key, None)

    def pop_scalar(self, key: str) -> None:
        super().pop_scalar(key)
        self._given.pop(key, None)

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._given.clear()


class _EmptyForMissing(Relay):
    def get_scalar(self, key: str) -> Any:
        return super().get_scalar(key) if key in self.log_scalars else ScalarHistory()


class _OtherErrorForMissing(Relay):
    def get_scalar(self, key: str) -> Any:
        if key not in self.log_scalars:
            raise ValueError(key)
        return super().get_scalar(key)


class _UnresumedIsNotListed(Relay):
    @property
    def log_scalars(self) -> Mapping[str, Any]:
        return MappingProxyType({key: each for key, each in super().log_scalars.items() if is_resumed(key)})


class _UpdateReplaces(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, value, count, resumed)
        self.pop_scalar(key)
        super().update_scalar(key, value, count, resumed)


class _EverySecondIsLost(Relay):
    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._updates: dict[str, int] = {}

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self._updates[key] = self._updates.get(key, 0) + 1
        if self._updates[key] % 2 or not is_scalar(value):
            super().update_scalar(key, value, count, resumed)


class _CountIgnored(Relay):
    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars({key: _without_count(each) for key, each in log_dict.items()}, resumed)


def _without_count(entry: Any) -> Any:
    return cast("dict[str, Any]", entry)["value"] if isinstance(entry, dict) else entry


def _without_last(entries: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(entries.items())[:-1] or entries)


class _ScalarsLoseTheirLast(Relay):
    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars(_without_last(log_dict), resumed)


class _TextIsZero(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, 0.0 if isinstance(value, str) else value, count, resumed)


class _FirstOfVector(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, _first(value), count, resumed)


def _first(value: Any) -> Any:
    return value[0] if np.ndim(value) == 1 and len(value) else value


class _OnlyPythonNumbers(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is not a number")
        super().update_scalar(key, value, count, resumed)


class _RefusedLeavesTrace(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        try:
            super().update_scalar(key, value, count, resumed)
        except Exception:
            if not is_scalar(value):
                super().update_scalar(key, 0.0, count, is_resumed(key))
            raise


class _RefusedSetsFlag(Relay):
    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._flags: dict[str, bool] = {}

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if self._flags.setdefault(key, resumed) != resumed:
            raise ValueError(f"the flag of {key} cannot change")
        super().update_scalar(key, value, count, resumed)


class _PopScalarDoesNothing(Relay):
    def pop_scalar(self, key: str) -> None:
        """Do nothing instead of removing the scalar."""


class _PopScalarOfMissingRaises(Relay):
    def pop_scalar(self, key: str) -> None:
        self.get_scalar(key)
        super().pop_scalar(key)


class _DropLatestDoesNothing(Relay):
    def drop_latest(self, key: str) -> None:
        """Do nothing instead of dropping the value."""


class _DropLatestOfMissingRaises(Relay):
    def drop_latest(self, key: str) -> None:
        self.get_scalar(key)
        super().drop_latest(key)


class _DropLatestDropsAll(Relay):
    def drop_latest(self, key: str) -> None:
        self.pop_scalar(key)


class _DictIsPublishedOneByOne(Relay):
    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        for key, value in info_dict.items():
            self.update_info(key, value, resumed)


class _ScalarsArePublishedOneByOne(Relay):
    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        for key, entry in log_dict.items():
            super().update_scalars({key: entry}, resumed)


class _FlagsOneByOne(Relay):
    """A hub that checks all values of a dict first, but each flag only as its entry is published."""

    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        for entry in log_dict.values():
            scalar_value(cast("dict[str, Any]", entry)["value"] if isinstance(entry, dict) else entry)
        for key, entry in log_dict.items():
            super().update_scalars({key: entry}, resumed)


# -- threads


class _UpdatesCollide(Relay):
    """A hub that loses an update during another update."""

    _is_busy = False

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if not self._is_busy:
            self._is_busy = True
            try:
                super().update_scalar(key, value, count, resumed)
            finally:
                self._is_busy = False


class _CountsCollide(Relay):
    """A hub that appends a value with the count of a concurrent update."""

    _count = 1

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self._count = count
        super().update_scalar(key, value, self._count, resumed)


# -- the state


class _FlipAccepted(Relay):
    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._flags: dict[str, bool] = {}

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        flag = self._flags.get(key, resumed)
        super().update_info(key, value, flag)
        self._flags[key] = flag

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        flag = self._flags.get(key, resumed)
        super().update_scalar(key, value, count, flag)
        self._flags[key] = flag


class _FlipRefusedTooLate(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        try:
            super().update_info(key, value, resumed)
        except Exception:
            super().update_info(key, value, not resumed)
            raise


class _FlipIsRefusedAndKept(MessageHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        try:
            super().update_info(key, value, resumed)
        except Exception:
            self._resumed_keys[key] = resumed
            raise


class _RefusedEntriesSetFlags(MessageHub):
    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        try:
            super().update_info_dict(info_dict, resumed)
        except Exception:
            for key in info_dict:
                self._resumed_keys.setdefault(key, resumed)
            raise


class _StateGoesByTheFirstFlag(MessageHub):
    """A hub that accepts a popped info as not resumable, but still saves it if it was resumable before."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._first: dict[str, bool] = {}

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._first.setdefault(key, resumed)
        super().update_info(key, value, resumed)

    def pop_info(self, key: str, default: Any = None) -> Any:
        if key not in self.log_scalars:
            self._resumed_keys.pop(key, None)
        return super().pop_info(key, default)

    def state_dict(self) -> dict[str, Any]:
        flags = self._resumed_keys
        self._resumed_keys = {**flags, **{key: True for key, flag in self._first.items() if flag and key in flags}}
        try:
            return super().state_dict()
        finally:
            self._resumed_keys = flags


class _NoneIsNotLoaded(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        before = dict(self.runtime_info)
        super().load_state_dict(state_dict)
        for key, value in dict(self.runtime_info).items():
            if value is None and key not in before:
                self.pop_info(key)


class _ScalarsNotSaved(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:  # noqa: ARG002
        super().update_scalar(key, value, count, False)


class _ScalarsAreAllSaved(Relay):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:  # noqa: ARG002
        super().update_scalar(key, value, count, True)


class _InfosNotLoaded(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        before = dict(self.runtime_info)
        super().load_state_dict(state_dict)
        for key in list(self.runtime_info):  # without pop_info, because the hub's own may be waived
            self.update_info(key, before.get(key), is_resumed(key))


class _IntsAreLoadedAsFloats(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for key, value in dict(self.runtime_info).items():
            if type(value) is int:
                self.update_info(key, float(value), is_resumed(key))


class _CountsNotSaved(MessageHub):
    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        for history in state["log_scalars"].values():
            history["counts"] = None
        return state


class _UnresumedIsSaved(MessageHub):
    def state_dict(self) -> dict[str, Any]:
        flags = self._resumed_keys
        self._resumed_keys = dict.fromkeys(flags, True)
        try:
            return super().state_dict()
        finally:
            self._resumed_keys = flags


def _of_its_own(kind: type[MessageHub]) -> Callable[[Any], Any]:
    """Return a fault that replaces the reference hub by a class instead of relaying to it."""
    return partial(_replacing, kind)


def _replacing(kind: type[MessageHub], hub: Any) -> MessageHub:
    return kind(hub.instance_name)


class _FieldsMayLack(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        try:
            super().load_state_dict(state_dict)
        except Exception:
            if state_dict.keys() >= self.state_dict().keys():
                raise


class _DamagedWipes(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        try:
            super().load_state_dict(state_dict)
        except Exception:
            for key in list(self.runtime_info):
                self.pop_info(key)
            for key in list(self.log_scalars):
                self.pop_scalar(key)
            raise


class _RefusedStateSetsFlags(MessageHub):
    """A hub that adopts the flags of a state's infos before it checks the rest.

    Args:
        name: The name of the hub.
    """

    def load_state_dict(self, state_dict: Any) -> None:
        try:
            super().load_state_dict(state_dict)
        except Exception:
            infos: Any = state_dict.get("runtime_info")
            if isinstance(infos, dict) and self._takes(state_dict):
                self._resumed_keys.update(dict.fromkeys(cast("dict[str, Any]", infos), True))
            raise

    def _takes(self, state: Any) -> bool:
        return not state.keys() >= super().state_dict().keys()


class _BrokenStateSetsFlags(_RefusedStateSetsFlags):
    def _takes(self, state: Any) -> bool:
        return not super()._takes(state)


class _LastFieldIsCheckedLast(Relay):
    """A hub that loads a state before it checks the additional field of that state."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "is whole": True}

    def load_state_dict(self, state_dict: Any) -> None:
        state = dict(state_dict)
        is_whole = state.pop("is whole")
        super().load_state_dict(state)
        if is_whole is not True:
            raise ValueError("the state is not whole")


class _LockInState(Relay):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lock": threading.Lock()}

    def load_state_dict(self, state_dict: Any) -> None:
        state = dict(state_dict)
        del state["lock"]
        super().load_state_dict(state)


_states: dict[int, Any] = {}
_tokens = itertools.count()


class _StateIsAToken(Relay):
    """A hub that saves only the key of a table in this process."""

    def state_dict(self) -> dict[str, Any]:
        token = next(_tokens)
        _states[token] = super().state_dict()
        return {"token": token}

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(_states[state_dict["token"]])


class _LiveState(Relay):
    """A hub whose states show later updates."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._given: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        self._given.append(dict(super().state_dict()))
        return self._given[-1]

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, value, resumed)
        for state in self._given:
            state.update(super().state_dict())


class _StateShowsTheBuffer(Relay):
    """A hub whose states change when a dropped value is replaced."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._given: list[dict[str, Any]] = []
        self._has_dropped = False

    def state_dict(self) -> dict[str, Any]:
        self._given.append(dict(super().state_dict()))
        return self._given[-1]

    def drop_latest(self, key: str) -> None:
        super().drop_latest(key)
        self._has_dropped = True

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, value, count, resumed)
        if self._has_dropped:
            for state in self._given:
                state.update(super().state_dict())


class _OwnInfosWin(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        before = dict(self.runtime_info)
        super().load_state_dict(state_dict)
        for key, value in before.items():
            self.update_info(key, value, is_resumed(key))


class _UnsavedInfosWin(Relay):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, value, resumed)
        if not resumed:
            self.unsaved.add(key)

    def load_state_dict(self, state_dict: Any) -> None:
        before = {key: self.get_info(key) for key in self.unsaved}
        super().load_state_dict(state_dict)
        for key, value in before.items():
            self.update_info(key, value, is_resumed(key))

    @cached_property
    def unsaved(self) -> set[str]:
        return set()


class _LoadedIsAppended(Relay):
    def load_state_dict(self, state_dict: Any) -> None:
        before = {key: self.get_scalar(key).data for key in self.log_scalars}
        super().load_state_dict(state_dict)
        for key, data in before.items():
            loaded = self.get_scalar(key).data
            if not np.array_equal(loaded[0], data[0], equal_nan=True):
                self.pop_scalar(key)
                for values, counts in (data, loaded):
                    for value, count in zip(values, counts, strict=True):
                        self.update_scalar(key, float(value), int(count), is_resumed(key))


class _CopyIsTheSame(Relay):
    def __deepcopy__(self, memo: Any) -> Any:
        return type(self)(self._hub)


HUB_MUTANTS: tuple[HubMutant, ...] = (
    HubMutant("text is taken as 0.0", "SCALAR-01", _TextIsZero),
    HubMutant("the first element of a vector is taken", "SCALAR-01", _FirstOfVector),
    HubMutant("only Python's own numbers are taken", "SCALAR-01", _OnlyPythonNumbers),
    HubMutant("a refused value leaves a zero", "SCALAR-01", _RefusedLeavesTrace),
    HubMutant("a refused value sets the flag of its key", "SCALAR-01", _RefusedSetsFlag),
    HubMutant("the first write wins", "HUB-01", _FirstWriteWins),
    HubMutant("a falsy value counts as missing", "HUB-01", _FalsyIsNothing),
    HubMutant("True becomes 1", "HUB-01", _TrueIsOne),
    HubMutant("ints go through floats", "HUB-01", _InfosThroughFloats),
    HubMutant("the flag of an info is taken by name only", "HUB-01", _FlagByNameOnly),
    HubMutant("the default is ignored", "HUB-02", _DefaultIgnored),
    HubMutant("a falsy default becomes None", "HUB-02", _FalseDefaultIsNone),
    HubMutant("get_info of a missing key raises", "HUB-02", _MissingInfoRaises),
    HubMutant("a default that is given by name is ignored", "HUB-02", _NamedDefaultIsIgnored),
    HubMutant("pop does not remove", "HUB-03", _PopDoesNotRemove),
    HubMutant("pop always returns the default", "HUB-03", _PopReturnsNothing),
    HubMutant("pop of a missing key raises", "HUB-03", _PopOfMissingRaises),
    HubMutant("pop of a None info returns the default", "HUB-03", _PopOfNoneIsTheDefault),
    HubMutant("current is the first value", "HUB-04", _reading(_CurrentIsFirst)),
    HubMutant("current is in single precision", "HUB-04", _reading(_InSinglePrecision)),
    HubMutant("an array is read only when its value is requested", "HUB-04", _ValueIsReadLate),
    HubMutant("the mean is not weighted", "HUB-05", _reading(_UnweightedMean)),
    HubMutant("the mean ignores the window", "HUB-05", _reading(_MeanOfAll)),
    HubMutant("the minimum ignores the window", "HUB-06", _reading(_MinOfAll)),
    HubMutant("the window of the maximum ends too early", "HUB-06", _reading(_WindowMissesTheLast)),
    HubMutant("minimum and maximum are swapped", "HUB-06", _reading(_Swapped)),
    HubMutant("the maximum is never below zero", "HUB-06", _reading(_MaxFromZero)),
    HubMutant("a window that is given by name is ignored", "HUB-06", _reading(_MinOfNamedWindow)),
    HubMutant("a missing scalar is an empty history", "HUB-07", _EmptyForMissing),
    HubMutant("a missing scalar raises the wrong error", "HUB-07", _OtherErrorForMissing),
    HubMutant("a changed flag is accepted", "HUB-08", _FlipAccepted),
    HubMutant("a changed flag is refused after the write", "HUB-08", _FlipRefusedTooLate),
    HubMutant("a changed flag is refused, and kept", "HUB-08", _of_its_own(_FlipIsRefusedAndKept), is_canary=False),
    HubMutant("the last entry of a dict is lost", "HUB-09", _DictLosesItsLast),
    HubMutant("an update replaces", "HUB-10", _UpdateReplaces, is_canary=False),
    HubMutant("every second update is lost", "HUB-10", _EverySecondIsLost),
    HubMutant("data is reversed", "HUB-10", _listing(_Reversed)),
    HubMutant("data has no counts", "HUB-10", _listing(_CountsForgotten)),
    HubMutant("data is the latest value only", "HUB-10", _listing(_OnlyTheLatest)),
    HubMutant("data is the last 4,096 values", "HUB-10", _listing(_BlockIsLost)),
    HubMutant("data is refreshed only when its length changes", "HUB-10", _DataIsCachedByLength),
    HubMutant("histories are not saved", "HUB-11", _ScalarsNotSaved),
    HubMutant("infos are not loaded", "HUB-11", _InfosNotLoaded),
    HubMutant("ints are loaded as floats", "HUB-11", _IntsAreLoadedAsFloats),
    HubMutant("counts are not saved", "HUB-11", _of_its_own(_CountsNotSaved), is_canary=False),
    HubMutant("a None info is lost in a load", "HUB-11", _NoneIsNotLoaded, is_canary=False),
    HubMutant("unresumable values are saved", "HUB-12", _of_its_own(_UnresumedIsSaved), is_canary=False),
    HubMutant("a scalar is saved whatever its flag is", "HUB-12", _ScalarsAreAllSaved),
    HubMutant(
        "an info that was popped is saved by its first flag",
        "HUB-12",
        _of_its_own(_StateGoesByTheFirstFlag),
        is_canary=False,
    ),
    HubMutant("a damaged state wipes the hub", "HUB-13", _DamagedWipes),
    HubMutant("a damaged state is accepted", "HUB-13", _FieldsMayLack),
    HubMutant("a damaged state leaves its flags", "HUB-13", _of_its_own(_RefusedStateSetsFlags), is_canary=False),
    HubMutant("a popped key is listed", "HUB-14", _PoppedIsListed),
    HubMutant("an unresumable history is not listed", "HUB-14", _UnresumedIsNotListed),
    HubMutant("keys are listed in lower case", "HUB-14", _KeysInLowerCase),
    HubMutant("update_scalars ignores the count", "HUB-15", _CountIgnored),
    HubMutant("update_scalars loses its last entry", "HUB-15", _ScalarsLoseTheirLast),
    HubMutant("updates at once are lost", "HUB-16", _UpdatesCollide),
    HubMutant("updates at once exchange their counts", "HUB-16", _CountsCollide),
    HubMutant("a state holds a lock", "HUB-17", _LockInState),
    HubMutant("a state is the key of a table in its process", "HUB-17", _StateIsAToken, is_canary=False),
    HubMutant("a state shows later updates", "HUB-18", _LiveState),
    HubMutant("a state shows the replacement of a dropped value", "HUB-18", _StateShowsTheBuffer),
    HubMutant("a dict is published up to its refused entry", "HUB-19", _DictIsPublishedOneByOne),
    HubMutant("scalars are published up to the refused one", "HUB-19", _ScalarsArePublishedOneByOne),
    HubMutant("scalars are published up to one with the other flag", "HUB-19", _FlagsOneByOne),
    HubMutant("refused infos leave their flag", "HUB-19", _of_its_own(_RefusedEntriesSetFlags), is_canary=False),
    HubMutant("a hub that loads keeps its own infos", "HUB-20", _OwnInfosWin),
    HubMutant("a hub that loads keeps the infos that it does not save", "HUB-20", _UnsavedInfosWin),
    HubMutant("loaded values are appended", "HUB-20", _LoadedIsAppended),
    HubMutant("a broken state is loaded by half", "HUB-21", _LastFieldIsCheckedLast),
    HubMutant("a broken state leaves its flags", "HUB-21", _of_its_own(_BrokenStateSetsFlags), is_canary=False),
    HubMutant("a history that was kept is a window", "HUB-22", _KeptIsAWindow),
    HubMutant("data is the arrays of the hub", "HUB-23", _DataIsShared),
    HubMutant("a copy shares everything with the hub", "HUB-24", _CopyIsTheSame),
    HubMutant("names of statistics are mixed up", "HUB-25", _reading(_NamesAreMixedUp)),
    HubMutant("an unknown statistic is the current value", "HUB-25", _reading(_AnyNameIsCurrent)),
    HubMutant("statistics drops a window that is given by name", "HUB-25", _reading(_NamedWindowIsDropped)),
    HubMutant("pop_scalar does nothing", "HUB-26", _PopScalarDoesNothing),
    HubMutant("pop_scalar of a missing key raises", "HUB-26", _PopScalarOfMissingRaises),
    HubMutant("drop_latest does nothing", "HUB-27", _DropLatestDoesNothing),
    HubMutant("drop_latest of a missing key raises", "HUB-27", _DropLatestOfMissingRaises),
    HubMutant("drop_latest drops everything", "HUB-27", _DropLatestDropsAll),
)
"""The faults, each with the requirement it breaks."""
