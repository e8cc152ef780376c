"""The errors, split by who broke the contract.

    RuntimeInfoError
    ├── RunnerError                  the runner: it lacks a member, or a member gives the wrong thing
    ├── HookError                    a hook: an unknown hook point, or a signature that cannot be called
    ├── LifecycleError               the source of events: one came where the grammar has no place for it
    ├── LoopError                    the author of an instrumented loop: a call that makes no sense here
    ├── StateError                   a saved state: it cannot be loaded
    ├── BoardError                   a board, or a reader that asks more of it than there is on it
    ├── DistributedError             a rank: it did not come, or cannot go on       (a RuntimeError too)
    │   └── KeysDifferError          ... it has other keys than the rest
    └── HubError                     the code that writes to or reads from a hub
        ├── ScalarTypeError          ... a value that is not a scalar          (a TypeError too)
        ├── MissingScalarError       ... a scalar that was not published       (a KeyError too)
        ├── EmptyHistoryError        ... a statistic of no value at all        (a ValueError too)
        └── UnknownStatisticError    ... a statistic that is not registered    (a KeyError too)

Where mmengine raises a builtin error, ours is that builtin as well: a caller which catches `KeyError` from
its hub goes on working with any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class RuntimeInfoError(Exception):
    """Base of every error that this project raises on purpose.

    Attributes:
        message: What is wrong, which rule it breaks, and what to do.
        requirement: Id of the broken requirement (``"COUNT-01"``), or None if the spec has none for it.
    """

    def __init__(self, message: str, *, requirement: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.requirement = requirement

    def __str__(self) -> str:
        # Not `super().__str__()`: a KeyError would show the repr of the message.
        return f"{self.message} [{self.requirement}]" if self.requirement else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args` alone, and fails where a keyword is required: then the error of
        # a worker process would never arrive.
        return _without_init, (type(self), self.message), self.__dict__


class RunnerError(RuntimeInfoError):
    """A runner does not keep the contract of `Runner` or `TrainRunner`.

    Attributes:
        problems: Everything that was found wrong, a line each.
    """

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), requirement: str | None = None) -> None:
        super().__init__(message, requirement=requirement)
        self.problems = problems


class HookError(RuntimeInfoError):
    """A hook cannot be registered.

    Attributes:
        hook: The hook.
        point: The hook point that is wrong, or None if it is the hook as a whole.
    """

    def __init__(self, message: str, *, hook: object, point: str | None = None, requirement: str | None = None) -> None:
        super().__init__(message, requirement=requirement)
        self.hook = hook
        self.point = point


class LifecycleError(RuntimeInfoError):
    """An event came where the grammar has no place for it.

    Attributes:
        event: The event.
        open_scopes: The scopes that were open, outermost first.
    """

    def __init__(
        self, message: str, *, event: str, open_scopes: tuple[str, ...], requirement: str | None = None
    ) -> None:
        super().__init__(message, requirement=requirement)
        self.event = event
        self.open_scopes = open_scopes


class LoopError(RuntimeInfoError):
    """An instrumented loop was used in a way that has no meaning."""


class StateError(RuntimeInfoError):
    """A saved state cannot be loaded; its receiver is unchanged.

    Attributes:
        field: Path of the field at fault, as in ``"log_scalars['train/loss'].values"``.
    """

    def __init__(self, message: str, *, field: str, requirement: str | None = None) -> None:
        super().__init__(message, requirement=requirement)
        self.field = field


class DistributedError(RuntimeInfoError, RuntimeError):
    """The ranks of a process group could not be brought together.

    A `RuntimeError`, as PyTorch's own: who catches that around a collective goes on catching it.

    Attributes:
        group: What PyTorch calls the group.
        ranks: Its members, as ranks of the whole run.
        at_fault: Those of them that are known to be at fault; none, where PyTorch does not say which one is gone.
        timeout: How many seconds a member waits for another; None where that is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        ranks: tuple[int, ...] = (),
        at_fault: tuple[int, ...] = (),
        timeout: float | None = None,
        requirement: str | None = None,
    ) -> None:
        super().__init__(message, requirement=requirement)
        self.group = group
        self.ranks = ranks
        self.at_fault = at_fault
        self.timeout = timeout


class KeysDifferError(DistributedError):
    """The ranks have different keys; nothing is reduced, and every rank gets this error.

    Attributes:
        missing: The keys that each rank at fault lacks.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: dict[int, tuple[str, ...]],
        group: str = "",
        ranks: tuple[int, ...] = (),
        timeout: float | None = None,
        requirement: str | None = None,
    ) -> None:
        super().__init__(
            message, group=group, ranks=ranks, at_fault=tuple(missing), timeout=timeout, requirement=requirement
        )
        self.missing = missing


class BoardError(RuntimeInfoError):
    """A board cannot be made or read, or lacks the requested value.

    Attributes:
        path: The board, or the folder for boards.
    """

    def __init__(self, message: str, *, path: Path, requirement: str | None = None) -> None:
        super().__init__(message, requirement=requirement)
        self.path = path


class HubError(RuntimeInfoError):
    """A hub was written to or read from in a way that it cannot serve; it is unchanged.

    Attributes:
        key: The key at fault, or None if the call is wrong as a whole.
    """

    def __init__(self, message: str, *, key: str | None = None, requirement: str | None = None) -> None:
        super().__init__(message, requirement=requirement)
        self.key = key


class ScalarTypeError(HubError, TypeError):
    """A value that is not a scalar was given where a scalar is needed."""


class MissingScalarError(HubError, KeyError):
    """No scalar was published under this key."""


class EmptyHistoryError(HubError, ValueError):
    """A statistic was asked of a history that holds no value."""


class UnknownStatisticError(HubError, KeyError):
    """No statistic is registered under this name."""


def _without_init(kind: type[RuntimeInfoError], message: str) -> RuntimeInfoError:
    return kind.__new__(kind, message)
