"""Find what a page names and what is not there: symbols, requirements, commands with their options, make targets."""

import builtins
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docstrings import all_modules, exports, public_modules
from sphinx.application import Sphinx
from sphinx.util import logging
from typer.main import get_command

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import RULES, shipped_text
from runtimeinfo_adapters.pytorch import Evaluation, Loop
from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.command_line._commands import app
from runtimeinfo_conformance.pytest_plugin import _plugin as plugin

ROOT = Path(__file__).resolve().parents[2]

_GROUPS = "|".join(sorted({id.partition("-")[0] for id in REQUIREMENTS}))

# What a page calls the things that it has made.
_VARIABLES = {"hub": MessageHub, "loop": Loop, "val": Evaluation, "plan": Plan}

# Names of others that pages talk about, and of alerts.
_OTHERS = frozenset(
    {
        "BackupAndRestore",
        "CallbackList",
        "DeterministicEngine",
        "DistributedDataParallel",
        "FlexibleRunner",
        "HistoryBuffer",
        "IterBasedTrainLoop",
        "LogProcessor",
        "RuleBasedStateMachine",
        *re.findall(r"alert: (\w+)", shipped_text(RULES)),
    }
)


def unknown_names(text: str) -> Iterator[str]:
    """Yield a line for each name on a page that is not there."""
    for name in sorted(set(re.findall(r"(?<![\w/.-])runtimeinfo(?:_adapters|_conformance)?(?:\.\w+)+", text))):
        if not _is_there(name):
            yield f"{name} cannot be imported"
    for id in sorted(set(re.findall(rf"\b(?:{_GROUPS})-\d+\b", text)) - REQUIREMENTS.keys()):
        yield f"{id} is not a requirement"
    yield from _unknown_options(text)
    yield from _unknown_targets(text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in sorted(set(re.findall(r"`([^`\n]+)`", prose))):
        yield from _unknown_symbols(code)


def _is_there(name: str) -> bool:
    files = dict(all_modules())
    words = name.split(".")
    length = max(length for length in range(1, len(words) + 1) if ".".join(words[:length]) in files)
    module, attributes = ".".join(words[:length]), words[length:]
    is_exported = len(attributes) == 1 and attributes[0] in exports(files[module])
    return not attributes or is_exported or _has(importlib.import_module(module), attributes)


def _has(value: Any, attributes: list[str]) -> bool:
    for attribute in attributes:
        if not hasattr(value, attribute):  # a field of a class may have no value there
            return attribute in getattr(value, "__annotations__", {})
        value = getattr(value, attribute)
    return True


@functools.cache
def _commands() -> dict[str, set[str]]:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: {option for each in command.params for option in each.opts} | {"--help"}
        for name, command in commands.items()
    }


def _unknown_options(text: str) -> Iterator[str]:
    """Yield what is wrong with the commands that stand in code: `runtimeinfo check --report out`."""
    lines = re.findall(r"(?:`|^\$ |- run: |- )runtimeinfo ([a-z][^`\n#]*)", text, flags=re.MULTILINE)
    for line in sorted(set(lines)):
        command, *words = line.split()
        if command not in _commands():
            yield f"runtimeinfo {command} is not a command"
            continue
        for word in words if command != "run" else ():  # the options there are those of what is run
            option = word.partition("=")[0]
            if re.match(r"--?[a-z]", option) and option not in _commands()[command]:
                yield f"runtimeinfo {command} has no option {option}"
    of_pytest = set(re.findall(r"(?<![\w-])--runtimeinfo-[a-z-]+", text))
    known = set(re.findall(r'"(--runtimeinfo-[a-z-]+)"', inspect.getsource(plugin)))
    yield from (f"pytest has no option {option} of ours" for option in sorted(of_pytest - known))


def _unknown_targets(text: str) -> Iterator[str]:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ )make ([a-z-]+)", text, flags=re.MULTILINE))
    yield from (f"make has no target {target}" for target in sorted(named - known))


@functools.cache
def _homes() -> dict[str, str]:
    """Return the module of each of our names, and of Python's; the notes on design speak of what is private, too."""
    homes = dict.fromkeys(dir(builtins), "builtins")
    for module, file in (*all_modules(), *public_modules()):
        homes |= dict.fromkeys(exports(file), module)
    return homes


def _unknown_symbols(code: str) -> Iterator[str]:
    """Yield what is wrong with a name in backticks: `RuntimeInfoHook`, `Loop(...)`, `Plan.needs`, `hub.share()`."""
    found = re.match(r"([A-Za-z]\w*)((?:\.\w+)*)(?:$|\()", code)
    if found is None:
        return
    name, attributes = found[1], found[2].split(".")[1:]
    if re.fullmatch(r"(?:[A-Z]+[a-z0-9]+){2,}[A-Z]*", name) and name not in _OTHERS:
        if name not in _homes():
            yield f"{code} is not one of our names"
        elif attributes and not _has(importlib.import_module(_homes()[name]), [name, *attributes]):
            yield f"{name} has no {'.'.join(attributes)}"
    elif name in _VARIABLES and attributes and not _has_member(_VARIABLES[name], attributes[0]):
        yield f"{_VARIABLES[name].__name__} has no {attributes[0]}"


def _has_member(kind: type, name: str) -> bool:
    return _has(kind, [name]) or f"self.{name}" in inspect.getsource(kind)


def report(_app: Sphinx, page: str, content: list[str]) -> None:
    """Warn of each, which fails the build."""
    for problem in unknown_names(content[0]):
        logging.getLogger(__name__).warning(problem, location=page, type="names")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.connect("source-read", report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
