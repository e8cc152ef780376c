"""The states of random generators: of Python, NumPy, and PyTorch where that is loaded.

A process that has not loaded PyTorch has nothing that draws from its generator, so there is no state of it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np


def loaded_torch() -> Any:
    """Return PyTorch, or None if it is not loaded. Code that has a loader or a tensor of PyTorch has loaded it."""
    return sys.modules.get("torch")


class GlobalStates(NamedTuple):
    """The states of the global generators; None where nothing can draw from one."""

    torch: Any
    python: tuple[Any, ...] | None
    numpy: Any

    @classmethod
    def now(cls) -> GlobalStates:
        """Return those of this moment."""
        return cls(torch_state(), random.getstate(), state_of(np.random))

    def put_back(self) -> None:
        """Set the generators to these states."""
        torch = loaded_torch()
        for generator, state in ((torch, self.torch), (random, self.python), (np.random, self.numpy)):
            if generator is not None and state is not None:
                set_state(generator, state)


def torch_state() -> Any:
    """Return the state of PyTorch's global generator, or None."""
    torch = loaded_torch()
    return None if torch is None else torch.get_rng_state()


def is_global_state(name: str, state: Any) -> bool:
    """Return whether a value is a state of a global generator: of "torch", "python" or "numpy"."""
    make_scratch: dict[str, Any] = {"python": random.Random, "numpy": np.random.RandomState}
    torch = loaded_torch()
    if torch is not None:
        make_scratch["torch"] = torch.Generator
    if state is None or name not in make_scratch:
        return True
    scratch = make_scratch[name]()
    try:
        set_state(scratch, state)
    except Exception:  # noqa: BLE001  # whatever it says of what is none
        return False
    return True


def random_marks() -> tuple[Any, ...]:
    """Return what tells whether a global generator was drawn from."""
    torch, python, numpy = GlobalStates.now()
    return None if torch is None else bytes(torch.numpy()), python, repr(numpy)


def is_generator(value: Any) -> bool:
    """Return whether a value is a random generator whose state can be set."""
    torch = loaded_torch()
    return isinstance(value, random.Random | np.random.Generator | np.random.RandomState) or (
        torch is not None and isinstance(value, torch.Generator)
    )


def state_of(generator: Any) -> Any:
    """Return the state of a random generator; None if it has none."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, random.Random):
        try:
            return generator.getstate()
        except NotImplementedError:  # the system's
            return None
    if generator is np.random or isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.get_state()  # of PyTorch


def set_state(generator: Any, state: Any) -> None:
    """Set the state of a random generator, as `state_of` or `to_plain` has returned it, before or after JSON."""
    torch = loaded_torch()
    if torch is not None and (generator is torch or isinstance(generator, torch.Generator)):
        state = torch.tensor(state, dtype=torch.uint8) if isinstance(state, list) else state
        (torch.set_rng_state if generator is torch else generator.set_state)(state)
    elif generator is random or isinstance(generator, random.Random):
        version, words, following = state
        generator.setstate((version, tuple(words.tolist() if hasattr(words, "tolist") else words), following))
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _like(generator.bit_generator.state, state)
    else:
        generator.set_state(_like(generator.get_state(legacy=False), state))


def to_plain(value: Any) -> Any:
    """Return a state in values that `torch.load` takes with ``weights_only=True``, or JSON without PyTorch."""
    torch = loaded_torch()
    if isinstance(value, Mapping):
        return {name: to_plain(each) for name, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, np.ndarray):
        words: Any = cast("Any", value).astype(np.int64)
        return words.tolist() if torch is None else torch.from_numpy(words)
    if isinstance(value, np.generic):
        return cast("Any", value).item()
    if isinstance(value, tuple):
        values = cast("tuple[Any, ...]", value)
        # The 625 words of Python's generator.
        return torch.tensor(values) if torch is not None and len(values) > 100 else tuple(map(to_plain, values))
    return value


def on_cpu(value: Any) -> Any:
    """Return a state on the CPU, wherever `torch.load` has put it: PyTorch's generators take it from there only."""
    if type(value) is dict:
        return {name: on_cpu(each) for name, each in cast("dict[Any, Any]", value).items()}
    if type(value) is list:
        return [on_cpu(each) for each in cast("list[Any]", value)]
    if type(value) is tuple:
        return tuple(on_cpu(each) for each in cast("tuple[Any, ...]", value))
    torch = loaded_torch()
    return value.cpu() if torch is not None and isinstance(value, torch.Tensor) else value


def _like(template: Any, state: Any) -> Any:
    """Return a plain state with arrays where a generator wants them."""
    if isinstance(template, Mapping):
        return {name: _like(each, state[name]) for name, each in cast("Mapping[str, Any]", template).items()}
    if isinstance(template, np.ndarray):
        return np.asarray(state).astype(cast("Any", template).dtype)
    return state
