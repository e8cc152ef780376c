from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "inferred.py"


def test_each_step_is_measured_bare_and_inferred() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^\| (.+?) \| ([\d.]+) µs \| ([\d.]+) µs \| (-?[\d.]+) µs \| ([\d.]+) x \|", done.stdout, re.MULTILINE
    )
    assert [name for name, *_ in rows] == ["a small one", "of 2 ms"]
    for _, bare, inferred, adds, ratio in rows:
        assert abs(float(inferred) - float(bare) - float(adds)) < 0.2
        assert abs(float(inferred) / float(bare) - float(ratio)) < 0.01
