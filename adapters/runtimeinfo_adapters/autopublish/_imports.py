"""The import hook: install what publishes once a watched module has been executed.

It is loaded when the interpreter starts, from the file and not as a part of its package, whose import would load numpy:
see `_site/sitecustomize.py`. So it needs the standard library alone, and little of that.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # to import it from typing would double the time that this module takes
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Installer = Callable[[ModuleType], object]

FRAMEWORK_MODULES: tuple[str, ...] = (
    "accelerate.data_loader",
    "fastai.optimizer",
    "lightning.pytorch.trainer.trainer",
    "pytorch_lightning.trainer.trainer",
    "transformers.trainer",
    "keras.src.models.model",
    "ignite.engine.engine",
    "mmengine.runner.runner",
    "mmengine.runner._flexible_runner",
)
"""The keys of `_frameworks.INSTALLERS`, repeated because that module loads numpy."""

_PACKAGE = "runtimeinfo_adapters.autopublish"
_NEEDED = "runtimeinfo_adapters.hub"  # by each part, which publishes through it


class AutopublishWarning(UserWarning):
    """A part of what publishes without a change in the script had an error, and was withdrawn."""

    __module__ = _PACKAGE


class Finder:
    """A finder for `sys.meta_path` that finds what the others find, and calls an installer after the execution.

    It is in `sys.meta_path` only while a module is still awaited.
    """

    def __init__(self) -> None:
        self._installers: dict[str, Installer] = {}
        self.is_started: bool = False

    def watch(self, name: str, installer: Installer) -> None:
        """Call an installer with a module: now if it was imported already, otherwise once its import has executed it.

        An exception of the installer is one `AutopublishWarning`.
        """
        self._installers[name] = installer
        module = sys.modules.get(name)
        if module is not None:
            self._install(name, module)
        elif self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Await nothing any more."""
        self._installers.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a watched module as the finders after this one do; everything else is left to them."""
        if name not in self._installers:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :] if self in sys.meta_path else []
        for finder in others:
            find_spec = getattr(finder, "find_spec", None)
            if find_spec is None:  # Python passes over it, too
                continue
            try:
                spec: ModuleSpec | None = find_spec(name, path, target)
            except BaseException as error:
                _hide_frame(error)
                raise
            if spec is not None:
                self._hook(spec)
                return spec
        return None

    def _hook(self, spec: ModuleSpec) -> None:
        """Let the loader of a spec call `_install`. The loader stays what it was: it is asked for sources and data."""
        loader = spec.loader
        # A class is the loader of built-in and frozen modules, for all of them.
        if loader is None or isinstance(loader, type) or "exec_module" in getattr(loader, "__dict__", {}):
            return
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            name = spec.name if module.__spec__ is None else module.__spec__.name  # the loader of a zip has several
            try:
                execute(module)
            except BaseException as error:
                _hide_frame(error)
                raise
            self._install(name, sys.modules.get(name, module))

        try:
            loader.exec_module = exec_module  # type: ignore[method-assign]
        except (AttributeError, TypeError):
            return  # it takes no attributes: its modules stay without an installer

    def _install(self, name: str, module: ModuleType) -> None:
        installer = self._installers.pop(name, None)
        if not self._installers:
            self.stop()
        if installer is None:
            return
        try:
            installer(module)
        except Exception as error:  # noqa: BLE001  # whatever it is, the script must not notice
            warn_of(f"the instrumentation of {name}", error)


def _hide_frame(error: BaseException) -> None:
    """Take the frame that catches an exception out of its traceback; a bare ``raise`` does not add it again."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


FINDER = Finder()


def start() -> None:
    """Watch each module that has an installer. Calls after the first one change nothing."""
    if FINDER.is_started:
        return
    FINDER.is_started = True
    for name in FRAMEWORK_MODULES:
        FINDER.watch(name, _install_framework)
    FINDER.watch("torch", _install_plain_loop)


def _install_framework(module: ModuleType) -> None:
    _load("_frameworks").INSTALLERS[module.__name__](module)


def _install_plain_loop(module: ModuleType) -> None:
    _load("_plain_loop").install(module)


def _load(name: str) -> ModuleType:
    import importlib

    try:
        importlib.import_module(_NEEDED)
    except Exception:
        FINDER.stop()  # no part can be loaded, and one warning is enough
        raise
    return importlib.import_module(f"{_PACKAGE}.{name}")


def warn_of(part: str, error: BaseException) -> None:
    """Warn that a part was withdrawn because of an error of ours. It never raises."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = f" ({traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno})" if traceback else ""
    try:
        text = f": {error}"
    except Exception:  # noqa: BLE001  # its own text may be what is wrong
        text = ""
    remedy = "Attach the adapter in the code to publish this run, and report the error"
    if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("runtimeinfo"):
        remedy = f"Install runtimeinfo in {sys.prefix} to publish what runs there"
    message = (
        f"{part} was withdrawn because of {type(error).__name__}{text}{place}. The script goes on without it. {remedy}"
    )
    try:
        from runtimeinfo._user_warning import warn_user

        warn_user(message, AutopublishWarning)
    except Exception:  # noqa: BLE001  # runtimeinfo is not installed here, or is broken
        if sys.stderr is not None:
            sys.stderr.write(f"AutopublishWarning: {message}\n")
