"""Random schedules of trainings that interleave: each answer is that of the run to which the code belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("schedules.py")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


# Made in one process: another one that imports PyTorch takes seconds.
MIX = {"threads": 110, "fork": 20, "loops": 14, "loaders": 3, "forkserver": 2, "spawn": 1}


def test_no_answer_is_wrong_or_missing() -> None:
    done = run("--mix", *(f"{profile}={count}" for profile, count in MIX.items()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(MIX.values())} schedules" in done.stdout


def test_wrong_and_missing_answers_are_found_and_shown_with_their_seed(tmp_path: Path) -> None:
    """The product, with two of the faults that it had."""
    (tmp_path / "sitecustomize.py").write_text(
        "from runtimeinfo import _scopes\n"
        "_scopes._may_work_for_another = lambda hub: False\n"
        "_scopes._hub_at_work = lambda scopes: None\n",
        encoding="utf-8",
    )
    done = run("--mix", "threads=12", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "seed " in done.stdout
    assert "  wrong in step " in done.stdout
    assert "  missing in step " in done.stdout


def test_page_has_the_figures_of_all_portions(tmp_path: Path) -> None:
    page = tmp_path / "schedules.md"
    done = run("--count", 8, "--without-torch", "--write", page)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Random schedules\n")
    assert "No answer is wrong, and none is missing." in text
    assert "| code that asks | right | nothing | not known | missing | wrong |" in text
    assert (
        SCRIPT.parents[3].joinpath("docs/schedules.md").read_text(encoding="utf-8").startswith("# Random schedules\n")
    )


def test_schedule_follows_from_its_seed() -> None:
    shown = run("--show", 1, 1, "--profile", "threads").stdout
    first, second = shown.split("seed 1\n")[1:]
    assert first == second
    assert len(first.splitlines()) >= 20
