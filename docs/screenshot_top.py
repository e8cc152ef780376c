"""Takes the screenshots of `runtimeinfo top`: three trainings on handwritten digits, one of which is killed.

python docs/screenshot_top.py [FOLDER]

It needs tmux, which is the terminal: what is on its screen becomes an SVG, of the list and of the details of a run.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from runtimeinfo.board import FOLDER_VARIABLE
from runtimeinfo_adapters.top import Run, Runs

EXAMPLES = Path(__file__).parent / "examples" / "digits"
SIZE = (96, 19)
# With their epochs: the last one is killed. As slow as a network that is worth watching.
TRAININGS = {"train_pytorch": 130, "train_mmengine": 100, "train_lightning": 80}
KILLED = "train_lightning"
SLOWLY = """
import sys, time
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
sys.path.insert(0, {folder!r})
import {module}
register_optimizer_step_post_hook(lambda *_: time.sleep(0.01))
{module}.main(epochs={epochs})
"""
# A curve has to have been watched for a while.
WATCHED_S = 25
PATIENCE_S = 120


def main() -> None:
    """Train, look, and write what is seen."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    tmux = shutil.which("tmux")
    if tmux is None:
        sys.exit("there is no tmux here")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {FOLDER_VARIABLE: f"{folder}/boards", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
        trainings = {
            module: start(stack, [sys.executable, "-c", script(module, epochs)], folder)
            for module, epochs in TRAININGS.items()
        }
        wait_for(len(trainings))
        screens = take(stack, tmux, trainings[KILLED].kill)
    for name, screen in zip(("top.svg", "top_details.svg"), screens, strict=True):
        file = target / name
        file.write_text(svg(screen), encoding="utf-8")
        print(f"wrote {file}: {file.stat().st_size // 1024} KB")


def script(module: str, epochs: int) -> str:
    return SLOWLY.format(folder=str(EXAMPLES), module=module, epochs=epochs)


def start(stack: ExitStack, command: list[str], folder: str) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)  # noqa: S603
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def wait_for(many: int) -> None:
    runs, deadline = Runs(), time.monotonic() + PATIENCE_S
    while sum(trains(run) for run in runs.look()) < many:
        if time.monotonic() > deadline:
            sys.exit("the trainings do not begin")
        time.sleep(0.1)


def trains(run: Run) -> bool:
    return run.state == "live" and bool(run.rate) and "train/loss" in run.scalars


def take(stack: ExitStack, tmux: str, meanwhile: Callable[[], None]) -> tuple[str, str]:
    """Return what is on the screen, colours included: the list, and the details of the second run."""

    def tell(*words: str) -> str:
        command = [tmux, "-u", "-L", f"runtimeinfo-{os.getpid()}", "-f", os.devnull, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout  # noqa: S603

    width, height = SIZE
    command = f"{Path(sys.executable).parent / 'runtimeinfo'} top"
    tell("new-session", "-d", "-x", str(width), "-y", str(height), command)
    stack.callback(tell, "kill-server")
    time.sleep(WATCHED_S)
    meanwhile()
    time.sleep(2)
    in_list = tell("capture-pane", "-p", "-e")
    tell("send-keys", "Down", "Down", "Enter")
    time.sleep(1)
    return in_list, tell("capture-pane", "-p", "-e")


def svg(screen: str) -> str:
    console = Console(record=True, width=SIZE[0], file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.from_ansi(screen.rstrip("\n")), no_wrap=True, overflow="crop")
    drawn = console.export_svg(title="runtimeinfo top", theme=DIMMED_MONOKAI)
    # A page that shows it need not fetch a font from elsewhere: the next best is good enough.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    main()
