"""The announcements of CHANGELOG.md are true."""

import re
from pathlib import Path

import pytest

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
LINES = PAGE.splitlines()


def line_with(beginning):
    (line,) = [line for line in LINES if line.startswith(beginning)]
    return line


@pytest.mark.parametrize("version", SPEC_VERSIONS[1:])
def test_a_version_of_the_spec_is_announced_with_all_its_requirements(version):
    named = re.findall(r"\b[A-Z]+-\d\d\b", line_with(f"- Version {version} "))
    brought = [id for id, rule in REQUIREMENTS.items() if rule.since == version]
    assert named == brought, f"name each requirement of {version} in its line of CHANGELOG.md, in the order of the spec"


def test_released_spec_is_frozen_and_draft_is_not():
    """The page says which versions are out and which are drafts, as protocol/tests/frozen has it."""
    frozen = {path.stem.removeprefix("spec-") for path in (ROOT / "protocol" / "tests" / "frozen").glob("*.json")}
    (told,) = re.findall(r"the spec has versions of its own, of which (.+)\.$", PAGE, flags=re.MULTILINE)
    assert told == told_of(SPEC_VERSIONS, frozen)
    for version in SPEC_VERSIONS[1:]:
        assert line_with(f"- Version {version} ").startswith(f"- Version {version} (draft) ") == (version not in frozen)


def told_of(versions, frozen):
    """Return how the page tells which versions are out, and which are drafts."""
    parts = []
    for one, several, named in (
        ("is out", "are out", [version for version in versions if version in frozen]),
        ("is a draft", "are drafts", [version for version in versions if version not in frozen]),
    ):
        if named:
            parts.append(f"{' and '.join(named)} {one if len(named) == 1 else several}")
    return " and ".join(parts)


def test_a_release_tells_that_its_draft_is_out():
    assert told_of(("0.1", "0.2"), {"0.1"}) == "0.1 is out and 0.2 is a draft"
    assert told_of(("0.1", "0.2", "0.3"), {"0.1"}) == "0.1 is out and 0.2 and 0.3 are drafts"
    assert told_of(("0.1", "0.2"), {"0.1", "0.2"}) == "0.1 and 0.2 are out"


def test_the_capabilities_and_fields_that_are_announced_are_there():
    from runtimeinfo_conformance import Batch, Plan

    capabilities, fields = line_with("- New capabilities:").split("Plans have the fields to match:")
    assert set(re.findall(r"`(\w+)`", capabilities)) <= CAPABILITIES.keys()
    for name in re.findall(r"`([\w.]+)[`(]", fields):
        owner, attribute = (Batch("train", 0, {}), name[6:]) if name.startswith("Batch.") else (Plan(), name)
        assert hasattr(owner, attribute), name


def test_the_options_that_are_announced_are_there(pytestconfig):
    from typer.main import get_command

    from runtimeinfo_conformance.command_line._commands import app

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--junitxml"}
    runtimeinfo = get_command(app)
    commands = (runtimeinfo, *runtimeinfo.commands.values())
    of_command = {option for command in commands for each in command.params for option in each.opts} | {"--help"}
    of_plugin = {f"--{name.replace('_', '-')}" for name in vars(pytestconfig.option) if name.startswith("runtimeinfo_")}
    assert named <= of_command | of_plugin
    assert of_plugin <= named
