"""Boards with arbitrary content: what is shown of them is safe for a terminal, and is JSON."""

from __future__ import annotations

import json
import random

import pytest
from rich.cells import cell_len

from runtimeinfo.board import layout, make_board_folder
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import Run, Runs, Timestamp
from runtimeinfo_adapters.top._draw import draw_runs
from runtimeinfo_adapters.top._json import json_document, json_line
from runtimeinfo_adapters.top._layout import LineLayout

MUTATED = 400

# Numbers with which something may overflow, or has a meaning of its own.
ODD = (0, 1, -1, 255, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1, -(2**63) + 2, 0x7FF8 << 48)


@pytest.fixture
def image() -> bytes:
    hub = MessageHub("image", runtime_info={"experiment_name": "image", "epoch": 3, "cfg": "lr = 0.1", "flag": True})
    for key in ("train/lr", "train/loss", "val/acc"):
        hub.update_scalar(key, 0.5)
    hub.update_info_dict({"loop_stage": "train", "iter": 7, "max_iters": 10, "max_epochs": 5})
    try:
        return hub.share().path.read_bytes()
    finally:
        hub.unshare()


def mutated(image: bytes, chance: random.Random) -> bytes:
    content = bytearray(image)
    used = [*range(layout.IS_VERSION, layout.FIRST_CLAIM), *range(layout.entry_cell(0), layout.entry_cell(4))]
    identity = layout.IDENTITY_OFFSET // layout.CELL
    used += range(identity, identity + 30)
    for _ in range(chance.randint(1, 4)):
        at = chance.choice(used) * layout.CELL
        if chance.random() < 0.5:
            content[at : at + layout.CELL] = chance.choice(ODD).to_bytes(layout.CELL, "little", signed=True)
        else:
            content[at + chance.randrange(layout.CELL)] = chance.randrange(256)
    # Else each look would wait for the writer.
    for cell in (layout.SEQUENCE, layout.INFO_SEQUENCE, layout.IDENTITY_SEQUENCE):
        content[cell * layout.CELL] &= 0xFE
    return bytes(content)


def test_arbitrary_boards_are_safe_to_show(image: bytes) -> None:
    path = make_board_folder() / "1-0.board"
    path.touch(mode=0o600)
    chance = random.Random(0)
    states: set[str] = set()
    runs = Runs()
    now = Timestamp.now()
    for _ in range(MUTATED):
        path.write_bytes(mutated(image, chance))
        now = Timestamp(now.monotonic_s + 10, now.wall_ns + 10**10)  # a damaged board is read only now and then
        found = runs.look(now)
        states |= {run.state for run in found}
        check(found, now)
    assert states == {"live", "ended", "dead", "damaged"}


def check(found: list[Run], now: Timestamp) -> None:
    json.loads(json_line(json_document(found, now.wall_ns)), parse_constant=lambda name: pytest.fail(name))
    for width, height in ((80, 24), (40, 4)):
        lines = [each.plain for each in draw_runs(found, LineLayout(width), height=height, folder="boards")]
        assert all(each.isprintable() and cell_len(each) <= width for each in lines)
