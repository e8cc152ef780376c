"""Broken hubs: the reference hub with a fault each, which the kit has to notice under the right requirement.

They are of no use as canaries, as the runners' faults are: they cannot be put into somebody else's hub.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from runtimeinfo import __version__
from runtimeinfo.authoring import is_scalar
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_conformance._subject import HubSubject


@dataclass(frozen=True)
class HubMutant:
    """A hub with a fault.

    Attributes:
        name: What the fault is.
        requirement: The requirement that it breaks.
        make: Makes the hub, from its name.
    """

    name: str
    requirement: str
    make: Callable[[str], MessageHub]

    def subject(self) -> HubSubject:
        """Return the hub as a subject."""
        return HubSubject(f"reference hub ({self.name})", __version__, make=self.make)


# -- infos


class _FirstWriteWins(MessageHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, self._runtime_info.get(key, value), resumed)


class _FalsyIsNothing(MessageHub):
    def get_info(self, key: str, default: Any = None) -> Any:
        return super().get_info(key) or default


class _DefaultIgnored(MessageHub):
    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return super().get_info(key)


class _MissingInfoRaises(MessageHub):
    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return self._runtime_info[key]


class _PopDoesNotRemove(MessageHub):
    def pop_info(self, key: str, default: Any = None) -> Any:
        return self.get_info(key, default)


class _PopReturnsNothing(MessageHub):
    def pop_info(self, key: str, default: Any = None) -> Any:
        super().pop_info(key)
        return default


class _PopOfMissingRaises(MessageHub):
    def pop_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return self._runtime_info.pop(key)


class _DictLosesItsLast(MessageHub):
    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_info_dict(dict(list(info_dict.items())[:-1]), resumed)


class _PoppedIsListed(MessageHub):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._popped: dict[str, Any] = {}

    def pop_info(self, key: str, default: Any = None) -> Any:
        self._popped[key] = None
        return super().pop_info(key, default)

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        return {**self._popped, **super().runtime_info}


# -- histories


class _History(ScalarHistory):
    """A copy of a history, for one of its methods to be wrong."""

    __slots__ = ()

    @classmethod
    def of(cls, history: ScalarHistory) -> ScalarHistory:
        """Copy a history."""
        return cls(*history.data)


class _CurrentIsFirst(_History):
    __slots__ = ()

    def current(self) -> Any:
        return self.data[0][0]


class _UnweightedMean(_History):
    __slots__ = ()

    def mean(self, window_size: int | None = None) -> Any:
        return self.data[0][-(window_size or 0) :].mean()


class _MeanOfAll(_History):
    __slots__ = ()

    def mean(self, window_size: int | None = None) -> Any:  # noqa: ARG002
        return super().mean()


class _MinOfAll(_History):
    __slots__ = ()

    def min(self, window_size: int | None = None) -> Any:  # noqa: ARG002
        return super().min()


class _WindowMissesTheLast(_History):
    __slots__ = ()

    def max(self, window_size: int | None = None) -> Any:
        before_last = self.data[0][:-1][-(window_size or 0) :]
        return before_last.max() if len(before_last) else super().max()


class _Reversed(_History):
    __slots__ = ()

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values[::-1], counts[::-1]


class _CountsForgotten(_History):
    __slots__ = ()

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values, np.ones_like(counts)


class _OnlyTheLatest(_History):
    __slots__ = ()

    @property
    def data(self) -> tuple[Any, Any]:
        values, counts = super().data
        return values[-1:], counts[-1:]


def _reading(kind: type[_History]) -> Callable[[str], MessageHub]:
    """Make a hub whose histories read wrong where statistics are asked of them."""

    class Hub(MessageHub):
        def get_scalar(self, key: str) -> ScalarHistory:
            return kind.of(super().get_scalar(key))

    return Hub


def _listing(kind: type[_History]) -> Callable[[str], MessageHub]:
    """Make a hub whose histories read wrong where all of them are listed."""

    class Hub(MessageHub):
        @property
        def log_scalars(self) -> Mapping[str, ScalarHistory]:
            return {key: kind.of(history) for key, history in super().log_scalars.items()}

    return Hub


class _EmptyForMissing(MessageHub):
    def get_scalar(self, key: str) -> ScalarHistory:
        return super().get_scalar(key) if key in self._log_scalars else ScalarHistory()


class _OtherErrorForMissing(MessageHub):
    def get_scalar(self, key: str) -> ScalarHistory:
        if key not in self._log_scalars:
            raise ValueError(key)
        return super().get_scalar(key)


class _UnresumedIsNotListed(MessageHub):
    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        return MappingProxyType({key: each for key, each in super().log_scalars.items() if self._resumed_keys[key]})


class _UpdateReplaces(MessageHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if is_scalar(value) and self._resumed_keys.get(key, resumed) == resumed:
            self.pop_scalar(key)
        super().update_scalar(key, value, count, resumed)


class _CountIgnored(MessageHub):
    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars({key: _without_count(each) for key, each in log_dict.items()}, resumed)


def _without_count(entry: Any) -> Any:
    return cast("dict[str, Any]", entry)["value"] if isinstance(entry, dict) else entry


class _ScalarsLoseTheirLast(MessageHub):
    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        super().update_scalars(dict(list(log_dict.items())[:-1]), resumed)


class _TextIsZero(MessageHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        super().update_scalar(key, 0.0 if isinstance(value, str) else value, count, resumed)


class _FirstOfVector(MessageHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        is_vector = isinstance(value, list) or getattr(value, "ndim", 0) == 1
        super().update_scalar(key, value[0] if is_vector else value, count, resumed)


class _OnlyPythonNumbers(MessageHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is no number")
        super().update_scalar(key, value, count, resumed)


class _RefusedLeavesTrace(MessageHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if not is_scalar(value):
            self._log_scalars.setdefault(key, ScalarHistory())
        super().update_scalar(key, value, count, resumed)


# -- the state


class _FlipAccepted(MessageHub):
    def _check_resumed(self, key: str, resumed: bool) -> None:
        """Refuse nothing."""


class _FlipRefusedTooLate(MessageHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._runtime_info[key] = value
        super().update_info(key, value, resumed)


class _HistoryLost(MessageHub):
    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        for key in list(state["log_scalars"])[:1]:
            del state["log_scalars"][key], state["resumed_keys"][key]
        return state


class _InfosNotLoaded(MessageHub):
    def load_state_dict(self, state_dict: Any) -> None:
        before = self._runtime_info.copy()
        super().load_state_dict(state_dict)
        self._runtime_info = before


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


class _DamagedWipes(MessageHub):
    def load_state_dict(self, state_dict: Any) -> None:
        for mine in (self._log_scalars, self._runtime_info, self._resumed_keys):
            cast("dict[str, Any]", mine).clear()
        super().load_state_dict(state_dict)


class _DamagedAccepted(MessageHub):
    def load_state_dict(self, state_dict: Any) -> None:
        nothing: dict[str, Any] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        state = {**nothing, **state_dict}
        published = state["log_scalars"].keys() | state["runtime_info"].keys()
        super().load_state_dict({**state, "resumed_keys": dict.fromkeys(published, True)})


HUB_MUTANTS: tuple[HubMutant, ...] = (
    HubMutant("text is taken as 0.0", "SCALAR-01", _TextIsZero),
    HubMutant("of a vector the first element is taken", "SCALAR-01", _FirstOfVector),
    HubMutant("only Python's own numbers are taken", "SCALAR-01", _OnlyPythonNumbers),
    HubMutant("a refused value leaves an empty history", "SCALAR-01", _RefusedLeavesTrace),
    HubMutant("the first write wins", "HUB-01", _FirstWriteWins),
    HubMutant("a false value counts as nothing", "HUB-01", _FalsyIsNothing),
    HubMutant("the default is ignored", "HUB-02", _DefaultIgnored),
    HubMutant("get_info of a missing key raises", "HUB-02", _MissingInfoRaises),
    HubMutant("pop does not remove", "HUB-03", _PopDoesNotRemove),
    HubMutant("pop returns the default at all times", "HUB-03", _PopReturnsNothing),
    HubMutant("pop of a missing key raises", "HUB-03", _PopOfMissingRaises),
    HubMutant("current is the first value", "HUB-04", _reading(_CurrentIsFirst)),
    HubMutant("the mean is not weighted", "HUB-05", _reading(_UnweightedMean)),
    HubMutant("the mean ignores the window", "HUB-05", _reading(_MeanOfAll)),
    HubMutant("the minimum ignores the window", "HUB-06", _reading(_MinOfAll)),
    HubMutant("the window of the maximum ends too early", "HUB-06", _reading(_WindowMissesTheLast)),
    HubMutant("a missing scalar is an empty history", "HUB-07", _EmptyForMissing),
    HubMutant("a missing scalar raises something else", "HUB-07", _OtherErrorForMissing),
    HubMutant("a changed flag is accepted", "HUB-08", _FlipAccepted),
    HubMutant("a changed flag is refused after the write", "HUB-08", _FlipRefusedTooLate),
    HubMutant("the last entry of a dict is lost", "HUB-09", _DictLosesItsLast),
    HubMutant("an update replaces", "HUB-10", _UpdateReplaces),
    HubMutant("data is reversed", "HUB-10", _listing(_Reversed)),
    HubMutant("data has no counts", "HUB-10", _listing(_CountsForgotten)),
    HubMutant("data is the latest value only", "HUB-10", _listing(_OnlyTheLatest)),
    HubMutant("a history is not saved", "HUB-11", _HistoryLost),
    HubMutant("infos are not loaded", "HUB-11", _InfosNotLoaded),
    HubMutant("counts are not saved", "HUB-11", _CountsNotSaved),
    HubMutant("what is not resumable is saved", "HUB-12", _UnresumedIsSaved),
    HubMutant("a damaged state wipes the hub", "HUB-13", _DamagedWipes),
    HubMutant("a damaged state is accepted", "HUB-13", _DamagedAccepted),
    HubMutant("a popped key is listed", "HUB-14", _PoppedIsListed),
    HubMutant("an unresumable history is not listed", "HUB-14", _UnresumedIsNotListed),
    HubMutant("update_scalars ignores the count", "HUB-15", _CountIgnored),
    HubMutant("update_scalars loses its last entry", "HUB-15", _ScalarsLoseTheirLast),
)
"""The faults, each with the requirement that it breaks."""
