"""The command ``runtimeinfo plot``: its exit codes, and what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtimeinfo_conformance.command_line import _cli

Ran = subprocess.CompletedProcess[str]
WITHOUT = """
import sys
for name in {blocked!r}: sys.modules[name] = None
import runtimeinfo_conformance.command_line._cli as it
sys.argv = ["runtimeinfo", "plot", *{words!r}]
it.main()
"""


@pytest.fixture
def plot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_process: Callable[..., Ran],
) -> Callable[..., Ran]:
    """Return a function that runs the command in a folder with a file of rows."""
    (tmp_path / "good.csv").write_text("step,loss\n1,3\n2,2\n")
    (tmp_path / "bad.csv").write_text("name\nx\n")
    monkeypatch.setenv("RUNTIMEINFO_FOLDER", str(tmp_path / "boards"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, without: tuple[str, ...] = ()) -> Ran:
        if without:
            return in_process("-c", WITHOUT.format(blocked=without, words=words))
        monkeypatch.setattr(sys, "argv", ["runtimeinfo", "plot", *words])
        with pytest.raises(SystemExit) as end:
            _cli.main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(end.value.code or 0), out, err)

    return run


def test_good_file_is_drawn_with_code_0(plot: Callable[..., Ran], tmp_path: Path) -> None:
    ran = plot("good.csv", "--smooth", "0.5", "--log")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("loss  log\n")
    ran = plot("good.csv", "-o", "out.png")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bad.csv", "runtimeinfo: bad.csv has no column of steps"),
        ("nobody", "runtimeinfo: 'nobody' is neither a file nor a live run of this user"),
        ("good.csv --x epoch", "runtimeinfo: good.csv does not know the axis 'epoch' of its values, but iter."),
        ("good.csv --step nothing", "runtimeinfo: good.csv has no column 'nothing' of numbers"),
    ],
)
def test_source_that_cannot_be_read_is_code_4(plot: Callable[..., Ran], words: str, said: str) -> None:
    ran = plot(*words.split())
    assert ran.returncode == 4
    assert ran.stderr.startswith(said)
    ran = plot(*words.split(), "good.csv")
    assert ran.returncode == 4
    assert said in ran.stderr
    assert ("loss" in ran.stdout) == ("--" not in words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("good.csv -o out.xyz", "runtimeinfo: out.xyz ends in no known format."),
        ("good.csv -o nowhere/out.png", "runtimeinfo: nowhere/out.png cannot be written: there is no folder nowhere."),
        ("good.csv --scalar val/*", "runtimeinfo: no scalar matches 'val/*'; there are loss."),
        ("good.csv --smooth 1", "Invalid value for '--smooth'"),
        ("good.csv --x steps", "Invalid value for '--x'"),
        ("good.csv --for nan", "Invalid value for '--for'"),
        ("", "Missing argument 'FILE_OR_RUN...'"),
    ],
)
def test_impossible_arguments_exit_with_64(plot: Callable[..., Ran], words: str, said: str) -> None:
    ran = plot(*words.split())
    assert (ran.returncode, ran.stdout) == (64, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_missing_extras_are_named(plot: Callable[..., Ran], tmp_path: Path) -> None:
    ran = plot("good.csv", "-o", "out.png", without=("matplotlib",))
    assert (ran.returncode, ran.stdout) == (64, "")
    assert ran.stderr == "runtimeinfo: runtimeinfo plot needs matplotlib: pip install 'runtimeinfo[plot]'\n"
    ran = plot("good.csv", without=("rich",))
    assert ran.returncode == 64
    assert "pip install 'runtimeinfo[plot]'" in ran.stderr
    (tmp_path / "events.out.tfevents.1").touch()
    ran = plot("events.out.tfevents.1", without=("tensorboard",))
    assert ran.returncode == 64
    assert "needs tensorboard: pip install 'runtimeinfo[tensorboard]'" in ran.stderr


def test_text_needs_neither_matplotlib_nor_torch(plot: Callable[..., Ran]) -> None:
    ran = plot("good.csv", without=("matplotlib", "torch", "tensorboard", "safetensors", "pandas"))
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.usefixtures("plot")
def test_file_goes_to_the_standard_output() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "runtimeinfo", "plot", "good.csv", "-o", "-"], capture_output=True, check=True
    )
    assert ran.stdout.startswith(b"\x89PNG")
    assert ran.stdout.endswith(b"IEND\xaeB`\x82")
