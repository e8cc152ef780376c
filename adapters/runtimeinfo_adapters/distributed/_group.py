"""The ranks that reduce together: a process group of PyTorch's, or this process alone."""

from __future__ import annotations

import os
import re
import sys
import weakref
from collections.abc import MutableMapping
from typing import Any

from runtimeinfo import DistributedError
from runtimeinfo_adapters._rank import global_rank
from runtimeinfo_adapters.distributed._exchange import Agreement, Bytes


class Alone:
    """This process, where `torch.distributed` is not in use."""

    name = "no process group"
    timeout = None

    def __init__(self) -> None:
        self.ranks: tuple[int, ...] = (global_rank(),)
        self.agreement = Agreement()

    def gather(self, sent: Bytes) -> Bytes:
        """Return what was sent: nobody else has sent anything."""
        return sent[None]


class TorchGroup:
    """A process group that this rank is a member of.

    Args:
        group: PyTorch's own.
        distributed: The module `torch.distributed`.
    """

    def __init__(self, group: Any, distributed: Any) -> None:
        self._group = group
        self._distributed = distributed
        self.agreement: Agreement = _agreements.setdefault(group, Agreement())

    @property
    def name(self) -> str:
        """What PyTorch calls it."""
        named = getattr(self._group, "group_desc", None)
        return str(named if named and named != "undefined" else getattr(self._group, "group_name", ""))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its members in their order, as ranks of the whole run."""
        return tuple(self._distributed.get_process_group_ranks(self._group))

    @property
    def timeout(self) -> float | None:
        """How many seconds a member waits; None where PyTorch does not tell."""
        try:
            # PyTorch has no public way to ask.
            return float(self._group._get_backend(self._device()).options._timeout.total_seconds())
        except (AttributeError, RuntimeError):
            return None

    def gather(self, sent: Bytes) -> Bytes:
        """Return what each rank has sent, a row for each.

        Raises:
            DistributedError: If a rank did not come.

        Source: DIST-07.
        """
        torch: Any = sys.modules["torch"]
        device = self._device()
        count = self._distributed.get_world_size(self._group)
        try:
            own = torch.from_numpy(sent).to(device)
            gathered = torch.empty((count, len(sent)), dtype=torch.uint8, device=device)
            # Its sister that takes one tensor is called differently from one version of PyTorch to the next.
            self._distributed.all_gather(list(gathered.unbind()), own, group=self._group)
            rows: Bytes = gathered.cpu().numpy()
        except RuntimeError as error:
            raise DistributedError(
                f"reduce failed on rank {self._distributed.get_rank()}, as the ranks exchange what they have: "
                f"{_in_short(error)}. As a rule another rank has died, hangs, or has not called reduce as often as "
                "this one: look at what each has said last. Nothing counts as reduced: all values of this rank are "
                "there at the next call, over a new process group",
                group=self.name,
                ranks=self.ranks,
                timeout=self.timeout,
                requirement="DIST-07",
            ) from error
        return rows

    def _device(self) -> Any:
        """Return where a tensor has to lie for this group; on the CPU if it may."""
        torch: Any = sys.modules["torch"]
        # As in "cpu:gloo,cuda:nccl".
        kinds = [part.partition(":")[0] for part in self._distributed.get_backend_config(self._group).split(",")]
        if "cpu" in kinds:
            return torch.device("cpu")
        return getattr(self._group, "bound_device_id", None) or torch.device(kinds[0])


_agreements: MutableMapping[Any, Agreement] = weakref.WeakKeyDictionary()


def find_group(group: Any) -> Alone | TorchGroup:
    """Return the ranks to reduce with.

    Args:
        group: A process group; None for all ranks of the run.

    Raises:
        DistributedError: If this rank is not in the group, or if it has not been set up.
    """
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        size = os.environ.get("WORLD_SIZE", "").strip()
        if group is not None or (size.isdecimal() and int(size) > 1):
            why = "a group was given" if group is not None else f"WORLD_SIZE is {size}"
            raise DistributedError(
                f"{why}, and torch.distributed is not set up: call torch.distributed.init_process_group before reduce, "
                "so that the ranks can find one another"
            )
        return Alone()
    if group is None:
        group = distributed.group.WORLD
    if group is distributed.GroupMember.NON_GROUP_MEMBER or distributed.get_rank(group) < 0:
        raise DistributedError(
            f"rank {distributed.get_rank()} is not in this process group: let only its members call reduce"
        )
    return TorchGroup(group, distributed)


def _in_short(error: BaseException) -> str:
    """Return the first sentence of what PyTorch says, without the line of its own source; the rest is in the cause."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[^]]*\.(cc|cpp|h|hpp):\d+\] *", "", lines[0]).partition(". ")[0].rstrip(".")
