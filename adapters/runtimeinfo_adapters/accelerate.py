"""The adapter for Accelerate: the instrumented loop of plain PyTorch, over what an Accelerator has prepared.

    from runtimeinfo_adapters.accelerate import attach

    model, optimizer, train_loader, val_loader = accelerator.prepare(model, optimizer, train_loader, val_loader)
    loop = attach(accelerator, optimizer, train_loader, max_epochs=3, seed=0)
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                with accelerator.accumulate(model):
                    ...
                loop.log(loss=loss)
            accelerator.save_state(folder)

Accelerate has no loop and no events: all methods are those of `runtimeinfo_adapters.loop.Loop`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partialmethod
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from runtimeinfo import Runner
from runtimeinfo_adapters._adapter import RunOptions, check_target
from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters.loop import Loop, TrainPass

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["AccelerateRunner", "attach", "detach"]

B = TypeVar("B")

_accelerate: Any = load_framework("accelerate")

# Private members of Accelerate that this adapter relies on: registered objects cannot be taken back otherwise.
_PRIVATE = ("_custom_objects",)


class AccelerateRunner(Loop[B]):
    """An instrumented loop that goes into the checkpoints of an Accelerator: see `attach`.

    Source: META-04, COUNT-10, RESUME-01 to RESUME-03.
    """

    framework_name: str = "accelerate"
    framework_version: str = str(_accelerate.__version__)

    def __init__(
        self,
        accelerator: Any,
        optimizer: Optimizer | Mapping[str, Optimizer] | None = None,
        train_loader: Iterable[B] | None = None,
        *,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        start_epoch: int | None = None,
        start_iter: int | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        check_target(accelerator, _accelerate.Accelerator, "an accelerate.Accelerator", _PRIVATE)
        options["hooks"] = (*options.get("hooks", ()), _LeftLoaders(accelerator.gradient_state))
        super().__init__(
            optimizer,
            train_loader,
            max_epochs=max_epochs,
            max_iters=max_iters,
            start_epoch=start_epoch,
            start_iter=start_iter,
            **options,
        )

    def batches(self) -> TrainPass[B]:
        """Iterate over the loader once; each batch is an iteration.

        A prepared loader shuffles by the number of passes that it has come to the end of. After a `break`, or a
        resume, that is behind the epoch; then it is told the epoch.

        Raises:
            LoopError: As in `runtimeinfo_adapters.loop.Loop`.

        Source: LIFE-03, RESUME-03.
        """
        batches = super().batches()
        loader: Any = self.train_dataloader
        if hasattr(loader, "set_epoch") and getattr(loader, "iteration", self.epoch) < self.epoch:
            loader.set_epoch(self.epoch)
        return batches


def attach(
    accelerator: Any,
    optimizer: Optimizer | Mapping[str, Optimizer] | None = None,
    train_loader: Iterable[B] | None = None,
    *,
    max_epochs: int | None = None,
    max_iters: int | None = None,
    start_epoch: int | None = None,
    start_iter: int | None = None,
    **options: Unpack[RunOptions],
) -> AccelerateRunner[B]:
    """Return an instrumented loop over what an Accelerator has prepared.

    It is registered for checkpointing: `accelerator.save_state` saves it, the hub's state included, and
    `accelerator.load_state`, called before the training begins, continues it. So make one for each Accelerator,
    and in the same order among the registered objects each time; one that the Accelerator has already is detached.

    A loader that is left by `break`, or by an exception, stays the active one of Accelerate's gradient state: then
    `accumulate` and `gather_for_metrics` look at the wrong one. Here it is taken out when the epoch, the validation or
    the run closes in which it was begun.

    Args:
        accelerator: The Accelerator.
        optimizer: One prepared optimizer, several by name, or None.
        train_loader: The prepared loader that `train` iterates over.
        max_epochs: After how many epochs the training ends, those before `start_epoch` included; None for no bound.
        max_iters: After how many batches it ends, those before `start_iter` included; None for no bound.
        start_epoch: How many epochs are done already, for a project that continues from its own checkpoint. No batches
            are skipped: the epoch begins with its first one.
        start_iter: How many batches are done already. If left out, as many as those epochs have by the length of the
            loader.
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`, as for
            `runtimeinfo_adapters.loop.Loop`.

    Raises:
        RunnerError: If it is not an Accelerator.
        LoopError: If another argument cannot be what it should be.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-11, RESUME-01 to RESUME-03, FAIL-01 to FAIL-06.
    """
    loop = AccelerateRunner(
        accelerator,
        optimizer,
        train_loader,
        max_epochs=max_epochs,
        max_iters=max_iters,
        start_epoch=start_epoch,
        start_iter=start_iter,
        **options,
    )
    detach(accelerator)
    accelerator.register_for_checkpointing(loop)
    return loop


def detach(accelerator: Any) -> None:
    """Take the loop that `attach` has registered out of what an Accelerator saves; do nothing if there is none.

    The loop itself keeps working.

    Args:
        accelerator: The Accelerator.

    Raises:
        RunnerError: If it is not an Accelerator.

    Source: RESUME-01.
    """
    check_target(accelerator, _accelerate.Accelerator, "an accelerate.Accelerator", _PRIVATE)
    registered = accelerator._custom_objects
    registered[:] = [each for each in registered if not isinstance(each, AccelerateRunner)]


class _LeftLoaders:
    """Takes loaders that were left in the middle out of Accelerate's gradient state, when the scope around closes.

    A loader enters itself there when it is begun, and takes itself out only at its end.
    """

    priority = "LOWEST"

    def __init__(self, gradient_state: Any) -> None:
        self._gradient_state = gradient_state
        self._outside: dict[str, list[Any]] = {}

    def _note(self, scope: str, runner: Runner) -> None:  # noqa: ARG002
        self._outside[scope] = list(self._gradient_state.dataloader_references)

    def _take_out(self, scope: str, runner: Runner) -> None:  # noqa: ARG002
        outside = self._outside.pop(scope, None)
        if outside is None:  # a hook before this one has failed when the scope opened
            return
        for loader in self._gradient_state.dataloader_references:
            if loader is not None and not any(loader is other for other in outside):
                loader.end()

    before_run, after_run = partialmethod(_note, "run"), partialmethod(_take_out, "run")
    before_val, after_val = partialmethod(_note, "val"), partialmethod(_take_out, "val")
    before_test, after_test = partialmethod(_note, "test"), partialmethod(_take_out, "test")
    before_train_epoch = partialmethod(_note, "train_epoch")
    after_train_epoch = partialmethod(_take_out, "train_epoch")
