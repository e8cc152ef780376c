"""Publish trainings without a change in their code."""

from __future__ import annotations

import importlib


def autopublish() -> None:
    """Publish each training of this process from now on, without a change in its code.

    A framework that has an adapter attaches it to each training, also if the framework is imported later; an adapter
    that you attach yourself takes its place. Of a plain PyTorch loop, what can be inferred is published. Calls after
    the first one change nothing. For a script that you do not want to edit there is ``runtimeinfo run train.py``.

    An error of this instrumentation is one `runtimeinfo_adapters.autopublish.AutopublishWarning`; the training goes on
    without it.
    """
    # By its name, because the protocol must not depend on the adapters, which are installed with it.
    importlib.import_module("runtimeinfo_adapters.autopublish").autopublish()
