"""An engine that validates or tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from ignite.engine import Engine

from runtimeinfo import RunnerError
from runtimeinfo.authoring import describe
from runtimeinfo_adapters._detached import detached
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters.ignite._attachment import Attachment
from runtimeinfo_adapters.ignite._runner import IgniteRunner
from runtimeinfo_adapters.ignite._values import NotedMetrics

Role = Literal["val", "test"]
Evaluators = Mapping[Role, "Engine | Iterable[Engine]"]


class Evaluator(Attachment):
    """An engine that validates or tests.

    Args:
        engine: The engine.
        runner: What publishes through the protocol.
        publisher: Where its events go.
        roles: What it does: the first while the trainer runs, the last on its own.

    Source: STAGE-02 to STAGE-05, SCALAR-06, SCALAR-09.
    """

    last = frozenset({"ITERATION_STARTED", "EPOCH_COMPLETED"})

    def __init__(self, engine: Any, runner: IgniteRunner, publisher: Publisher, roles: tuple[Role, ...]) -> None:
        super().__init__(engine, runner, publisher)
        self._roles = roles
        self._stage = roles[0]

    def begin(self) -> None:
        """Choose the role."""
        self._stage = self._roles[0] if self.is_open("run") else self._roles[-1]

    def close(self, outside: int) -> None:
        """Close what a run that ends normally has left open: a terminated one has no EPOCH_COMPLETED."""
        self.publisher.emit(f"after_{self._stage}" if outside else "after_run")

    def started(self, state: Any) -> None:  # noqa: ARG002
        """Open the stage."""
        self.publisher.emit(f"before_{self._stage}")

    def epoch_started(self, state: Any) -> None:
        """Open the epoch, and begin to note the metrics."""
        metrics = state.metrics
        if isinstance(metrics, NotedMetrics):
            metrics.written.clear()
        else:
            state.metrics = NotedMetrics(metrics)
        self.publisher.emit(f"before_{self._stage}_epoch")

    def iteration_started(self, state: Any) -> None:
        """Open the iteration, with the batch as the handlers have prepared it."""
        self.publisher.emit(f"before_{self._stage}_iter", data_batch=state.batch)

    def iteration_completed(self, state: Any) -> None:
        """Close the iteration."""
        self.publisher.emit(f"after_{self._stage}_iter", outputs=state.output)

    def epoch_completed(self, state: Any) -> None:
        """Close the epoch, with the metrics that were computed in it."""
        metrics = state.metrics
        names = metrics.written if isinstance(metrics, NotedMetrics) else metrics
        new = {name: detached(value) for name, value in metrics.items() if name in names}
        self.publisher.emit(f"after_{self._stage}_epoch", metrics=new)

    def completed(self, state: Any) -> None:  # noqa: ARG002
        """Close the stage."""
        self.publisher.emit(f"after_{self._stage}")


def roles_of(trainer: object, evaluators: Evaluators | None) -> dict[Engine, tuple[Role, ...]]:
    """Return the evaluators with the roles of each, 'val' before 'test'.

    Raises:
        RunnerError: If something is no engine, or no role.
    """
    if not isinstance(trainer, Engine):
        raise RunnerError(f"trainer must be an engine of Ignite, but is {describe(trainer)}: pass the one that trains")
    if evaluators is not None and not isinstance(evaluators, Mapping):
        raise RunnerError(
            f"evaluators must map 'val' and 'test' to engines, but is {describe(evaluators)}: pass "
            "{'val': evaluator}, say"
        )
    given = dict(evaluators or {})
    roles: dict[Engine, tuple[Role, ...]] = {}
    for role in cast("tuple[Role, ...]", ("val", "test")):
        value: Any = given.pop(role, ())
        engines = list(cast("Iterable[Any]", value)) if isinstance(value, Iterable) else [value]
        for engine in engines:
            if not isinstance(engine, Engine) or engine is trainer:
                what = "the trainer itself" if engine is trainer else describe(engine)
                raise RunnerError(
                    f"evaluators[{role!r}] must be an engine of its own, or several, but is {what}: pass the "
                    "engine that evaluates"
                )
            roles[engine] = (*roles.get(engine, ()), role)
    if given:
        raise RunnerError(
            f"evaluators has the role {next(iter(given))!r}; the roles are 'val' and 'test': give "
            "the engine one of these"
        )
    return roles
