from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from simple_hub import SimpleHub

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSION, SPEC_VERSIONS, Requirement
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance.command_line._explain import (
    REGISTRY_SCHEMA_VERSION,
    UnknownVersionError,
    explain,
    faults_of,
    registry,
    spec,
)
from runtimeinfo_conformance.mutants import HUB_MUTANTS, REDUCE_MUTANTS, RUNNER_MUTANTS

HUB_RULES = [rule for rule in REQUIREMENTS.values() if rule.party == "hub"]
FRAGMENT = re.compile(r"`([^`]+)`( raises(?: (\w+Error)\b)?)?")

# No line of code shows each time what threads do.
WITHOUT_CODE = {"HUB-16"}

WITH_CODE = [rule for rule in HUB_RULES if rule.id not in WITHOUT_CODE]

each_hub_rule = pytest.mark.parametrize("rule", WITH_CODE, ids=lambda rule: rule.id)


def violations(rule: Requirement, make: Callable[[str], Any]) -> Iterator[str]:
    """Run the code in a rule's example on new hubs, and tell what is not as it says.

    The fragments run one after the other. What stands last in one is true, or None, or raises if "raises" follows.
    """
    names: dict[str, Any] = {"hub": make("example"), "other": make("another")}
    for code, raises, error in FRAGMENT.findall(rule.example):
        wanted: type[BaseException] = getattr(__import__("builtins"), error or "Exception")
        *before, last = ast.parse(code).body
        assert isinstance(last, ast.Expr)
        try:
            exec(compile(ast.Module(before, []), code, "exec"), names)
            result = eval(compile(ast.Expression(last.value), code, "eval"), names)
        except Exception as raised:
            if not raises or not isinstance(raised, wanted):
                yield f"`{code}` raises {raised!r}"
        else:
            if raises:
                yield f"`{code}` raises nothing"
            elif result is not None and not result:
                yield f"`{code}` is {result!r}"


@each_hub_rule
@pytest.mark.parametrize("make", [MessageHub, SimpleHub])
def test_the_example_of_a_hub_rule_holds(rule: Requirement, make: Callable[[str], Any]) -> None:
    assert FRAGMENT.match(rule.example), "it begins with code"
    assert list(violations(rule, make)) == []


@each_hub_rule
def test_the_example_of_a_hub_rule_fails_where_the_rule_is_broken(rule: Requirement) -> None:
    broken = [mutant for mutant in HUB_MUTANTS if mutant.requirement == rule.id]
    assert any(list(violations(rule, mutant.subject().make)) for mutant in broken)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("`hub.get_info('epoch') == 2`.", "`hub.get_info('epoch') == 2` is False"),
        ("`hub.get_info('epoch')` raises.", "`hub.get_info('epoch')` raises nothing"),
        ("`hub.get_scalar('lost')` raises ValueError.", "`hub.get_scalar('lost')` raises MissingScalarError("),
        ("`epoch = hub.get_info('epoch'); 1 / 0`.", "ZeroDivisionError"),
    ],
)
def test_an_example_that_is_wrong_is_found(example: str, said: str) -> None:
    (found,) = violations(REQUIREMENTS["HUB-01"]._replace(example=example), MessageHub)
    assert said in found


def test_only_the_example_of_a_hub_rule_has_code() -> None:
    assert {rule.id for rule in REQUIREMENTS.values() if "`" in rule.example} == {rule.id for rule in WITH_CODE}


@pytest.mark.parametrize("rule", REQUIREMENTS.values(), ids=lambda rule: rule.id)
def test_explain_says_all_that_the_registry_says(rule: Requirement) -> None:
    lines = explain(rule.id.lower())
    assert lines[0] == f"{rule.id} ({rule.level}, since spec {rule.since})"
    assert {f"  {rule.text}", f"  Intent: {rule.intent}", f"  Example: {rule.example}"} <= set(lines)
    assert f"  Kept by: a {rule.party}" in lines
    assert sum("Applies to a runner that declares" in line for line in lines) == len(rule.capabilities)
    assert any(line.startswith("  Not tested: ") for line in lines) is (rule.untestable is not None)


def test_explain_names_the_faults_that_the_kit_puts_in() -> None:
    lines = explain("STAGE-03")
    listed = lines[lines.index("  The kit notices, for instance:") + 1 :]
    assert "    - the stage is not restored after a validation" in listed
    assert listed == [f"    - {fault}" for fault in faults_of(REQUIREMENTS["STAGE-03"])]
    assert "    - the first write wins" in explain("HUB-01")


def test_explain_names_no_faults_where_there_are_none() -> None:
    assert not any("The kit notices" in line for line in explain("SCALAR-10"))


def test_each_fault_is_that_of_one_requirement() -> None:
    named = [fault for rule in REQUIREMENTS.values() for fault in faults_of(rule)]
    assert len(named) == len(RUNNER_MUTANTS) + len(HUB_MUTANTS) + len(REDUCE_MUTANTS)


def test_the_spec_is_the_newest_unless_another_is_asked_for() -> None:
    assert spec() == spec(SPEC_VERSION)
    assert [line.split()[0] for line in spec()[1:]] == list(REQUIREMENTS)


def test_a_version_has_its_own_requirements_and_those_of_the_ones_before() -> None:
    listed = {version: [line.split()[0] for line in spec(version)[1:]] for version in SPEC_VERSIONS}
    assert listed["0.1"] == [rule.id for rule in REQUIREMENTS.values() if rule.since == "0.1"]
    assert [id for id in listed["0.2"] if id not in listed["0.1"]] == [
        rule.id for rule in REQUIREMENTS.values() if rule.since == "0.2"
    ]
    assert spec("0.1")[0] == "spec 0.1"


def test_a_line_of_the_spec_has_level_text_and_capabilities() -> None:
    rule = REQUIREMENTS["SCALAR-06"]
    assert f"SCALAR-06  MUST   {rule.text} [metrics, val]" in spec()
    assert f"COUNT-01   MUST   {REQUIREMENTS['COUNT-01'].text}" in spec()


@pytest.mark.parametrize("version", ["0.4", "", "newest"])
@pytest.mark.parametrize("show", [spec, registry])
def test_an_unknown_version(version: str, show: Callable[[str], object]) -> None:
    message = f"there is no spec version {version!r}; there are {', '.join(SPEC_VERSIONS)}"
    with pytest.raises(UnknownVersionError, match=re.escape(message)):
        show(version)


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_registry_holds_what_the_spec_lists(version: str) -> None:
    data = registry(version)
    assert [entry["id"] for entry in data["requirements"]] == [line.split()[0] for line in spec(version)[1:]]
    assert (data["spec"], data["versions"]) == (version, list(SPEC_VERSIONS))
    assert data["capabilities"] == CAPABILITIES
    assert json.loads(json.dumps(data)) == data


def test_entry_of_the_registry_holds_all_of_a_requirement() -> None:
    for entry in registry()["requirements"]:
        rule = REQUIREMENTS[entry["id"]]
        told: dict[str, Any] = {**entry, "capabilities": frozenset(entry["capabilities"])}
        assert told.pop("group") == rule.id.rpartition("-")[0]
        assert told.pop("faults") == faults_of(rule)
        assert told == rule._asdict()


def test_shape_of_the_registry_is_that_of_its_version() -> None:
    data = registry()
    assert data["schema_version"] == REGISTRY_SCHEMA_VERSION == 1
    # Where one of these is gone, or means something else, the version grows.
    assert {*data} >= {"schema_version", "spec", "versions", "capabilities", "requirements"}
    fields = "id group level party since text intent example capabilities untestable faults"
    assert {*data["requirements"][0]} >= {*fields.split()}
