from __future__ import annotations

from functools import cache, reduce
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo import LifecycleError
from runtimeinfo.spec import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, OPENS, Lifecycle
from runtimeinfo.spec._grammar import missing_between

# -- An independent recogniser: the productions of the docstring as regular expressions, and Brzozowski's derivatives
#    to match them. An expression is NOTHING, EMPTY, ("event", name), ("then", a, b), ("or", a, b) or ("star", a).

Expression = tuple[Any, ...]
NOTHING: Expression = ("nothing",)
EMPTY: Expression = ("empty",)


def event(name: str) -> Expression:
    return ("event", name)


def either(first: Expression, second: Expression) -> Expression:
    if NOTHING in (first, second) or first == second:
        return second if first == NOTHING else first
    return ("or", first, second)


def then(first: Expression, second: Expression) -> Expression:
    if NOTHING in (first, second):
        return NOTHING
    return second if first == EMPTY else ("then", first, second)


def star(*choices: Expression) -> Expression:
    return ("star", reduce(either, choices))


def sequence(*parts: Expression) -> Expression:
    return reduce(lambda rest, part: then(part, rest), reversed(parts), EMPTY)


@cache
def may_end(expression: Expression) -> bool:
    match expression:
        case ("then", first, second):
            return may_end(first) and may_end(second)
        case ("or", first, second):
            return may_end(first) or may_end(second)
        case _:
            return expression == EMPTY or expression[0] == "star"


@cache
def after(expression: Expression, name: str) -> Expression:
    """Return what may follow once the event has come; NOTHING if it may not come."""
    match expression:
        case ("event", expected):
            return EMPTY if name == expected else NOTHING
        case ("or", first, second):
            return either(after(first, name), after(second, name))
        case ("star", body):
            return then(after(body, name), expression)
        case ("then", first, second):
            rest = then(after(first, name), second)
            return either(rest, after(second, name)) if may_end(first) else rest
        case _:
            return NOTHING


def evaluation(name: str) -> Expression:
    one_iter = sequence(event(f"before_{name}_iter"), event(f"after_{name}_iter"))
    one_epoch = sequence(event(f"before_{name}_epoch"), star(one_iter), event(f"after_{name}_epoch"))
    return sequence(event(f"before_{name}"), one_epoch, star(one_epoch), event(f"after_{name}"))


VAL, TEST = evaluation("val"), evaluation("test")
ITER = sequence(event("before_train_iter"), star(VAL, TEST), event("after_train_iter"))
EPOCH = sequence(event("before_train_epoch"), star(ITER, VAL, TEST), event("after_train_epoch"))
TRAIN = sequence(event("before_train"), star(EPOCH, VAL, TEST), event("after_train"))
RUN = sequence(event("before_run"), star(TRAIN, VAL, TEST), event("after_run"))
RUNS = star(RUN)

SCOPE_EVENTS = (*OPENS, *CLOSES)


def recogniser_accepts(stream: list[str]) -> bool:
    return may_end(reduce(after, stream, RUNS))


def automaton_accepts(stream: list[str]) -> bool:
    lifecycle = Lifecycle()
    try:
        for name in stream:
            lifecycle.advance(name)
    except LifecycleError:
        return False
    return not lifecycle.open_scopes


@st.composite
def legal_walks(draw: st.DrawFn, max_size: int = 40) -> list[str]:
    expression, stream = RUNS, []
    for _ in range(draw(st.integers(0, max_size), label="length")):
        choices = [name for name in SCOPE_EVENTS if after(expression, name) != NOTHING]
        stream.append(draw(st.sampled_from(choices), label="event"))
        expression = after(expression, stream[-1])
    return stream


def completed(stream: list[str]) -> list[str]:
    """Close everything that is open, as the recogniser allows."""
    expression, stream = reduce(after, stream, RUNS), list(stream)
    while not may_end(expression):
        choices = [name for name in CLOSES if after(expression, name) != NOTHING]
        stream.append((choices or [f"{stream[-1]}_epoch"])[0])  # before_val must be followed by before_val_epoch
        expression = after(expression, stream[-1])
    return stream


@given(legal_walks())
def test_the_automaton_and_the_productions_allow_the_same_next_events(stream: list[str]) -> None:
    lifecycle, expression = Lifecycle(), RUNS
    for name in stream:
        lifecycle.advance(name)
        expression = after(expression, name)
        allowed = {name for name in SCOPE_EVENTS if lifecycle.objection(name) is None}
        assert allowed == {name for name in SCOPE_EVENTS if after(expression, name) != NOTHING}


@given(legal_walks())
def test_both_accept_a_whole_legal_stream(stream: list[str]) -> None:
    whole = completed(stream)
    assert recogniser_accepts(whole)
    assert automaton_accepts(whole)


@given(st.lists(st.sampled_from(SCOPE_EVENTS), max_size=8))
def test_both_accept_or_both_reject_a_random_stream(stream: list[str]) -> None:
    assert automaton_accepts(stream) == recogniser_accepts(stream)


@given(legal_walks(max_size=15), st.data())
def test_both_accept_or_both_reject_a_stream_that_is_nearly_legal(stream: list[str], data: st.DataObject) -> None:
    spoilt = completed(stream) or ["before_run"]
    at = data.draw(st.integers(0, len(spoilt) - 1), label="at")
    cut = data.draw(st.integers(0, 2), label="cut")
    spoilt[at : at + cut] = data.draw(st.lists(st.sampled_from(SCOPE_EVENTS), max_size=2), label="put in")
    assert automaton_accepts(spoilt) == recogniser_accepts(spoilt)


def test_both_accept_or_both_reject_every_stream_of_up_to_four_events_about_a_validation() -> None:
    about = ("before_run", "after_run", "before_val", "after_val", "before_val_epoch", "after_val_epoch")
    for length in range(5):
        for stream in product(about, repeat=length):
            assert automaton_accepts(list(stream)) == recogniser_accepts(list(stream))


def test_a_run_of_everything_is_accepted() -> None:
    val = "before_val before_val_epoch before_val_iter after_val_iter after_val_epoch after_val"
    test = val.replace("val", "test")
    stream = (
        f"before_run before_train before_train_epoch before_train_iter {val} {test} after_train_iter {val} {test} "
        f"after_train_epoch {val} {test} after_train {val} {test} after_run"
    ).split()
    assert set(stream) == set(SCOPE_EVENTS)
    assert automaton_accepts(stream)
    assert recogniser_accepts(stream)


# -- The table and what is derived from it


def test_every_scope_has_one_event_that_opens_it_and_one_that_closes_it() -> None:
    assert {name.removeprefix("before_"): scope for name, scope in OPENS.items()} == {name: name for name in GRAMMAR}
    assert {name.removeprefix("after_"): scope for name, scope in CLOSES.items()} == {name: name for name in GRAMMAR}


def test_the_events_are_mmengines_22_and_on_exception() -> None:
    assert len(EVENTS) == len(set(EVENTS)) == 23
    assert set(EVENTS) == {*OPENS, *CLOSES, *FREE_EVENTS, ABORT}
    assert {"before_save_checkpoint", "after_load_checkpoint"} == FREE_EVENTS
    assert ABORT == "on_exception"


def test_the_stages_are_train_val_and_test() -> None:
    assert {name: row.stage for name, row in GRAMMAR.items() if row.stage} == {
        "train": "train",
        "val": "val",
        "test": "test",
    }


def test_the_table_names_only_scopes() -> None:
    for row in GRAMMAR.values():
        assert {*row.inside, row.at_least_one} <= {*GRAMMAR, None}


@pytest.mark.parametrize("table", [GRAMMAR, OPENS, CLOSES])
def test_the_tables_are_read_only(table: Any) -> None:
    with pytest.raises(TypeError):
        table["run"] = None


@pytest.mark.parametrize("outer", [None, *GRAMMAR])
@pytest.mark.parametrize("inner", GRAMMAR)
def test_missing_scopes_make_a_legal_path(outer: str | None, inner: str) -> None:
    missing = missing_between(outer, inner)
    if missing is None:
        assert outer not in GRAMMAR[inner].inside
        return
    path = [outer, *missing, inner]
    assert all(parent in GRAMMAR[child].inside for parent, child in pairwise(path) if child)


@pytest.mark.parametrize(
    ("outer", "inner", "missing"),
    [
        (None, "run", ()),
        (None, "train_iter", ("run", "train", "train_epoch")),
        (None, "val_iter", ("run", "val", "val_epoch")),
        ("run", "val", ()),
        ("run", "test_epoch", ("test",)),
        ("train", "train_iter", ("train_epoch",)),
        ("train_epoch", "val", ()),
        ("train_iter", "test_iter", ("test", "test_epoch")),
        ("val", "train", None),
        ("val_iter", "test", None),
        ("train_iter", "run", None),
        ("val", "val", None),
        ("train_epoch", "train", None),
    ],
)
def test_the_shortest_way_is_taken(outer: str | None, inner: str, missing: tuple[str, ...] | None) -> None:
    assert missing_between(outer, inner) == missing
