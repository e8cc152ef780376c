"""What is published of an engine's state: outputs and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

from runtimeinfo import RunnerError
from runtimeinfo.authoring import describe, is_scalar
from runtimeinfo_adapters._detached import detached

OutputTransform = Callable[[Any], Any]


def outputs_of(output: Any, transform: OutputTransform | None) -> dict[str, Any] | None:
    """Return what to publish of an iteration's output: without its graph, by name.

    Raises:
        RunnerError: If the transform returned what cannot be published.

    Source: SCALAR-04.
    """
    value = output if transform is None else transform(output)
    if isinstance(value, Mapping):
        return {name: detached(each) for name, each in cast("Mapping[str, Any]", value).items()}
    if is_scalar(value):
        return {"loss": detached(value)}
    if transform is not None and value is not None:
        raise RunnerError(
            "output_transform must return a mapping from names to values, a scalar, or None, "
            f"but returned {describe(value)}: return {{'loss': loss}}, say",
            requirement="SCALAR-04",
        )
    return None


class NotedMetrics(dict[str, Any]):
    """The metrics of an engine's state, which notes those that were written: the others are an earlier run's.

    To compare with the values before would not do: a metric may well come out the same.
    """

    written: set[str]

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.written = set()  # here: a copy is filled before its attributes are set
        return made

    def __setitem__(self, name: str, value: Any) -> None:
        self.written.add(name)
        super().__setitem__(name, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Write several metrics."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Write a metric if there is none."""
        if name not in self:
            self[name] = default
        return self[name]
