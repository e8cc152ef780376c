"""Write into docs/differences.md which rules for hubs mmengine's own hub keeps, and which the reference hub.

python docs/hub_rules.py
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

from runtimeinfo.authoring import shown
from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import Failure, Report, Result, Verdict
from runtimeinfo_conformance.subjects import mmengine_hub, reference_hub

PAGE = Path(__file__).resolve().parent / "differences.md"
BEGIN, END = "<!-- hub-rules:begin -->", "<!-- hub-rules:end -->"

SYMBOLS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.WARN: "!"}


def main() -> None:
    """Write the table."""
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    table = "\n".join(lines(report(reference_hub.subject()), report(mmengine_hub.subject())))
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")
    print(f"wrote the rules for hubs into {PAGE.name}")


def report(subject: HubSubject) -> Report:
    """Put a hub to the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the framework's own
        return check(subject, PROFILES["ci"])


def lines(ours: Report, theirs: Report) -> Iterator[str]:
    """Yield the lines of the table, and what shows each rule that is broken."""
    yield ""
    yield f"| spec {SPEC_VERSION} | the rule | ours | mmengine {theirs.subject.version} |"
    yield "|---|---|:---:|:---:|"
    pairs = [
        (our, their)
        for our, their in zip(ours.results, theirs.results, strict=True)
        if our.requirement.party == "hub" and our.requirement.untestable is None
    ]
    for our, their in pairs:
        rule = our.requirement
        yield f"| [{rule.id}](spec.md#{rule.id.lower()}) | {rule.text} | {symbol(our)} | {symbol(their)} |"
    yield ""
    yield "Where mmengine's hub breaks a rule, the smallest plan that shows it, with what was expected and observed:"
    for _, their in pairs:
        if their.failure is not None:
            yield ""
            yield from broken(their.requirement.id, their.failure)
    yield ""


def symbol(result: Result) -> str:
    """Return the symbol of a verdict."""
    return SYMBOLS.get(result.verdict, result.verdict.value)


def broken(id: str, failure: Failure) -> Iterator[str]:
    """Yield the lines on one rule that is broken."""
    yield f"- **{id}**: `{failure.plan!r}`"
    expected, observed = (shown(value) for value in (failure.finding.expected, failure.finding.observed))
    yield f"  expected `{expected}`, observed `{observed}`"


if __name__ == "__main__":
    main()
