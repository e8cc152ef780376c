import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
VERSIONS = str(BENCHMARKS / "versions.py")
CALLS = [
    "update_scalar, a float",
    "update_scalar, a tensor on the device",
    "three values through the hook",
    "detach().clone() alone",
    "update_info",
    "update_info, with a view of another key",
    "update_info, with a view of it",
    "fill_ alone",
]
NEEDS_CUDA = ("waits for the device", "the speed of an eager loop and of a CUDA graph", "the age of live values")


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "device.py"), "--quick", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    saved = tmp_path_factory.mktemp("device") / "table.md"
    done = run("--save", str(saved))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(saved.read_text(encoding="utf-8"))
    return done.stdout


def test_prints_a_figure_for_each_call_and_the_memory_of_a_long_run(printed):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| ")]
    figures = {row[0]: float(re.match(r"[\d,.]+", row[1])[0].replace(",", "")) for row in rows if row[0] != "measured"}
    assert list(figures)[: len(CALLS)] == CALLS
    assert figures["200 values of each of three scalars, read in one batch"] > 0
    resident = [figure for name, figure in figures.items() if name.startswith("after ")]
    assert len(resident) == 2
    assert min(figures.values()) > 0


@pytest.mark.gpu
def test_on_a_gpu_each_figure_is_there(printed):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for figure in ("waits for the device in 100 iterations", "an eager loop", "one CUDA graph", "age of a live loss"):
        assert figure in printed


def test_without_cuda_it_says_what_is_missing_and_writes_no_page(printed, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for figure in NEEDS_CUDA:
        assert figure in printed
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text("# Performance\n", encoding="utf-8")
    done = run("--write", "--root", str(tmp_path))
    assert (done.returncode, page.read_text(encoding="utf-8")) == (1, "# Performance\n")
    assert "not written: only a full run on a GPU goes into docs/performance.md" in done.stderr


def test_the_table_of_a_device_has_its_place_on_the_page(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from table import write_section

    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- figures:begin -->\nold\n<!-- figures:end -->\n", encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    for text in ("first", "second"):
        write_section(page, "device", text)
        assert page.read_text(encoding="utf-8") == f"{before}\n<!-- device:begin -->\n{text}\n<!-- device:end -->\n"


def test_the_versions_that_are_there_are_named_and_so_is_what_is_missing():
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", VERSIONS],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    found = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert found["Python"] == platform.python_version()
    assert found["device"] == "unknown without torch"
    assert found["keras"] == "not installed"
    here = subprocess.run([sys.executable, VERSIONS], capture_output=True, text=True, encoding="utf-8", check=True)
    assert f"pytest: {pytest.__version__}" in here.stdout
