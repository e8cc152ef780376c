import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "hot_path.py"


def test_the_parts_add_up():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    parts = re.findall(r"^\| ([^*|]+) \| (-?[\d,]+) ns \| ([\d,]+) ns \|$", done.stdout, re.MULTILINE)
    assert len(parts) == 6
    sum_so_far = 0
    for part, adds, so_far in parts:
        sum_so_far += int(adds.replace(",", ""))
        assert abs(sum_so_far - int(so_far.replace(",", ""))) <= len(parts), part  # each is rounded
    assert len(re.findall(r"^\| \*by hand.*\* \| \| [\d,]+ ns \|$", done.stdout, re.MULTILINE)) == 3
