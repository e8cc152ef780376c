import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

pytest.importorskip("mmengine")

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"

BEFORE = "# A project\n\nFast.\n\n"
AFTER = "\n\nThe end: | no | table |\n"

ROWS = [
    *(
        f"iteration, {kind}{suffix}"
        for kind in ("2 tensors", "2 floats")
        for suffix in (", at 1,000", ", at 10,000", ", at 100,000", ", at 200,000", "", ", after 20,000")
    ),
    *(
        f"iteration, in {framework}, bare *"
        for framework in ("PyTorch", "mmengine", "Lightning", "Transformers", "Accelerate", "Ignite", "Keras")
    ),
    "import runtimeinfo, beyond a bare interpreter",
    "numpy and torch loaded by it",
    "memory a value, of 20,000",
]


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RUN), "--quick", *arguments], capture_output=True, text=True, encoding="utf-8", timeout=300
    )


def test_prints_every_figure_and_writes_it_between_the_markers_only(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        f"{BEFORE}<!-- figures:begin -->\nold\n<!-- figures:end -->{AFTER}", encoding="utf-8", newline="\n"
    )
    done = run("--write", "--readme", str(readme))
    assert done.returncode == 0, done.stderr
    table = done.stdout.removesuffix("\n")
    assert readme.read_text(encoding="utf-8") == f"{BEFORE}<!-- figures:begin -->\n{table}\n<!-- figures:end -->{AFTER}"

    circumstances, _, header, rule, *rows = table.splitlines()
    assert re.match(r"Measured on \d{4}-\d\d-\d\d: Python 3\.\S+, torch \S+, mmengine \S+, \d+ cores\.", circumstances)
    assert [cell.strip() for cell in header.split("|")[1:3]] == ["measured", "ours"]
    assert set(rule) == {"|", "-"}
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cells) == len(ROWS)
    assert all(fnmatchcase(row[0], pattern) for row, pattern in zip(cells, ROWS, strict=True))
    for measured, ours, beside, ratio, aim, verdict in cells:
        said = (ours, beside) if ratio in {"within the noise", "adds more", "adds less"} else (ours, beside, ratio)
        figures = [cell for cell in said if cell and not measured.startswith("numpy")]
        for figure in figures:
            # The last number of a cell: a cell may begin with a length. A nan or an inf has no digits.
            assert float(re.findall(r"[\d,]*\.?\d+", figure)[-1].replace(",", "")) > 0, figure
            assert "-" not in figure
        assert verdict in (("reached", "not reached") if aim else ("",))


@pytest.mark.parametrize(
    "text",
    [
        "no markers\n",
        "<!-- figures:begin -->\n",
        "<!-- figures:end -->\n<!-- figures:begin -->\n",
        "<!-- figures:begin -->\n<!-- figures:begin -->\n<!-- figures:end -->\n",
    ],
)
def test_a_file_without_the_markers_stays_as_it_is(tmp_path, monkeypatch, text):
    monkeypatch.syspath_prepend(str(RUN.parent))
    import table

    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(table.MarkersMissingError, match=r"must have one line <!-- figures:begin --> and, after it"):
        table.write_between_markers(readme, "| new |")
    assert readme.read_text(encoding="utf-8") == text


def test_the_command_says_that_the_markers_are_missing(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no markers\n", encoding="utf-8")
    done = run("--write", "--readme", str(readme))
    assert done.returncode == 1
    assert done.stderr.startswith(f"not written: {readme} must have one line <!-- figures:begin -->")
    assert readme.read_text(encoding="utf-8") == "no markers\n"
