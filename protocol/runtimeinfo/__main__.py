"""The command ``runtimeinfo``, as ``python -m runtimeinfo``."""

from __future__ import annotations

import importlib

if __name__ == "__main__":
    # The command is a part of the kit, which is installed with this package. It is imported by its name because the
    # protocol must not depend on the kit.
    importlib.import_module("runtimeinfo_conformance.command_line._cli").main()
