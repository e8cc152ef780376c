"""Implementations of the protocol: the reference hub, and adapters for training loops.

Each adapter is its own module, and loads its framework: `runtimeinfo_adapters.mmengine`, `lightning`, `transformers`,
`accelerate`, `ignite` and `keras`. A loop that you have written needs none: `loop`, which is also called `pytorch`. For
all of them there are `sinks` (hooks that write what the hub holds), `distributed` (the scalars of all ranks together),
`sharing` (what other processes read) and `top` (the live runs, in a terminal).
"""

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
