"""Import a framework for its adapter, or a package for a sink, and check that its version was tried."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, cast


class UntestedVersionWarning(UserWarning):
    """A framework is of a version that its adapter was not tried with."""


class Framework(NamedTuple):
    """A framework that has an adapter here."""

    module: str
    """The module to import."""

    distribution: str
    """The name to install it by."""

    at_least: str
    """The first version that the adapter was tried with."""

    below: str
    """The first version that it was not tried with."""


FRAMEWORKS = {
    "torch": Framework("torch", "torch", "2.6", "3"),
    "mmengine": Framework("mmengine", "mmengine", "0.10.7", "0.11"),
    "lightning": Framework("lightning.pytorch", "lightning", "2.6", "2.7"),
    "transformers": Framework("transformers", "transformers", "5.4", "6"),
    "accelerate": Framework("accelerate", "accelerate", "1.10", "2"),
    "ignite": Framework("ignite", "pytorch-ignite", "0.5.5", "0.6"),
    "keras": Framework("keras", "keras", "3.10", "3.16"),
}
"""The frameworks by the extra of this project that brings each; a test holds the lower bounds against the extras."""


def import_of_extra(module: str, *, distribution: str, extra: str, used_by: str) -> Any:
    """Return a module that an extra of this project brings.

    Args:
        module: What to import.
        distribution: The name to install it by.
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
        # An extra brings torch too: a framework may be installed without it.
        missing = {module.partition(".")[0]: distribution, "torch": "torch"}.get(error.name or "")
        if missing is None:
            raise  # something else that the module itself lacks
        raise ModuleNotFoundError(
            f"{used_by} needs {missing}: pip install 'runtimeinfo[{extra}]'", name=error.name
        ) from None


def import_framework(
    module: str, *, distribution: str, extra: str, at_least: str, below: str, used_by: str = "this adapter"
) -> Any:
    """Return the module of a framework; warn if its adapter was not tried with its version.

    Args:
        module: What to import.
        distribution: The name to install it by.
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
    return _import_tried(Framework(module, distribution, at_least, below), extra, used_by, stacklevel=4)


def load_framework(name: str, *, module: str | None = None, distribution: str | None = None) -> Any:
    """Return the module of a framework of the table; warn if its adapter was not tried with its version.

    Args:
        name: Its name in `FRAMEWORKS`, which is the extra's name, too.
        module: What to import in its place: another package with the same versions.
        distribution: The name to install that package by.

    Raises:
        ModuleNotFoundError: If the framework, or torch, is not installed; the message names the extra.
    """
    framework = FRAMEWORKS[name]
    if module is not None and distribution is not None:
        framework = framework._replace(module=module, distribution=distribution)
    return _import_tried(framework, name, "this adapter", stacklevel=4)


def _import_tried(framework: Framework, extra: str, used_by: str, stacklevel: int) -> Any:
    module, distribution, at_least, below = framework
    found = import_of_extra(module, distribution=distribution, extra=extra, used_by=used_by)
    version = importlib.metadata.version(distribution)
    if not is_tried(framework, version):
        warnings.warn(
            f"{distribution} {version} is installed, and {used_by} was tried with {at_least} or newer, below "
            f"{below}: run the conformance kit on it before you rely on it",
            UntestedVersionWarning,
            stacklevel=stacklevel,
        )
    return found


def framework_of(optimizer: object) -> tuple[str, str]:
    """Return the name and the version of the framework in which a loop trains, by its optimizer and what is loaded.

    JAX comes before PyTorch: many programs of JAX load PyTorch for its DataLoader, and few the other way around.

    Args:
        optimizer: What the loop was given: one optimizer, or several by name.
    """
    several = cast("Mapping[str, Any]", optimizer) if isinstance(optimizer, Mapping) else {"": optimizer}
    is_torch = any(hasattr(each, "param_groups") for each in several.values())
    for name in ("torch", "jax", "tensorflow") if is_torch else ("jax", "torch", "tensorflow"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            return name, str(version)
    return "numpy", importlib.metadata.version("numpy")


def is_tried(framework: Framework, version: str) -> bool:
    """Return whether the adapter of a framework was tried with a version of it."""
    return _numbers(framework.at_least) <= _numbers(version) < _numbers(framework.below)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release; a suffix after them does not matter here."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release.group().split(".")) if release else ()
