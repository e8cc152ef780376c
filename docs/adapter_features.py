"""The table of features in docs/adapters.md, read from the modules of the adapters, which it does not import."""

import ast
from collections.abc import Iterator
from pathlib import Path

from runtimeinfo_adapters._framework import FRAMEWORKS

FOLDER = Path(__file__).resolve().parents[1] / "adapters" / "runtimeinfo_adapters"

# No module says this of itself: the tests of each adapter compare a copy with one of the bare framework.
COPIES = {
    "accelerate": "the loop",
    "ignite": "yes",
    "keras": "not attached",
    "lightning": "yes, also spawned",
    "mmengine": "no, nor is a bare one",
    "pytorch": "the loop",
    "transformers": "yes",
}
"""Whether a copied or pickled trainer is one with its own adapter."""

# What the tests were run with where it was installed; they compare the versions: `test_keras_backends.py` of the
# adapters, and `test_guides.py` of the docs.
BACKENDS = {
    "keras": "PyTorch; JAX 0.10.2; TensorFlow 2.21.0, both with one step per execution only",
    "pytorch": "PyTorch; NumPy; JAX 0.10.2 with optax 0.2.8",
}
"""On what each adapter was tried; PyTorch for all others."""

HEADING = "## How it is attached"


def feature_table() -> str:
    """Return the section, a column for each adapter."""
    names = sorted(FRAMEWORKS.keys() - {"torch"} | {"pytorch"})
    modules = [_Module(name) for name in names]
    rows = {
        "versions that were tried": [module.versions() for module in modules],
        "tried on": [BACKENDS.get(name, "PyTorch") for name in names],
        "`attach` and `detach`": ["✓" if module.is_attached() else "·" for module in modules],
        "alone, without `attach`": [_code(module.alone()) for module in modules],
        "keywords of its own": [_code(*module.keywords()) for module in modules],
        "private members that it relies on": [_code(*module.private_members()) for module in modules],
        "copied and pickled with its adapter": [COPIES[name] for name in names],
    }
    return "\n".join(
        [
            "Written by `make docs`, from the modules. Each takes `hub`, `hooks`, `cfg`, `seed` and `experiment_name`",
            "beside its own keywords. Where a private member is missing, `attach` raises a `RunnerError`.",
            "",
            f"| | {' | '.join(names)} |",
            f"|---|{'---|' * len(names)}",
            *(f"| {title} | {' | '.join(cells)} |" for title, cells in rows.items()),
        ]
    )


class _Module:
    """The source of an adapter."""

    def __init__(self, name: str) -> None:
        self._name = name
        file = FOLDER / ("loop.py" if name == "pytorch" else f"{name}.py")
        self._body = ast.parse(file.read_text(encoding="utf-8")).body

    def versions(self) -> str:
        framework = FRAMEWORKS["torch" if self._name == "pytorch" else self._name]
        return f"{framework.at_least} to below {framework.below}"

    def is_attached(self) -> bool:
        functions = {node.name for node in self._body if isinstance(node, ast.FunctionDef)}
        return {"attach", "detach"} <= functions

    def alone(self) -> str | None:
        """Return the class that a user registers or calls, if `attach` is not the only way."""
        if self._name == "pytorch":
            return "Loop"
        for node in self._body:
            # The callbacks and hooks of a framework inherit from its own.
            if isinstance(node, ast.ClassDef) and node.name.startswith("RuntimeInfo") and node.bases:
                return node.name
        return None

    def keywords(self) -> list[str]:
        """Return the arguments of `attach`, or of the loop, after the target and before the run options."""
        taker = next(
            node
            for owner in self._body
            for node in (owner.body if isinstance(owner, ast.ClassDef) and owner.name == "Loop" else [owner])
            if isinstance(node, ast.FunctionDef) and node.name == ("__init__" if self._name == "pytorch" else "attach")
        )
        return [argument.arg for argument in (*taker.args.args[1:], *taker.args.kwonlyargs)]

    def private_members(self) -> list[str]:
        found: list[str] = []
        for node in self._body:
            target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
            if isinstance(target, ast.Name) and target.id.startswith("_PRIVATE"):
                found += _members(ast.literal_eval(node.value))
        return found


def _members(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:  # a tuple of names, or a dict of tuples
        for each in value.values() if isinstance(value, dict) else value:
            yield from _members(each)


def _code(*names: str | None) -> str:
    return ", ".join(f"`{name}`" for name in names if name) or "·"
