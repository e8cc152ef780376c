"""What becomes of the waivers of a subject: each one's witness is replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._replay import ReplayError, replay
from runtimeinfo_conformance._subject import AnySubject, is_upcoming
from runtimeinfo_conformance._verdict import Failure, WaivedFailure
from runtimeinfo_conformance._waiver import Waiver
from runtimeinfo_conformance._waivers import Waivers
from runtimeinfo_conformance.guards import Guard


@dataclass(frozen=True)
class WaiverJudgement:
    """What became of the waivers of a subject.

    Attributes:
        waived: For each requirement that is waived, by its id, the waiver and the failure.
        troubles: What is wrong with the waivers, a sentence each; those of their file come first.
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
                f"anew, with a later date ({waiver.issue})"
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
        return replayed.failure, f"{broke}: mend that, or give another witness"
    if replayed.failure is not None:
        return replayed.failure, None
    if not replayed.occurrences:
        return None, f"{id} does not matter on its witness: give a plan that breaks it, or delete the waiver"
    return None, f"{id} holds on its witness now: delete the waiver"
