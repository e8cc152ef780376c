"""The open protocol by which any component of a training run knows where the training is.

This is what components, runners and hooks need. `runtimeinfo.spec` has the spec as data, `runtimeinfo.authoring` what
the author of an adapter, a hub or a sink needs, and `runtimeinfo.board` what another process reads.
"""

from runtimeinfo._autopublish import autopublish
from runtimeinfo._current_hub import CurrentHub, current_hub
from runtimeinfo._errors import (
    BoardError,
    DistributedError,
    EmptyHistoryError,
    HookError,
    HubError,
    KeysDifferError,
    LifecycleError,
    LoopError,
    MissingScalarError,
    RunnerError,
    RuntimeInfoError,
    ScalarTypeError,
    StateError,
    UnknownStatisticError,
)
from runtimeinfo._hook import Event, Hook, HookBase, Priority
from runtimeinfo._message_hub import InfoReader, MessageHub, ScalarHistory
from runtimeinfo._runner import Runner, TrainRunner
from runtimeinfo._runtime_info_hook import RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo._scopes import use_hub
from runtimeinfo._version import __version__

__all__ = [
    "BoardError",
    "CurrentHub",
    "DistributedError",
    "EmptyHistoryError",
    "Event",
    "Hook",
    "HookBase",
    "HookError",
    "HubError",
    "InfoReader",
    "KeysDifferError",
    "LifecycleError",
    "LoopError",
    "MessageHub",
    "MissingScalarError",
    "Priority",
    "Runner",
    "RunnerError",
    "RuntimeInfoError",
    "RuntimeInfoHook",
    "ScalarHistory",
    "ScalarTypeError",
    "SkippedOutputWarning",
    "StateError",
    "TrainRunner",
    "UnknownStatisticError",
    "__version__",
    "autopublish",
    "current_hub",
    "use_hub",
]
