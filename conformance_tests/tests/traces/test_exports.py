from __future__ import annotations

import inspect

import pytest

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import traces
from runtimeinfo_conformance.traces import RULES


@pytest.mark.parametrize("name", traces.__all__)
def test_every_export_is_there_and_documented(name: str) -> None:
    value = getattr(traces, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__


def test_the_rules_are_requirements_on_runners_in_the_order_of_the_spec() -> None:
    assert list(RULES) == [id for id in REQUIREMENTS if id in RULES]
    assert {REQUIREMENTS[id].party for id in RULES} == {"runner"}
