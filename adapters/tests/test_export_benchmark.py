import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "export.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def test_the_benchmark_writes_its_figures_between_its_marks(tmp_path):
    page = tmp_path / "export.md"
    page.write_text("before\n<!-- figures: benchmarks/export.py -->\nold\n<!-- end of figures -->\nafter\n")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--write", str(page)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures: benchmarks/export.py -->\nMeasured by ")
    assert text.endswith(" |\n<!-- end of figures -->\nafter\n")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert [row[0].partition(" of ")[0] for row in rows] == [
        "a scrape",
        "memory with 20 boards",
        "memory with 40 boards",
        "memory over 100 scrapes",
        "an iteration",
    ]
    assert all(float(number) > 0 for _, cell in rows for number in re.findall(r"[\d.]+(?= (?:ms|µs|MiB))", cell)[:1])
