"""The site builds without a warning, and has what is public."""

import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(target, source=ROOT / "docs"):
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    return subprocess.run(
        [*command, str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )


def names_in(inventory):
    """Return what has a place in the API reference."""
    data = inventory.read_bytes()
    lines = zlib.decompress(data.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


# The parts of the kit that its users do not need.
INTERNAL = ("guards", "judges", "mutants", "observation", "plans", "ranks", "search", "subjects")


@pytest.fixture
def public():
    """The full names of what is public, each by the module where users find it."""
    sys.path.insert(0, str(ROOT / "docs" / "extensions"))
    try:
        from docstrings import exports, public_homes, public_modules
    finally:
        sys.path.pop(0)
    modules = [(name, file) for name, file in public_modules() if not set(INTERNAL) & set(name.split("."))]
    names = {f"{name}.{each}" for name, file in modules for each in exports(file) if not each.startswith("_")}
    return {public_homes().get(name, name) for name in names}


def test_the_site_builds_and_is_whole(tmp_path, public):
    # One test for what one build, of many seconds, shows.
    done = build(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    names = names_in(tmp_path / "objects.inv")
    assert public - names == set()
    assert "runtimeinfo_adapters.MessageHub.get_instance" in names  # of a base that is private

    reference, spec, performance, guide = (
        (tmp_path / page).read_text(encoding="utf-8")
        for page in ("api/authoring.html", "spec.html", "performance.html", "conformance.html")
    )
    assert 'href="../spec.html#share-01"' in reference
    assert 'id="share-01"' in spec
    assert 'href="spec.html#life-15">LIFE-15</a>' in guide  # which has no link to it in its text
    assert "iteration, 2 tensors" in performance


def test_a_page_that_leads_nowhere_fails_the_build(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    page = """\
    # Start

    See [this](nowhere.md), and [that](index.md#nohow), which `runtimeinfo.nothing` does.

    ```{eval-rst}
    It comes from :requirement:`COUNT-99`.

    .. py:function:: f() -> runtimeinfo.NoType
    ```
    """
    (source / "index.md").write_text(textwrap.dedent(page), encoding="utf-8")
    configuration = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    (source / "conf.py").write_text(configuration.replace("__file__", repr(str(ROOT / "docs" / "conf.py"))))
    done = build(tmp_path / "target", source)
    assert done.returncode == 1
    for warning in (
        "'nowhere.md'",
        "'nohow'",
        "runtimeinfo.nothing cannot be imported",
        "COUNT-99 is not a requirement",
        "'requirement' reference target not found: COUNT-99",
        "reference target not found: runtimeinfo.NoType",
    ):
        assert warning in done.stderr
