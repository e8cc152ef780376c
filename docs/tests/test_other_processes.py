"""The code of docs/other-processes.md runs, and prints what the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtimeinfo.board import FOLDER_VARIABLE, JOB_VARIABLE, BoardIdentity, layout
from runtimeinfo_adapters.sharing import SHARE_VARIABLE

PAGE = (Path(__file__).resolve().parents[1] / "other-processes.md").read_text(encoding="utf-8")

EXAMPLES = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("code", "shown"), EXAMPLES, ids=["worker", "other process", "identity"])
def test_an_example_prints_what_the_page_shows(code, shown, tmp_path):
    path = tmp_path / "example.py"
    path.write_text(code)
    found = subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == (shown, "")


def test_every_example_is_tried():
    assert len(EXAMPLES) == PAGE.count("```python") == 3


def test_the_numbers_are_those_of_the_layout():
    assert f"{layout.SIZE // 1024} KiB in memory" in PAGE
    assert f"up to {layout.MAX_INFO // 1024} KiB each and {layout.INFO_CAPACITY // 1024} KiB together" in PAGE
    assert f"the latest value of up to {layout.MAX_ENTRIES}" in PAGE
    assert f"`{SHARE_VARIABLE}=0`" in PAGE
    assert f"`{FOLDER_VARIABLE}=/path`" in PAGE
    assert f"at most {layout.IDENTITY_CAPACITY // 1024} KiB, and adds nothing" in PAGE


def test_every_member_of_the_identity_is_described():
    rows = PAGE.partition("## Which run it is")[2].partition("\n## ")[0].splitlines()
    named = [name for row in rows if row.startswith("| `") for name in re.findall("`(.*?)`", row.split("|")[1])]
    assert named == list(BoardIdentity.__slots__)
    assert f"`{JOB_VARIABLE}`" in PAGE
