"""What to tell the caller of `attach` who passes something else: what that is, and what to pass or use."""

from __future__ import annotations

from typing import Any, cast

from runtimeinfo.authoring import describe

# By the package and the name of a class: which module here has the `attach` for it. By name, because only the
# framework at hand is imported.
_ADAPTER_OF = {
    ("accelerate", "Accelerator"): "accelerate",
    ("ignite", "Engine"): "ignite",
    ("keras", "Model"): "keras",
    ("lightning", "Trainer"): "lightning",
    ("pytorch_lightning", "Trainer"): "lightning",
    ("mmengine", "FlexibleRunner"): "mmengine",
    ("mmengine", "Runner"): "mmengine",
    ("transformers", "Trainer"): "transformers",
}
_FABRICS = frozenset({("lightning", "Fabric"), ("lightning_fabric", "Fabric")})
_LOOP = "runtimeinfo_adapters.pytorch.Loop"


def full_name(target: object) -> str:
    """Describe a target with the module of its class: another library can have a class of the same name.

    Example:
        >>> class Trainer: ...
        >>> full_name(3), full_name(Trainer()).rpartition(".")[2], full_name(dict)
        ('int', 'Trainer', 'the class dict')
    """
    if isinstance(target, type):
        return f"the class {_named(target)}"
    kind = cast("type[Any]", type(target))
    return _named(kind) + describe(target).removeprefix(kind.__name__)


def _named(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def remedy(target: object, kind: type | tuple[type, ...] = ()) -> str:
    """Return what to pass in the place of a target, or to use.

    Args:
        target: What `attach` was given.
        kind: What it takes. An attribute of the target that is one is named.

    Example:
        >>> class Estimator:
        ...     def __init__(self, trainer):
        ...         self.trainer = trainer
        >>> remedy(Estimator(1.0), float)
        'it has one as its attribute trainer: pass that'
    """
    if isinstance(target, type):
        return "make an object of it, and pass that"
    kinds = {(each.__module__.partition(".")[0], each.__name__) for each in type(target).__mro__}
    if kinds & _FABRICS:
        return f"Fabric has no Trainer and no events, so put {_LOOP} around your loop"
    for each, adapter in _ADAPTER_OF.items():
        if each in kinds:
            return f"runtimeinfo_adapters.{adapter} has the attach() for it"
    name = _attribute_with(target, kind)
    if name is not None:
        return f"it has one as its attribute {name}: pass that"
    return (
        f"pass the one that trains, or use {_LOOP} for a loop of your own; a library that makes it out of reach can be "
        "given a RuntimeInfoCallback"
    )


def _attribute_with(target: object, kind: type | tuple[type, ...]) -> str | None:
    """Return the name of an attribute that is of a kind, a public one if there is one; None if there is none.

    Properties are not called, because they can do anything, unless they have the name of a private attribute.
    """
    attributes: dict[str, Any] = getattr(target, "__dict__", {})
    names = [name for name, value in attributes.items() if isinstance(value, kind)]
    public = [name for name in names if not name.startswith("_")]
    if public:
        return public[0]
    for name in names:
        if getattr(target, name.lstrip("_"), None) is attributes[name]:
            return name.lstrip("_")
    return next(iter(names), None)
