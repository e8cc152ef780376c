"""What satisfies the protocol: the reference hub, and adapters for training loops.

Each adapter is a module of its own, and loads its framework: `runtimeinfo_adapters.pytorch`, `mmengine`, `lightning`,
`transformers`, `accelerate`, `ignite` and `keras`. For all of them there are `sinks` (hooks that write what the hub
holds), `distributed` (the scalars of all ranks together), `sharing` (what other processes read) and `top` (the live
runs, in a terminal).
"""

from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters.hub import MessageHub, ScalarHistory, UnsavedInfoWarning

__all__ = ["Counters", "MessageHub", "Publisher", "ScalarHistory", "TextConfig", "UnsavedInfoWarning"]
