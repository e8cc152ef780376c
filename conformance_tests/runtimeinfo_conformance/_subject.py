"""Objects under test: runners, hubs and reducers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo.authoring import shown
from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSION, SPEC_VERSIONS, Requirement
from runtimeinfo.spec._requirements._rule import Party
from runtimeinfo_conformance._lookup import did_you_mean
from runtimeinfo_conformance.plans import Plan


class SubjectError(Exception):
    """A subject is declared in a way that cannot be."""


@dataclass(frozen=True, init=False)
class Subject:
    """A runner to be tested.

    Args:
        name: Its name.
        version: Its version.
        run: Called with a plan and hooks: builds a fresh runner, gives it the hooks, and lets it do what the plan
            says. Exceptions of the run come out of it.
        capabilities: What it can do beyond training: names out of `runtimeinfo.spec.CAPABILITIES`.
        spec: The version of the spec that it claims, and is judged by; the newest by default. What a later version
            demands is reported as upcoming.
        waivers: A TOML file of waivers: see `load_waivers`.

    Raises:
        SubjectError: If `run` is not callable, or there is no such capability or version.

    Example:
        >>> def run(plan, hooks): ...
        >>> Subject("myfw", "1.0", run=run, capabilities={"val"}).capabilities
        frozenset({'val'})
    """

    name: str
    version: str
    run: Callable[[Plan, Sequence[Any]], object]
    capabilities: frozenset[str]
    spec: str
    waivers: Path | None

    def __init__(
        self,
        name: str,
        version: str,
        *,
        run: Callable[[Plan, Sequence[Any]], object],
        capabilities: Iterable[str] = (),
        spec: str = SPEC_VERSION,
        waivers: str | Path | None = None,
    ) -> None:
        if not callable(run):
            raise SubjectError(
                f"{name}: run must be callable as run(plan, hooks), but is {shown(run)}: pass the function, uncalled"
            )
        declared = frozenset(capabilities)
        for unknown in sorted(declared - CAPABILITIES.keys()):
            raise SubjectError(f"{name}: there is no capability {unknown!r}; {did_you_mean(unknown, CAPABILITIES)}")
        _set(self, name=name, version=version, run=run, capabilities=declared, **_claims(name, spec, waivers))

    def applies(self, requirement: Requirement) -> bool:
        """Tell whether a requirement applies to this runner."""
        return requirement.party == "runner" and requirement.capabilities <= self.capabilities


@dataclass(frozen=True, init=False)
class HubSubject:
    """A hub to be tested.

    Args:
        name: Its name.
        version: Its version.
        make: Called with a name: returns a fresh, empty hub.
        spec: As for `Subject`.
        waivers: As for `Subject`.

    Raises:
        SubjectError: If `make` is not callable, or there is no such version.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> HubSubject("reference", "0.1", make=MessageHub).name
        'reference'
    """

    name: str
    version: str
    make: Callable[[str], MessageHub]
    spec: str
    waivers: Path | None

    def __init__(
        self,
        name: str,
        version: str,
        *,
        make: Callable[[str], MessageHub],
        spec: str = SPEC_VERSION,
        waivers: str | Path | None = None,
    ) -> None:
        if not callable(make):
            raise SubjectError(
                f"{name}: make must be callable as make(name), but is {shown(make)}: pass the class, say"
            )
        _set(self, name=name, version=version, make=make, **_claims(name, spec, waivers))

    def applies(self, requirement: Requirement) -> bool:
        """Tell whether a requirement applies to this hub."""
        return requirement.party == "hub"


@dataclass(frozen=True, init=False)
class ReduceSubject:
    """A reducer of scalars over the ranks of a run, to be tested on real ranks, over gloo.

    Args:
        name: Its name.
        version: Its version.
        reduce: Called on every rank with its hub and the process group: returns for each scalar what all ranks have
            published since the last call, as an object with `sum`, `count`, `mean`, `min` and `max`. It is at the top
            of a module, where the processes of the ranks find it.
        spec: As for `Subject`.
        waivers: As for `Subject`.

    Raises:
        SubjectError: If `reduce` is not callable, or there is no such version.

    Example:
        >>> from runtimeinfo_adapters.distributed import reduce
        >>> ReduceSubject("reference", "0.1", reduce=reduce).name
        'reference'
    """

    name: str
    version: str
    reduce: Callable[[Any, Any], Mapping[str, Any]]
    spec: str
    waivers: Path | None

    def __init__(
        self,
        name: str,
        version: str,
        *,
        reduce: Callable[[Any, Any], Mapping[str, Any]],
        spec: str = SPEC_VERSION,
        waivers: str | Path | None = None,
    ) -> None:
        if not callable(reduce):
            raise SubjectError(
                f"{name}: reduce must be callable as reduce(hub, group), but is {shown(reduce)}: pass the "
                "function, uncalled"
            )
        _set(self, name=name, version=version, reduce=reduce, **_claims(name, spec, waivers))

    def applies(self, requirement: Requirement) -> bool:
        """Tell whether a requirement applies to what reduces."""
        return requirement.party == "reducer"


AnySubject = Subject | HubSubject | ReduceSubject


def party_of(subject: AnySubject) -> Party:
    """Return which party a subject is."""
    if isinstance(subject, Subject):
        return "runner"
    return "hub" if isinstance(subject, HubSubject) else "reducer"


def missing_capabilities(subject: AnySubject, rule: Requirement) -> list[str]:
    """Return the capabilities that a requirement needs, and that a runner has not declared."""
    return sorted(rule.capabilities - subject.capabilities) if isinstance(subject, Subject) else []


def is_upcoming(subject: AnySubject, rule: Requirement) -> bool:
    """Tell whether a requirement came in after the version of the spec that a subject claims."""
    return SPEC_VERSIONS.index(rule.since) > SPEC_VERSIONS.index(subject.spec)


def testable(subject: AnySubject) -> list[str]:
    """Return the ids of the requirements that apply to a subject and can be tested, the upcoming ones included."""
    return [rule.id for rule in REQUIREMENTS.values() if subject.applies(rule) and rule.untestable is None]


def _claims(name: str, spec: str, waivers: str | Path | None) -> dict[str, Any]:
    if spec not in SPEC_VERSIONS:
        raise SubjectError(f"{name}: there is no spec version {spec!r}; there are {', '.join(SPEC_VERSIONS)}")
    return {"spec": spec, "waivers": None if waivers is None else Path(waivers)}


def _set(subject: AnySubject, **fields: Any) -> None:
    for field, value in fields.items():
        object.__setattr__(subject, field, value)
