"""Make a fastai Learner publish where its training is."""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Self

from fastai.callback.core import Callback
from fastai.learner import Learner

from runtimeinfo import use_hub
from runtimeinfo_adapters import Counters, MessageHub, Publisher, TextConfig


class RuntimeInfoCallback(Callback):
    """Publish all that a Learner does inside of a `with` as one run.

    The `with` is there since fastai has no event for an exception, and knows nothing of a run that is more than one
    call: `fit`, then `validate` on the test data.

    Args:
        hooks: Hooks beside the one that publishes.
        outputs: What a training step returned, asked for after each; by default its loss.
        test: Index of the loader in `dls` whose validation is a test, or None if there is no such one.
        about: seed, experiment_name and cfg of the run.

    Example:
        with RuntimeInfoCallback(seed=1, experiment_name="pets").publish(learn):
            learn.fit_one_cycle(3)
    """

    order = 65  # behind ParamScheduler, which sets the learning rate of a batch in before_batch with order 60

    def __init__(
        self,
        hooks: Iterable[object] = (),
        outputs: Callable[[Learner], Mapping[str, Any]] = lambda learn: {"loss": learn.loss.detach()},
        test: int | None = None,
        **about: Any,
    ) -> None:
        super().__init__()
        self.hooks, self.outputs, self.test, self.about = hooks, outputs, test, about

    def publish(self, learn: Learner) -> Self:
        """Return the context manager in which this learner publishes."""
        self.learner = learn
        return self

    def __enter__(self) -> Self:
        self.counters = Counters()
        self.view = View(self.learner, self.counters, **self.about)
        self.publisher = Publisher(self.view, self.hooks, self.counters)
        self.stage: str | None = None
        self.fits = self.batch_is_open = False
        self.current = use_hub(self.view.message_hub)  # so that current_hub() answers
        self.current.__enter__()
        try:
            self.publisher.emit("before_run")
        except BaseException as exception:  # of a hook; no __exit__ follows on a failed __enter__
            self.publisher.abort(exception)
            self.current.__exit__(None, None, None)
            raise
        self.learner.add_cb(self)
        return self

    def __exit__(self, kind: object, exception: BaseException | None, traceback: object) -> None:
        try:
            if exception is not None:
                self.publisher.abort(exception)
            else:
                self.publisher.emit("after_run")
        finally:
            self.current.__exit__(None, None, None)
            self.learner.remove_cb(self)

    def __call__(self, event: str) -> None:
        """Call one event; fastai's own version rewrites the arguments of an exception on its way."""
        getattr(self, event, lambda: None)()

    def before_train(self) -> None:
        self.stage, self.fits = "train", True
        self.publisher.emit("before_train_epoch")

    def before_validate(self) -> None:
        is_test = self.test is not None and self.dl is self.dls[self.test]
        self.stage = "test" if is_test else "val"
        self.publisher.emit(f"before_{self.stage}_epoch")

    def before_batch(self) -> None:
        self.batch_is_open = True
        batch = (*self.xb, *self.yb)
        self.publisher.emit(f"before_{self.stage}_iter", batch_idx=self.learner.iter, data_batch=batch)

    def after_batch(self) -> None:
        if self.batch_is_open:
            self.batch_is_open = False
            outputs = self.outputs(self.learner) if self.stage == "train" else None
            self.publisher.emit(f"after_{self.stage}_iter", batch_idx=self.learner.iter, outputs=outputs)

    def after_train(self) -> None:
        self.publisher.emit("after_train_epoch")

    def after_validate(self) -> None:
        if self.stage in ("val", "test"):  # not so if a callback cancelled it before it began
            metrics = {metric.name: metric.value for metric in self.learner.metrics}
            self.publisher.emit(f"after_{self.stage}_epoch", metrics=metrics)
            self.publisher.emit(f"after_{self.stage}")
            self.stage = None

    def after_fit(self) -> None:
        if self.fits:  # validate() has this event as well, and even if an exception leaves it
            self.fits = False
            self.after_batch()  # missed if a callback of an earlier order stopped the training in its after_batch
            self.publisher.emit("after_train")


class View:
    """A Learner as the protocol's TrainRunner."""

    framework_name = "fastai"
    framework_version = version("fastai")

    def __init__(
        self, learn: Learner, counters: Counters, seed: int | None = None, experiment_name: str | None = None, cfg=None
    ) -> None:
        self.learn, self.counters, self.seed, self.experiment_name = learn, counters, seed, experiment_name
        self.cfg = TextConfig.of(cfg)
        self.message_hub = MessageHub(experiment_name or "fastai")
        self.optim_wrapper = self

    epoch = property(lambda self: self.counters.epoch)
    iter = property(lambda self: self.counters.iter)
    max_epochs = property(lambda self: self.learn.n_epoch)
    train_dataloader = property(lambda self: self.learn.dls.train)

    @property
    def max_iters(self) -> int:
        return self.max_epochs * len(self.train_dataloader)

    def get_lr(self) -> dict[str, list[float]]:
        return {"lr": [group["lr"] for group in self.learn.opt.hypers]}
