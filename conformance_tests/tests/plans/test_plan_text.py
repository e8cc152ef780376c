from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance.plans._hub_plan import INFO_VALUES, HubOp, HubPlan
from runtimeinfo_conformance.plans._plan_text import PlanTextError, parse_plan, plan_text
from runtimeinfo_conformance.search import draw_plans
from runtimeinfo_conformance.subjects import pytorch, reference_hub

RICH = (
    "Plan(max_epochs=3, val_batches=1, outputs=(('loss', 'float'), ('aux/κ', 'text')), optimizers=('a', 'b'), "
    "metainfo={'classes': ['cat', 'dog']}, fault=Fault(event='before_val', occurrence=1, kind='interrupt'))"
)
RICH_HUB = "HubPlan(ops=(HubOp(name='update_info', key='val/κ', value=-1.5, turn=0, count=1), HubOp('reload')))"


@cache
def drawn() -> list[Any]:
    return [plan for each in (pytorch, reference_hub) for plan in draw_plans(each.subject(), 300)]


def test_each_drawn_plan_is_read_back() -> None:
    plans = drawn()
    assert {type(plan) for plan in plans} == {Plan, HubPlan}
    for plan in plans:
        assert parse_plan(repr(plan)) == plan


@pytest.mark.parametrize("value", INFO_VALUES, ids=repr)
def test_each_info_is_read_back_with_its_type(value: Any) -> None:
    plan = parse_plan(repr(HubPlan((HubOp("update_info", value=value),))))
    assert isinstance(plan, HubPlan)
    assert repr(plan.ops[0].value) == repr(value)  # True equals 1


def test_reads_are_recorded() -> None:
    assert parse_plan("Plan()") == Plan()
    assert parse_plan("HubPlan()") == HubPlan()
    assert parse_plan(RICH) == Plan(
        max_epochs=3,
        val_batches=1,
        outputs=(("loss", "float"), ("aux/κ", "text")),
        optimizers=("a", "b"),
        metainfo={"classes": ["cat", "dog"]},
        fault=Fault("before_val", 1, "interrupt"),
    )
    assert parse_plan(RICH_HUB) == HubPlan((HubOp("update_info", "val/κ", -1.5), HubOp("reload")))


@pytest.mark.parametrize(
    "text", ["Plan(fault=Fault('before_val', 1))", "Plan(\n  fault=Fault('before_val', occurrence=1),\n)  # as seen"]
)
def test_a_plan_as_people_write_it(text: str) -> None:
    assert parse_plan(f"\n  {text}\n") == Plan(fault=Fault("before_val", 1))


def test_none_and_defaults_may_be_said() -> None:
    assert parse_plan("Plan(val_batches=None, metainfo=None, fault=None, sized=True)") == Plan()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # names
        ("Plan(max_epoch=2)", "column 6: Plan has no 'max_epoch'; did you mean 'max_epochs'?"),
        ("Plan(fault=Fault('before_val', oc=1))", "column 32: Fault has no 'oc'; it has event, occurrence, kind, hook"),
        ("Pln()", "column 1: there is no 'Pln' here; did you mean 'Plan'?"),
        ("eval('1')", "column 1: there is no 'eval' here; a plan is made of Plan, HubPlan, ReducePlan, Fault,"),
        ("Plan(metainfo={'κκ': x})", "column 22: a value of metainfo cannot be x; a plan is made of"),
        (
            "__import__('os').getcwd()",
            "column 1: a plan is Plan(...), HubPlan(...) or ReducePlan(...), not __import__('os').getcwd()",
        ),
        (
            "Fault('before_val')",
            "column 1: a plan is Plan(...), HubPlan(...) or ReducePlan(...), not Fault('before_val')",
        ),
        ("Plan", "column 1: a plan is Plan(...), HubPlan(...) or ReducePlan(...), not Plan"),
        ("Plan() or Plan()", "column 1: a plan is Plan(...), HubPlan(...) or ReducePlan(...), not Plan() or Plan()"),
        # types
        ("Plan(max_epochs='2')", "column 17: max_epochs must be an int, but is '2'"),
        ("Plan(max_epochs=2.0)", "column 17: max_epochs must be an int, but is 2.0"),
        ("Plan(seed=True)", "column 11: seed must be an int or None, but is True"),
        ("Plan(groups=None)", "column 13: groups must be an int, but is None"),
        ("Plan(sized=1)", "column 12: sized must be True or False, but is 1"),
        ("Plan(val_batches='1')", "column 18: val_batches must be an int or None, but is '1'"),
        ("Plan(fault=1)", "column 12: fault must be Fault(...) or None, but is 1"),
        ("Plan(fault=HubOp('reload'))", "column 12: fault must be Fault(...) or None, but is HubOp('reload')"),
        ("Plan(optimizers=('a'))", "column 18: optimizers must be a tuple of entries, each a string, but is 'a'"),
        ("Plan(outputs=[])", "column 14: outputs must be a tuple of entries, each a tuple of a string and a string"),
        ("Plan(outputs=(('a',),))", "column 15: an entry of outputs must be a tuple of a string and a string, but is"),
        ("Plan(metainfo=[])", "column 15: metainfo must be a dict or None, but is []"),
        ("Plan(metainfo={1: 2})", "column 16: a key of metainfo must be a string, but is 1"),
        ("HubPlan(ops=(1,))", "column 14: an entry of ops must be HubOp(...), but is 1"),
        # values
        ("Plan(batches=-1)", "column 14: batches must be at least 0, but is -1"),
        ("Plan(groups=0)", "column 1: groups must be at least 1, but is 0"),
        ("Plan(seed=1, stop_after=2)", "column 1: stop_after must be one of the 1 iterations, but is 2"),
        ("Plan(resume_batch=1)", "column 1: resume_batch goes with resume_after, and must not be more than batches"),
        ("Plan(seed=9223372036854775808)", "column 11: seed is too large a number; the largest is 2**63 - 1"),
        ("Plan(metainfo={'a': -1e999})", "column 21: a value of metainfo is too large a number"),
        ("Plan(fault=Fault('befor_val'))", "column 18: event cannot be 'befor_val'; did you mean 'before_val'?"),
        ("Plan(fault=Fault('before_val', 0, 'x'))", "column 35: kind cannot be 'x'; there are 'error', 'interrupt', "),
        ("Plan(outputs=(('a', 'flot'),))", "column 14: a kind of outputs cannot be 'flot'; did you mean 'float'?"),
        ("HubPlan((HubOp('pop_inf'),))", "column 16: name cannot be 'pop_inf'; did you mean 'pop_info'?"),
        ("HubPlan((HubOp('update_scalar', value='text'),))", "column 10: the value of update_scalar cannot be 'text'"),
        ("HubPlan((HubOp('refuse_scalar', value='int'),))", "column 10: the value of refuse_scalar cannot be 'int'"),
        # what is no literal
        ("Plan(metainfo={'a': b''})", "column 21: a value of metainfo cannot be b''; a plan is made of"),
        ("Plan(metainfo={'a': 1j})", "column 21: a value of metainfo cannot be 1j; a plan is made of"),
        ("Plan(metainfo={'a': -True})", "column 21: a value of metainfo cannot be -True; a plan is made of"),
        ("Plan(metainfo={'a': f'{1}'})", "column 21: a value of metainfo cannot be f'{1}'; a plan is made of"),
        ("Plan(metainfo={'a': [n for n in ()]})", "column 21: a value of metainfo cannot be [n for n in ()]"),
        ("Plan(metainfo={'a': Fault('before_val')})", "column 21: a value of metainfo cannot be Fault('before_val')"),
        ("Plan(metainfo={'a': {[]: 1}})", "column 22: [] cannot be a key of a dict"),
        ("Plan(metainfo={**{}})", "column 18: metainfo cannot unpack; a plan is made of"),
        ("Plan(metainfo={'a': {**{}}})", "column 24: a value of metainfo cannot unpack; a plan is made of"),
        # arguments
        ("Plan(1)", "column 6: Plan needs names, as in Plan(max_epochs=...)"),
        (
            "Plan(fault=Fault('before_val', 0, 'error', 'last', 1))",
            "column 52: Fault takes 4 values without a name at most",
        ),
        ("Plan(fault=Fault())", "column 12: Fault needs its event"),
        ("Plan(fault=Fault('before_val', event='before_val'))", "column 38: event is given twice"),
        ("Plan(seed=1, seed=2)", "column 19: seed is given twice"),
        ("Plan(**{})", "column 8: Plan cannot unpack; a plan is made of"),
        ("Plan(*())", "column 6: Plan cannot unpack; a plan is made of"),
        # no Python
        ("", "column 1: no Python: invalid syntax; a plan is made of"),
        ("Plan(", "column 5: no Python: '(' was never closed; a plan is made of"),
        ("Plan();", "column 7: no Python: invalid syntax; a plan is made of"),
        ("Plan(seed=\x00)", "column 1: no Python: source code string cannot contain null bytes"),
        ("Plan(experiment_name='\udc80')", "column 1: no Python: 'utf-8' codec can't encode"),
    ],
)
def test_non_plans_are_refused(text: str, message: str) -> None:
    with pytest.raises(PlanTextError) as caught:
        parse_plan(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "given",
    ["checkpoint=Path('x')", "checkpoint='x'", "resume_from=None", "start_epoch=1", "start_batch=0"],
)
def test_fields_that_only_the_kit_sets(given: str) -> None:
    name = given.partition("=")[0]
    with pytest.raises(PlanTextError, match=f"{name} is set by the kit while it runs a plan; leave it out$"):
        parse_plan(f"Plan(seed=1, {given})")


@pytest.mark.parametrize("kind", [Plan, HubPlan])
def test_a_field_is_read_or_set_by_the_kit_alone(kind: type[Any]) -> None:
    """A new field is read off its type hint; one whose type cannot be read has to be the kit's own."""
    for field in fields(kind):
        plan = kind(**{field.name: field.default})
        text = f"{kind.__name__}({field.name}={field.default!r})"
        try:
            assert parse_plan(text) == plan
        except PlanTextError as error:
            assert "is set by the kit" in str(error)  # noqa: PT017  # most of them are read
            used = {getattr(each, field.name) for each in drawn() if isinstance(each, kind)}
            assert used == {field.default}


def test_the_place_is_told_in_lines_of_the_text_that_was_given() -> None:
    with pytest.raises(PlanTextError, match=r"^line 4, column 2: Plan has no 'max_epocs'") as caught:
        parse_plan("\n\n  Plan(\n max_epocs=2)")
    assert (caught.value.line, caught.value.column) == (4, 2)
    with pytest.raises(PlanTextError) as caught:
        parse_plan("   Plan(1)")
    assert (caught.value.line, caught.value.column) == (1, 9)
    with pytest.raises(PlanTextError) as caught:
        parse_plan(" \n  Plan(1 2)")
    assert (caught.value.line, caught.value.column) == (2, 8)


def test_a_long_culprit_is_cut() -> None:
    with pytest.raises(PlanTextError, match=r"batches must be an int, but is 'x{59}[.]{3}$"):
        parse_plan(f"Plan(batches='{'x' * 1000}')")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000,
        "[" * 150 + "]" * 150,
        "-" * 90_000 + "1",
        "a" + ".a" * 40_000,
        "1" + "+1" * 40_000,
        "not " * 20_000 + "1",
        "lambda:" * 12_000 + "1",
        "Plan(" * 15_000,
        "Plan(seed=" + "9" * 5_000 + ")",
        "Plan(seed=0x" + "f" * 5_000 + ")",
        "Plan(metainfo={'a': " + "[" * 60 + "]" * 60 + "})",
        "Plan(metainfo={'a': " + "{1: " * 60 + "1" + "}" * 60 + "})",
    ],
    ids=lambda text: f"{text[:8]}...",
)
def test_absurdly_deep_or_long_values(text: str) -> None:
    with pytest.raises(PlanTextError, match=r"nest|never closed|large|limit|a plan is Plan"):
        parse_plan(text)


def test_a_huge_text_is_not_even_looked_at() -> None:
    with pytest.raises(PlanTextError, match=r"this text has 100,001 characters, and a plan at most 100,000"):
        parse_plan("Plan()" + " " * 99_995)
    assert parse_plan("Plan()" + " " * 99_994) == Plan()


def is_plan_or_refused(text: str) -> bool:
    """Read a text; what is read has to be read back, too."""
    try:
        plan = parse_plan(text)
    except PlanTextError:
        return False
    assert isinstance(plan, Plan | HubPlan)
    assert parse_plan(repr(plan)) == plan
    return True


@given(st.text() | st.text(alphabet="Plan(){}[],:='\"\\-0123 fautHubOps\n\t#*"))
def test_any_text_is_a_plan_or_refused(text: str) -> None:
    is_plan_or_refused(text)


PIECES = st.sampled_from(
    [*"()[]{},:='\"\\-*.#\n", "0", "-1", "1e999", "1j", "None", "True", "Fault(", "HubOp(", "'float'", "κ", "\udc80"]
)


@given(st.data())
def test_a_plan_with_a_slip_is_a_plan_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([RICH, RICH_HUB, *map(repr, drawn()[::20])]), label="text")
    for _ in range(data.draw(st.integers(1, 3), label="slips")):
        begin = data.draw(st.integers(0, len(text)), label="from")
        end = data.draw(st.integers(begin, min(begin + 4, len(text))), label="to")
        text = text[:begin] + data.draw(st.just("") | PIECES | st.text(max_size=2), label="instead") + text[end:]
    is_plan_or_refused(text)


def test_reading_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    modules = set(sys.modules)
    with pytest.raises(PlanTextError):
        parse_plan("Plan(metainfo={'a': __import__('this')})")
    assert "this" not in set(sys.modules) - modules
    assert capsys.readouterr().out == ""


@given(st.text())
def test_a_plan_is_written_without_single_quotes_and_read_back(text: str) -> None:
    plan = Plan(experiment_name=text, metainfo={text: [text]}, outputs=((text, "float"),))
    written = plan_text(plan)
    assert "'" not in written
    assert parse_plan(written) == plan
    assert shlex.split(shlex.quote(written)) == [written]
