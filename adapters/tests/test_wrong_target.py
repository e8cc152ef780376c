"""What `attach` says of something that it cannot attach to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported

import accelerate
import ignite.engine
import keras
import lightning
import mmengine.runner
import pytest
import transformers

from runtimeinfo import RunnerError
from runtimeinfo_adapters import _wrong_target
from runtimeinfo_adapters import accelerate as for_accelerate
from runtimeinfo_adapters import ignite as for_ignite
from runtimeinfo_adapters import keras as for_keras
from runtimeinfo_adapters import lightning as for_lightning
from runtimeinfo_adapters import mmengine as for_mmengine
from runtimeinfo_adapters import transformers as for_transformers

ATTACH: dict[str, Callable[[Any], object]] = {
    "accelerate": for_accelerate.attach,
    "ignite": for_ignite.attach,
    "keras": for_keras.attach,
    "lightning": for_lightning.attach,
    "mmengine": for_mmengine.attach,
    "transformers": for_transformers.attach,
}
EACH = pytest.mark.parametrize("attach", ATTACH.values(), ids=ATTACH)


def refusal(attach: Callable[[Any], object], target: object) -> str:
    """Return what `attach` says of a target."""
    with pytest.raises(RunnerError) as refused:
        attach(target)
    return str(refused.value)


@EACH
def test_a_loop_of_fabric_is_told_of_the_instrumented_loop(attach: Callable[[Any], object]) -> None:
    said = refusal(attach, lightning.Fabric(accelerator="cpu"))
    assert said.endswith(
        "Fabric has no Trainer and no events, so put runtimeinfo_adapters.pytorch.Loop around your loop"
    )


@EACH
@pytest.mark.parametrize("name", ["Accelerator", "Engine", "Model", "Trainer", "Runner"])
def test_a_class_of_the_same_name_is_named_with_its_module(attach: Callable[[Any], object], name: str) -> None:
    said = refusal(attach, type(name, (), {"__module__": "another.library"})())
    assert f"another.library.{name}" in said
    assert "pass the one that trains, or use runtimeinfo_adapters.pytorch.Loop" in said


@EACH
@pytest.mark.parametrize("target", [None, 3, "text"])
def test_classes_outside_a_library_have_no_module(attach: Callable[[Any], object], target: object) -> None:
    said = refusal(attach, target)
    assert type(target).__name__ in said
    assert "builtins" not in said


@EACH
def test_a_class_in_the_place_of_an_object_is_told_so(attach: Callable[[Any], object]) -> None:
    said = refusal(attach, lightning.pytorch.Trainer)
    assert "the class lightning.pytorch.trainer.trainer.Trainer" in said
    assert said.endswith("make an object of it, and pass that")


KINDS: dict[str, Any] = {
    "accelerate": accelerate.Accelerator,
    "ignite": ignite.engine.Engine,
    "keras": keras.Model,
    "lightning": lightning.pytorch.Trainer,
    "mmengine": mmengine.runner.Runner,
    "transformers": transformers.Trainer,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_adapter_of_another_framework_is_named(name: str) -> None:
    kind = type("Theirs", (KINDS[name],), {"__init__": lambda self: None})
    others = [attach for other, attach in ATTACH.items() if other != name]
    for attach in others:
        assert refusal(attach, kind()).endswith(f"runtimeinfo_adapters.{name} has the attach() for it")


class Estimator:
    """Holds a trainer, as estimators of several libraries do."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


@pytest.mark.parametrize("name", KINDS)
def test_a_trainer_that_is_held_by_another_object_is_named(name: str) -> None:
    trainer = KINDS[name].__new__(KINDS[name])
    held = Estimator(first=1, _inner=trainer, engine_of_mine=trainer)
    assert refusal(ATTACH[name], held).endswith("it has one as its attribute engine_of_mine: pass that")


def test_a_public_property_is_preferred_and_nothing_else_is_asked() -> None:
    class WithProperty(Estimator):
        @property
        def trainer(self) -> object:
            return vars(self)["_trainer"]

        @property
        def other(self) -> object:
            raise AssertionError("a property that nobody needs was called")

    assert _wrong_target.remedy(WithProperty(_trainer=1.0), float).startswith("it has one as its attribute trainer:")
    assert _wrong_target.remedy(Estimator(_trainer=1.0), float).startswith("it has one as its attribute _trainer:")
    assert _wrong_target.remedy(Estimator(_trainer=1), float).startswith("pass the one that trains")


def test_a_trainer_of_the_other_package_of_lightning_is_found() -> None:
    pytorch_lightning = pytest.importorskip("pytorch_lightning")
    held = Estimator(trainer=pytorch_lightning.Trainer.__new__(pytorch_lightning.Trainer))
    assert refusal(for_lightning.attach, held).endswith("it has one as its attribute trainer: pass that")
