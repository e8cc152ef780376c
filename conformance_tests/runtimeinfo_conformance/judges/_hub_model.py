"""The reference model of a hub, and comparisons with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from runtimeinfo import MessageHub
from runtimeinfo_conformance.judges._judge import Finding, broken, ok
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.plans import is_resumed

Entry = tuple[float, float]
"""A value and its count."""

_MOST_SHOWN = 12  # entries of a history in a finding

_EXACT = (bool, int, float, str, bytes, type(None), list, tuple, dict)


@dataclass
class HubModel:
    """The expected contents of a hub, in two plain dictionaries."""

    infos: dict[str, Any] = field(default_factory=dict[str, Any])
    scalars: dict[str, list[Entry]] = field(default_factory=dict[str, list[Entry]])

    def append(self, key: str, value: float, count: int) -> None:
        """Append to a scalar."""
        self.scalars.setdefault(key, []).append((value, count))

    def without_unresumed(self) -> HubModel:
        """Return the contents that survive a reload."""
        return HubModel(
            {key: value for key, value in self.infos.items() if is_resumed(key)},
            {key: list(entries) for key, entries in self.scalars.items() if is_resumed(key)},
        )

    def updated_by(self, loaded: HubModel) -> HubModel:
        """Return the contents of a hub after it has loaded the given ones."""
        scalars = {key: list(entries) for key, entries in loaded.scalars.items()}
        return HubModel(self.infos | loaded.infos, self.scalars | scalars)


def contents(hub: MessageHub) -> HubModel:
    """Read the complete contents of a hub."""
    scalars = {key: entries_of(history.data) for key, history in hub.log_scalars.items()}
    return HubModel(dict(hub.runtime_info), scalars)


def entries_of(data: tuple[Sequence[Any], Sequence[Any]]) -> list[Entry]:
    """Return the values and counts of a history as a list."""
    values, counts = data
    return list(zip(_numbers(values), _numbers(counts), strict=True))


def is_same_info(published: Any, found: Any) -> bool:
    """Return whether an info has the published value and type, because 1, 1.0 and True print differently."""
    kind = _type_of(published)
    if issubclass(kind, _EXACT) and _type_of(found) is not kind:
        return False
    if kind is float:
        return is_same(published, found) and (published != 0 or math.copysign(1, published) == math.copysign(1, found))
    if kind in (list, tuple):
        return len(published) == len(found) and all(map(is_same_info, published, found))
    if kind is dict:
        return published.keys() == found.keys() and all(is_same_info(published[key], found[key]) for key in published)
    dtype: Any = getattr(published, "dtype", None)
    if dtype is not None:
        return bool(getattr(found, "dtype", None) == dtype) and is_same(published, found)
    return published is found or bool(published == found)


def _type_of(value: object) -> type[Any]:
    return type(value)


def compared_infos(at: int, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Finding:
    """Compare infos. The finding shows those that differ."""
    wrong = [key for key, value in expected.items() if key not in found or not is_same_info(value, found[key])]
    more = sorted(found.keys() - expected.keys())
    if not wrong and not more:
        return ok(at)
    return broken(
        at,
        {key: expected[key] for key in wrong},
        {key: found[key] for key in (*wrong, *more) if key in found},
    )


def compared_entries(at: int, key: str, expected: list[Entry], found: Any) -> Finding:
    """Compare the entries of a history. The finding on a long one shows only the first that differ."""
    if expected == found or (isinstance(found, list) and is_same(expected, found)):
        return ok(at)
    if not isinstance(found, list):
        return broken(at, {key: _shown(expected, 0)}, {key: found})
    entries = cast("list[Entry]", found)
    pairs = zip(expected, entries, strict=False)
    first = next((index for index, (one, other) in enumerate(pairs) if not is_same(one, other)), None)
    place = min(len(expected), len(entries)) if first is None else first
    return broken(at, {key: _shown(expected, place)}, {key: _shown(entries, place)})


def compared_contents(at: int, expected: HubModel, found: HubModel) -> Finding:
    """Compare the contents of a hub. The finding shows the first part that differs."""
    infos = compared_infos(at, expected.infos, found.infos)
    if not infos.holds:
        return infos
    if expected.scalars.keys() != found.scalars.keys():
        return broken(at, {"scalars": sorted(expected.scalars)}, {"scalars": sorted(found.scalars)})
    findings = (compared_entries(at, key, entries, found.scalars[key]) for key, entries in expected.scalars.items())
    return next((finding for finding in findings if not finding.holds), ok(at))


def answer(ask: Callable[[], Any]) -> Any:
    """Return the hub's answer, or the exception that it raised, as text."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # it is the finding
        return f"raises {error!r}"


def _shown(entries: list[Entry], place: int) -> Any:
    if len(entries) <= _MOST_SHOWN:
        return entries
    return {"length": len(entries), f"entries {place} to {place + 2}": entries[place : place + 3]}


def _numbers(part: Any) -> list[float]:
    if isinstance(part, np.ndarray):
        numbers: list[float] = part.astype(float).tolist()
        return numbers
    return [float(each) for each in part]
