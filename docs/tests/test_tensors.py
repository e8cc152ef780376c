"""The code of docs/tensors.md runs, and prints what the page shows."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest
import torch

from runtimeinfo_adapters import MessageHub

PAGE = (Path(__file__).resolve().parents[1] / "tensors.md").read_text(encoding="utf-8")


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_the_code_prints_what_the_page_shows(dynamo):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    scope = {}
    for block in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(block, scope)
        assert output.getvalue().strip() == re.search(r"print\(.*\)  # (.*)", block)[1]


def test_the_arguments_and_defaults_are_as_said():
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE.partition("| argument |")[2], flags=re.MULTILINE)
    parameters = inspect.signature(MessageHub.tensor).parameters
    assert rows == list(parameters)[1:]
    assert parameters["device"].default == "cpu"
    assert MessageHub("page").tensor("iter").dtype is torch.int64
    default = inspect.signature(MessageHub).parameters["max_on_device"].default
    assert f"wait, {default:,} if you say nothing" in PAGE


def test_rounding_and_copies_are_as_said():
    hub = MessageHub("page")
    hub.update_info("iter", 257)
    assert hub.tensor("iter", dtype=torch.bfloat16).item() == 256
    module = torch.nn.Module()
    module.register_buffer("iteration", hub.tensor("iter"))
    module.to(torch.float32)
    module.double()
    assert module.to("cpu").iteration is hub.tensor("iter")  # an integer on the same device: nothing to do
    module.to("meta")
    assert module.iteration is not hub.tensor("iter")


def test_the_number_of_recompilations_is_as_said():
    assert "until torch.compile gives up after eight" in PAGE
    assert torch._dynamo.config.recompile_limit == 8
