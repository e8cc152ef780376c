from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.board import FOLDER_VARIABLE

Torchrun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def board_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the boards of this test alone."""
    folder = tmp_path / "boards"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def torchrun(aborted_by_torch: Callable[[str], bool]) -> Torchrun:
    """Return a function that runs a script with a folder on so many ranks, and returns how it ended.

    It may take `hang` seconds; a launch takes about ten. Where PyTorch itself aborts a rank, all is done once
    more, in the folder as it was.
    """

    def run(script: Path, folder: Path, *, ranks: int, hang: float) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as before:
            shutil.copytree(folder, before, dirs_exist_ok=True)
            ended = run_once(script, folder, ranks=ranks, hang=hang)
            if not aborted_by_torch(ended.stdout):
                return ended
            shutil.rmtree(folder)
            shutil.copytree(before, folder)
        return run_once(script, folder, ranks=ranks, hang=hang)

    def run_once(script: Path, folder: Path, *, ranks: int, hang: float) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if sys.platform == "linux":  # whatever name this machine has, and whoever may resolve it
            environment["GLOO_SOCKET_IFNAME"] = "lo"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        # When a rank has failed, torchrun ends the others by SIGTERM, maybe before they see that a peer is gone. Held
        # back from them, which a new process inherits, it leaves them the 30 seconds that torchrun gives for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            process = subprocess.Popen(
                [*command, str(script), str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with process:
            try:
                output, _ = process.communicate(timeout=hang)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # torchrun then ends its ranks
                pytest.fail(f"{script.name} hangs:\n{process.communicate()[0]}")
        return subprocess.CompletedProcess(command, process.returncode, output)

    return run


@pytest.fixture(scope="session")
def moved() -> Callable[[Any], Any]:
    """Return a function that puts the tensors of a state on a device that this machine does not have.

    Their memory holds other values, which nothing but `cpu` can turn into theirs.
    """
    import torch

    class Elsewhere(torch.Tensor):
        here: torch.Tensor

        def cpu(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            return self.here.clone()

        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("can't convert elsewhere:0 device type tensor to numpy")

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            tensor = torch.zeros_like(value).as_subclass(Elsewhere)
            tensor.here = value
            return tensor
        if isinstance(value, dict):
            return {key: move(each) for key, each in value.items()}
        return type(value)(map(move, value)) if isinstance(value, list | tuple) else value

    return move
