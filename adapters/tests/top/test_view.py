"""Keys and the mouse on the list, the details and the help, without a terminal."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from runtimeinfo.board import BoardIdentity, BoardScalar
from runtimeinfo_adapters.top import Run
from runtimeinfo_adapters.top._keys import Mouse
from runtimeinfo_adapters.top._layout import ASCII, UNICODE, Glyphs, LineLayout
from runtimeinfo_adapters.top._view import View


def make(pid: int, name: str | None = None, *, rank: int | None = None, **about: Any) -> Run:
    scalars = about.pop("scalars", {"train/lr": 0.1, "train/loss": float(pid)})
    infos = {"experiment_name": name or f"run-{pid}", **about.pop("infos", {})}
    size = None if rank is None else 4
    identity = BoardIdentity("node1", rank, rank, size, "job", command=("python", "train.py"), run_id="abc")
    return Run(
        Path(f"boards/{pid}-0.board"),
        pid,
        about.pop("state", "live"),
        started_ns=1000 - pid,
        age_s=0.1,
        loop_stage="train",
        iter=about.pop("iter", pid),
        max_iters=100,
        infos=infos,
        scalars={key: BoardScalar(value, 1.0, 3) for key, value in scalars.items()},
        curves={key: (value, value / 2, value) for key, value in scalars.items()},
        identity=about.pop("identity", identity),
        **about,
    )


def ranks(many: int = 4, **about: Any) -> list[Run]:
    return [make(10 + rank, "ddp", rank=rank, iter=13, **about) for rank in range(many)]


class Hands:
    """A view, and what is seen of it."""

    def __init__(self, *runs: Run, width: int = 80, height: int = 24, glyphs: Glyphs = UNICODE, **about: Any) -> None:
        self.view = View("boards", **about)
        self.view.show(runs)
        self.layout = LineLayout(width, glyphs)
        self.height = height

    def press(self, *keys: str) -> Hands:
        for key in keys:
            self.view.handle(key)
        return self

    def click(self, text: str, *, first: int = 0) -> Hands:
        """Press the mouse on the first place of a text, from a line on."""
        row = next(index for index, line in enumerate(self.lines) if text in line and index >= first)
        self.view.handle(Mouse("press", cell_len(self.lines[row].partition(text)[0]), row))
        return self

    @property
    def lines(self) -> list[str]:
        """The lines, after checking that they fit and contain nothing that a terminal obeys."""
        lines = [line.plain for line in self.view.draw(self.layout, self.height)]
        assert len(lines) <= self.height
        assert all(line.isprintable() and cell_len(line) <= self.layout.width for line in lines)
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def selected(self) -> str:
        """What the line that is drawn in reverse begins with, besides its mark."""
        lines = self.view.draw(self.layout, self.height)
        found = [line.plain for line in lines if any(span.style == "reverse" for span in line.spans)]
        assert len(found) <= 1
        return found[0][2:].strip().partition("  ")[0] if found else ""

    @property
    def listed(self) -> list[str]:
        """The names in the table."""
        assert self.lines[2].split()[0].startswith("run")
        return [line[2:].split("  ")[0].strip() for line in self.lines[3:] if line[:1] in "●▸▾*+-"]


@pytest.fixture
def hands() -> Hands:
    return Hands(make(1), make(2), make(3))


# -- the selection


def test_nothing_is_selected_at_first_and_keys_select(hands: Hands) -> None:
    assert hands.selected == ""
    for key, selected in (
        ("down", "run-1"),
        ("j", "run-2"),
        ("tab", "run-3"),
        ("down", "run-3"),
        ("k", "run-2"),
        ("up", "run-1"),
        ("shift_tab", "run-1"),
        ("G", "run-3"),
        ("home", "run-1"),
        ("end", "run-3"),
        ("page_up", "run-1"),
        ("ctrl_n", "run-2"),
        ("escape", ""),
        ("up", "run-3"),
    ):
        assert hands.press(key).selected == selected, key


def test_wheel_selects(hands: Hands) -> None:
    hands.view.handle(Mouse("wheel_down", 3, 3))
    hands.view.handle(Mouse("wheel_down", 3, 3))
    assert hands.selected == "run-2"
    hands.view.handle(Mouse("wheel_up", 3, 3))
    assert hands.selected == "run-1"


def test_selection_follows_its_run_and_goes_on_to_the_next_one(hands: Hands) -> None:
    hands.press("down", "down")
    hands.view.show([make(4), make(1), make(3), make(2)])
    assert hands.selected == "run-2"
    hands.view.show([make(4), make(1)])
    assert hands.selected == "run-1"
    hands.view.show([])
    assert hands.selected == ""
    assert "No run of this user is seen" in hands.text


def test_long_list_is_scrolled_to_the_selection() -> None:
    hands = Hands(*(make(pid) for pid in range(1, 101)), height=10)
    assert hands.listed == [f"run-{pid}" for pid in range(1, 7)]
    assert hands.lines[-1] == "  … and 94 more"
    assert hands.press("page_down", "page_down").selected == "run-7"
    assert hands.listed == [f"run-{pid}" for pid in range(2, 8)]
    assert hands.lines[-1] == "  1 above, 93 below"
    assert hands.press("end").listed[-1] == "run-100"
    assert hands.lines[-1] == "  94 above, 0 below"
    hands.click("run-97")
    assert hands.selected == "run-97"


# -- details


def test_second_click_opens_the_details_and_a_click_goes_back(hands: Hands) -> None:
    assert hands.click("run-2").selected == "run-2"
    assert "details" not in hands.text
    hands.click("run-2")
    assert hands.lines[0].startswith("runtimeinfo top  details")
    assert hands.lines[1].startswith("● run-2 ")
    hands.click("Esc goes back")
    assert hands.lines[0].startswith("runtimeinfo top  3 live")
    assert hands.selected == "run-2"


@pytest.mark.parametrize("key", ["escape", "q", "enter", "backspace"])
def test_key_goes_back_from_the_details(hands: Hands, key: str) -> None:
    assert "details" in hands.press("down", "enter").text
    assert "details" not in hands.press(key).text
    assert not hands.view.is_done


def test_details_have_all_that_is_known() -> None:
    infos = {"cfg": "lr = 0.1\n  batch\t= 4", "seed": 7, "note": "one\ntwo", "list": [1, None]}
    hands = Hands(make(7, infos=infos, unshared=3), height=50).press("enter")
    found = [line.strip() for line in hands.lines]
    assert found[3] == "train/loss 7  since top began, 3.5 to 7"
    assert found[4].startswith("7 │█")
    for line in (
        "train/lr         0.1 █▁█",
        "▸ train/loss         7 █▁█",
        "name      run-7",
        "pid       7",
        "host      node1",
        "job       job",
        "run id    abc",
        "command   python train.py",
        "unshared  3 infos and scalars that have no place on the board",
        "seed  7",
        "note  one",
        "two",
        "list  [1, None]",
        "lr = 0.1",
        "batch = 4",
    ):
        assert line in found, hands.text


def test_long_value_is_wrapped() -> None:
    command = tuple(f"--option-{number}={number}" for number in range(40))
    hands = Hands(make(1, identity=BoardIdentity("node1", command=command)), width=60, height=60).press("enter")
    assert all(option in hands.text.split() for option in command)


def test_scalar_of_the_curve_is_chosen(hands: Hands) -> None:
    hands.press("down", "enter")
    assert "  train/loss 1  since" in hands.text
    assert "  train/lr 0.1  since" in hands.press("right").text
    assert "  train/loss 1  since" in hands.press("left").text
    assert "  train/lr 0.1  since" in hands.press("tab").text
    assert "  train/loss 1  since" in hands.click("train/loss  ").text


def test_chosen_scalar_is_scrolled_to() -> None:
    scalars = {f"train/loss{number}": float(number) for number in range(60)}
    hands = Hands(make(1, scalars=scalars)).press("enter")
    for _ in range(40):
        hands.press("right")
        assert hands.text.count("▸") == 1
    assert "▸ train/loss40 " in hands.text
    hands.press("left", "left")
    assert "▸ train/loss38 " in hands.text


def test_details_are_scrolled() -> None:
    hands = Hands(make(1, infos={"cfg": "\n".join(f"line {number}" for number in range(200))})).press("enter")
    assert hands.lines[-1].startswith("  … and ")
    assert hands.press("end").lines[-2:] == ["  line 199", hands.lines[-1]]
    assert hands.lines[-1].endswith("above, 0 below")
    hands.view.handle(Mouse("wheel_up", 0, 20))
    assert hands.lines[-2] == "  line 196"
    assert hands.press("k").lines[-2] == "  line 195"
    assert "scalars" in hands.press("g").text


def test_details_of_a_run_that_is_gone_stay() -> None:
    hands = Hands(make(1), make(2)).press("down", "enter")
    hands.view.show([replace(make(1), iter=55), make(2)])
    assert "iter 55/100" in hands.text
    hands.view.show([make(2)])
    assert "iter 55/100" in hands.text
    assert "run-2" in hands.press("escape").text


def test_run_without_scalars_has_details() -> None:
    damaged = Run(Path("boards/9-0.board"), 9, "damaged", error="9-0.board is short")
    hands = Hands(damaged).press("enter")
    assert "fault  9-0.board is short" in hands.text
    hands.press("right", "left", "down", "end")
    assert "details" in hands.text


# -- ranks


def test_ranks_are_unfolded_by_key_and_by_click() -> None:
    hands = Hands(make(1), *ranks()).press("end")
    assert "4 ranks" in hands.text
    assert "rank 0" not in hands.text
    assert "    rank 3  pid 13  live" in hands.press(" ").text
    assert "rank 0" not in hands.press("-").text
    assert "rank 0" in hands.press("+").text
    assert hands.press("down").selected == "rank 0"
    assert hands.press(" ").selected == "ddp"  # folded from one of its ranks
    assert "rank 0" in hands.click("▸").text
    assert "rank 0" not in hands.click("▾").text
    assert "rank 0" in hands.press("*").text
    assert "rank 0" not in hands.press("*").text
    assert "Only a job of several ranks" in hands.press("home", " ").lines[-1]
    assert "Only a job" not in hands.press("down").text


def test_slowest_rank_is_marked() -> None:
    late = ranks()
    late[2] = replace(late[2], iter=3)
    hands = Hands(*late)
    assert "4 ranks · slowest rank 2: 10 behind  " in hands.lines[2]
    assert hands.lines[3].startswith("  iter 3/100")
    assert "▸ ddp         4 ranks · slow 2  train  0.1 s ago" in Hands(*late, width=48).lines[2]
    hands.press("*")
    assert [line for line in hands.lines if "slowest: 10 behind" in line] == [
        "    rank 2  pid 12  live  train  3/100   0.1 s  slowest: 10 behind"
    ]
    hands.press("c")
    assert "4 slow 2" in hands.text
    assert "    rank 2 slowest" in hands.text


def test_fault_of_a_rank_is_that_of_its_job() -> None:
    broken = ranks()
    broken[3] = replace(broken[3], state="dead", age_s=9.0)
    hands = Hands(*broken)
    assert hands.lines[2].endswith("rank 3 dead, 9.0 s ago")
    assert hands.lines[0].startswith("runtimeinfo top  3 live · 1 dead")


def test_job_of_which_not_all_ranks_are_here_says_so() -> None:
    assert "2 of 4 ranks" in Hands(*ranks(2)).text
    assert "rank 3 of 4" in Hands(ranks()[3]).text


def test_details_of_a_job_list_its_ranks_and_a_click_opens_one() -> None:
    hands = Hands(*ranks(), height=40).press("enter")
    assert "pid      10, 11, 12, 13" in hands.text
    hands.click("rank 2")
    assert "pid 12 · rank 2 of 4" in hands.lines[1]
    assert "rank     2 of 4" in hands.text
    hands.view.show(ranks()[1:])
    assert "pid 12 · rank 2 of 4" in hands.lines[1]


def test_details_of_a_job_stay_when_its_first_rank_has_gone() -> None:
    hands = Hands(*ranks(), height=40).press("enter")
    hands.view.show([replace(run, iter=77) for run in ranks()[1:]])
    assert "3 of 4 ranks" in hands.text
    assert "77/100" in hands.text


# -- filter, order, dismissal


def test_filter_is_typed_and_cleared(hands: Hands) -> None:
    hands.press("/", *"RUN-x", "backspace", "2")
    assert hands.lines[-1] == "  filter: RUN-2█  Enter keeps it, Esc clears it"
    assert "run-2" in hands.text
    assert "run-1" not in hands.text
    hands.press("enter")
    assert "filter RUN-2" in hands.lines[0]
    assert hands.press("down").selected == "run-2"
    hands.press("escape")
    assert "run-1" in hands.text
    hands.press("f", "z", "enter")
    assert "No run matches the filter z." in hands.text
    hands.press("\\", "ctrl_u", *"N-1 | N-3")
    assert ("run-1" in hands.text, "run-2" in hands.text, "run-3" in hands.text) == (True, False, True)
    hands.press("escape")
    assert "run-2" in hands.text
    assert hands.press("/", "q", "h", "D").lines[-1].startswith("  filter: qhD█")
    assert not hands.view.is_done


@pytest.mark.parametrize("key", ["ctrl_c", "ctrl_d", "f10"])
def test_key_ends_it_everywhere(key: str) -> None:
    for before in ((), ("/", "x"), ("enter",), ("h",)):
        assert Hands(make(1)).press(*before, key).view.is_done


def test_order_is_chosen_by_keys_and_by_clicks() -> None:
    hands = Hands(make(2, "b"), make(1, "c"), make(3, "a"), width=100).press("c")
    assert hands.listed == ["b", "c", "a"]
    assert hands.press(">").listed == ["a", "b", "c"]
    assert "by run ↑" in hands.lines[0]
    assert hands.press("r").listed == ["c", "b", "a"]
    assert hands.press("<").listed == ["b", "c", "a"]
    assert hands.press("N").listed == ["c", "b", "a"]
    assert hands.press("T").listed == ["b", "c", "a"]
    assert hands.press("I").listed == ["a", "c", "b"]
    assert hands.click("iter", first=2).listed == ["a", "b", "c"]
    assert "iter↓" in hands.lines[2]
    assert hands.click("iter", first=2).listed == ["c", "b", "a"]
    assert hands.click("run", first=2).listed == ["a", "b", "c"]
    assert hands.press("right", "left", ",", ".", "f6").lines[0].count("by state") == 1


def test_only_runs_that_are_over_are_dismissed_and_they_come_back() -> None:
    over = [make(2, state="dead"), make(3, state="ended"), make(4, state="damaged")]
    hands = Hands(make(1), *over)
    assert "Select a run first." in hands.press("d").lines[-1]
    assert "only dead, damaged and ended ones" in hands.press("down", "d").lines[-1]
    hands.press("down", "d")
    assert "run-2" not in hands.text
    assert "1 dismissed" in hands.lines[0]
    assert hands.selected == "run-3"
    hands.press("D")
    assert ("run-3" in hands.text, "run-4" in hands.text, "run-1" in hands.text) == (False, False, True)
    assert "No run is dead" in hands.press("D").lines[-1]
    assert "run-4" in hands.press("u").text
    hands.press("D")
    hands.view.show([make(1), replace(make(2), started_ns=5)])  # another run under the same name
    assert "run-2" in hands.text
    assert "dismissed" not in hands.text


def test_dead_ranks_of_a_job_are_dismissed_with_it() -> None:
    hands = Hands(*(replace(run, state="dead") for run in ranks()))
    assert "All runs are dismissed." in hands.press("down", "d").text


def test_run_of_another_user_says_whose_it_is() -> None:
    hands = Hands(make(1, user_id=os.geteuid()), make(2, user_id=2**31 - 2))
    assert f"{2**31 - 2} · pid 2" in hands.text
    assert f"{os.geteuid()} · pid 1" not in hands.text
    assert hands.press("c").lines[2].split()[:3] == ["run", "user", "state"]
    assert "run-1" not in hands.press("/", *str(2**31 - 2)).text
    assert f"user     {2**31 - 2}" in hands.press("enter", "enter").text


def test_runs_of_the_kit_are_hidden_unless_they_are_asked_for() -> None:
    check = make(1, identity=BoardIdentity("node1", is_check=True))
    hands = Hands(check, make(2))
    assert ("run-1" in hands.text, "1 live" in hands.lines[0]) == (False, True)
    assert "The runs that the conformance kit makes are hidden: 1." in Hands(check).text
    assert "run-1" in Hands(check, make(2), has_checks=True).text


# -- other keys


def test_help_lists_the_keys_and_any_key_leaves_it(hands: Hands) -> None:
    for key in ("h", "?", "f1"):
        assert "dismiss a dead run" in hands.press(key).text
        assert "run-1" in hands.press("x").text
    assert "dismiss a dead run" in hands.click("h helps").text
    assert "details" in hands.press("escape", "enter", "h", "escape").lines[0]


def test_help_is_scrolled() -> None:
    hands = Hands(make(1), width=60, height=15).press("h")
    assert "go back" not in hands.text.partition("\n")[2]
    assert "Esc q Enter Backspace" in hands.press("end").text


def test_pause_and_look_are_asked_for(hands: Hands) -> None:
    assert "paused" in hands.press("Z").lines[0]
    assert hands.view.is_paused
    assert not hands.press("Z").view.is_paused
    assert hands.press("f5").view.wants_look


def test_click_on_nothing_does_nothing(hands: Hands) -> None:
    before = hands.text
    hands.view.handle(Mouse("press", 70, 20))
    hands.view.handle(Mouse("press", 500, 500))
    assert hands.text == before
    hands.click("q quits")
    assert hands.view.is_done


EVERY_KEY = [
    "down", "enter", "right", "page_down", "escape", " ", "c", "/", "x", "escape", ">", "d", "*", "h", "end", "escape",
    "end", "enter", "end", "q", "c", "up",
]  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (20, 10), (60, 15), (80, 24), (200, 50), (400, 2)])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_any_screen_fits_any_size_with_any_texts(width: int, height: int, glyphs: Glyphs) -> None:
    evil = "[red]\x1b[2J\x1b]0;title\x07\r\n\t\u202e\ud800数字\ufe0f\u0301\u0301" * 20
    numbers = (math.nan, math.inf, -math.inf, 1.7e308, -1e-300, 0.0)
    identity = BoardIdentity(evil, 2**31, 2**31, 2**31, evil, evil, evil, (evil, evil))
    hostile = Run(
        Path(f"boards/{evil}"),
        2**62,
        "live",
        error=evil,
        started_ns=2**62,
        age_s=1e300,
        loop_stage=evil,
        epoch=-(2**62),
        iter=2**62,
        max_iters=-1,
        rate=1e300,
        eta_s=1e300,
        infos={"experiment_name": evil, "cfg": evil, evil: [evil], "nothing": None},
        scalars={f"{key} {evil}": BoardScalar(value, value, 1) for key, value in enumerate(numbers)},
        curves={f"{key} {evil}": numbers for key in range(len(numbers))},
        unshared=2**62,
        identity=identity,
    )
    other = replace(hostile, pid=1, path=Path("x"), started_ns=-(2**62), identity=replace(identity, rank=1, host="b"))
    hands = Hands(hostile, other, make(1, state="dead"), *ranks(), width=width, height=height, glyphs=glyphs)
    for key in EVERY_KEY:
        assert hands.press(key).lines
        assert glyphs is UNICODE or hands.text.isascii()
