"""The callback: a Trainer's events, as the protocol's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from runtimeinfo import MessageHub, use_hub
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.transformers._checkpoint import FILE_NAME, load, read, state_of
from runtimeinfo_adapters.transformers._metrics import own_metrics
from runtimeinfo_adapters.transformers._runner import TransformersRunner, transformers

if TYPE_CHECKING:  # its types are many, and hardly any of them is needed here
    _Callback = object
else:
    _Callback = transformers.TrainerCallback


class RuntimeInfoCallback(_Callback):
    """Publishes where a Trainer is.

    By itself it hears what any callback does: epochs, iterations and their learning rates, checkpoints, and the
    metrics of a validation, all of whose events come when it is over. No loss, no validation batch, no exception: after
    one, scopes stay open until this callback hears of the next training. `attach` gives it all of these.

    Args:
        hub: Where to publish; a new `runtimeinfo_adapters.MessageHub` if left out.
        hooks: More hooks. `RuntimeInfoHook` runs in any case.

    Raises:
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-10.
    """

    def __init__(self, hub: MessageHub | None = None, hooks: Iterable[object] = ()) -> None:
        self.message_hub: MessageHub = ReferenceHub("training") if hub is None else hub
        self.runner: TransformersRunner = TransformersRunner(self.message_hub)
        self.publisher: Publisher = Publisher(self.runner, hooks, self.runner.counters)
        self.is_attached: bool = False
        self.is_muted: bool = False  # inside an evaluation that is part of another one
        self.resume_from: Path | None = None
        self._outputs: dict[str, Any] | None = None
        self._in_force = ExitStack()  # the hub as the current one, unless the wrapper sees to that

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open."""
        return self.publisher.lifecycle.is_open(scope)

    # -- training

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the training."""
        if self.is_attached:
            self.publisher.emit("after_train")  # one that was given up, for smaller batches
        else:
            self.publisher.emit("after_run")  # one that an exception has left
            self._in_force.close()
            self._in_force.enter_context(use_hub(self.message_hub))
        self.runner.identify(args)
        saved = None if self.resume_from is None else read(self.resume_from)
        self.runner.begin(args, state, kwargs.get("train_dataloader"), kwargs.get("optimizer"))
        if not self.is_open("run"):
            self.publisher.emit("before_run")
        if saved is not None:
            self.publisher.emit("after_load_checkpoint", checkpoint=saved)
            load(self.runner, saved)
        self.publisher.emit("before_train")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the training."""
        self.publisher.emit("after_train")
        if not self.is_attached:
            self.publisher.emit("after_run")
            self._in_force.close()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open an epoch."""
        self.publisher.emit("before_train_epoch")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch."""
        self.publisher.emit("after_train_epoch")
        self.runner.batches_done = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open an iteration: of several batches to one optimizer step, only the first one is heard of here."""
        if not self.is_attached:
            self.begin_iteration()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the last iteration of several to one optimizer step, while the learning rate is still its own."""
        if not self.is_attached and not self.is_open("train_iter"):
            self.begin_iteration()

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close an iteration without an optimizer step."""
        self._end_iteration()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close an iteration, with its optimizer step."""
        self._end_iteration()

    def begin_iteration(self, data_batch: Any = None) -> None:
        """Open an iteration."""
        self._outputs = None
        self.publisher.emit("before_train_iter", batch_idx=self.runner.batches_done, data_batch=data_batch)

    def hand_out(self, outputs: dict[str, Any]) -> None:
        """Take what the iteration that is open hands out when it closes."""
        self._outputs = outputs

    def _end_iteration(self) -> None:
        if not self.is_open("train_iter"):
            if self.is_attached:  # a training step of somebody else's, outside of any training
                return
            self.begin_iteration()
        outputs, self._outputs = self._outputs, None
        self.publisher.emit("after_train_iter", outputs=outputs)
        self.runner.batches_done += 1

    # -- evaluation

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch of a validation with its metrics; several data sets are several epochs."""
        self._end_evaluation("val", own_metrics(kwargs.get("metrics") or {}, "eval"), args)

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch of a test with its metrics."""
        self._end_evaluation("test", own_metrics(metrics or {}, "test"), args)

    def _end_evaluation(self, stage: Literal["val", "test"], metrics: Mapping[str, Any], args: Any) -> None:
        if self.is_muted:
            return
        if self.is_attached:
            self.publisher.emit(f"after_{stage}_epoch", metrics=metrics)
            return
        is_alone = not self.is_open("run")
        if is_alone:
            self.runner.identify(args)
            self.publisher.emit("before_run")
        self.publisher.emit(f"before_{stage}")
        self.publisher.emit(f"before_{stage}_epoch")
        self.publisher.emit(f"after_{stage}_epoch", metrics=metrics)
        self.publisher.emit(f"after_{stage}")
        if is_alone:
            self.publisher.emit("after_run")

    # -- checkpoints

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Put the state beside the Trainer's own in the checkpoint that it has just written.

        One of a hyperparameter search lies elsewhere, and gets none.
        """
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if args.should_save and folder.is_dir():
            checkpoint = state_of(self.runner)
            self.publisher.emit("before_save_checkpoint", checkpoint=checkpoint)
            torch.save(checkpoint, folder / FILE_NAME)
