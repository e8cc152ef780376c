"""Mutants: subjects with a fault between the runner and its hooks that the kit must notice.

In that place, a fault works with any subject. It can lose or repeat an event, replace the runner or the arguments, or
change the contents of the hub.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from runtimeinfo.spec import EVENTS, HOOK_POINTS
from runtimeinfo_conformance._subject import Subject, testable
from runtimeinfo_conformance.observation import Recorder, observer_of
from runtimeinfo_conformance.plans import Plan

Call = Callable[[Any, dict[str, Any]], object]
"""Delivers an event to a hook: called with the runner and the arguments."""

Fault = Callable[[str, Call, Any, dict[str, Any]], object]
"""Intercepts an event: called with the event, its delivery, the runner and the arguments."""

MakeFault = Callable[[Plan, Any], Fault]
"""Creates the fault for one hook of a run on a plan."""

Around = Callable[[Callable[[], object]], object]
"""Wraps a whole run. Called with a function that runs it."""


def no_fault(_plan: Plan, _hook: object) -> Fault:
    """Deliver everything unchanged."""
    return lambda _event, call, runner, given: call(runner, given)


def _just_run(run: Callable[[], object]) -> object:
    return run()


def _always(_plan: Plan) -> bool:
    return True


def goes_well(plan: Plan) -> bool:
    """Return whether the plan has no fault."""
    return plan.fault is None


def is_resumed(plan: Plan) -> bool:
    """Return whether the training resumes from a checkpoint."""
    return plan.resume_from is not None


@dataclass(frozen=True)
class Mutant:
    """A subject with a fault.

    Attributes:
        name: The fault in words.
        requirement: The requirement that it breaks.
        make: Creates the fault for one hook of a run on a plan.
        needs: The capabilities, in addition to the requirement's, that the fault needs to show, separated by blanks.
        around: A fault in the end of the run that no hook sees.
        when: The plans on which the fault is active, by default all.
        is_canary: Whether it shows in every runner that meets the requirement, so that it must be noticed.
    """

    name: str
    requirement: str
    make: MakeFault = no_fault
    needs: str = ""
    around: Around = _just_run
    when: Callable[[Plan], bool] = _always
    is_canary: bool = True

    def fits(self, subject: Subject) -> bool:
        """Return whether the fault shows with the declared capabilities of a subject."""
        return self.requirement in testable(subject) and subject.capabilities.issuperset(self.needs.split())

    def applied_to(self, subject: Subject) -> Subject:
        """Return the subject with the fault in it."""

        def run(plan: Plan, hooks: Sequence[Any]) -> object:
            whole = _whole(plan, hooks)
            if not self.when(whole):
                return subject.run(plan, hooks)
            relays = [_behind(hook, self.make(whole, hook)) for hook in hooks]
            return self.around(lambda: subject.run(plan, relays))

        return Subject(
            f"{subject.name} ({self.name})",
            subject.version,
            run=run,
            capabilities=subject.capabilities,
            spec=subject.spec,
        )


def _whole(plan: Plan, hooks: Sequence[Any]) -> Plan:
    """Return the plan with the options hidden from the subject, such as the fault."""
    recorders = (observer for hook in hooks if isinstance(observer := observer_of(hook), Recorder))
    return next((recorder.leg.plan for recorder in recorders), plan)


_FAULT = "_fault_in_the_way"
"""The attribute of a relay that holds its fault."""


def _behind(hook: Any, fault: Fault) -> Any:
    """Return a copy of a hook, of a subclass of its class, whose events a fault intercepts."""
    relay, kind = copy.copy(hook), cast("Hashable", type(hook))
    relay.__class__ = _relay_class(kind)
    relay.__dict__[_FAULT] = fault
    return relay


@cache
def _relay_class(kind: Any) -> Any:
    def passing(event: str) -> Any:
        original = getattr(kind, event)

        def method(self: Any, runner: Any, *args: Any, **kwargs: Any) -> object:
            given = {**dict(zip(HOOK_POINTS[event], args, strict=False)), **kwargs}
            fault: Fault = self.__dict__[_FAULT]
            return fault(event, lambda shown, changed: original(self, shown, **changed), runner, given)

        return method

    methods = {event: passing(event) for event in EVENTS if hasattr(kind, event)}
    return type(kind.__name__, (kind,), methods)
