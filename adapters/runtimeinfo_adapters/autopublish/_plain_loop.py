"""Infer what plain PyTorch loops do."""

from __future__ import annotations

from types import ModuleType


def install(torch: ModuleType) -> None:
    """Patch PyTorch. It is called once, when ``torch`` has been imported."""
