"""What is read beside a writer at full speed is of one moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "full_speed.py"
READS_VARIABLE = "RUNTIMEINFO_READS"
READS = 100_000
"""`make nightly` reads 10,000,000."""


def test_no_position_is_torn_and_none_goes_backwards() -> None:
    reads = os.environ.get(READS_VARIABLE, str(READS))
    found = subprocess.run([sys.executable, str(SCRIPT), reads], check=True, capture_output=True, text=True)
    counted = json.loads(found.stdout)
    assert counted["reads"] >= int(reads)
    assert counted["seen"] >= 1000  # the writer was at work
    assert (counted["torn"], counted["backwards"]) == (0, 0)
