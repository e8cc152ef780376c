from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("runtimeinfo", "runtimeinfo_adapters", "runtimeinfo_conformance")

CLIENT = """
from runtimeinfo import InfoReader, MessageHub, Runner, current_hub
from runtimeinfo_adapters import MessageHub as ReferenceHub
from runtimeinfo_conformance import HubSubject, Plan, Subject


def weight(reader: InfoReader) -> float:
    return float(reader.get_info("iter", 0))


def publish(runner: Runner) -> None:
    runner.message_hub.update_info("epoch", 1)


def run(plan: Plan, hooks: object) -> None:
    print(plan.max_epochs + plan.batches)


hub: MessageHub = ReferenceHub("client")
total: float = weight(hub) + weight(current_hub())
subject = Subject("myfw", "1", run=run, capabilities={"val"})
hub_subject = HubSubject("hub", "1", make=ReferenceHub)
"""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, which borrows everything else from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    ran = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A folder that comes in by a .pth has its own .pth files ignored: the editable install is not among what is lent.
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_a_wheel_has_the_three_packages_with_their_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names}
    assert top == {*PACKAGES, f"{wheel.name.split('-py3')[0]}.dist-info"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert "runtimeinfo_conformance/subjects/mmengine.py" in names
    assert {f"runtimeinfo_adapters/export/{name}" for name in ("alert_rules.yml", "dashboard.json")} <= names
    assert "runtimeinfo_adapters/autopublish/_site/sitecustomize.py" in names
    assert not any("/tests/" in name or name.endswith(".pyc") for name in names)


def test_a_source_distribution_has_the_tests_too(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "conformance_tests/tests/test_wheel.py"} <= names
    assert not any(name.startswith((".ci", ".git/", ".venv")) for name in names)


def test_it_is_imported_from_where_it_is_installed(installed: Path, in_process: Any, tree: Path) -> None:
    ran = in_process(
        "-c",
        f"import sys, {', '.join(PACKAGES)}\n"
        f"for package in ({', '.join(PACKAGES)}): print(package.__file__)\n"
        "print(*sys.path, sep='\\n')",
        python=str(installed),
    )
    assert ran.returncode == 0, ran.stderr
    files, searched = ran.stdout.splitlines()[:3], ran.stdout.splitlines()[3:]
    assert all(Path(file).is_relative_to(installed.parents[1]) for file in files)
    # The environment that is borrowed from may lie inside the tree; the sources are not searched.
    assert not {str(tree), *(str(tree / folder) for folder in ("protocol", "adapters", "conformance_tests"))} & set(
        searched
    )


def test_a_clients_file_is_type_checked_against_it(installed: Path, in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "wrong.py").write_text(f'{CLIENT}\nmisread: str = weight(hub)\nSubject("myfw", 1, run=run)\n')
    mypy = ("-m", "mypy", "--strict", "--python-executable", str(installed), "--cache-dir", str(tmp_path / "cache"))
    ran = in_process(*mypy, "client.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = in_process(*mypy, "wrong.py")
    assert ran.returncode == 1
    assert "Found 2 errors in 1 file" in ran.stdout, ran.stdout


def test_its_command_runs_a_script_with_the_hook_that_is_installed(installed: Path, in_process: Any) -> None:
    script = "import sys; hook = sys.modules[type(sys.meta_path[0]).__module__]; print(hook.__file__, hook.__name__)"
    ran = in_process(str(installed.parent / "runtimeinfo"), "run", "-c", script, python=str(installed))
    assert (ran.returncode, ran.stderr) == (0, "")
    file, name = ran.stdout.split()
    assert Path(file).is_relative_to(installed.parents[1])
    assert name == "runtimeinfo_adapters.autopublish._imports"


def test_its_command_checks_the_fifteen_lines_of_a_third_party(
    installed: Path, in_process: Any, tmp_path: Path, tree: Path
) -> None:
    for name in ("myfw.py", "test_conformance.py"):
        shutil.copy(tree / "docs/examples/third_party" / name, tmp_path)
    command = installed.parent / "runtimeinfo"
    ran = in_process(str(command), "check", "--profile", "quick", "test_conformance.py", python=str(installed))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "myfw: conformant" in ran.stdout
