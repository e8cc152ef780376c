"""What the author of an adapter, a hub or a sink needs, beside what every user does.

`Emitter` turns the events of a framework into a legal stream and calls the hooks; the interfaces say what a runner
and a hub have to be; the functions tell scalars from other values and check what was given.
"""

from runtimeinfo._dispatcher import Dispatcher
from runtimeinfo._hook import PriorityLike, get_priority, hook_methods, on_any_event
from runtimeinfo._message_hub import SupportsPopScalar, SupportsSharing
from runtimeinfo._runner import (
    Config,
    HasLearningRates,
    RunMetadata,
    TrainDataLoader,
    TrainState,
    check_runner,
    check_train_runner,
)
from runtimeinfo._scalar import describe, is_scalar, lies_on_device, scalar_value, shown

__all__ = [
    "Config",
    "Dispatcher",
    "HasLearningRates",
    "PriorityLike",
    "RunMetadata",
    "SupportsPopScalar",
    "SupportsSharing",
    "TrainDataLoader",
    "TrainState",
    "check_runner",
    "check_train_runner",
    "describe",
    "get_priority",
    "hook_methods",
    "is_scalar",
    "lies_on_device",
    "on_any_event",
    "scalar_value",
    "shown",
]
