"""Takes the screenshot of a report: the upper part of that on a failing subject, on a desktop.

python docs/screenshot_report.py [FILE]

It needs Chromium. The subject is plain PyTorch with a fault put in on purpose.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.mutants import RUNNER_MUTANTS
from runtimeinfo_conformance.reports import write_reports
from runtimeinfo_conformance.subjects.pytorch import subject

FAULT = "STAGE-03"
# Down to the end of what is broken.
SIZE = "1120,1010"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def main() -> None:
    """Check a subject that fails, and take a picture of its report."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "report.png"
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("there is no chromium here")
    fault = next(mutant for mutant in RUNNER_MUTANTS if mutant.requirement == FAULT)
    report = check(fault.applied_to(subject()), PROFILES["quick"])
    with tempfile.TemporaryDirectory() as folder:
        write_reports(report, folder)
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--window-size={SIZE}",
            f"--screenshot={target.resolve()}",
            (Path(folder) / "report.html").as_uri(),
        ]
        subprocess.run(command, check=True, timeout=120, capture_output=True)  # noqa: S603  # nobody else's arguments
    print(f"wrote {target}: {target.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
