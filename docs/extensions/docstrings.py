"""Takes our docstrings to what Sphinx reads, and a name to where it is public."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

import runtimeinfo
import runtimeinfo_adapters
import runtimeinfo_conformance
from runtimeinfo import REQUIREMENTS

PACKAGES = (runtimeinfo, runtimeinfo_adapters, runtimeinfo_conformance)

_REQUIREMENT = re.compile(r"\b([A-Z]+-\d\d)\b")
_AS_ROLE = r":requirement:`\1`"


def public_modules() -> Iterator[str]:
    """Yield the name of each module whose name has no part that is private."""
    for package in PACKAGES:
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not re.search(r"\._", module.name):
                yield module.name


def private_modules() -> Iterator[str]:
    """Yield the name of each module that is one level below a public one, and private."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None):
            if re.fullmatch(r"[\w.]*?\._\w+", module.name) and module.name.count("._") == 1:
                yield module.name


def public_homes() -> dict[str, str]:
    """Return, for the full name of each class and function in a private module, the one by which users know it."""
    homes = {}
    for name in public_modules():
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", dir(module)):
            value = getattr(module, public)
            if inspect.isclass(value) or inspect.isfunction(value):
                homes.setdefault(f"{value.__module__}.{value.__qualname__}", f"{name}.{public}")
    return homes


def documented_data() -> dict[str, list[str]]:
    """Return what stands below each constant, by its name: Sphinx looks only where it is public."""
    found = {}
    for name in private_modules():
        if name.startswith("runtimeinfo._"):
            for (scope, constant), lines in ModuleAnalyzer.for_module(name).find_attr_docs().items():
                if not scope:
                    found[constant] = lines
    return found


class Docstrings:
    """What is done with each docstring."""

    def __init__(self) -> None:
        self._data = documented_data()

    def process(self, _app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        """Change the lines of one, before napoleon reads its sections."""
        constant = name.rpartition(".")[2]
        if what == "data" and constant in self._data:
            lines[:] = self._data[constant]
        lines[:] = _with_sources(_with_literal_blocks(lines))


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
    """Where a name leads that Sphinx has not found by itself."""

    def __init__(self) -> None:
        self._homes = public_homes()

    def resolve(
        self, app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
    ) -> nodes.Element | None:
        """Return the link to a requirement in the spec, or to a name of ours; None if there is no such thing."""
        target, page = node["reftarget"], node["refdoc"]
        if node["reftype"] == "requirement":
            known = target in REQUIREMENTS
            return make_refnode(app.builder, page, "spec", target.lower(), content) if known else None
        if node.get("refdomain") != "py":
            return None
        home = self._homes.get(target)
        if home is None:
            return None
        return env.domains["py"].resolve_xref(env, page, app.builder, "obj", home, node, content)


def requirement(name: str, raw: str, text: str, line: int, inliner: Any, *_: Any) -> tuple[list[nodes.Node], list[Any]]:
    """Read the role ``requirement``."""
    about = {"refdomain": "", "reftype": name, "reftarget": text, "refdoc": inliner.document.settings.env.docname}
    node = pending_xref(raw, nodes.inline(text, text), refexplicit=False, refwarn=True, **about)
    node.line = line
    return [node], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.add_role("requirement", requirement)
    app.connect("autodoc-process-docstring", Docstrings().process, priority=400)
    app.connect("missing-reference", Names().resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
