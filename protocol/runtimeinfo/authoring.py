"""Tools for authors of adapters, hubs and sinks, in addition to the names that every user needs.

`Emitter` turns the events of a framework into a legal stream and calls the hooks; the interfaces say what a runner
and a hub have to be; the functions tell scalars from other values and check what was given.
"""

from runtimeinfo._dispatcher import Dispatcher
from runtimeinfo._emitter import EVALUATION_EVENTS, Emitter, EvaluationEvents, ScopeGuard, closes_generator
from runtimeinfo._hook import PriorityLike, get_priority, hook_methods, on_any_event
from runtimeinfo._hub_numbers import hub_number, on_new_run, other_run_number, run_number
from runtimeinfo._message_hub import SupportsDeviceScalars, SupportsDropLatest, SupportsPopScalar, SupportsSharing
from runtimeinfo._runner import (
    Config,
    HasLearningRates,
    RunMetadata,
    TrainDataLoader,
    TrainState,
    check_runner,
    check_train_runner,
)
from runtimeinfo._runner_view import (
    LearningRates,
    RunnerView,
    TextConfig,
    check_training_state,
    detached,
    length_of,
    load_hub,
    load_training,
    training_state,
    with_dataset,
)
from runtimeinfo._runtime_info_hook import publish_totals
from runtimeinfo._scalar import describe, is_scalar, lies_on_device, scalar_value, shown
from runtimeinfo._scopes import enter_again, resolve_hub

__all__ = [
    "EVALUATION_EVENTS",
    "Config",
    "Dispatcher",
    "Emitter",
    "EvaluationEvents",
    "HasLearningRates",
    "LearningRates",
    "PriorityLike",
    "RunMetadata",
    "RunnerView",
    "ScopeGuard",
    "SupportsDeviceScalars",
    "SupportsDropLatest",
    "SupportsPopScalar",
    "SupportsSharing",
    "TextConfig",
    "TrainDataLoader",
    "TrainState",
    "check_runner",
    "check_train_runner",
    "check_training_state",
    "closes_generator",
    "describe",
    "detached",
    "enter_again",
    "get_priority",
    "hook_methods",
    "hub_number",
    "is_scalar",
    "length_of",
    "lies_on_device",
    "load_hub",
    "load_training",
    "on_any_event",
    "on_new_run",
    "other_run_number",
    "publish_totals",
    "resolve_hub",
    "run_number",
    "scalar_value",
    "shown",
    "training_state",
    "with_dataset",
]
