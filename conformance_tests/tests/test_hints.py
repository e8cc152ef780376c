from __future__ import annotations

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._hints import HINTS

# In these there is no usual mistake.
WITHOUT = {"SHARE-04", "SHARE-05"}


def test_each_must_has_the_usual_mistake_in_a_line() -> None:
    musts = {rule.id for rule in REQUIREMENTS.values() if rule.level == "MUST"}
    assert musts - HINTS.keys() == WITHOUT
    assert HINTS.keys() <= REQUIREMENTS.keys()
    for hint in HINTS.values():
        assert hint == " ".join(hint.split())
        assert not hint.endswith(".")
        assert len(hint) <= 110


def test_they_are_in_the_order_of_the_spec_within_their_groups() -> None:
    order = list(REQUIREMENTS)
    for group in {id.partition("-")[0] for id in HINTS}:
        ids = [id for id in HINTS if id.startswith(f"{group}-")]
        assert ids == sorted(ids, key=order.index)
