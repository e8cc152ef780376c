"""What CHANGELOG.md announces is there."""

import re
from pathlib import Path

import pytest

from runtimeinfo import CAPABILITIES, REQUIREMENTS, SPEC_VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
LINES = PAGE.splitlines()


def line_with(beginning):
    (line,) = [line for line in LINES if line.startswith(beginning)]
    return line


@pytest.mark.parametrize("version", SPEC_VERSIONS[1:])
def test_a_version_of_the_spec_is_announced_with_all_its_requirements(version):
    named = re.findall(r"\b[A-Z]+-\d\d\b", line_with(f"- Version {version} "))
    assert named == [id for id, rule in REQUIREMENTS.items() if rule.since == version]


def test_what_is_called_out_is_frozen_and_a_draft_is_not():
    out, draft = re.search(r"of which (\S+) is out and (\S+) is a draft", PAGE).groups()
    assert (out, draft) == SPEC_VERSIONS
    frozen = {path.stem for path in (ROOT / "protocol" / "tests" / "frozen").glob("*.json")}
    assert frozen == {f"spec-{out}"}


def test_the_capabilities_and_fields_that_are_announced_are_there():
    from runtimeinfo_conformance import Batch, Plan

    capabilities, fields = line_with("- New capabilities:").split("Plans have the fields to match:")
    assert set(re.findall(r"`(\w+)`", capabilities)) <= CAPABILITIES.keys()
    for name in re.findall(r"`([\w.]+)[`(]", fields):
        owner, attribute = (Batch("train", 0, {}), name[6:]) if name.startswith("Batch.") else (Plan(), name)
        assert hasattr(owner, attribute), name


def test_the_options_that_are_announced_are_there(pytestconfig):
    from typer.main import get_command

    from runtimeinfo_conformance._commands import app

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--junitxml"}
    runtimeinfo = get_command(app)
    commands = (runtimeinfo, *runtimeinfo.commands.values())
    of_command = {option for command in commands for each in command.params for option in each.opts} | {"--help"}
    of_plugin = {f"--{name.replace('_', '-')}" for name in vars(pytestconfig.option) if name.startswith("runtimeinfo_")}
    assert named <= of_command | of_plugin
    assert of_plugin <= named
