"""Publish trainings without a change in their code.

``runtimeinfo run train.py`` does it for a script, and `autopublish` for code and notebooks.
"""

from __future__ import annotations

from runtimeinfo_adapters.autopublish import _imports
from runtimeinfo_adapters.autopublish._imports import AutopublishWarning

__all__ = ["AutopublishWarning", "autopublish"]


def autopublish() -> None:
    """Publish each training of this process from now on, without a change in its code.

    Frameworks that have an adapter attach to each training by themselves, also if they are imported later. An explicit
    `attach` wins. Of plain PyTorch loops, what can be inferred is published. Calls after the first one change nothing.

    An error of this instrumentation is one `AutopublishWarning`; the training goes on without it.
    """
    _imports.start()
