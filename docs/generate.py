"""Write what is generated: the spec page with its picture, badges, and what conformance.md and adapters.md take in.

python docs/generate.py            writes
python docs/generate.py --check    writes nothing, and fails if something would change
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from adapter_features import feature_table
from badges import badges_of_the_project
from lifecycle_picture import lifecycle_svg

from runtimeinfo.spec import (
    CAPABILITIES,
    GRAMMAR,
    HOOK_POINTS,
    INFERRED_RULES,
    INFERRED_VALUES,
    REQUIREMENTS,
    SPEC_VERSION,
    SPEC_VERSIONS,
    Requirement,
)
from runtimeinfo_conformance.command_line._explain import faults_of
from runtimeinfo_conformance.judges import JUDGES
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.judges.reduce import judge_reduce

ROOT = Path(__file__).resolve().parent.parent

# A version of the spec is a draft until it has its file here: the tests hold the rules to it.
FROZEN = ROOT / "protocol" / "tests" / "frozen"

GROUPS = {
    "LIFE": "Lifecycle",
    "STAGE": "Stage",
    "COUNT": "Counters",
    "META": "Metadata",
    "SCALAR": "Scalars",
    "HUB": "Hub",
    "RESUME": "Resume",
    "FAIL": "Abnormal ends",
    "ORDER": "Hooks",
    "SHARE": "Other processes",
    "SCOPE": "Whose run answers",
    "DIST": "Reducing over ranks",
}


def main() -> int:
    """Write, or check, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, text in generated():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} is stale: run `make docs`" if check else f"wrote {path}")
    return 1 if check and stale else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each generated file and what it has to hold."""
    yield ROOT / "docs" / "spec.md", "\n".join(spec_page()) + "\n"
    yield ROOT / "docs" / "lifecycle.svg", lifecycle_svg()
    example = (ROOT / "docs" / "examples" / "third_party" / "test_conformance.py").read_text(encoding="utf-8")
    page = ROOT / "docs" / "conformance.md"
    yield page, between(page, "third-party", f"```python\n{example}```")
    adapters = ROOT / "docs" / "adapters.md"
    yield adapters, between(adapters, "features", feature_table())
    yield from badges_of_the_project()


def between(page: Path, marker: str, content: str) -> str:
    """Return a page with what stands between the markers of a name replaced."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    if begin not in text or end not in text:
        sys.exit(f"{page.relative_to(ROOT)} lacks {begin} or {end}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def spec_page() -> Iterator[str]:
    """Yield the lines of the spec page."""
    yield from (
        f"# The spec, version {with_status(SPEC_VERSION)}",
        "",
        "What has to be kept by a *runner*, which trains, validates or tests, and emits events; by a *hub*, which",
        "holds what is published; and by a *reducer*, which brings the scalars of several ranks together. MUST and",
        "SHOULD are those of [RFC 2119](https://www.rfc-editor.org/rfc/rfc2119). Written by `make docs`, out of the",
        "registry of requirements and the table of the lifecycle.",
        "",
        "## Lifecycle",
        "",
        "Each line is a *scope*, from the event that opens it to the one that closes it, with what may lie in between:",
        "`|` is *or*, `*` is any number of these, none included, and `+` is one at least.",
        "",
        "```text",
        *productions(),
        "```",
        "",
        "![The scopes of a run as nested boxes, each with the events that open and close it.](lifecycle.svg)",
        "",
        "`on_exception` may come wherever a scope is open. Then the open scopes close, innermost first, as far out as",
        "the exception goes; these closes need no epoch inside a validation or test. `before_save_checkpoint` and",
        "`after_load_checkpoint` may come anywhere.",
        "",
        "## Hook points",
        "",
        "A *hook* is an object with methods of these names, all or some. Each is called with the runner, and then with",
        "these keyword arguments.",
        "",
        "| hook point | arguments |",
        "|---|---|",
        *(f"| `{point}` | {', '.join(f'`{name}`' for name in names)} |" for point, names in HOOK_POINTS.items()),
        "",
        "## Capabilities",
        "",
        "What a runner can do beyond training. It declares it; a requirement that needs more does not apply to it.",
        "",
        "| capability | promise |",
        "|---|---|",
        *(f"| `{name}` | {promise} |" for name, promise in CAPABILITIES.items()),
        "",
        "## Inferred runs",
        "",
        "Under `runtimeinfo run`, a training whose code publishes nothing is inferred from what it does with PyTorch.",
        "Such a run keeps none of the requirements below. Each of its values means what this table says, or is absent.",
        "It has no total: `max_epochs` and `max_iters` cannot be known.",
        "",
        "| key | meaning |",
        "|---|---|",
        *(f"| `{key}` | {meaning} |" for key, meaning in INFERRED_VALUES.items()),
        "",
        *(f"- {rule}" for rule in INFERRED_RULES),
        "",
        "## Versions",
        "",
        "A version has the requirements that came in with it, and those of the versions before. Once it is out,",
        "none of them changes any more. A draft may change until the first release that brings it.",
        *versions(),
        "",
        "### What needs a new version",
        "",
        *what_needs_a_version(),
        "",
        "## Requirements",
    )
    for prefix, title in GROUPS.items():
        yield from ("", f"### {title}")
        for rule in REQUIREMENTS.values():
            if rule.id.startswith(f"{prefix}-"):
                yield from requirement(rule)


def productions() -> Iterator[str]:
    """Yield the grammar, a production for each scope."""
    for name, scope in GRAMMAR.items():
        inside = [child for child, row in GRAMMAR.items() if name in row.inside]
        times = "+" if scope.at_least_one else "*"
        body = f" ({' | '.join(inside)}){times}" if inside else ""
        yield f"{name:<11} := before_{name}{body} after_{name}"


def versions() -> Iterator[str]:
    """Yield each version with what came in with it."""
    for version in SPEC_VERSIONS:
        yield from ("", f"### {with_status(version)}")
        for prefix, title in GROUPS.items():
            ids = [id for id, rule in REQUIREMENTS.items() if rule.since == version and id.startswith(f"{prefix}-")]
            if ids:
                yield from ("", f"{title}: {', '.join(f'[{id}](#{id.lower()})' for id in ids)}")


def what_needs_a_version() -> Iterator[str]:
    """Yield what binds in a version that is out, as its file there has it, and what does not."""
    bound = {name for file in FROZEN.glob("spec-*.json") for name in json.loads(file.read_text("utf-8"))["rules"][0]}
    names = ", ".join(f"`{name}`" for name in sorted(bound))
    yield from (
        f"Once a version is out, these are fixed of each of its requirements: {names}.",
        "None of it changes, and no requirement goes. So",
        "",
        "- a requirement that is new, or that says something else, gets a new id and comes with a new version;",
        "- one that turns out to demand what it should not stays, and the new version has another one in its place;",
        "- an event, a scope or a place in the grammar, and an argument of a hook point, come with a new version too,",
        "  since requirements speak of them;",
        "- a capability comes with the version whose requirements need it.",
        "",
        "No new version is needed for an intent, an example or a clearer page, for a plan, a mutant or a better",
        "message of the kit, nor for a judge that now notices what the words have always said.",
    )


def with_status(version: str) -> str:
    """Return a version, and say of a draft that it is one."""
    return version if (FROZEN / f"spec-{version}.json").exists() else f"{version} (draft)"


def requirement(rule: Requirement) -> Iterator[str]:
    """Yield the section of a requirement."""
    yield from ("", f"#### {rule.id}", "", prose(rule.text), "", f"*Intent.* {prose(rule.intent)}")
    yield from ("", f"*Example.* {prose(rule.example)}")
    facts = [f"**{rule.level}**, kept by the {rule.party}, since {rule.since}"]
    if rule.capabilities:
        facts.append(f"needs {' and '.join(f'`{name}`' for name in sorted(rule.capabilities))}")
    yield from ("", "; ".join(facts) + ".")
    if rule.untestable:
        yield from ("", f"*Not tested.* {prose(rule.untestable)}")
    else:
        yield from ("", f"*Judged by* {judge_of(rule)}.")
    faults = faults_of(rule)
    if faults:
        yield from ("", f"*The kit notices, for instance:* {prose('; '.join(faults))}.")


def judge_of(rule: Requirement) -> str:
    """Return which function of the kit decides a requirement, and where it is.

    For a runner there is one for each requirement; for a hub, and for a reducer, one that follows a plan step by step.
    """
    judge = JUDGES.get(rule.id, {"hub": judge_hub, "reducer": judge_reduce}.get(rule.party))
    if judge is None:
        sys.exit(f"{rule.id} has no judge, and does not say why")
    path = f"{judge.__module__.replace('.', '/')}.py"
    if rule.id not in (ROOT / "conformance_tests" / path).read_text(encoding="utf-8"):
        sys.exit(f"{path} knows nothing of {rule.id}")
    return f"`{judge.__name__}` in [{path.partition('/')[2]}](../conformance_tests/{path})"


def prose(text: str) -> str:
    """Escape what Markdown would take for a tag or a link, outside of code: train/<name>, and [[5, 1], [0, 6]]."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"[<\[\]*]", r"\\\g<0>", part) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
