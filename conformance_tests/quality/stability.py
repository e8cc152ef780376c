"""Whether the profile ``ci`` says the same each time, in a process of its own each time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ONE = """
import json, sys
sys.path.insert(0, {tests!r})
from broken_runners import CountsWhatFailed
from simple_trainer import subject_of
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.reports import report_data
from runtimeinfo_conformance.subjects import pytorch, reference_hub
subjects = [pytorch.subject(), reference_hub.subject(), subject_of(CountsWhatFailed)]
print(json.dumps([report_data(check(subject, PROFILES["ci"])) for subject in subjects]))
"""

_VOLATILE = ("date", "seconds")


def distinct_reports(runs: int) -> Counter[str]:
    """Check three subjects in several processes, and return how often each report came, by a digest of it.

    Everything in the reports counts, down to the failures and their plans, but for the date and the time taken.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # of threads that wait for processes
        return Counter(pool.map(_digest, range(runs)))


def _digest(run: int) -> str:
    tests = str(Path(__file__).resolve().parents[1] / "tests")
    environment = {**os.environ, "PYTHONHASHSEED": str(run + 1)}
    ran = subprocess.run(
        [sys.executable, "-c", ONE.format(tests=tests)], env=environment, capture_output=True, text=True, check=True
    )
    reports = json.loads(ran.stdout)
    for report in reports:
        for name in _VOLATILE:
            del report[name]
    return hashlib.sha256(json.dumps(reports, sort_keys=True).encode()).hexdigest()
