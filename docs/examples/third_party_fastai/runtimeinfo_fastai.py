"""Make a fastai Learner publish where its training is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Unpack

from fastai.callback.core import Callback
from fastai.learner import Learner

from runtimeinfo.authoring import EVALUATION_EVENTS
from runtimeinfo_adapters import FrameworkRunner, RunOptions


class RuntimeInfoCallback(Callback):
    """Publish all that a Learner does inside a `with` as one run.

    It is a `with` because fastai has no event for an exception, and knows nothing of a run that is more than one call:
    `fit`, then `validate` on the test data.

    Args:
        outputs: What a training step returned, asked for after each one; by default its loss.
        test: Index of the loader in `dls` whose validation is a test, or None if there is none.
        options: hooks, hub, cfg, seed and experiment_name of the run.

    Example:
        with RuntimeInfoCallback(seed=1, experiment_name="pets").publish(learn):
            learn.fit_one_cycle(3)
    """

    order = 65  # behind ParamScheduler, which sets the learning rate of a batch in before_batch with order 60

    def __init__(
        self,
        outputs: Callable[[Learner], Mapping[str, Any]] = lambda learn: {"loss": learn.loss.detach()},
        test: int | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__()
        self.outputs, self.test, self.options = outputs, test, options

    @contextmanager
    def publish(self, learn: Learner) -> Iterator["View"]:
        """Publish what this learner does, from here to the end of the `with`."""
        view = View(learn, **self.options)
        self.emitter = view.emitter
        with view.running(), learn.added_cbs([self]):  # the hub is current_hub(), and an exception closes all scopes
            yield view

    def __call__(self, event: str) -> None:
        """Call one event; fastai's own version rewrites the arguments of an exception on its way."""
        getattr(self, event, lambda: None)()

    def before_train(self) -> None:
        self.emitter.emit("before_train_epoch")

    def before_validate(self) -> None:
        is_test = self.test is not None and self.dl is self.dls[self.test]
        self.emitter.emit(EVALUATION_EVENTS["test" if is_test else "val"].before_epoch)

    def before_batch(self) -> None:
        batch = (*self.xb, *self.yb)
        self.emitter.emit(f"before_{self.emitter.stage}_iter", batch_idx=self.learn.iter, data_batch=batch)

    def after_batch(self) -> None:
        stage = self.emitter.stage
        if self.emitter.is_open(f"{stage}_iter"):
            outputs = self.outputs(self.learn) if stage == "train" else None
            self.emitter.emit(f"after_{stage}_iter", outputs=outputs)

    def after_train(self) -> None:
        self.emitter.emit("after_train_epoch")

    def after_validate(self) -> None:
        events = EVALUATION_EVENTS.get(self.emitter.stage)
        if events:  # not so if a callback cancelled it before it began
            self.emitter.emit(events.after_epoch, metrics={each.name: each.value for each in self.learn.metrics})
            self.emitter.emit(events.after)

    def after_fit(self) -> None:
        if self.emitter.is_open("train"):  # validate() has this event as well, and even if an exception leaves it
            self.after_batch()  # missed if a callback of an earlier order stopped the training in its after_batch
            self.emitter.emit("after_train")


class View(FrameworkRunner):
    """A Learner as the protocol's TrainRunner."""

    framework_name, framework_version = "fastai", version("fastai")

    def __init__(self, learn: Learner, **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self.learn = learn

    max_epochs = property(lambda self: self.learn.n_epoch)
    max_iters = property(lambda self: self.max_epochs * len(self.train_dataloader))
    train_dataloader = property(lambda self: self.learn.dls.train)
    optim_wrapper = property(lambda self: self)  # whatever has get_lr

    def get_lr(self) -> dict[str, list[float]]:
        return {"lr": [group["lr"] for group in self.learn.opt.hypers]}
