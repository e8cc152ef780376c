"""What the hub must tell in each script, what it must not, and how the lines of `probe` are judged by it.

A value that is told must be right in every script, at every line. Beyond that, this table says which values must be
there, because the script lets an observer know them, and which must not, because none of them could be right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ALWAYS = range(2, 1_000_000)
"""The counts of steps from which on a value must be there: what trains is known after the first one."""

KEYS = ("stage", "epoch", "iter", "lr", "main_lr", "loss", "worker_epoch")


@dataclass(frozen=True)
class Expectation:
    """A script's values: a count of steps is that at the line."""

    reason: str
    must: Mapping[str, range] = field(default_factory=dict)
    """At which counts of steps a key must be there, where a line gives its truth and this is not None."""
    never: Mapping[str, str] = field(default_factory=dict)
    """Why a key must not be there at any line."""
    exit_code: int = 0
    one_optimizer: bool = True
    """Whether the rate has the name `train/lr`; the names of several optimizers cannot be known."""


def at_all(*keys: str) -> dict[str, range]:
    return dict.fromkeys(keys, ALWAYS)


EVERYTHING = at_all("stage", "epoch", "iter", "lr", "loss")

NO_LOADER = {"epoch": "without a loader there are no passes to count"}
ACCUMULATED = {"loss": "the loss was divided by a number that cannot be known"}

EXPECTED = {
    "epochs": Expectation("one loader with gradients, one optimizer, a step for each batch", EVERYTHING),
    "iterator_restart": Expectation("the iterator of each pass is exhausted before the next one is made", EVERYTHING),
    "cycle": Expectation(
        "itertools.cycle draws in the first pass only; steps go on to tell rate and loss",
        at_all("lr", "loss") | {"epoch": range(2, 5), "iter": range(2, 5)},
    ),
    "accumulation": Expectation(
        "every batch is drawn, so that draws count; the steps tell the rate",
        at_all("stage", "epoch", "iter", "lr"),
        never=ACCUMULATED,
    ),
    "amp": Expectation("draws count whether or not a step was skipped; `scale` is given the loss", EVERYTHING),
    "gan": Expectation(
        "one loader, so that draws count; which of two losses and rates is meant cannot be known",
        at_all("stage", "epoch", "iter"),
        one_optimizer=False,
    ),
    "lbfgs": Expectation(
        "steps count where no loader is; the first call of the closure has the loss of the step",
        at_all("iter", "lr", "loss"),
        never=NO_LOADER,
    ),
    "folds": Expectation("each fold makes an optimizer after the last step of the fold before", EVERYTHING),
    "reinforce": Expectation("steps count where no loader is", at_all("iter", "lr", "loss"), never=NO_LOADER),
    "compiled": Expectation(
        "a compiled step runs the hooks of the optimizer if they stay out of its graph", EVERYTHING
    ),
    "two_loaders": Expectation(
        "which of two loaders the script counts by cannot be known; steps tell rate and loss", at_all("lr", "loss")
    ),
    "worker_epoch": Expectation(
        "the epoch is told before the workers of a pass begin; the second pass begins after 4 steps",
        EVERYTHING | {"worker_epoch": range(4, 1_000_000)},
    ),
    "trainer_class": Expectation("one loader with gradients; the validation's has none", EVERYTHING),
    "broken_off": Expectation(
        "draws count; after a break it is open whether the pass and the batch count", at_all("stage", "lr", "loss")
    ),
    "failing": Expectation("as with epochs, until the batch that fails", EVERYTHING, exit_code=1),
    "train_evaluation": Expectation(
        "an evaluation over the training loader may hide the counts, but not rate and loss", at_all("lr", "loss")
    ),
    "peeks": Expectation(
        "batches drawn before the first step, or without one, are not of the training", at_all("lr", "loss")
    ),
    "batch_function": Expectation(
        "steps count where no loader is", at_all("iter", "lr"), never=NO_LOADER | ACCUMULATED
    ),
    "two_phases": Expectation(
        "the second optimizer begins a training, or takes over the first one", at_all("stage", "lr", "loss")
    ),
    "endless_stream": Expectation("draws count, though the loader has no length", EVERYTHING),
}


def compare(lines: Iterable[Mapping[str, Any]], expectation: Expectation) -> list[str]:
    """Return a sentence for each value that is wrong, that is missing, or that must not be there."""
    faults = []
    empty = True
    for number, line in enumerate(lines, 1):
        empty = False
        told, truth = line["told"], line["truth"]
        found = [*judge_marks(told, expectation)]
        for key in KEYS:
            right = list_right(truth[key]) if key in truth else None
            found += judge_key(key, tell(key, told), right, line["steps"], expectation)
        faults += [f"line {number}, {line['place']}, after {line['steps']} steps: {fault}" for fault in found]
    return ["no line was written"] if empty else faults


def judge_marks(told: Mapping[str, Any], expectation: Expectation) -> Iterable[str]:
    told_keys = [key for key, value in told.items() if value is not None and key != "inferred"]
    if told_keys and told["inferred"] is not True and told_keys != ["seen"]:
        yield f"{told_keys} are not marked as inferred"
    for key in ("max_epochs", "max_iters"):
        if told[key] is not None:
            yield f"{key} is {told[key]!r}, and cannot be known"
    if expectation.one_optimizer:
        names = [key for key in told if "lr" in key and key != "train/lr"]
        if names and "train/lr" not in told:
            yield f"the rate is called {names}, not train/lr"
    names = [key for key in told if "loss" in key and key != "train/loss"]
    if names:
        yield f"the loss is called {names}, not train/loss"


def judge_key(
    key: str, values: list[Any], right: list[Any] | None, steps: int, expectation: Expectation
) -> Iterable[str]:
    if values and key in expectation.never:
        yield f"{key} is {values}, but {expectation.never[key]}"
    if right is None:
        return
    for value in values:
        if not any(is_same(value, other) for other in right):
            yield f"{key} is {value!r}, not {' or '.join(repr(other) for other in right)}"
    if not values and None not in right and steps in expectation.must.get(key, ()):
        yield f"{key} is missing: it is {' or '.join(repr(other) for other in right)}"


def tell(key: str, told: Mapping[str, Any]) -> list[Any]:
    """Return the values that were told under a key, none where it is absent."""
    match key:
        case "stage":
            values = [told["loop_stage"]]
        case "lr":
            values = [value for name, value in told.items() if "lr" in name]
        case "main_lr":
            values = [told.get("train/lr")]
        case "loss":
            values = [told.get("train/loss")]
        case "worker_epoch":
            values = [None if seen == -1 else seen for seen in told["seen"] or ()]
        case _:
            values = [told[key]]
    return [value for value in values if value is not None]


def list_right(truth: Any) -> list[Any]:
    """Return all values that are right: a truth within a list may be a list itself."""
    if not isinstance(truth, list):
        return [truth]
    return [value for entry in truth for value in list_right(entry)]


def is_same(value: Any, right: Any) -> bool:
    """Tell whether two values agree: counts exactly, other numbers but for rounding."""
    if isinstance(right, float) and isinstance(value, float):
        same_nan = math.isnan(right) and math.isnan(value)
        return same_nan or math.isclose(value, right, rel_tol=1e-6, abs_tol=1e-12)
    return type(value) is type(right) and bool(value == right)
