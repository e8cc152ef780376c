from __future__ import annotations

import inspect
import pickle
import traceback
import types
import warnings
from typing import Any

import pytest

from runtimeinfo import HubError, current_hub, use_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.autopublish import AutopublishWarning
from runtimeinfo_adapters.autopublish._guard import Part


class Trainer:
    """What a framework has."""

    def fit(self, steps: int = 1, *, fails: type[BaseException] | None = None) -> str:
        """Train."""
        if fails is not None:
            raise fails("of the user")
        return f"{steps} steps"


class Sub(Trainer):
    """A class of the user's."""


@pytest.fixture(autouse=True)
def _restored() -> Any:
    original = Trainer.fit
    yield
    assert Trainer.fit is original
    assert "fit" not in vars(Sub)


@pytest.fixture
def part() -> Any:
    part = Part("the test")
    yield part
    part.withdraw()


def fail(*args: Any, **kwargs: Any) -> None:
    raise ValueError("of ours")


def interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def test_a_wrapped_method_gets_its_arguments_and_the_result(part: Part) -> None:
    seen: list[Any] = []
    part.wrap(
        Trainer,
        "fit",
        before=lambda *args, **kwargs: seen.append(("before", args, kwargs)),
        after=lambda result, *args, **kwargs: seen.append(("after", result, args, kwargs)),
    )
    trainer = Sub()
    assert trainer.fit(3, fails=None) == "3 steps"
    assert seen == [
        ("before", (trainer, 3), {"fails": None}),
        ("after", "3 steps", (trainer, 3), {"fails": None}),
    ]


def test_a_wrapped_method_has_the_metadata_of_the_method(part: Part) -> None:
    signature, document = inspect.signature(Trainer.fit), Trainer.fit.__doc__
    part.wrap(Trainer, "fit", before=print)
    assert (inspect.signature(Trainer.fit), Trainer.fit.__doc__) == (signature, document)
    assert Trainer.fit.__qualname__ == "Trainer.fit"
    assert pickle.loads(pickle.dumps(Trainer.fit)) is Trainer.fit


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_of_ours_is_one_warning_and_takes_every_patch_back(part: Part, when: str) -> None:
    original = Trainer.fit
    module = types.ModuleType("module")
    undone: list[str] = []
    part.patch(module, "attribute", 1)
    part.on_withdraw(lambda: undone.append("handle"))
    part.wrap(Trainer, "fit", **{when: fail})
    held = Trainer.fit
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert Trainer().fit() == "1 steps"
        assert held(Trainer()) == "1 steps"
    (told,) = warned
    assert told.category is AutopublishWarning
    assert str(told.message).startswith("the test was withdrawn because of ValueError: of ours (")
    assert told.filename == __file__
    assert not part.is_active
    assert Trainer.fit is original
    assert not hasattr(module, "attribute")
    assert undone == ["handle"]


def test_replacement_of_a_patch_stays(part: Part) -> None:
    module: Any = types.ModuleType("module")
    module.attribute = "theirs"
    part.patch(module, "attribute", "ours")
    module.attribute = "another's"
    part.withdraw()
    assert module.attribute == "another's"


def test_patches_on_patches_are_taken_back_in_order(part: Part) -> None:
    module: Any = types.ModuleType("module")
    module.attribute = "theirs"
    part.patch(module, "attribute", "first")
    part.patch(module, "attribute", "second")
    part.withdraw()
    assert module.attribute == "theirs"


def test_failed_restore_does_not_stop_the_others(part: Part) -> None:
    original = Trainer.fit
    part.wrap(Trainer, "fit", before=print)
    part.on_withdraw(fail)
    part.withdraw()
    assert Trainer.fit is original


def test_a_method_that_is_inherited_is_inherited_again(part: Part) -> None:
    part.wrap(Sub, "fit", before=lambda trainer: None)
    assert "fit" in vars(Sub)
    assert Sub().fit() == "1 steps"
    part.withdraw()
    assert "fit" not in vars(Sub)


def test_a_withdrawn_part_calls_nothing_of_ours(part: Part) -> None:
    calls: list[Any] = []
    part.wrap(Trainer, "fit", before=calls.append)
    held = Trainer.fit
    part.withdraw()
    assert held(Trainer()) == "1 steps"
    assert calls == []


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
def test_an_exception_of_the_user_has_the_same_traceback(part: Part, kind: type[BaseException]) -> None:
    def told() -> str:
        try:
            Trainer().fit(fails=kind)
        except BaseException:
            return traceback.format_exc()
        return "nothing was raised"

    without = told()
    part.wrap(Trainer, "fit", before=lambda *args, **kwargs: None)
    assert told() == without
    assert "of the user" in without
    assert part.is_active


def test_frames_of_ours_between_two_of_the_user_are_hidden(part: Part) -> None:
    def told() -> str:
        try:
            Outer().fit()
        except ValueError:
            return traceback.format_exc()
        return "nothing was raised"

    class Outer:
        def fit(self) -> str:
            return Trainer().fit(fails=ValueError)

    without = told()
    part.wrap(Outer, "fit", before=lambda *args: None)
    part.wrap(Trainer, "fit", before=lambda *args, **kwargs: None)
    assert told() == without
    assert without.count("File") == 3


def test_frames_of_an_adapter_between_two_of_the_user_are_hidden(part: Part) -> None:
    class Outer:
        def fit(self) -> str:
            return own["around"](Trainer())

    own: dict[str, Any] = {"__name__": "runtimeinfo_adapters.of_a_framework", "error": ValueError}
    exec("def around(trainer): return trainer.fit(fails=error)", own)
    part.wrap(Outer, "fit", before=lambda *args: None)
    with pytest.raises(ValueError, match="of the user") as raised:
        Outer().fit()
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[1:] == ["fit", "fit"]


def test_frames_of_what_the_user_has_called_of_this_project_stay(part: Part) -> None:
    class Outer:
        def fit(self, path: str) -> None:
            current_hub().update_info(path, 1)
            own["train"](Trainer())

    own: dict[str, Any] = {"__name__": "runtimeinfo_adapters.loop"}
    exec("def train(trainer): return trainer.fit(fails=ValueError)", own)
    part.wrap(Outer, "fit", before=lambda *args: None)
    part.wrap(Trainer, "fit", before=lambda *args, **kwargs: None)
    hub = MessageHub("test-guard")
    with use_hub(hub), pytest.raises(ValueError, match="of the user") as raised:
        Outer().fit("path")
    assert [each.name for each in traceback.extract_tb(raised.value.__traceback__)][1:] == ["fit", "train", "fit"]
    with use_hub(hub), pytest.raises(HubError) as refused:
        Outer().fit(3)  # type: ignore[arg-type]
    names = [each.name for each in traceback.extract_tb(refused.value.__traceback__)]
    assert names[1:3] == ["fit", "update_info"]


def test_ctrl_c_in_code_of_ours_is_seen_where_the_user_was(part: Part) -> None:
    part.wrap(Trainer, "fit", before=interrupt)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        Trainer().fit()
    files = {frame.filename for frame in traceback.extract_tb(interrupted.value.__traceback__)}
    assert files == {__file__}
    assert part.is_active


def test_a_guarded_function_returns_none_after_an_error(part: Part) -> None:
    assert part.guard(len)("abc") == 3
    with pytest.warns(AutopublishWarning, match="object of type 'int' has no len"):
        assert part.guard(len)(3) is None  # type: ignore[arg-type]
    assert part.guard(len)("abc") is None


def test_an_error_without_a_text_is_told_too(part: Part) -> None:
    class UntoldError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def untold() -> None:
        raise UntoldError

    with pytest.warns(AutopublishWarning, match=r"the test was withdrawn because of UntoldError \("):
        part.guard(untold)()
    assert not part.is_active
