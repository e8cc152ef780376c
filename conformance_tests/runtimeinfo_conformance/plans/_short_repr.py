"""A repr that omits fields with default values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


class ShortRepr:
    """Base for a dataclass (with ``repr=False``) whose repr shows only fields that differ from their defaults.

    Example:
        >>> from runtimeinfo_conformance import Fault
        >>> Fault("after_val", kind="interrupt")
        Fault(event='after_val', kind='interrupt')
    """

    def __repr__(self) -> str:
        own: Any = self
        given = ((field.name, getattr(own, field.name), field.default) for field in fields(own))
        shown = ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({shown})"
