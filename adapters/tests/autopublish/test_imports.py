from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
import threading
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtimeinfo import autopublish
from runtimeinfo_adapters.autopublish import AutopublishWarning, _imports
from runtimeinfo_adapters.autopublish._imports import Finder

SITE = Path(_imports.__file__).parent / "_site"

Install = Callable[[ModuleType], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported. They are forgotten after the test, and the finders are as before."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    importlib.import_module("runtimeinfo_adapters.hub")  # its NumPy can be loaded once in a process
    loaded = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


@pytest.fixture
def finder() -> Finder:
    return Finder()


def noting(notes: list[Any]) -> Install:
    """Return an installer that notes the module and whether its body was executed by then."""
    return lambda module: notes.append((module, hasattr(module, "END")))


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(f"{text}\nEND = True\n")
    importlib.invalidate_caches()


def test_an_installer_is_called_once_the_module_was_executed(folder: Path, finder: Finder) -> None:
    write(folder, watched="def function(): pass")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    assert notes == []
    module = importlib.import_module("watched")
    assert notes == [(module, True)]


def test_a_module_that_was_imported_already_is_installed_at_once(folder: Path, finder: Finder) -> None:
    write(folder, watched="")
    module = importlib.import_module("watched")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    assert notes == [(module, True)]
    assert finder not in sys.meta_path


def test_the_finder_leaves_once_nothing_is_awaited(folder: Path, finder: Finder) -> None:
    before = list(sys.meta_path)
    write(folder, first="", second="")
    finder.watch("first", noting([]))
    finder.watch("second", noting([]))
    assert sys.meta_path == [finder, *before]
    importlib.import_module("first")
    assert sys.meta_path == [finder, *before]
    importlib.import_module("second")
    assert sys.meta_path == before


def test_the_loader_is_as_without_the_finder(folder: Path, finder: Finder) -> None:
    write(folder, watched="def function(): pass", other="")
    finder.watch("watched", noting([]))
    watched, other = importlib.import_module("watched"), importlib.import_module("other")
    assert type(watched.__loader__) is type(other.__loader__)
    assert watched.__spec__ is not None
    assert watched.__spec__.loader is watched.__loader__
    assert vars(watched.__loader__).keys() == vars(other.__loader__).keys()
    assert inspect.getsource(watched.function) == "def function(): pass\n"


def test_a_module_that_is_only_looked_for_stays_awaited(folder: Path, finder: Finder) -> None:
    write(folder, watched="")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    assert importlib.util.find_spec("watched") is not None
    assert notes == []
    importlib.import_module("watched")
    assert len(notes) == 1


def test_submodules_of_packages_are_watched(folder: Path, finder: Finder) -> None:
    (folder / "package" / "inner").mkdir(parents=True)
    (folder / "package" / "__init__.py").write_text("from package.inner import module\nEND = True\n")
    (folder / "package" / "inner" / "__init__.py").write_text("")
    write(folder / "package" / "inner", module="")
    notes: list[Any] = []
    finder.watch("package", noting(notes))
    finder.watch("package.inner.module", noting(notes))
    module = importlib.import_module("package")
    assert notes == [(sys.modules["package.inner.module"], True), (module, True)]


def test_a_module_that_does_not_exist_is_missing_as_without_the_finder(folder: Path, finder: Finder) -> None:
    with pytest.raises(ModuleNotFoundError) as without:
        importlib.import_module("watched")
    finder.watch("watched", noting([]))
    with pytest.raises(ModuleNotFoundError) as found:
        importlib.import_module("watched")
    assert (str(found.value), found.value.name) == (str(without.value), without.value.name)
    assert finder in sys.meta_path


@pytest.mark.parametrize(
    "body",
    ["1 / 0", "import module_that_is_not_there", "raise KeyboardInterrupt", "def", "from watched import nothing"],
)
def test_an_exception_of_a_module_has_the_same_traceback(folder: Path, finder: Finder, body: str) -> None:
    def told() -> str:
        try:
            import watched  # type: ignore[import-not-found]  # noqa: F401
        except BaseException:
            return traceback.format_exc()
        return "nothing was raised"

    write(folder, watched=body)
    without = told()
    finder.watch("watched", noting([]))
    assert told() == without
    assert without.startswith("Traceback")


def test_a_module_that_failed_is_installed_when_it_succeeds(folder: Path, finder: Finder) -> None:
    write(folder, watched="import another_module")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("watched")
    assert notes == []
    write(folder, another_module="")
    importlib.import_module("watched")
    assert len(notes) == 1


def test_an_exception_of_another_finder_has_the_same_traceback(finder: Finder, folder: Path) -> None:
    class Broken:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "watched":
                raise RuntimeError("a finder of another project")

    def told() -> str:
        try:
            import watched  # type: ignore[import-not-found]  # noqa: F401
        except RuntimeError:
            return traceback.format_exc()
        return "nothing was raised"

    sys.meta_path.insert(0, Broken())
    without = told()
    finder.watch("watched", noting([]))
    assert sys.meta_path[0] is finder
    assert told() == without
    assert "a finder of another project" in without


def test_finders_before_are_asked_once_and_those_without_find_spec_not_at_all(folder: Path, finder: Finder) -> None:
    asked: list[str] = []

    class Noting:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            asked.append(name)

    write(folder, watched="")
    sys.meta_path.insert(0, object())  # type: ignore[arg-type]
    finder.watch("watched", noting([]))
    sys.meta_path.insert(0, Noting())
    importlib.import_module("watched")
    assert asked == ["watched"]


def test_modules_of_one_zip_share_a_loader(folder: Path, finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "modules.zip", "w") as archive:
        archive.writestr("outer.py", "import unwatched\nimport inner\nEND = True\n")
        archive.writestr("inner.py", "END = True\n")
        archive.writestr("unwatched.py", "")
        archive.writestr("later.py", "END = True\n")
    monkeypatch.syspath_prepend(folder / "modules.zip")
    notes: list[Any] = []
    for name in ("outer", "inner", "later"):
        finder.watch(name, noting(notes))
    outer, later = importlib.import_module("outer"), importlib.import_module("later")
    assert outer.__loader__ is later.__loader__
    assert notes == [(sys.modules["inner"], True), (outer, True), (later, True)]
    assert "exec_module" not in vars(outer.__loader__)


def test_another_module_of_a_loader_that_awaits_one_is_not_installed(
    folder: Path, finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(folder / "modules.zip", "w") as archive:
        archive.writestr("watched.py", "END = True\n")
        archive.writestr("other.py", "END = True\n")
    monkeypatch.syspath_prepend(folder / "modules.zip")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    importlib.util.find_spec("watched")  # its loader, which is the same for both, awaits it now
    importlib.import_module("other")
    assert notes == []
    watched = importlib.import_module("watched")
    assert notes == [(watched, True)]


class Slotted:
    """A loader that takes no attributes."""

    __slots__ = ()

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        module.END = True


class Base:
    """What the next one inherits."""

    @staticmethod
    def create_module(spec: Any) -> None:
        return None

    @staticmethod
    def exec_module(module: Any) -> None:
        module.END = True


class OfAClass(Base):
    """A loader that is a class, as those of built-in modules are."""


@pytest.mark.parametrize("loader", [Slotted(), OfAClass])
def test_a_loader_that_cannot_be_hooked_loads_its_module(folder: Path, finder: Finder, loader: Any) -> None:
    class Finding:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            return importlib.util.spec_from_loader(name, loader) if name == "watched" else None

    sys.meta_path.insert(0, Finding())
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    before = dict(vars(loader)) if isinstance(loader, type) else {}
    assert importlib.import_module("watched").END
    assert (dict(vars(loader)) if isinstance(loader, type) else {}) == before
    assert notes == []


def test_a_module_that_is_loaded_lazily_is_installed_when_it_is_used(folder: Path, finder: Finder) -> None:
    write(folder, watched="")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    spec = importlib.util.find_spec("watched")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules["watched"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert notes == []
    assert module.END
    assert notes == [(module, True)]


def test_a_module_that_puts_another_object_in_its_place_is_installed_as_that(folder: Path, finder: Finder) -> None:
    write(folder, watched="import sys, types\nsys.modules[__name__] = types.SimpleNamespace(END=True)")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    module: Any = importlib.import_module("watched")
    assert notes == [(module, True)]
    assert not isinstance(module, ModuleType)


def test_a_module_is_installed_once_by_threads_and_reloads(folder: Path, finder: Finder) -> None:
    write(folder, watched="import time; time.sleep(0.05)")
    notes: list[Any] = []
    finder.watch("watched", noting(notes))
    threads = [threading.Thread(target=importlib.import_module, args=("watched",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    importlib.reload(sys.modules["watched"])
    assert notes == [(sys.modules["watched"], True)]


def fail(module: ModuleType) -> None:
    raise RuntimeError("the installer")


def test_an_error_of_an_installer_is_one_warning(folder: Path, finder: Finder) -> None:
    write(folder, watched="")
    finder.watch("watched", fail)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert importlib.import_module("watched").END
        importlib.reload(sys.modules["watched"])
    (told,) = [str(each.message) for each in warned if each.category is AutopublishWarning]
    assert told.startswith(
        f"the instrumentation of watched was withdrawn because of RuntimeError: the installer ({__file__}:"
    )
    assert warned[0].filename == __file__
    assert sys.meta_path[0] is not finder


def test_a_warning_that_was_made_an_error_is_written(
    folder: Path, finder: Finder, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, watched="")
    finder.watch("watched", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module("watched")
    assert "AutopublishWarning: the instrumentation of watched was withdrawn" in capsys.readouterr().err


def test_a_part_that_cannot_be_loaded_leaves_the_others(
    folder: Path, finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_imports, "FINDER", finder)
    monkeypatch.setitem(sys.modules, "runtimeinfo_adapters.autopublish._plain_loop", None)
    write(folder, watched="", other="")
    notes: list[Any] = []
    finder.watch("watched", _imports._install_plain_loop)
    finder.watch("other", noting(notes))
    with pytest.warns(AutopublishWarning, match="the instrumentation of watched"):
        importlib.import_module("watched")
    importlib.import_module("other")
    assert len(notes) == 1


def test_ctrl_c_passes_an_installer(folder: Path, finder: Finder) -> None:
    def interrupted(module: ModuleType) -> None:
        raise KeyboardInterrupt

    write(folder, watched="")
    finder.watch("watched", interrupted)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("watched")


def test_the_hook_awaits_each_framework_that_has_an_installer() -> None:
    from runtimeinfo_adapters.autopublish import _frameworks

    assert set(_imports.FRAMEWORK_MODULES) == set(_frameworks.INSTALLERS)
    assert len(set(_imports.FRAMEWORK_MODULES)) == len(_imports.FRAMEWORK_MODULES)


def python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with a folder of modules."""
    command = [sys.executable, "-c", code]
    paths = {"PYTHONPATH": os.pathsep.join([*filter(None, [environment.pop("PYTHONPATH", "")]), str(folder)])}
    return subprocess.run(
        command, env=os.environ | environment | paths, capture_output=True, text=True, timeout=60, check=False
    )


def test_autopublish_can_be_called_again(tmp_path: Path) -> None:
    write(tmp_path, torch="")
    code = (
        "import sys, runtimeinfo\n"
        "from runtimeinfo_adapters.autopublish import _imports, _plain_loop\n"
        "_plain_loop.install = print\n"
        "before = list(sys.meta_path)\n"
        "runtimeinfo.autopublish()\n"
        "after = list(sys.meta_path)\n"
        "runtimeinfo.autopublish()\n"
        "assert after == sys.meta_path == [_imports.FINDER, *before]\n"
        "import torch\n"
        "runtimeinfo.autopublish()\n"
        "print(_imports.FINDER in sys.meta_path)\n"
    )
    ran = python(code, tmp_path)
    assert ran.stderr == ""
    installed, still_waits = ran.stdout.splitlines()
    assert installed.startswith("<module 'torch'")
    assert still_waits == str(bool(_imports.FRAMEWORK_MODULES))


def test_autopublish_of_the_protocol_is_that_of_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(_imports, "start", lambda: calls.append("started"))
    autopublish()
    assert calls == ["started"]


def test_the_module_of_the_start_is_the_one_of_the_package(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "early = sys.modules['runtimeinfo_adapters.autopublish._imports']\n"
        "import runtimeinfo_adapters.autopublish as package\n"
        "from runtimeinfo_adapters.autopublish import AutopublishWarning, _imports\n"
        "from runtimeinfo_adapters.autopublish._guard import AutopublishWarning as guarded\n"
        "import inspect\n"
        "assert package._imports is _imports is early\n"
        "assert AutopublishWarning is guarded is early.AutopublishWarning\n"
        "assert 'class Finder' in inspect.getsource(early)\n"
        "package.autopublish()\n"
        "assert sys.meta_path.count(early.FINDER) == 1\n"
    )
    ran = python(code, tmp_path, PYTHONPATH=str(SITE), RUNTIMEINFO_AUTOPUBLISH="1")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_start_up_module_is_understood_by_an_old_python() -> None:
    source = (SITE / "sitecustomize.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))


def test_the_start_up_module_does_nothing_under_another_name() -> None:
    spec = importlib.util.spec_from_file_location("another_name", SITE / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    before = (list(sys.path), list(sys.meta_path), sys.modules.get("sitecustomize"))
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert (sys.path, sys.meta_path, sys.modules.get("sitecustomize")) == before
