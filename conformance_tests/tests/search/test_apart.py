from __future__ import annotations

from typing import Any

PROJECT = """
from pathlib import Path

import mine
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance.search import draw_plans

plans = draw_plans(HubSubject("hub", "1", make=print), 200)
assert len(plans) == 200
print("after the kit:", [path.name for path in Path().iterdir() if path.name.startswith(".")])
drawn = set()

@seed(1)
@settings(max_examples=3000)  # our own constants are drawn as well, more often
@given(st.integers())
def draw(number):
    drawn.add(number)

draw()
print("a constant of the project is drawn:", mine.number in drawn)
print("after the project:", [path.name for path in Path().iterdir() if path.name.startswith(".")])
"""


def test_drawing_leaves_no_folder_and_leaves_the_search_of_the_project_as_it_is(in_process: Any, tmp_path: Any) -> None:
    (tmp_path / "mine.py").write_text("number = 987_654_321\n")
    ran = in_process("-c", PROJECT)
    assert ran.stdout.splitlines() == [
        "after the kit: []",
        "a constant of the project is drawn: True",
        "after the project: ['.hypothesis']",
    ], ran.stderr
