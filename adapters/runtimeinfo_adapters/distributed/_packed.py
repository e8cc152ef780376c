"""The state of a hub or a loop as one entry of a distributed checkpoint."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Protocol, cast

from runtimeinfo import StateError
from runtimeinfo.authoring import describe

_ENTRY = "packed"


class HasState(Protocol):
    """Anything whose state can be saved: a hub, a `Loop`, or what `attach` returns."""

    def state_dict(self) -> Any:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> object:
        """Restore a state."""
        ...


class PackedState:
    """The state of a hub or a loop as one entry, which `torch.distributed.checkpoint` saves and loads as a whole.

    That module loads key by key, into the tensors that are there already. So it has nothing for a hub that has no keys
    yet, which refuses to load that, and it cannot load a history whose length has changed since. An entry that is not a
    tensor is replaced instead. It is a snapshot: the training can continue while `async_save` writes it.

    Give each rank a `PackedState` to load. What all ranks save under the same key is there only once, and PyTorch
    chooses from which rank: let rank 0 alone save it, or put the rank into the key.

    Args:
        owner: A hub, a `runtimeinfo_adapters.loop.Loop`, or anything else with `state_dict` and `load_state_dict`.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> saved, loaded = MessageHub("doc-saved"), MessageHub("doc-loaded")
        >>> saved.update_scalar("train/loss", 0.5)
        >>> entry = PackedState(saved).state_dict()  # as `dcp.save({"hub": PackedState(saved)})` does
        >>> PackedState(loaded).load_state_dict(entry)
        >>> loaded.get_scalar("train/loss").current()
        0.5

    Source: HUB-11, RESUME-01.
    """

    def __init__(self, owner: HasState) -> None:
        self._owner = owner

    def state_dict(self) -> dict[str, bytes]:
        """Return the state as one entry."""
        import torch

        file = io.BytesIO()
        torch.save(self._owner.state_dict(), file)
        return {_ENTRY: file.getvalue()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state from its entry.

        Only load a checkpoint that you trust: PyTorch unpickles the entries of a distributed checkpoint, so that it
        can run code.

        Raises:
            StateError: If it is not what `state_dict` returned, or the owner refuses it.
        """
        import torch

        packed = state_dict.get(_ENTRY)
        if not isinstance(packed, bytes):
            raise _wrong(f"must be bytes, but is {describe(packed)}")
        try:
            # Not `weights_only`: a loader that has its own state can put any object into that of a `Loop`.
            state = cast("Any", torch).load(io.BytesIO(packed), map_location="cpu", weights_only=False)
        except Exception as error:
            raise _wrong(f"cannot be read: {type(error).__name__}: {error}") from error
        self._owner.load_state_dict(state)


def _wrong(problem: str) -> StateError:
    return StateError(f"{_ENTRY} {problem}. Load what PackedState.state_dict() returned", field=_ENTRY)
