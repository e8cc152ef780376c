"""What can see or change what a thread does with tensors: modes, tracers, and the transforms of torch.func."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


def is_transformed(core: Any) -> bool:
    """Return whether a tracer, a mode or torch.func sees what this thread does with tensors; `core` is `torch._C`."""
    return bool(
        core._len_torch_dispatch_stack()
        or core._len_torch_function_stack()
        or core._functorch.peek_interpreter_stack() is not None
        or core._get_tracing_state() is not None
    )


@contextmanager
def untransformed(torch: Any) -> Generator[None]:
    """Hide what is done inside from all of them."""
    core = torch._C
    traced = core._get_tracing_state()
    core._set_tracing_state(None)
    modes = torch.utils._python_dispatch._disable_current_modes()  # loads what only a tracer has loaded
    try:
        with core._DisableFuncTorch(), core.DisableTorchFunction(), modes:
            yield
    finally:
        core._set_tracing_state(traced)


def is_traced(core: Any) -> bool:
    """Return whether a tracer or a transform would keep an operation, or replace it; `core` is `torch._C`.

    Other modes only look at operations, or count them.
    """
    if core._get_tracing_state() is not None or core._functorch.peek_interpreter_stack() is not None:
        return True
    if not core._len_torch_dispatch_stack():
        return False
    keys = core._TorchDispatchModeKey
    return any(core._get_dispatch_mode(key) is not None for key in (keys.FAKE, keys.PROXY, keys.FUNCTIONAL))
