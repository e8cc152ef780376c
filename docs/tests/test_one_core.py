"""The way of a loss, as docs/design/one-core.md tells it, is the one that it takes."""

import re
import sys
from pathlib import Path

import pytest
import torch

from runtimeinfo_adapters.pytorch import Loop

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "design" / "one-core.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- way:begin -->")[2].partition("<!-- way:end -->")[0]
ROWS = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", TABLE, flags=re.MULTILINE)
FILES = [file for file, _ in ROWS]

PACKAGES = tuple(str(ROOT / package / "runtimeinfo") for package in ("protocol", "adapters"))


class Way:
    """The calls of this project between `Loop.log` and the moment at which the history has the value."""

    def __init__(self, loop):
        self.hub = loop.message_hub
        self.calls = []
        self.updates = None

    def __enter__(self):
        self.updates = self.hub.get_scalar("train/loss").update_count
        sys.setprofile(self._note)

    def __exit__(self, *_):
        sys.setprofile(None)

    def _note(self, frame, event, _):
        if self.hub.get_scalar("train/loss").update_count > self.updates:
            sys.setprofile(None)
        elif event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            file = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
            self.calls.append((file, frame.f_code.co_qualname))

    @property
    def files(self):
        """The files in the order in which they are entered, one after the other."""
        files = [file for file, _ in self.calls]
        return [file for at, file in enumerate(files) if at == 0 or file != files[at - 1]]


def way_of(loss):
    """Return the way of a loss in the third iteration, which has nothing to make any more."""
    loop = Loop(train_loader=range(4), max_epochs=1)
    way = Way(loop)
    with loop.run():
        for batch in loop.batches():
            if batch == 2:
                with way:
                    loop.log(loss=loss)
                    # The iteration ends when the next batch is asked for.
                    loop._training.end_iteration()
                break
            loop.log(loss=loss)
    assert loop.message_hub.get_scalar("train/loss").update_count == 3
    return way


LOSSES = {"float": 1.0, "tensor": torch.tensor(1.0), "int": 1}


@pytest.mark.parametrize(("loss", "number"), [("float", 5), ("tensor", 6), ("int", 7)])
def test_loss_crosses_at_most_seven_files_in_the_order_of_the_page_and_none_twice(loss, number):
    way = way_of(LOSSES[loss])
    assert way.calls[0] == ("adapters/runtimeinfo_adapters/loop.py", "Loop.log")
    assert way.files == [file for file in FILES if file in way.files], way.calls
    assert len(way.files) == number
    assert len(FILES) == 7


def test_page_names_what_is_called_in_each_file():
    called = {name for loss in LOSSES.values() for _, name in way_of(loss).calls}
    named = {name for _, text in ROWS for name in re.findall(r"`(_?[A-Z]\w+\.\w+)`", text)}
    assert named
    assert named <= called


def test_files_that_are_used_without_a_call_are_not_called():
    way = way_of(torch.tensor(1.0))
    for file in ("protocol/runtimeinfo/spec/_lifecycle.py", "protocol/runtimeinfo/_dispatcher.py"):
        assert f"`{file}`" in PAGE
        assert file not in way.files


def test_shallow_copy_shares_the_wrapper_of_the_original():
    from copy import copy, deepcopy

    from runtimeinfo_adapters._adapter import wrap_method

    class Trainer:
        def fit(self):
            return self

    class Adapter:
        def around(self, owner, method):
            return method()

    trainer = Trainer()
    wrap_method(trainer, "fit", Adapter().around)
    shallow, deep = copy(trainer), deepcopy(trainer)
    assert shallow.fit() is trainer
    assert deep.fit() is deep
