"""The open protocol by which any component of a training run knows where the training is."""

from runtimeinfo._capabilities import CAPABILITIES
from runtimeinfo._contract import check_runner, check_train_runner
from runtimeinfo._current_hub import current_hub, use_hub
from runtimeinfo._dispatcher import Dispatcher
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
from runtimeinfo._grammar import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, OPENS, Scope
from runtimeinfo._hook import HOOK_POINTS, Hook, hears_everything, hook_methods
from runtimeinfo._lifecycle import Lifecycle, Origin, Step
from runtimeinfo._message_hub import InfoReader, MessageHub, ScalarHistory, SupportsPopScalar, SupportsSharing
from runtimeinfo._priority import Priority, PriorityLike, get_priority
from runtimeinfo._requirement import Requirement
from runtimeinfo._requirements import REQUIREMENTS
from runtimeinfo._runner import (
    Config,
    OptimWrapper,
    RunMetadata,
    Runner,
    TrainDataLoader,
    TrainRunner,
    TrainState,
)
from runtimeinfo._runtime_info_hook import RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo._scalar import describe, is_scalar, lies_on_device, scalar_value
from runtimeinfo._shown import shown
from runtimeinfo._version import SPEC_VERSION, SPEC_VERSIONS, __version__

__all__ = [
    "ABORT",
    "CAPABILITIES",
    "CLOSES",
    "EVENTS",
    "FREE_EVENTS",
    "GRAMMAR",
    "HOOK_POINTS",
    "OPENS",
    "REQUIREMENTS",
    "SPEC_VERSION",
    "SPEC_VERSIONS",
    "BoardError",
    "Config",
    "Dispatcher",
    "DistributedError",
    "EmptyHistoryError",
    "Hook",
    "HookError",
    "HubError",
    "InfoReader",
    "KeysDifferError",
    "Lifecycle",
    "LifecycleError",
    "LoopError",
    "MessageHub",
    "MissingScalarError",
    "OptimWrapper",
    "Origin",
    "Priority",
    "PriorityLike",
    "Requirement",
    "RunMetadata",
    "Runner",
    "RunnerError",
    "RuntimeInfoError",
    "RuntimeInfoHook",
    "ScalarHistory",
    "ScalarTypeError",
    "Scope",
    "SkippedOutputWarning",
    "StateError",
    "Step",
    "SupportsPopScalar",
    "SupportsSharing",
    "TrainDataLoader",
    "TrainRunner",
    "TrainState",
    "UnknownStatisticError",
    "__version__",
    "check_runner",
    "check_train_runner",
    "current_hub",
    "describe",
    "get_priority",
    "hears_everything",
    "hook_methods",
    "is_scalar",
    "lies_on_device",
    "scalar_value",
    "shown",
    "use_hub",
]
