"""The command in a real terminal: tmux."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from runtimeinfo import use_hub
from runtimeinfo.board import FOLDER_VARIABLE
from runtimeinfo_adapters import MessageHub

TRAINING = Path(__file__).with_name("training.py")
TMUX = shutil.which("tmux")

pytestmark = pytest.mark.skipif(TMUX is None, reason="there is no tmux")

# Variables that the terminal itself sets, and those of a test run beside others: the size must be that of the window.
_NOT_TAKEN_ALONG = ("TMUX", "NO_COLOR", "COLUMNS", "LINES")

TOP = "import sys; from runtimeinfo_conformance.command_line._cli import main; sys.exit(main())"


class Tmux:
    """A terminal with a shell in it."""

    def __init__(self, wait_until: Callable[..., Any]) -> None:
        self._socket = f"runtimeinfo-{uuid.uuid4().hex}"
        self._wait_until = wait_until
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        environment = {key: value for key, value in environment.items() if not key.startswith(_NOT_TAKEN_ALONG)}
        self._environment = environment

    def start(self) -> None:
        self("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "24", "bash --norc --noprofile")
        self.wait_for(r"\S")

    def __call__(self, *words: str) -> str:
        assert TMUX is not None
        done = subprocess.run(
            [TMUX, "-u", "-L", self._socket, *words],
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    @property
    def screen(self) -> list[str]:
        return self("capture-pane", "-p").splitlines()

    def state(self, name: str) -> str:
        return self("display-message", "-p", f"#{{{name}}}").strip()

    def type(self, *keys: str) -> None:
        self("send-keys", *keys)

    def press_mouse(self, text: str, button: int = 0) -> None:
        """Press and release a button on the first place of a text, as a terminal tells it."""
        found: list[tuple[int, str]] = []

        def is_there() -> bool:
            found[:] = [(row, line) for row, line in enumerate(self.screen, start=1) if text in line]
            return bool(found)

        self.until(is_there)
        row, line = found[0]
        where = f"{button};{cell_len(line.partition(text)[0]) + 1};{row}"
        self("send-keys", "-H", *(f"{byte:x}" for byte in f"\x1b[<{where}M\x1b[<{where}m".encode()))

    @property
    def child(self) -> int:
        """The command that runs in the shell."""
        (pid,) = self("list-panes", "-F", "#{pane_pid}").split()
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def run(self, *options: str, **environment: str) -> None:
        command = shlex.join([sys.executable, "-c", TOP, "top", *options])
        command = " ".join((*(f"{name}={value}" for name, value in environment.items()), command))
        self.type("-l", f"clear; echo what was; echo there before; {command}; echo left with $?")
        self.type("Enter")

    def until(self, condition: Callable[[], Any]) -> None:
        self._wait_until(condition, what=lambda: "\n".join(self.screen))

    def wait_for(self, *patterns: str) -> None:
        """Wait until the screen shows all of them at once."""

        def shows_all() -> bool:
            screen = "\n".join(self.screen)
            return all(re.search(each, screen, re.MULTILINE) for each in patterns)

        self._wait_until(shows_all, what=lambda: "\n".join((f"not all of {patterns} in", *self.screen)))

    def wait_for_the_shell(self, code: int) -> None:
        """Wait for the end, and check that the terminal was restored."""
        self.wait_for(f"^left with {code}$")
        # tmux moves what is on the screen when its size changes.
        lines = [line.strip() for line in self.screen if line.strip()]
        assert lines[:3] == ["what was", "there before", f"left with {code}"]
        assert (self.state("alternate_on"), self.state("cursor_flag"), self.state("mouse_any_flag")) == ("0", "1", "0")
        self.type("stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | sort | xargs", "Enter")
        self.wait_for("^echo icanon$")


@pytest.fixture
def tmux(wait_until: Callable[..., Any], folder: Any) -> Iterator[Tmux]:
    assert os.environ[FOLDER_VARIABLE] == str(folder)
    tmux = Tmux(wait_until)
    try:
        tmux.start()
        yield tmux
    finally:
        tmux("kill-server")


def test_training_is_watched_until_it_dies(training: subprocess.Popen[bytes], tmux: Tmux) -> None:
    def place() -> tuple[int, int]:
        """Return the epoch and the iteration that are shown."""
        found = re.search(r"epoch (\d+)/100 .* iter (\d+)/3000 ", "\n".join(tmux.screen))
        return (int(found[1]), int(found[2])) if found else (-1, -1)

    tmux.run("--interval", "0.1", "--stalled-after", "1")
    tmux.wait_for(rf"^● digits/\[red\]résumé .*pid {training.pid}  train  \d\.\d s ago$")
    assert tmux.state("alternate_on") == "1"
    epoch, iter = place()
    tmux.until(lambda: place()[0] > epoch and place()[1] > iter)
    tmux.wait_for(r"\d it/s  ETA \d+:\d\d$")
    tmux.wait_for(rf"pid {training.pid}  val ", r"  lr +0\.05 ▄+ +loss +[\d.e-]+ [▁-█]+", r"  val/acc +0\.\d+")
    tmux.wait_for(rf"pid {training.pid}  train ")

    for width in (60, 200):
        tmux("resize-window", "-x", str(width), "-y", "20")
        tmux.until(lambda width=width: [cell_len(line) for line in tmux.screen if "digits" in line] == [width])

    training.send_signal(signal.SIGSTOP)
    tmux.wait_for(r"stalled: no update for \d+(\.\d)? s$", "^runtimeinfo top  1 stalled ")
    training.send_signal(signal.SIGCONT)
    tmux.wait_for(r"  train  \d\.\d s ago$", "^runtimeinfo top  1 live ")
    training.kill()
    tmux.wait_for(r"  (train|val)  dead, \d+\.\d s ago$", "^runtimeinfo top  1 dead ")
    tmux.type("q")
    tmux.wait_for_the_shell(0)


@pytest.mark.parametrize(
    ("leave", "code"),
    [("C-c", 0), ("C-d", 0), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131), ("no trust", 1)],
)
def test_terminal_is_restored_however_the_command_ends(tmux: Tmux, folder: Path, leave: str, code: int) -> None:
    tmux.run()
    tmux.wait_for("^runtimeinfo top  no runs ", "No run of this user is seen")
    tmux.type("F2")  # which sends a Q, among others
    tmux.wait_for("^runtimeinfo top  no runs ")
    if leave.startswith("SIG"):
        os.kill(tmux.child, signal.Signals[leave])
    elif leave == "no trust":  # an exception, of a look
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        tmux.wait_for("^runtimeinfo: /", "^left with 1$")
        tmux.type("clear; echo what was; echo there before; echo left with 1", "Enter")
    else:
        tmux.type(leave)
    tmux.wait_for_the_shell(code)


def test_new_size_and_key_do_not_wait_for_the_next_look(tmux: Tmux) -> None:
    tmux.run("--interval", "3600")
    tmux.wait_for("^runtimeinfo top  no runs {27}/ filters · h helps · q quits$")
    tmux("resize-window", "-x", "60", "-y", "20")
    tmux.wait_for("^runtimeinfo top  no runs {7}/ filters · h helps · q quits$")
    tmux.type("q")
    tmux.wait_for_the_shell(0)


def test_run_with_hostile_names_begins_and_ends_while_it_is_watched(tmux: Tmux) -> None:
    tmux.run("--interval", "0.1")
    tmux.wait_for("^runtimeinfo top  no runs ")
    evil = "\x1b[2J\x1b]0;title\x07\x1b[?1049l[red]\r\n\u202e" + "long " * 40
    hub = MessageHub("evil", runtime_info={"experiment_name": evil, "iter": -1, "max_iters": 2**62, "epoch": 10**300})
    hub.update_scalar("train/\x1b[2J", float("nan"))
    with use_hub(hub):
        hub.update_info("loop_stage", "\x1b[5m")
        tmux.wait_for("^runtimeinfo top  1 live ")
        tmux.wait_for(r"^● \\x1b\[2J\\x1b\]0;title\\x07.*… ", r"  \\x1b\[5m  ", r"iter -1/4\.61e\+18 ┄+ ", r" nan !$")
        assert "title" not in tmux.state("pane_title")
        hub.update_info("iter", 7)
    tmux.wait_for("^runtimeinfo top  1 ended ", r"ended, \d\.\d s ago$", r"iter 7/4\.61e\+18 ")
    assert tmux.state("alternate_on") == "1"
    tmux.type("q")
    tmux.wait_for_the_shell(0)


@pytest.mark.parametrize("way", ["C-z", "SIGSTOP"])
def test_command_can_be_stopped_and_continued(tmux: Tmux, way: str) -> None:
    tmux.run("--interval", "3600")
    tmux.wait_for("^runtimeinfo top  no runs ")
    if way == "SIGSTOP":  # which no program can handle
        os.kill(tmux.child, signal.SIGSTOP)
        tmux.wait_for("Stopped")
    else:
        tmux.type(way)
        tmux.wait_for("Stopped")
        assert tmux.screen[:2] == ["what was", "there before"]
        assert (tmux.state("alternate_on"), tmux.state("cursor_flag"), tmux.state("mouse_any_flag")) == ("0", "1", "0")
    tmux.type("clear", "Enter", "fg", "Enter")
    tmux.wait_for("^runtimeinfo top  no runs ")
    assert (tmux.state("alternate_on"), tmux.state("cursor_flag"), tmux.state("mouse_any_flag")) == ("1", "0", "1")
    tmux.type("h")
    tmux.wait_for("^runtimeinfo top  help ")
    tmux.type("Escape", "q")
    tmux.until(lambda: tmux.state("alternate_on") == "0")


RANK = {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "job-17", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def ranks() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two trainings, in the environment that torchrun gives to ranks."""
    command = [sys.executable, str(TRAINING)]
    processes = [subprocess.Popen(command, env=os.environ | RANK | {"RANK": rank}) for rank in "01"]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_ranks_are_watched_with_keys_and_mouse(ranks: list[subprocess.Popen[bytes]], tmux: Tmux) -> None:
    tmux.run("--interval", "0.1")
    tmux.wait_for(r"^▸ digits/\[red\]résumé .*  2 ranks .*(train|val)  \d\.\d s ago$", "^runtimeinfo top  2 live ")
    tmux.wait_for("^  val/acc ")  # from now on, no line comes or goes under the mouse
    tmux.press_mouse("▸ digits")
    tmux.wait_for(rf"^ +rank 0  pid {ranks[0].pid}  live ", rf"^ +rank 1  pid {ranks[1].pid}  live ")
    tmux.press_mouse(f"pid {ranks[1].pid}")
    tmux.press_mouse(f"pid {ranks[1].pid}")
    tmux.wait_for("^runtimeinfo top  details ", rf"^● digits/\[red\]résumé  .*pid {ranks[1].pid} · rank 1 of 2  ")
    tmux.wait_for(r"^ +train/loss [\d.e-]+  since top began", r"│[▁-█]+", r"▸ train/loss +[\d.e-]+ [▁-█]+$")
    tmux.type("End")
    tmux.wait_for("^  job +job-17 .torchelastic.$")
    tmux.type("Home", "Right")
    tmux.wait_for("^ +val/acc [^ ]+  since top began|^ +train/lr [^ ]+  since top began")
    tmux("resize-window", "-x", "60", "-y", "15")
    tmux.wait_for("^runtimeinfo top  details {13}h helps · Esc goes back$", r"^  … and \d+ more$")
    tmux.press_mouse("details", button=65)  # the wheel
    tmux.wait_for(r"^  3 above, \d+ below$")
    tmux.type("Escape", "/", "zzz", "Enter")
    tmux.wait_for("No run matches the filter zzz")
    tmux.type("Escape")
    ranks[1].kill()
    tmux.wait_for(r"rank 1 dead, \d\.\d s ago$", "^runtimeinfo top  1 live · 1 dead ")
    tmux.type("D")
    tmux.wait_for("^runtimeinfo top  1 live  1 dismissed ", "rank 0 of 2")
    tmux.type("q")
    tmux.wait_for_the_shell(0)


def test_selection_is_seen_without_colours_and_the_mouse_can_be_left_alone(tmux: Tmux) -> None:
    with use_hub(MessageHub("plain", runtime_info={"experiment_name": "plain", "iter": 1, "max_iters": 2})):
        tmux.run("--no-mouse", NO_COLOR="1")
        tmux.wait_for("^● plain ")
        tmux.type("j")
        tmux.until(lambda: "\x1b[7m" in tmux("capture-pane", "-p", "-e"))
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", tmux("capture-pane", "-p", "-e"))
        assert tmux.state("mouse_any_flag") == "0"
        tmux.type("q")
        tmux.wait_for_the_shell(0)


def test_terminal_that_cannot_be_drawn_on_gets_the_runs_once(tmux: Tmux) -> None:
    tmux.run(TERM="dumb")
    tmux.wait_for("^left with 0$", "^runtimeinfo top  no runs$")
    assert tmux.state("alternate_on") == "0"
