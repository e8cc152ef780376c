from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from broken_runners import CountsEpochsFromOne, PublishesHalfAValidation
from hypothesis import given
from hypothesis import strategies as st
from simple_hub import SimpleHub
from simple_trainer import correct, subject_of

from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject
from runtimeinfo_conformance._verdict import Waiver
from runtimeinfo_conformance._waivers import WaiverJudgement, Waivers, judge_waivers, load_waivers
from runtimeinfo_conformance.plans import HubOp, HubPlan

HALF = Plan(val_batches=1, metrics=(("acc", "float"),), fault=Fault("before_val_iter"))
LAST_DAY = date(2027, 3, 31)

FIELDS = {
    "requirement": '"FAIL-05"',
    "reason": '"metrics of an aborted validation are still handed out"',
    "issue": '"https://example.org/myfw/issues/12"',
    "expires": "2027-03-31",
    "witness": f'"{HALF!r}"',
}

WAIVER = Waiver(
    "FAIL-05",
    "metrics of an aborted validation are still handed out",
    "https://example.org/myfw/issues/12",
    LAST_DAY,
    HALF,
)


def entry(**changed: str | None) -> str:
    """An entry in TOML; a field that is None is left out."""
    lines = (f"{name} = {value}" for name, value in {**FIELDS, **changed}.items() if value is not None)
    return "\n".join(["[[waiver]]", *lines, ""])


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads a text as waivers.toml, which is then named so."""
    monkeypatch.chdir(tmp_path)

    def loaded(text: str | bytes) -> Waivers:
        path = Path("waivers.toml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_waivers(path)

    return loaded


# -- the file


def test_a_waiver_is_read(load: Any) -> None:
    assert load(entry()) == Waivers((WAIVER,))


def test_several_waivers_are_read(load: Any) -> None:
    witness = "\"HubPlan(ops=(HubOp('pop_info'),))\""
    waivers = load(entry() + "# and a hub's\n" + entry(requirement='"HUB-03"', witness=witness))
    assert [each.requirement for each in waivers.entries] == ["FAIL-05", "HUB-03"]
    assert waivers.entries[1].witness == HubPlan((HubOp("pop_info"),))
    assert waivers.troubles == ()


def test_an_empty_file_waives_nothing(load: Any) -> None:
    assert load("") == load("# nothing is waived any more\n") == Waivers()


def test_a_file_from_another_system_is_read(load: Any) -> None:
    assert load(b"\xef\xbb\xbf" + entry().replace("\n", "\r\n").encode()) == Waivers((WAIVER,))


HAS_ALL = "a waiver has all of requirement, reason, issue, expires, witness"


@pytest.mark.parametrize(
    ("changed", "trouble"),
    [
        ({"requirement": None}, f"waiver 1: the field 'requirement' is missing: {HAS_ALL}"),
        ({"reason": None}, f"waiver 1 (FAIL-05): the field 'reason' is missing: {HAS_ALL}"),
        ({"issue": None}, f"waiver 1 (FAIL-05): the field 'issue' is missing: {HAS_ALL}"),
        ({"expires": None}, f"waiver 1 (FAIL-05): the field 'expires' is missing: {HAS_ALL}"),
        ({"witness": None}, f"waiver 1 (FAIL-05): the field 'witness' is missing: {HAS_ALL}"),
        ({"requirement": "5"}, "waiver 1: requirement must be a string, but is 5: put it in quotes"),
        (
            {"requirement": '"FAIL-5"'},
            "waiver 1 (FAIL-5): there is no requirement 'FAIL-5'; did you mean FAIL-05?",
        ),
        ({"requirement": '"fail-05"'}, "waiver 1 (fail-05): there is no requirement 'fail-05'; did you mean FAIL-05?"),
        (
            {"requirement": '"everything"'},
            "waiver 1 (everything): there is no requirement 'everything'; `runtimeinfo spec` lists them all",
        ),
        ({"reason": '" "'}, "waiver 1 (FAIL-05): reason is empty; a waiver needs one"),
        ({"reason": "['x']"}, "waiver 1 (FAIL-05): reason must be a string, but is ['x']: put it in quotes"),
        ({"issue": '""'}, "waiver 1 (FAIL-05): issue is empty; a waiver needs one"),
        ({"issue": "12"}, "waiver 1 (FAIL-05): issue must be a string, but is 12: put it in quotes"),
        (
            {"expires": '"2027-03-31"'},
            "waiver 1 (FAIL-05): expires is a string; drop the quotes: expires = 2027-03-31",
        ),
        (
            {"expires": '"soon"'},
            "waiver 1 (FAIL-05): expires must be a date, as in expires = 2027-03-31, but is soon",
        ),
        (
            {"expires": "2027-03-31T12:00:00"},
            "waiver 1 (FAIL-05): expires must be a date, as in expires = 2027-03-31, but is 2027-03-31 12:00:00",
        ),
        ({"expires": "2027"}, "waiver 1 (FAIL-05): expires must be a date, as in expires = 2027-03-31, but is 2027"),
        (
            {"witness": '"Plan(epochs=1)"'},
            "waiver 1 (FAIL-05): the witness is not a plan: column 6: Plan has no 'epochs'; did you mean 'max_epochs'?",
        ),
        ({"witness": "1"}, "waiver 1 (FAIL-05): witness must be a string, but is 1: put it in quotes"),
    ],
)
def test_a_wrong_field_is_a_trouble(load: Any, changed: dict[str, str | None], trouble: str) -> None:
    assert load(entry(**changed)) == Waivers(troubles=(f"waivers.toml: {trouble}",))


def test_a_misspelt_field_is_a_trouble_twice(load: Any) -> None:
    assert load(entry(requirement=None, requirment='"FAIL-05"')).troubles == (
        "waivers.toml: waiver 1: there is no field 'requirment'; did you mean 'requirement'?",
        f"waivers.toml: waiver 1: the field 'requirement' is missing: {HAS_ALL}",
    )


def test_a_field_too_many_is_a_trouble_and_the_waiver_counts(load: Any) -> None:
    waivers = load(entry(owner='"me"'))
    assert waivers.entries == (WAIVER,)
    listed = "requirement, reason, issue, expires, witness"
    assert waivers.troubles == (f"waivers.toml: waiver 1 (FAIL-05): there is no field 'owner'; there are {listed}",)


def test_all_troubles_are_told_at_once(load: Any) -> None:
    waivers = load(entry(reason='""', issue=None) + entry() + entry(expires='"x"', requirement='"LIFE-01"'))
    assert waivers.entries == (WAIVER,)
    assert [trouble.split(":")[1] for trouble in waivers.troubles] == [
        " waiver 1 (FAIL-05)", " waiver 1 (FAIL-05)", " waiver 3 (LIFE-01)"
    ]  # fmt: skip


def test_a_second_waiver_of_a_requirement_is_a_trouble(load: Any) -> None:
    waivers = load(entry() + entry(reason='"another"'))
    assert waivers.entries == (WAIVER,)
    assert waivers.troubles == ("waivers.toml: waiver 2 (FAIL-05): this requirement has a waiver already; keep one",)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (entry().replace("waiver", "wavier"), "there is no table [[wavier]]; did you mean [[waiver]]?"),
        ("[settings]\nstrict = true\n", "there is no table [[settings]]; did you mean [[waiver]]?"),
        ('reason = "x"\n', "'reason' is in no waiver; write [[waiver]] in a line above it"),
        (entry().replace("[[waiver]]", "[waiver]"), "each waiver begins with [[waiver]], in two pairs of brackets"),
        ("waiver = 'FAIL-05'\n", "each waiver begins with [[waiver]], in two pairs of brackets"),
        ("waiver = ['FAIL-05']\n", "waiver 1: a waiver is a table, and begins with [[waiver]]"),
    ],
)
def test_a_wrong_table_is_a_trouble(load: Any, text: str, trouble: str) -> None:
    assert load(text) == Waivers(troubles=(f"waivers.toml: {trouble}",))


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("[[waiver]]\nreason = oops\n", "this is not TOML: Invalid value (at line 2, column 10)"),
        ("[[waiver]]\nexpires = 2027-13-31\n", "this is not TOML: "),
        (b"reason = '\xff'", "this is not TOML: byte 11 is not UTF-8"),
        ("seed = " + "9" * 5_000, "this is not TOML: Exceeds the limit"),
        ("waiver = " + "[" * 50_000, "this is not TOML: "),
    ],
    ids=["value", "date", "bytes", "number", "depth"],
)
def test_invalid_toml_is_a_trouble(load: Any, text: str | bytes, trouble: str) -> None:
    waivers = load(text)
    assert waivers.entries == ()
    assert len(waivers.troubles) == 1
    assert waivers.troubles[0].startswith(f"waivers.toml: {trouble}")


def test_a_file_that_cannot_be_read_is_a_trouble(tmp_path: Path) -> None:
    path, advice = tmp_path / "nowhere.toml", "correct waivers=... of the subject"
    assert load_waivers(path).troubles == (f"{path}: the waivers cannot be read: No such file or directory: {advice}",)
    assert load_waivers(tmp_path).troubles == (f"{tmp_path}: the waivers cannot be read: Is a directory: {advice}",)


SCALARS = st.sampled_from(
    ["1", "''", "'x'", "true", "2027-03-31", "nan", "[]", "{}", "[{}]", "[[]]", FIELDS["witness"]]
)
LINES = st.sampled_from(["[[waiver]]", "[waiver]", "[waiver.reason]", "[[other]]"]) | st.tuples(
    st.sampled_from([*FIELDS, "waiver", "x.y"]), SCALARS
).map(" = ".join)


@given(st.lists(LINES, max_size=8).map("\n".join) | st.text())
def test_no_content_raises(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    waivers = load_waivers(path)
    assert all(trouble.startswith(f"{path}: ") for trouble in waivers.troubles)


# -- the judgement


class ForgetsInfo(SimpleHub):
    def pop_info(self, key: str, default: Any = None) -> Any:
        return default


def judged(subject: Any, *waivers: Waiver, today: date = LAST_DAY) -> WaiverJudgement:
    return judge_waivers(subject, Waivers(waivers), today)


def waiver(requirement: str, witness: Plan | HubPlan) -> Waiver:
    return Waiver(requirement, "reason", "issue 12", LAST_DAY, witness)


def test_waiver_holds_until_its_last_day() -> None:
    judgement = judged(subject_of(PublishesHalfAValidation), WAIVER)
    assert judgement.troubles == ()
    assert judgement.waived.keys() == {"FAIL-05"}
    assert judgement.waived["FAIL-05"].waiver == WAIVER
    assert judgement.waived["FAIL-05"].failure.plan == HALF
    assert not judgement.waived["FAIL-05"].failure.finding.holds


def test_a_waiver_that_has_expired_counts_and_is_a_trouble() -> None:
    judgement = judged(subject_of(PublishesHalfAValidation), WAIVER, today=LAST_DAY + timedelta(days=1))
    assert judgement.waived.keys() == {"FAIL-05"}
    (trouble,) = judgement.troubles
    assert trouble == (
        "the waiver of FAIL-05 expired on 2027-03-31: repair the requirement, or decide again, with a later date "
        "(https://example.org/myfw/issues/12)"
    )


def test_nothing_is_waived_where_nothing_is_said() -> None:
    assert judged(correct()) == WaiverJudgement({}, ())


def test_the_troubles_of_the_file_come_first() -> None:
    waivers = Waivers((WAIVER,), ("waivers.toml: of the file",))
    assert judge_waivers(correct(), waivers, LAST_DAY).troubles == (
        "waivers.toml: of the file",
        "FAIL-05 holds on its witness now: delete the waiver",
    )


def test_each_waiver_is_judged_by_its_own_witness() -> None:
    subject = subject_of(CountsEpochsFromOne)
    judgement = judged(subject, WAIVER, waiver("COUNT-03", Plan()))
    assert judgement.waived.keys() == {"COUNT-03"}
    assert judgement.troubles == ("FAIL-05 holds on its witness now: delete the waiver",)


@pytest.mark.parametrize(
    ("subject", "entry", "trouble"),
    [
        (correct(), WAIVER, "FAIL-05 holds on its witness now: delete the waiver"),
        (
            subject_of(PublishesHalfAValidation),
            waiver("FAIL-05", Plan()),
            "FAIL-05 does not matter on its witness: give a plan that breaks it, or delete the waiver",
        ),
        (
            Subject("crash", "1", run=lambda plan, hooks: 1 / 0),
            waiver("LIFE-03", Plan()),
            "crash broke on the witness of LIFE-03: ZeroDivisionError('division by zero')",
        ),
        (
            correct(),
            waiver("HUB-03", HubPlan()),
            "the waiver of HUB-03 cannot be replayed: HUB-03 does not apply to Trainer: it is for a hub",
        ),
        (
            Subject("bare", "1", run=correct().run),
            waiver("STAGE-02", Plan(val_batches=1)),
            "the waiver of STAGE-02 cannot be replayed: STAGE-02 does not apply to bare: it has not declared val",
        ),
        (
            correct(),
            waiver("ORDER-03", Plan()),
            "the waiver of ORDER-03 cannot be replayed: ORDER-03 cannot be tested: How hooks are registered",
        ),
        (
            Subject("old", "1", run=correct().run, spec="0.1"),
            waiver("LIFE-10", Plan()),
            "LIFE-10 is demanded from spec 0.2 on, and old claims 0.1: delete the waiver",
        ),
        (
            correct(),
            waiver("FAIL-05", HubPlan()),
            "the waiver of FAIL-05 cannot be replayed: Trainer is a runner and takes a Plan, not a HubPlan",
        ),
        (
            HubSubject("simple", "1", make=SimpleHub),
            waiver("HUB-03", Plan()),
            "the waiver of HUB-03 cannot be replayed: simple is a hub and takes a HubPlan, not a Plan",
        ),
        (
            correct(),
            waiver("LIFE-99", Plan()),
            "the waiver of LIFE-99 cannot be replayed: there is no requirement 'LIFE-99'",
        ),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_waiver_that_is_wrong_is_a_trouble_and_does_not_count(subject: Any, entry: Waiver, trouble: str) -> None:
    judgement = judged(subject, entry, today=LAST_DAY + timedelta(days=1))  # that it has expired is no matter
    assert judgement.waived == {}
    assert len(judgement.troubles) == 1
    assert judgement.troubles[0].startswith(trouble)


def test_a_subject_that_breaks_the_requirement_and_crashes_too() -> None:
    """The requirement is broken in the first leg of a resumed training; the second does all right, and then crashes."""

    def run(plan: Plan, hooks: Any) -> None:
        if plan.resume_from is None:
            subject_of(CountsEpochsFromOne).run(plan, hooks)
        correct().run(plan, hooks)
        raise ZeroDivisionError

    subject = Subject("both", "1", run=run, capabilities={"resume"})
    judgement = judged(subject, waiver("COUNT-03", Plan(max_epochs=2, resume_after=1)))
    assert judgement.waived.keys() == {"COUNT-03"}
    broke = "both broke on the witness of COUNT-03: ZeroDivisionError()"
    assert judgement.troubles == (f"{broke}: fix that, or give another witness",)


def test_a_hub_has_waivers_too() -> None:
    plan = HubPlan((HubOp("update_info", value=7), HubOp("pop_info")))
    judgement = judged(HubSubject("forgets", "1", make=ForgetsInfo), waiver("HUB-03", plan))
    assert judgement.waived["HUB-03"].failure.plan == plan
    assert judgement.troubles == ()
