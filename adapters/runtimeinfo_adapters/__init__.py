"""Implementations of the protocol: the reference hub, and adapters for training loops.

Each adapter is its own module, and loads its framework: `runtimeinfo_adapters.mmengine`, `lightning`, `transformers`,
`accelerate`, `ignite` and `keras`. A loop that you have written needs none: `loop`, which is also called `pytorch`. For
all of them there are `sinks` (hooks that write what the hub holds), `distributed` (the scalars of all ranks together),
`sharing` (what other processes read), `top` (the live runs, in a terminal) and `export` (the same for Prometheus).

What is here is imported at its first use: `top` and `export` do without the hub and its NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtimeinfo_adapters._adapter import FrameworkRunner, ResumeWarning, RunOptions
    from runtimeinfo_adapters._framework import UntestedVersionWarning, import_framework
    from runtimeinfo_adapters.hub import MessageHub, ScalarHistory, UnsavedInfoWarning

__all__ = [
    "FrameworkRunner",
    "MessageHub",
    "ResumeWarning",
    "RunOptions",
    "ScalarHistory",
    "UnsavedInfoWarning",
    "UntestedVersionWarning",
    "import_framework",
]

_MODULES = {
    "FrameworkRunner": "_adapter",
    "MessageHub": "hub",
    "ResumeWarning": "_adapter",
    "RunOptions": "_adapter",
    "ScalarHistory": "hub",
    "UnsavedInfoWarning": "hub",
    "UntestedVersionWarning": "_framework",
    "import_framework": "_framework",
}


if not TYPE_CHECKING:  # or else a misspelt name would have a type

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
