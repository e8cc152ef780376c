"""Attach to the trainings of frameworks by themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

INSTALLERS: dict[str, Callable[[ModuleType], None]] = {}
"""What patches a module of a framework, by the name of the module. `_imports.FRAMEWORK_MODULES` has the same names."""
