import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "device.py"


def test_prints_a_figure_for_each_call_and_the_memory_of_a_long_run():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    figures = [re.fullmatch(r"(.*): ([\d,]+) ns", line) for line in lines]
    names = [match[1] for match in figures if match]
    assert names == [
        "update_scalar, a float",
        "update_scalar, a tensor on the device",
        "detach().clone() alone",
        "update_info",
        "update_info, with a view of another key",
        "update_info, with a view of it",
        "fill_ alone",
        "a value of 200, read in one batch",
    ]
    resident = [float(found[1]) for line in lines if (found := re.search(r"losses: ([\d.]+) MiB resident", line))]
    assert len(resident) == 2
    assert min(resident) > 0
