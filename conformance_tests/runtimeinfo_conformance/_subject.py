"""What is put to the test."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runtimeinfo import CAPABILITIES, REQUIREMENTS, MessageHub, Requirement
from runtimeinfo_conformance._plan import Plan


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
        capabilities: What it can do beyond training: names out of `runtimeinfo.CAPABILITIES`.

    Raises:
        SubjectError: If `run` is not callable, or there is no such capability.

    Example:
        >>> def run(plan, hooks): ...
        >>> Subject("myfw", "1.0", run=run, capabilities={"val"}).capabilities
        frozenset({'val'})
    """

    name: str
    version: str
    run: Callable[[Plan, Sequence[Any]], object]
    capabilities: frozenset[str]

    def __init__(
        self,
        name: str,
        version: str,
        *,
        run: Callable[[Plan, Sequence[Any]], object],
        capabilities: Iterable[str] = (),
    ) -> None:
        if not callable(run):
            raise SubjectError(f"{name}: run must be callable as run(plan, hooks), but is {run!r}")
        declared = frozenset(capabilities)
        for unknown in sorted(declared - CAPABILITIES.keys()):
            close = difflib.get_close_matches(unknown, CAPABILITIES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(CAPABILITIES)}"
            raise SubjectError(f"{name}: there is no capability {unknown!r}; {hint}")
        for field, value in (("name", name), ("version", version), ("run", run), ("capabilities", declared)):
            object.__setattr__(self, field, value)

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

    Raises:
        SubjectError: If `make` is not callable.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> HubSubject("reference", "0.1", make=MessageHub).name
        'reference'
    """

    name: str
    version: str
    make: Callable[[str], MessageHub]

    def __init__(self, name: str, version: str, *, make: Callable[[str], MessageHub]) -> None:
        if not callable(make):
            raise SubjectError(f"{name}: make must be callable as make(name), but is {make!r}")
        for field, value in (("name", name), ("version", version), ("make", make)):
            object.__setattr__(self, field, value)

    def applies(self, requirement: Requirement) -> bool:
        """Tell whether a requirement applies to this hub."""
        return requirement.party == "hub"


AnySubject = Subject | HubSubject


def testable(subject: AnySubject) -> list[str]:
    """Return the ids of the requirements that apply to a subject and can be tested."""
    return [rule.id for rule in REQUIREMENTS.values() if subject.applies(rule) and rule.untestable is None]
