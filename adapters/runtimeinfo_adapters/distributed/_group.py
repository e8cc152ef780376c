"""Find the ranks that reduce together: a process group of PyTorch, or this process only."""

from __future__ import annotations

import os
import re
import sys
import weakref
from collections.abc import MutableMapping
from importlib.util import find_spec
from typing import Any

from runtimeinfo import DistributedError
from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters._rank import global_rank
from runtimeinfo_adapters.distributed._exchange import Agreement, Bytes


def require_torch() -> None:
    """Raise an error that names the extra if PyTorch is not installed, without loading it, which takes seconds.

    Raises:
        ModuleNotFoundError: If PyTorch is not installed.
    """
    try:
        is_installed = find_spec("torch") is not None
    except ModuleNotFoundError:  # an import hook refuses it
        is_installed = False
    if not is_installed:
        import_of_extra("torch", distribution="torch", extra="torch", used_by="runtimeinfo_adapters.distributed")


class LoneProcess:
    """This process as the only rank, if `torch.distributed` is not set up."""

    name = "no process group"
    timeout = None

    def __init__(self) -> None:
        self.ranks: tuple[int, ...] = (global_rank(),)
        self.agreement = Agreement()

    def gather(self, sent: Bytes) -> Bytes:
        """Return the bytes of this rank, which is the only one."""
        return sent[None]


class TorchGroup:
    """A process group that this rank is a member of.

    Args:
        group: The group of PyTorch.
        distributed: The module `torch.distributed`.
    """

    def __init__(self, group: Any, distributed: Any) -> None:
        self._group = group
        self._distributed = distributed
        self.agreement: Agreement = _agreements.setdefault(group, Agreement())

    @property
    def name(self) -> str:
        """The name that PyTorch has for it."""
        named = getattr(self._group, "group_desc", None)
        return str(named if named and named != "undefined" else getattr(self._group, "group_name", ""))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its members, in their order, as ranks of the whole run."""
        return tuple(self._distributed.get_process_group_ranks(self._group))

    @property
    def timeout(self) -> float | None:
        """The seconds for which a member waits; None if PyTorch does not tell."""
        try:
            # PyTorch has no public way to ask.
            return float(self._group._get_backend(self._device()).options._timeout.total_seconds())
        except (AttributeError, RuntimeError):
            return None

    def gather(self, sent: Bytes) -> Bytes:
        """Return the bytes that each rank has sent, a row for each.

        Raises:
            DistributedError: If a rank did not take part.

        Source: DIST-07.
        """
        torch: Any = sys.modules["torch"]
        device = self._device()
        count = self._distributed.get_world_size(self._group)
        try:
            own = torch.from_numpy(sent).to(device)
            gathered = torch.empty((count, len(sent)), dtype=torch.uint8, device=device)
            # all_gather_into_tensor would save the list, but its name differs between versions of PyTorch.
            self._distributed.all_gather(list(gathered.unbind()), own, group=self._group)
            rows: Bytes = gathered.cpu().numpy()
        except RuntimeError as error:
            raise DistributedError(
                f"reduce failed on rank {self._distributed.get_rank()}, as the ranks exchange what they have: "
                f"{_first_sentence(error)}. Usually another rank has died, hangs, or has not called reduce as often as "
                "this one: look at the last output of each. Nothing counts as reduced: all values of this rank are "
                "there at the next call, over a new process group",
                group=self.name,
                ranks=self.ranks,
                timeout=self.timeout,
                requirement="DIST-07",
            ) from error
        return rows

    def _device(self) -> Any:
        """Return the device on which this group takes tensors: the CPU if it takes those."""
        torch: Any = sys.modules["torch"]
        # The format is the one in "cpu:gloo,cuda:nccl".
        kinds = [part.partition(":")[0] for part in self._distributed.get_backend_config(self._group).split(",")]
        if "cpu" in kinds:
            return torch.device("cpu")
        return getattr(self._group, "bound_device_id", None) or torch.device(kinds[0])


_agreements: MutableMapping[Any, Agreement] = weakref.WeakKeyDictionary()


def find_group(group: Any) -> LoneProcess | TorchGroup:
    """Return the ranks to reduce with.

    Args:
        group: A process group; None for all ranks of the run.

    Raises:
        DistributedError: If this rank is not in the group, or `torch.distributed` must be set up first.
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
        return LoneProcess()
    if group is None:
        group = distributed.group.WORLD
    if group is distributed.GroupMember.NON_GROUP_MEMBER or distributed.get_rank(group) < 0:
        raise DistributedError(
            f"rank {distributed.get_rank()} is not in this process group: let only its members call reduce"
        )
    return TorchGroup(group, distributed)


def _first_sentence(error: BaseException) -> str:
    """Return the first sentence of an error of PyTorch without its source line; the cause has the rest."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[^]]*\.(cc|cpp|h|hpp):\d+\] *", "", lines[0]).partition(". ")[0].rstrip(".")
