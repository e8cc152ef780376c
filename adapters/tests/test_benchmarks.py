import re
import subprocess
import sys
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("mmengine")

SVG = "{http://www.w3.org/2000/svg}"
RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"

# TorchMetrics and TorchEval come where they are installed.
REDUCE_PEERS = 3 + sum(find_spec(name) is not None for name in ("torchmetrics", "torcheval"))

BEFORE = "# A project\n\nFast.\n\n"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
AFTER = "\n\nThe end: | no | table |\n"

FRAMEWORKS = ("PyTorch", "mmengine", "Lightning", "Transformers", "Accelerate", "Ignite", "Keras")

GROUPS = {
    "One iteration": [
        f"iteration, {kind}{suffix}"
        for kind in ("2 tensors", "2 floats")
        for suffix in (", fresh", ", at 10,000", ", at 200,000", "", ", not shared", "", ", after 20,000")
    ],
    "In a framework": [f"iteration, in {framework}, bare *" for framework in FRAMEWORKS],
    "What an adapter adds, before and now": [f"added to an iteration, in {framework}" for framework in FRAMEWORKS],
    "Many scalars, long histories, many hooks": [
        "write 150 scalars to the board",
        "worst of 20 iterations that update 150 scalars",
        "update of one of 150 scalars",
        "memory of 2 scalars beyond 8 bytes a value",
        "reduce 150 scalars over 2 ranks",
        "peak memory of state_dict with 1,000 values",
        "peak memory of a pickle with 1,000 values",
        "register a hook of a new class",
        "make a Loop",
        *(f"{statistic} of 1,000 values" for statistic in ("mean", "min", "max")),
    ],
    "A shared number": [
        *["a shared number, write: hub.update_info"] * 3,
        *["a shared number, read in a worker: current_hub().get_info"] * 3,
        *["a shared number, read in a worker: BoardReader.get_info"] * 3,
    ],
    "Scalars over all ranks": ["reduce 10 scalars over 2 ranks"] * REDUCE_PEERS,
    "What is kept, and what is loaded": [
        *(f"checkpoint of 20,000 values, {what}" for what in ("size", "save", "load")),
        "memory of a history of 20,000 values",
        "import runtimeinfo, beyond a bare interpreter",
        "numpy and torch loaded by it",
    ],
}

HEADLINES = [
    *(f"iteration, 2 tensors{suffix}" for suffix in (", fresh", ", at 10,000", ", at 200,000", "")),
    "iteration, 2 floats",
    *GROUPS["In a framework"],
    "import runtimeinfo, beyond a bare interpreter",
]


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RUN), "--quick", *arguments], capture_output=True, text=True, encoding="utf-8", timeout=300
    )


def test_prints_every_figure_and_writes_between_the_markers_only(tmp_path):
    readme, page = tmp_path / "README.md", tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    for path in (readme, page):
        path.write_text(f"{BEFORE}{BEGIN}\nold\n{END}{AFTER}", encoding="utf-8", newline="\n")
    done = run("--write", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    check_plot(tmp_path / "docs" / "cost.svg")

    everything = written(page)
    assert done.stdout == f"{everything}\n"
    circumstances, *sections = everything.split("\n\n## ")
    assert re.fullmatch(
        r"Measured on \d{4}-\d\d-\d\d: Python 3\.\S+, torch \S+, mmengine \S+, \d+ cores; "
        r"load [\d.]+ before, [\d.]+ after\. A quick run: the figures mean little\.",
        circumstances,
    )
    groups = {section.partition("\n")[0]: cells(section) for section in sections}
    assert groups.keys() == GROUPS.keys()
    for title, rows in groups.items():
        check_rows(rows, GROUPS[title])

    short = written(readme)
    aims = [row[5] for rows in groups.values() for row in rows if row[4:5] not in ([], [""])]
    assert f"Of our {len(aims)} aims, {aims.count('reached')} are reached." in short
    check_names(cells(short), HEADLINES)
    assert all(row in [each[:4] for rows in groups.values() for each in rows] for row in cells(short))


def written(path):
    """Return what stands between the markers, and see that the rest has stayed."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"{BEFORE}{BEGIN}\n")
    assert text.endswith(f"\n{END}{AFTER}")
    return text.removeprefix(f"{BEFORE}{BEGIN}\n").removesuffix(f"\n{END}{AFTER}")


def cells(text):
    """Return the rows of the one table in a text."""
    header, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:3]] == ["measured", "ours"]
    assert set(rule) == {"|", "-"}
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def check_names(rows, patterns):
    assert len(rows) == len(patterns)
    assert all(fnmatchcase(row[0], pattern) for row, pattern in zip(rows, patterns, strict=True))


def check_rows(rows, patterns):
    check_names(rows, patterns)
    for row in rows:
        measured, ours, beside, ratio, aim, verdict = (*row, "", "")[:6]  # where there is no aim, no column has one
        if measured.startswith(("iteration, in", "added to an iteration")):
            figures = framework_figures(measured, ours, beside, ratio)
        else:
            figures = [cell for cell in (ours, beside, ratio) if cell and not measured.startswith("numpy")]
        for figure in figures:
            # The last number of a cell: a cell may begin with a length. A nan or an inf has no digits.
            assert float(re.findall(r"[\d,]*\.?\d+", figure)[-1].replace(",", "")) > 0, figure
            assert "-" not in figure
        assert verdict in (("reached", "not reached") if aim else ("",))


def framework_figures(*row):
    """Return the figures of a row that has two in each cell, a low percentile and a median.

    Those that are differences may be lost in the noise of a quick run, and their ratios may round to nothing.
    """
    pairs = [re.fullmatch(r"(.*) \(median (.*)\)", cell) for cell in row if not cell.startswith("added to")]
    assert all(pairs), row
    said = [re.sub(r"^adds ", "", figure) for pair in pairs for figure in pair.groups()]
    lost = r"(.* )?within the noise|nothing|more|less|0\.00 x|0\.0 x (more|less)"
    return [figure for figure in said if not re.fullmatch(lost, figure)]


def check_plot(path):
    """Check that each of the three has its line, as far to the right as the others, and mmengine's ends highest."""
    root = ET.parse(path).getroot()
    lines = [each.get("d") for each in root.iter(f"{SVG}path") if each.get("class").startswith("line")]
    ends = [tuple(map(float, line[1:].split(" L")[-1].split())) for line in lines]
    assert [each.text for each in root.iter(f"{SVG}text") if each.get("class").startswith("name")] == [
        "mmengine",
        "runtimeinfo",
        "lists by hand",
    ]
    assert len({x for x, _ in ends}) == 1
    assert ends[0][1] == min(y for _, y in ends)
    _, _, width, height = map(float, root.get("viewBox").split())
    assert all(0 < x < width and 0 < y < height for x, y in ends)
    said = root.find(f"{SVG}desc").text
    assert re.match(
        r"mmengine: \d\S* [mµ]s after 0, \S+ [mµ]s after 10,000, \S+ [mµ]?s after 200,000\. runtimeinfo: ", said
    )


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
    done = run("--write", "--root", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"not written: {readme} must have one line <!-- figures:begin -->")
    assert readme.read_text(encoding="utf-8") == "no markers\n"
