"""What the scripts here have in common: the data, the model, and a record of what a rank saw.

Each script trains in phases. After each phase every rank writes ``<phase>-<rank>.json`` to the folder that the script
was given, and the test reads them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import Dataset

import runtimeinfo
import runtimeinfo_adapters
from runtimeinfo.authoring import on_any_event, resolve_hub
from runtimeinfo_adapters.sinks import JSONLWriter

ITEMS = 18  # 9 a rank, so 5 batches of at most 2; of the whole, 9
EPOCHS = 2
ACCUMULATION = 2
RAISES_AT = 2  # in phase "raise", rank 1 does so at its third batch, in the middle of an epoch


class Data(Dataset[Any]):
    """Item i is the number i."""

    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __init__(self, length: int = ITEMS) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(index)])


class Model(torch.nn.Module):
    """A line; its loss on a batch depends on the items."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.line.weight, 0.5)
        torch.nn.init.zeros_(self.line.bias)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        return ((self.line(items / ITEMS) - 1) ** 2).mean()


class UserError(Exception):
    """What rank 1 raises."""


@on_any_event(by="note")
class Phase:
    """Notes as a hook what is published, and what the script says that it has computed itself."""

    def __init__(self, name: str, rank: int, folder: Path) -> None:
        self.name = name
        self.rank = rank
        # Also what goes to files: from rank 0 alone, and from each.
        self.hooks = [
            self,
            JSONLWriter(folder / f"{name}.jsonl", interval=1),
            JSONLWriter(folder / f"{name}-each.jsonl", interval=1, all_ranks=True),
        ]
        self.events: list[Any] = []
        self.errors: list[BaseException] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.items: list[list[int]] = []
        self.more: dict[str, Any] = {}
        self.raised = UserError(f"rank {rank}")

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        hub = runner.message_hub
        self.events.append([event, runner.epoch, runner.iter, hub.get_info("loop_stage"), resolve_hub() is hub])
        if event == "on_exception":
            self.errors.append(arguments["exception"])

    def step(self, items: torch.Tensor, rate: float) -> None:
        """Begin a training step, unless this is where rank 1 raises."""
        if self.name == "raise" and self.rank == 1 and len(self.losses) == RAISES_AT:
            raise self.raised
        self.items.append([int(item) for item in items.flatten()])
        self.rates.append(rate)

    def computed(self, loss: torch.Tensor) -> None:
        self.losses.append(loss.item())

    def write(self, folder: Path, hub: Any, error: BaseException | None, collectives: Any) -> None:
        record = {
            "events": self.events,
            "losses": self.losses,
            "rates": self.rates,
            "items": self.items,
            "infos": {key: value for key, value in hub.runtime_info.items() if key != "cfg"},
            "scalars": {key: [float(value) for value in hub.get_scalar(key).data[0]] for key in hub.log_scalars},
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "is_the_error_raised": error is self.raised,
            "is_a_runtime_error": isinstance(error, RuntimeError),
            "is_the_error_announced": [each is error for each in self.errors],
            "is_the_hub_current_still": resolve_hub() is hub,
            "collectives": collectives,
            **self.more,
        }
        unfinished = folder / f"{self.name}-{self.rank}.tmp"
        unfinished.write_text(json.dumps(record), encoding="utf-8")
        unfinished.rename(unfinished.with_suffix(".json"))


class Script:
    """A script under torchrun: its phases, and its record of the collectives."""

    def __init__(self) -> None:
        self.folder = Path(sys.argv[1])
        self.rank = int(os.environ["RANK"])
        self.collectives = Collectives()
        torch.set_num_threads(1)

    @contextlib.contextmanager
    def phase(self, name: str, hub: Any) -> Generator[Phase]:
        """Write down a phase, however it ends."""
        phase = Phase(name, self.rank, self.folder)
        self.collectives.clear()
        error: BaseException | None = None
        try:
            yield phase
        except BaseException as raised:
            error = raised
            raise
        finally:
            phase.write(self.folder, hub, error, self.collectives.record())


_NAMES = """
    allgather allgather_coalesced all_gather_single all_gather_single_coalesced allgather_into_tensor_coalesced
    all_to_all_single allreduce allreduce_coalesced alltoall alltoall_base barrier broadcast gather monitored_barrier
    recv recv_anysource reduce reduce_scatter reduce_scatter_single reduce_scatter_single_coalesced
    reduce_scatter_tensor_coalesced scatter send _allgather_base _reduce_scatter_base
""".split()  # noqa: SIM905

# These pass calls on to the framework, or draw batches from its loader: what it then does is its own. Each is the
# beginning of a file's name, a colon and a function's name.
_PASSING_ON = (
    "_adapter.py:__call__",
    "_loader_state.py:resume",
    "_loop_training.py:__next__",
    "_loop_training.py:_draw_",
    "lightning.py:_before_batch",
    "lightning.py:_before_workers",
    "lightning.py:_begin_train_iteration",
    "lightning.py:_end_unheard",
    "lightning.py:_guard",
    "lightning.py:_take_logged",
    "loop.py:_iterate",
    "transformers.py:_around_",
)


class Collectives:
    """Watches the collectives that are started from Python: how many, and which of them from inside our code."""

    def __init__(self) -> None:
        self._ours = tuple(str(Path(package.__file__).parent) for package in (runtimeinfo, runtimeinfo_adapters))
        self.clear()
        for name in _NAMES:
            if hasattr(dist.ProcessGroup, name):  # not all versions of torch have all
                setattr(dist.ProcessGroup, name, self._watched(name, getattr(dist.ProcessGroup, name)))

    def clear(self) -> None:
        self._count = 0
        self._from_ours: list[str] = []

    def record(self) -> dict[str, Any]:
        return {"all": self._count, "ours": self._from_ours}

    def _watched(self, name: str, collective: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._count += 1
            frame, is_started_here = sys._getframe(1), True
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                place = f"{path.name}:{frame.f_code.co_name}"
                if str(path).startswith(self._ours) and (is_started_here or not place.startswith(_PASSING_ON)):
                    self._from_ours.append(f"{name} from {place}")
                    break
                is_started_here = is_started_here and "torch" in path.parts and "distributed" in path.parts
                frame = frame.f_back
            return collective(*args, **kwargs)

        return watched
