"""The code of README.md runs, its commands work, and what it names is there."""

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[0][:40])
def test_each_python_block_runs(code, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(code, encoding="utf-8")
    third_party = ROOT / "docs" / "examples" / "third_party"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)],
        capture_output=True,
        text=True,
        cwd=third_party,
        env={**__import__("os").environ, "PYTHONPATH": str(third_party)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


LINES = re.findall(r"^\| (\w+) \| `(.+)`", README, flags=re.MULTILINE)


def test_each_framework_of_the_guide_has_its_line():
    guide = (ROOT / "docs" / "guides" / "publish.md").read_text(encoding="utf-8")
    assert [name for name, _ in LINES] == re.findall(r"^\| (\w+)[^|]* \| `\w+` \| `.+` \|", guide, flags=re.MULTILINE)


def test_the_line_for_mmengine_makes_it_resolve_the_hook():
    from mmengine.registry import HOOKS

    (default_hooks,) = ast.parse(dict(LINES)["mmengine"]).body
    hook = HOOKS.build(ast.literal_eval(default_hooks.value)["runtime_info"])
    assert type(hook).__module__ == "runtimeinfo_adapters.mmengine"


@pytest.mark.parametrize(("name", "line"), LINES[1:], ids=[name for name, _ in LINES[1:]])
def test_the_line_of_a_framework_is_a_call_that_its_adapter_takes(name, line, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    call = ast.parse(line, mode="eval").body
    module, _, function = ast.unparse(call.func).rpartition(".")
    assert module == f"runtimeinfo_adapters.{name.lower()}"
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    signature.bind(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords})


def test_the_badge_of_the_adapters_says_what_their_page_says():
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    spec = re.search(r"spec (\d+\.\d+)", page)[1]
    (verdicts,) = re.findall(r"^\| verdict \| (.+) \|$", page, flags=re.MULTILINE)
    conformant = verdicts.split(" | ").count("conformant")
    badge = (ROOT / "docs" / "badges" / "conformance.svg").read_text(encoding="utf-8")
    assert f">adapters: {conformant} of {len(verdicts.split(' | '))} conformant, spec {spec}</title>" in badge


def commands():
    for block in blocks("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield line[2:].split("#")[0].strip()


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("runtimeinfo ")])
def test_each_runtimeinfo_command_works(command):
    words = shlex.split(command)
    script = "from runtimeinfo_conformance.command_line._cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *words[1:]], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("make ")])
def test_each_make_target_is_there(command):
    target = command.split()[1]
    done = subprocess.run(["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_each_extra_that_is_named_is_there():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    install = README.partition("## Install")[2].partition("\n## ")[0]
    (sentence,) = re.findall(r"^There is an extra for.*?\.$", install, flags=re.MULTILINE)
    named = set(re.findall(r"\[(\w+)\]", install)) | set(re.findall(r"`(\w+)`", sentence))
    assert named == extras.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_to_a_file_has_its_file(document):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_to_a_heading_has_its_heading(document):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text(encoding="utf-8")):
        page = document.parent / target if target else document
        headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_requirement_that_is_named_exists(document):
    from runtimeinfo.spec import REQUIREMENTS

    prefixes = "|".join(sorted({id.partition("-")[0] for id in REQUIREMENTS}))
    for named in re.findall(rf"\b(?:{prefixes})-\d+\b", document.read_text(encoding="utf-8")):
        assert named in REQUIREMENTS


def test_generated_files_are_fresh():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
