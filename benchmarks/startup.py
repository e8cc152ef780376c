"""What an import costs in a fresh process, and what it brings along."""

from __future__ import annotations

import subprocess
import sys
import time

from timing import round_robin

_HEAVY = ("numpy", "torch")


def import_seconds(module: str, rounds: int) -> float:
    """Return what the import adds to the time of an interpreter that does nothing."""
    medians = round_robin({"import": lambda: _process(f"import {module}"), "bare": lambda: _process("pass")}, rounds)
    return medians["import"] - medians["bare"]


def heavy_modules_after(module: str) -> list[str]:
    """Return which of NumPy and PyTorch are loaded once the module is."""
    code = f"import sys, {module}\nprint(*(name for name in {_HEAVY!r} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def _process(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
