"""Waivers of a subject: their file, and the replay of each on its witness."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._lookup import UnknownRequirementError, did_you_mean, find_requirement
from runtimeinfo_conformance._replay import ReplayError, replay
from runtimeinfo_conformance._subject import AnySubject, is_upcoming
from runtimeinfo_conformance._verdict import Failure, WaivedFailure, Waiver
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.plans import AnyPlan, PlanTextError, parse_plan

_TABLE = "waiver"

_FIELDS = tuple(field.name for field in fields(Waiver))


@dataclass(frozen=True)
class Waivers:
    """The content of a file of waivers.

    Attributes:
        entries: The waivers that can be understood.
        troubles: The mistakes in the file, a sentence each.
    """

    entries: tuple[Waiver, ...] = ()
    troubles: tuple[str, ...] = ()


def load_waivers(path: Path) -> Waivers:
    """Read a file of waivers. What is wrong in it is told, not raised: it belongs in the report.

    The file is TOML, with one table for each waiver. All five fields are required; `expires` is a date of TOML, so it
    has no quotes; `witness` is a plan on which the requirement is broken, as a report prints it: a waiver is replayed
    on it each time, and never searched for. A requirement has one waiver at most.

    Args:
        path: The file.

    Returns:
        The waivers, and the troubles. A waiver with an unknown field is a trouble and counts; one with a field that
        is missing or wrong is a trouble only.

    Example:
        >>> import tempfile
        >>> text = '''
        ... [[waiver]]
        ... requirement = "FAIL-05"
        ... reason = "metrics of an aborted validation are still handed out"
        ... issue = "https://example.org/myfw/issues/12"
        ... expires = 2027-03-31
        ... witness = "Plan(val_batches=1, fault=Fault(event='before_val_iter'))"
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "waivers.toml"
        ...     _ = path.write_text(text, encoding="utf-8")
        ...     waivers = load_waivers(path)
        >>> waivers.entries[0].witness
        Plan(val_batches=1, fault=Fault(event='before_val_iter'))
        >>> waivers.troubles
        ()
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # an editor may put a byte order mark
    except OSError as error:
        return Waivers(
            troubles=(
                f"{path}: the waivers cannot be read: {error.strerror or error}: correct waivers=... of the subject",
            )
        )
    except UnicodeDecodeError as error:
        return Waivers(troubles=(f"{path}: this is not TOML: byte {error.start + 1} is not UTF-8; save it as such",))
    except (ValueError, RecursionError) as error:  # a number may be too long, an array nested too deep
        return Waivers(troubles=(f"{path}: this is not TOML: {error}",))
    reader = _Reader(str(path))
    entries = tuple(reader.read(content))
    return Waivers(entries, tuple(reader.troubles))


class _Reader:
    """Reads waivers, and collects what is wrong with them.

    Args:
        file: The name of the file.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self.troubles: list[str] = []

    def read(self, content: Mapping[str, Any]) -> Iterator[Waiver]:
        """Yield the waivers that can be understood."""
        for name, value in content.items():
            if name != _TABLE:
                self._tell("", _stray(name, value))
        tables = content.get(_TABLE, [])
        if not isinstance(tables, list):
            self._tell("", f"each waiver begins with [[{_TABLE}]], in two pairs of brackets")
            return
        seen: set[str] = set()
        for number, table in enumerate(cast("list[Any]", tables), start=1):
            waiver = self._read_entry(number, table)
            if waiver is None:
                continue
            if waiver.requirement in seen:
                self._tell(_entry(number, waiver.requirement), "this requirement has a waiver already; keep one")
            else:
                seen.add(waiver.requirement)
                yield waiver

    def _read_entry(self, number: int, table: Any) -> Waiver | None:
        if not isinstance(table, dict):
            self._tell(_entry(number, None), f"a waiver is a table, and begins with [[{_TABLE}]]")
            return None
        given = cast("dict[str, Any]", table)
        entry = _entry(number, given.get("requirement"))
        for name in given:
            if name not in _FIELDS:
                self._tell(entry, f"there is no field {name!r}; {did_you_mean(name, _FIELDS)}")
        read: dict[str, Any] = {}
        for name in _FIELDS:
            if name not in given:
                self._tell(entry, f"the field {name!r} is missing: a waiver has all of {', '.join(_FIELDS)}")
                continue
            try:
                read[name] = _READ[name](name, given[name])
            except _FieldError as error:
                self._tell(entry, str(error))
        return Waiver(**read) if read.keys() == set(_FIELDS) else None

    def _tell(self, entry: str, trouble: str) -> None:
        self.troubles.append(f"{self._file}: {entry}{trouble}")


class _FieldError(Exception):
    """A field of a waiver is wrong."""


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _FieldError(f"{name} must be a string, but is {value!r}: put it in quotes")
    if not value.strip():
        raise _FieldError(f"{name} is empty; a waiver needs one")
    return value


def _read_requirement(name: str, value: Any) -> str:
    try:
        return find_requirement(_read_text(name, value)).id
    except UnknownRequirementError as error:
        raise _FieldError(str(error)) from None


def _read_date(name: str, value: Any) -> date:
    if isinstance(value, str) and _is_date(value):
        raise _FieldError(f"{name} is a string; drop the quotes: {name} = {value}")
    if type(value) is not date:  # a datetime is a date, too
        raise _FieldError(f"{name} must be a date, as in {name} = 2027-03-31, but is {value!s}")
    return value


def _read_witness(name: str, value: Any) -> AnyPlan:
    try:
        return parse_plan(_read_text(name, value))
    except PlanTextError as error:
        raise _FieldError(f"the {name} is not a plan: {error}") from None


_READ: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "requirement": _read_requirement,
        "reason": _read_text,
        "issue": _read_text,
        "expires": _read_date,
        "witness": _read_witness,
    }
)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2027-03-31")  # Python reads more spellings than TOML does


def _stray(name: str, value: Any) -> str:
    if isinstance(value, dict | list):
        return f"there is no table [[{name}]]; did you mean [[{_TABLE}]]?"
    return f"{name!r} is in no waiver; write [[{_TABLE}]] in a line above it"


def _entry(number: int, requirement: Any) -> str:
    named = f" ({requirement})" if isinstance(requirement, str) else ""
    return f"waiver {number}{named}: "


@dataclass(frozen=True)
class WaiverJudgement:
    """The outcome for the waivers of a subject.

    Attributes:
        waived: For each requirement that is waived, by its id, the waiver and the failure.
        troubles: The mistakes in the waivers, a sentence each; those of their file come first.
    """

    waived: Mapping[str, WaivedFailure]
    troubles: tuple[str, ...]


def judge_waivers(subject: AnySubject, waivers: Waivers, today: date, *, guard: Guard | None = None) -> WaiverJudgement:
    """Replay each waiver on its witness, and tell which of them count.

    A waiver counts where its requirement is still broken on its witness. One that has expired counts, too, so that
    the report names the cause: it is the trouble that decides.

    Args:
        subject: The subject.
        waivers: Its waivers.
        today: The day of the judgement.
        guard: What watches the subject: see `judge_plan`.

    Returns:
        The waived failures, and all troubles: those of the file, then those of the waivers in it.
    """
    waived: dict[str, WaivedFailure] = {}
    troubles = list(waivers.troubles)
    for waiver in waivers.entries:
        failure, trouble = _judge(subject, waiver, guard)
        if trouble is not None:
            troubles.append(trouble)
        if failure is None:
            continue
        waived[waiver.requirement] = WaivedFailure(waiver, failure)
        if waiver.expires < today:
            troubles.append(
                f"the waiver of {waiver.requirement} expired on {waiver.expires}: repair the requirement, or decide "
                f"again, with a later date ({waiver.issue})"
            )
    return WaiverJudgement(waived, tuple(troubles))


def _judge(subject: AnySubject, waiver: Waiver, guard: Guard | None) -> tuple[Failure | None, str | None]:
    """Return how the requirement of a waiver is broken on its witness, and what is wrong with the waiver."""
    id = waiver.requirement
    rule = REQUIREMENTS.get(id)
    if rule is not None and subject.applies(rule) and is_upcoming(subject, rule):
        claims = f"{subject.name} claims {subject.spec}"
        return None, f"{id} is demanded from spec {rule.since} on, and {claims}: delete the waiver"
    try:
        replayed = replay(subject, id, waiver.witness, guard=guard)
    except ReplayError as error:
        return None, f"the waiver of {id} cannot be replayed: {error}"
    if replayed.crash is not None:
        broke = f"{subject.name} broke on the witness of {id}: {replayed.crash.error!r}"
        return replayed.failure, f"{broke}: fix that, or give another witness"
    if replayed.failure is not None:
        return replayed.failure, None
    if not replayed.occurrences:
        return None, f"{id} does not matter on its witness: give a plan that breaks it, or delete the waiver"
    return None, f"{id} holds on its witness now: delete the waiver"
