"""Turn our docstrings into what Sphinx reads, and lead a name to where it is public."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from links import requirement_link
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from typing_extensions import is_protocol

import runtimeinfo
import runtimeinfo_adapters
import runtimeinfo_conformance
from runtimeinfo.spec import REQUIREMENTS

PACKAGES = (runtimeinfo, runtimeinfo_adapters, runtimeinfo_conformance)

_ROOTS = {package.__name__ for package in PACKAGES}

# What is only another name of a module: the reference has what is in it once, under the first name.
_ALIASES = frozenset({"runtimeinfo_adapters.pytorch"})

_REQUIREMENT = re.compile(r"\b([A-Z]+-\d\d)\b")
_COLON = "\ue000"
_AS_ROLE = r":requirement:`\1`"


def all_modules() -> Iterator[tuple[str, Path]]:
    """Yield the name and the file of each module, without loading it: it may be for a framework."""
    for package in PACKAGES:
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            words = file.relative_to(folder.parent).with_suffix("").parts
            yield ".".join(words[:-1] if words[-1] == "__init__" else words), file


def public_modules() -> Iterator[tuple[str, Path]]:
    """Yield the modules whose name has no private part, each under its first name."""
    return ((name, file) for name, file in all_modules() if "._" not in name and name not in _ALIASES)


@functools.cache
def exports(file: Path) -> frozenset[str]:
    """Return the public names of a module, without loading the framework that it may be for."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names if alias.asname)  # import X as X
    return frozenset(names)


@functools.cache
def public_homes() -> dict[str, str]:
    """Map every full name of a public object to the one that users know, with the fewest dots in it.

    An object has the full name of where it is defined, which is often private, and one for each module that exports it.
    """
    origins: dict[str, str] = {}
    for name, file in public_modules():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in _ROOTS:
                for alias in node.names:
                    exported = alias.asname or alias.name
                    if exported in exports(file) and node.module != name:  # not a module of the package itself
                        origins[f"{name}.{exported}"] = f"{node.module}.{alias.name}"
    homes: dict[str, str] = {}
    for exported in sorted(origins, key=lambda name: name.count(".")):
        name = exported
        while name in origins:
            name = origins[name]
            homes.setdefault(name, homes.get(exported, exported))
    return homes


def documented_data() -> dict[str, list[str]]:
    """Map the public name of each constant to the lines below it: Sphinx looks for them only in the public module."""
    found = {}
    for name, file in all_modules():
        for (scope, constant), lines in ModuleAnalyzer.for_file(file, name).find_attr_docs().items():
            home = public_homes().get(f"{name}.{constant}")
            if not scope and home is not None:
                found[home] = lines
    return found


class Docstrings:
    """Change docstrings before and after napoleon reads them."""

    def __init__(self) -> None:
        self._data = documented_data()

    def process(self, _app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        """Change the lines of one, before napoleon reads its sections."""
        if what == "data" and name in self._data:
            lines[:] = self._data[name]
        lines[:] = _with_sources(_with_literal_blocks(lines))
        if lines and what in {"attribute", "data", "property"}:  # what stands before a colon is no type
            lines[0] = lines[0].replace(":", _COLON)

    def restore(self, _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        """Take back what was only for napoleon."""
        lines[:] = [line.replace(_COLON, ":") for line in lines]

    def signature(self, _app: Sphinx, what: str, _name: str, value: Any, *_: Any) -> tuple[str, None] | None:
        """Leave out the constructor of a protocol, which no caller needs."""
        return ("", None) if what == "class" and is_protocol(value) else None


def _with_literal_blocks(lines: list[str]) -> Iterator[str]:
    """Say that what is indented, and belongs to no section, is code."""
    before, last = "", ""
    inside = False
    for line in lines:
        begins = line.startswith("    ") and not last and before and not before.startswith(" ")
        if begins and not inside:
            yield from ("::", "")
            inside = True
        if line and not line.startswith(" "):
            inside = False
        if line:
            before = line
        last = line
        yield line


def _with_sources(lines: Iterator[str]) -> Iterator[str]:
    """Make a field of the requirements that a docstring names as its source, each with a link."""
    for line in lines:
        if line.startswith("Source: "):
            yield f":Source: {_REQUIREMENT.sub(_AS_ROLE, line.removeprefix('Source: '))}"
        else:
            yield line


class Names:
    """Resolve names that Sphinx has not found by itself."""

    def resolve(
        self, app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
    ) -> nodes.Element | None:
        """Return the link to a requirement in the spec, or to a name of ours; None if there is no such thing."""
        target, page = node["reftarget"], node["refdoc"]
        if node["reftype"] == "requirement":
            known = target in REQUIREMENTS
            return requirement_link(app.builder, page, target, content) if known else None
        if node.get("refdomain") != "py":
            return None
        home = public_homes().get(target)
        if home is None:
            return None
        return env.domains["py"].resolve_xref(env, page, app.builder, "obj", home, node, content)


def skip_fields(_app: Sphinx, _what: str, _name: str, value: Any, *_: Any) -> bool | None:
    """Leave out the fields of a tuple: the class says what they are, and Python's own docstring nothing."""
    return True if type(value).__name__ == "_tuplegetter" else None


def requirement(name: str, raw: str, text: str, line: int, inliner: Any, *_: Any) -> tuple[list[nodes.Node], list[Any]]:
    """Read the role ``requirement``."""
    about = {"refdomain": "", "reftype": name, "reftarget": text, "refdoc": inliner.document.settings.env.docname}
    node = pending_xref(raw, nodes.inline(text, text), refexplicit=False, refwarn=True, **about)
    node.line = line
    return [node], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.add_role("requirement", requirement)
    docstrings = Docstrings()
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)
    app.connect("autodoc-process-docstring", docstrings.restore, priority=600)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-signature", docstrings.signature)
    app.connect("missing-reference", Names().resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
