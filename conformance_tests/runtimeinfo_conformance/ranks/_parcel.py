"""What reduces, on its way to the process of a rank."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Reduce = Callable[[Any, Any], Mapping[str, Any]]


class RanksError(Exception):
    """The ranks cannot be started, or the function cannot be brought to them."""


@dataclass(frozen=True)
class Parcel:
    """A function on its way to another process."""

    pickled: bytes
    module: str
    file: str | None

    @classmethod
    def of(cls, reduce: Reduce) -> Parcel:
        try:
            pickled = pickle.dumps(reduce)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RanksError(
                f"{reduce!r} cannot be brought to another process: {error}. Put it at the top of a module"
            ) from error
        name = getattr(reduce, "__module__", None) or type(reduce).__module__
        return cls(pickled, name, getattr(sys.modules.get(name), "__file__", None))

    def open(self) -> Reduce:
        try:
            found: Reduce = pickle.loads(self.pickled)  # noqa: S301  # this process was started to run it
        except ImportError:
            if self.file is None:
                raise
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            if spec is None or spec.loader is None:
                raise
            module = sys.modules[self.module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found = pickle.loads(self.pickled)  # noqa: S301
        return found
