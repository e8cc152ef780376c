"""Importing a framework for its adapter, or a sink: which extra brings it, and which versions were tried."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import warnings
from typing import Any


class UntestedVersionWarning(UserWarning):
    """A framework is of a version that its adapter was not tried with."""


def import_of_extra(module: str, *, distribution: str, extra: str, used_by: str) -> Any:
    """Return a module that an extra of this project brings.

    Args:
        module: What to import.
        distribution: What it is called where one installs it.
        extra: The extra.
        used_by: What needs it.

    Raises:
        ModuleNotFoundError: If it is not installed; the message names the extra.

    Example:
        >>> import_of_extra("numpy", distribution="numpy", extra="none", used_by="this example").__name__
        'numpy'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # something that it lacks itself
        raise ModuleNotFoundError(
            f"{used_by} needs {distribution}: pip install 'runtimeinfo[{extra}]'", name=error.name
        ) from None


def import_framework(
    module: str, *, distribution: str, extra: str, at_least: str, below: str, used_by: str = "this adapter"
) -> Any:
    """Return the module of a framework; warn if its version is none that its adapter was tried with.

    Args:
        module: What to import.
        distribution: What it is called where one installs it.
        extra: The extra of this project that brings it.
        at_least: The first version that was tried.
        below: The first version that was not.
        used_by: What needs it.

    Raises:
        ModuleNotFoundError: If it is not installed; the message names the extra.

    Example:
        >>> import_framework("numpy", distribution="numpy", extra="none", at_least="1.0", below="99").__name__
        'numpy'
    """
    found = import_of_extra(module, distribution=distribution, extra=extra, used_by=used_by)
    version = importlib.metadata.version(distribution)
    if not _numbers(at_least) <= _numbers(version) < _numbers(below):
        warnings.warn(
            f"{distribution} {version} is installed, and {used_by} was tried with {at_least} or newer, below "
            f"{below}: run the conformance kit on it before you rely on it",
            UntestedVersionWarning,
            stacklevel=3,
        )
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version: what stands behind it does not change its place here."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release.group().split(".")) if release else ()
