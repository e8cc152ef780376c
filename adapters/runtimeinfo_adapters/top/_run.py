"""What is known of one run at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtimeinfo.board import BoardScalar


@dataclass(frozen=True)
class Run:
    """What is known of one run at one moment. None where it is not known.

    Attributes:
        path: Its board.
        pid: Its process.
        state: ``"live"``; ``"ended"`` where it has ended; ``"dead"`` where its process is gone without a word;
            ``"damaged"`` where the board cannot be read, as `error` says.
        is_stalled: Whether it is live, and has not written anything for long.
        is_elsewhere: Whether its process is in another container: of that one nobody knows here whether it lives.
        is_current: Whether it is the run that its process entered last.
        error: What is wrong with the board.
        started_ns: When it began to share, in nanoseconds since 1970.
        age_s: For how many seconds it has not written anything.
        loop_stage: ``"train"``, ``"val"``, ``"test"``, or what the run says.
        epoch: Completed epochs.
        iter: Completed iterations.
        max_epochs: How many epochs there will be.
        max_iters: How many iterations there will be.
        rate: Iterations a second while it trains.
        eta_s: How many seconds the iterations that are left take at this rate, validations left out.
        infos: The infos by their keys.
        scalars: The latest values by their keys.
        courses: How these went while they were watched, by the same keys.
        unshared: How many infos and scalars found no place on the board.
    """

    path: Path
    pid: int
    state: Literal["live", "ended", "dead", "damaged"]
    is_stalled: bool = False
    is_elsewhere: bool = False
    is_current: bool = False
    error: str | None = None
    started_ns: int | None = None
    age_s: float | None = None
    loop_stage: str | None = None
    epoch: int | None = None
    iter: int | None = None
    max_epochs: int | None = None
    max_iters: int | None = None
    rate: float | None = None
    eta_s: float | None = None
    infos: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scalars: Mapping[str, BoardScalar] = field(default_factory=dict[str, BoardScalar])
    courses: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    unshared: int = 0

    @property
    def experiment_name(self) -> str | None:
        """The name of the experiment."""
        name = self.infos.get("experiment_name")
        return name if isinstance(name, str) and name else None
