"""Finding the subjects that a command line names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from runtimeinfo_conformance._subject import AnySubject


class TargetError(Exception):
    """The command line names something that does not exist, or is not a subject."""


def find_subjects(target: str) -> list[AnySubject]:
    """Return the subjects of ``FILE.py``, ``FILE.py:NAME``, ``package.module`` or ``package.module:NAME``.

    A name may be a subject, a function that returns one, or a test made by `conformance`. Without a name it is
    every subject and every such test in the module.

    Raises:
        TargetError: If the module cannot be found or loaded, or holds no such thing.
    """
    place, _, name = target.partition(":")
    module = _load(place)
    if name:
        if not hasattr(module, name):
            raise TargetError(f"{place} has no {name!r}; {_choice(module)}")
        with _own_errors(target):
            subject = _subject_of(getattr(module, name), call=True)
        if subject is None:
            raise TargetError(
                f"{target} is no Subject, HubSubject or ReduceSubject, and no function that returns one; name one"
            )
        return [subject]
    found: list[AnySubject] = []
    for each in _names(module):
        subject = _subject_of(getattr(module, each), call=False)
        if subject is not None and subject not in found:
            found.append(subject)
    if not found:
        raise TargetError(f"{place} has no Subject; make one there, or name a function that returns one")
    return found


def _load(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix == ".py":
        if not path.is_file():
            raise TargetError(f"there is no file {place}; give the path from {Path.cwd()}")
        return _load_file(path.resolve())
    try:
        found = importlib.util.find_spec(place)
    except (ImportError, ValueError) as error:
        raise TargetError(
            f"there is no module {place}: {error}; give the name that `import` takes, or the path of a file"
        ) from None
    if found is None:
        raise TargetError(f"there is no module {place}; a file needs its .py")
    with _own_errors(place):
        return importlib.import_module(place)


def _load_file(path: Path) -> ModuleType:
    # Where its name is taken, for example by a library, it gets another: no other module is replaced.
    name = path.stem
    while name in sys.modules:
        if getattr(sys.modules[name], "__file__", None) == str(path):
            return sys.modules[name]
        name = f"{name}_"
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} cannot be loaded; give a file of Python code")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with _own_errors(str(path)):
            spec.loader.exec_module(module)
    except TargetError:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _own_errors(place: str) -> Generator[None]:
    """Say that an error came from the code of the target."""
    try:
        yield
    except Exception as error:
        advice = "fix that first"
        if isinstance(error, ModuleNotFoundError):
            advice = "install it, or put its folder on PYTHONPATH; for a file, only the one it is in is there already"
        raise TargetError(f"{place} cannot be loaded: {type(error).__name__}: {error}; {advice}") from error


def _choice(module: ModuleType) -> str:
    names = _names(module)
    return f"it has {', '.join(names)}" if names else "it has no subject at all: make one there"


def _names(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if _subject_of(value, call=False) is not None]


def _subject_of(value: Any, *, call: bool) -> AnySubject | None:
    if isinstance(value, AnySubject):
        return value
    subject = getattr(value, "runtimeinfo_subject", None)
    if isinstance(subject, AnySubject):
        return subject
    if call and callable(value):
        returned = value()
        if isinstance(returned, AnySubject):
            return returned
    return None
