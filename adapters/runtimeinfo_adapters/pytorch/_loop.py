"""The runner view of a hand-written PyTorch loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeVar

import torch
from torch.optim import Optimizer

from runtimeinfo import LoopError, MessageHub, RuntimeInfoHook, use_hub
from runtimeinfo.authoring import Config, TrainDataLoader, describe, shown
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters._train_loader import length_of, with_dataset
from runtimeinfo_adapters._training_state import load_hub
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.pytorch._evaluation import Evaluation
from runtimeinfo_adapters.pytorch._iterators import EpochIterator, TrainPass
from runtimeinfo_adapters.pytorch._learning_rates import LearningRates
from runtimeinfo_adapters.pytorch._loop_state import check_state, loop_state
from runtimeinfo_adapters.pytorch._named_values import named_values
from runtimeinfo_adapters.pytorch._training import Training

B = TypeVar("B")

# Which loop publishes to which hub now. Two at once would overwrite each other's counters.
_publishing: dict[int, Loop[Any]] = {}


class Loop(Generic[B]):
    """Makes a hand-written training loop publish where it is.

    It satisfies `runtimeinfo.TrainRunner`. Whatever way the loop is left, by `break`, `return`, an exception or an
    interrupt, every open scope is closed in order, and the exception comes out as it was.

    A scope that is left by `break` ends normally, and counts; it closes at the next call on the loop. Only an
    exception that leaves `run`, `val` or `test` is an abnormal end.

    Args:
        optimizer: One optimizer, several by name, or None.
        train_loader: What `train` iterates over: a DataLoader, or any iterable that can be iterated anew.
        max_epochs: After how many epochs `epochs` ends; None for no bound.
        max_iters: After how many iterations `train` and `epochs` end; None for no bound.
        cfg: The configuration: a mapping, text, or anything with `pretty_text`.
        seed: The random seed that you have set; it is published, not set here.
        experiment_name: The name of the experiment.
        hub: Where to publish; a new `runtimeinfo_adapters.MessageHub` if left out.
        hooks: More hooks. `RuntimeInfoHook` runs in any case.

    Raises:
        LoopError: If an argument cannot be what it should be.
        HookError: If a hook cannot be registered.

    Example:
        >>> import torch
        >>> from runtimeinfo import current_hub
        >>> model = torch.nn.Linear(1, 1)
        >>> loop = Loop(torch.optim.SGD(model.parameters(), lr=0.1), [torch.ones(1)] * 2, max_epochs=2)
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=model(batch).sum())
        ...             print(epoch, current_hub().get_info("iter"), current_hub().get_info("loop_stage"))
        0 0 train
        0 1 train
        1 2 train
        1 3 train

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-11, FAIL-01 to FAIL-06.
    """

    framework_name: str = "torch"

    def __init__(
        self,
        optimizer: Optimizer | Mapping[str, Optimizer] | None = None,
        train_loader: Iterable[B] | None = None,
        *,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
        hub: MessageHub | None = None,
        hooks: Iterable[object] = (),
    ) -> None:
        for name, bound in (("max_epochs", max_epochs), ("max_iters", max_iters)):
            if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
                raise LoopError(
                    f"{name} must be an int from 0, or None for no bound, but is {shown(bound)}: leave it "
                    "out for no bound"
                )
        if train_loader is not None and not hasattr(train_loader, "__iter__"):
            raise LoopError(
                f"train_loader must be iterable, but is {describe(train_loader)}: give a "
                "DataLoader, or a list of batches"
            )
        self.cfg: Config = TextConfig.of(cfg)
        self.seed: int | None = seed
        self.experiment_name: str | None = experiment_name
        self.framework_version: str = str(torch.__version__)
        self.optim_wrapper: LearningRates = LearningRates(optimizer)
        self.max_epochs: int | None = max_epochs
        self.message_hub: MessageHub = ReferenceHub(experiment_name or "training") if hub is None else hub
        self._bound = max_iters
        self._loader = train_loader
        self._counters = Counters()
        self._publisher = Publisher(self, hooks, self._counters)
        self._training = Training(self._publisher, self._counters)

    # -- the runner view

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._counters.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: batches, however many of them make an optimizer step."""
        return self._counters.iter

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training; None if there is no bound, or the loader has no length."""
        length = length_of(self._loader)
        by_epochs = None if self.max_epochs is None or length is None else self.max_epochs * length
        bounds = [bound for bound in (self._bound, by_epochs) if bound is not None]
        return min(bounds, default=None)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; one that has no dataset is its own."""
        return with_dataset(self._loader)

    # -- the loop

    @contextmanager
    def run(self) -> Generator[Loop[B]]:
        """Frame the run: everything else goes inside. The hub is the current one meanwhile.

        A loop may run again when it has ended. It goes on where it was.

        Raises:
            LoopError: If this loop is running already, or another one on the same hub.

        Source: LIFE-02, LIFE-15, FAIL-01 to FAIL-06.
        """
        other = _publishing.get(id(self.message_hub))
        if other is self:
            raise LoopError(
                "this loop is running already, and run() cannot be nested: leave the first `with` before the next"
            )
        if other is not None:
            raise LoopError(
                f"loop {other.experiment_name!r} is publishing to this hub already; give each loop its own hub"
            )
        _publishing[id(self.message_hub)] = self
        try:
            with use_hub(self.message_hub):
                yield from self._run()
        finally:
            del _publishing[id(self.message_hub)]
            self._training.forget()

    def _run(self) -> Generator[Loop[B]]:
        try:
            self._publisher.emit("before_run")
            try:
                yield self
            except GeneratorExit:
                # A generator around this run is closed before its end. That is a way of returning.
                self._close()
                raise
            self._close()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._publisher.abort(error)
            raise

    def _close(self) -> None:
        self._training.end()
        self._publisher.emit("after_run")

    def epochs(self) -> Iterator[int]:
        """Iterate over the epochs still to do; each value is the number of epochs completed before it.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or while another `epochs` is running.

        Source: LIFE-04, COUNT-03.
        """
        self._training.check_running("epochs")
        return EpochIterator(self._training, self.max_epochs, self._bound)

    def train(self) -> TrainPass[B]:
        """Iterate over the loader once; each batch is an iteration.

        Inside `epochs` this is the pass of that epoch. Without `epochs` each pass is an epoch of its own.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or if there is no `train_loader`.

        Source: LIFE-03, COUNT-01.
        """
        self._training.check_running("train")
        if self._loader is None:
            raise LoopError("train() needs a train_loader: give one to Loop")
        return TrainPass(self._training, self._loader, self._bound)

    def log(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Hand out values of this iteration; they are published when it ends.

        Args:
            values: Values by name; scalars, on any device, with or without a graph.
            more: Further ones.

        Raises:
            LoopError: Outside of an iteration, or if a name was logged already in this one.

        Source: SCALAR-04.
        """
        self._training.check_running("log")
        self._training.log(named_values("log", values, more))

    def val(self) -> Evaluation:
        """Frame a validation: ``with loop.val() as val:``, anywhere in the run.

        Raises:
            LoopError: Outside of `run`, or inside another validation or test.

        Source: STAGE-02, STAGE-03.
        """
        return self._evaluation("val")

    def test(self) -> Evaluation:
        """Frame a test, as `val` does a validation.

        Raises:
            LoopError: Outside of `run`, or inside another validation or test.

        Source: STAGE-04, STAGE-05.
        """
        return self._evaluation("test")

    def _evaluation(self, stage: Literal["val", "test"]) -> Evaluation:
        self._training.check_running(stage)
        return Evaluation(self._training, stage)

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included.

        Inside an iteration this iteration counts as done: save after its optimizer step. Once the pass over
        the loader is over, the epoch counts as done.

        Source: RESUME-01, RESUME-02.
        """
        epoch, completed, batches = self._training.progress()
        outputs = self._training.unpublished_outputs()
        return loop_state(self.message_hub, epoch=epoch, iter=completed, batches=batches, outputs=outputs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *, skip_batches: bool = True) -> None:
        """Go on from a saved state, at the next `epochs` or `train`.

        Args:
            state_dict: What `state_dict` returned.
            skip_batches: When the state was saved in mid-epoch: draw the batches that were had, and drop them. Say
                False if your loader resumes by itself.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self._training.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before run()")
        check_state(state_dict)
        load_hub(self.message_hub, state_dict)
        # What its last iteration had handed out was not in the hub yet.
        RuntimeInfoHook().after_train_iter(self, 0, outputs=state_dict["outputs"])
        self._counters.epoch, self._counters.iter = state_dict["epoch"], state_dict["iter"]
        self._training.batches_done = 0
        self._training.batches_to_skip = state_dict["batches"] if skip_batches else 0
        self._publish_position()

    def _publish_position(self) -> None:
        """Say where this run is: the hub has the stage in which the state was saved, and the counters then."""
        self.message_hub.update_info_dict({"epoch": self.epoch, "iter": self.iter})
        stage = self._publisher.lifecycle.stage
        if stage is None:
            self.message_hub.pop_info("loop_stage")
        else:
            self.message_hub.update_info("loop_stage", stage)
