import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def test_a_soak_checks_what_the_hub_holds_and_writes_its_page(tmp_path):
    page = tmp_path / "soak.md"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--iterations", "60000", "--write", str(page)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) MiB \| ([\d,]+) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == [f"{end:,}" for end in range(6_000, 60_001, 6_000)]
    assert all(float(cell) > 0 for row in rows for cell in row[1:4])
    assert [row[4] for row in rows] == [row[0] for row in rows]
    assert text.startswith("# A long run\n\n60,000 iterations through ")
