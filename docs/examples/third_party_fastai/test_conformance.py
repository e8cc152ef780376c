"""fastai keeps the spec of runtimeinfo."""

import fastai
import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientAccumulation
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner, Metric
from fastai.optimizer import SGD
from runtimeinfo_fastai import RuntimeInfoCallback

from runtimeinfo_conformance import Subject, conformance


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, _):
        return self.weight


class Planned(Metric):
    """A metric of the plan."""

    def __init__(self, name, value):
        self._name, self._value = name, value

    def reset(self):
        pass

    def accumulate(self, learn):
        pass

    value = property(lambda self: self._value)
    name = property(lambda self: self._name)


class Script(Callback):
    """Does what the plan says."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.turn = plan, 0

    def before_validate(self):
        is_val = self.dl is self.dls[1]
        if is_val and self.plan.val_batches is None:
            raise CancelValidException
        metrics = self.plan.metrics_of(self.turn if is_val else 0)
        self.turn += is_val
        self.learn.metrics = [Planned(*each) for each in metrics.items()]

    def after_batch(self):
        if self.training and self.xb[0].stop:
            raise CancelFitException


def loader(dataset):
    return DataLoader(dataset, bs=1, create_batch=lambda items: (items[0], torch.zeros(1)))


def run(plan, hooks):
    val = list(plan.val_dataloader()) if plan.val_batches is not None else []
    test = list(plan.test_dataloader()) if plan.test_batches is not None else []
    dls = DataLoaders(*map(loader, [plan.train_dataset(), val, test]))
    script = [Script(plan), GradientAccumulation(plan.accumulation)]
    if plan.schedule:
        iterations = plan.max_epochs * len(dls.train)
        script.append(ParamScheduler({"lr": lambda share: plan.lr_of(round(share * iterations))}))
    learn = Learner(dls, Model(), lambda pred, target: (pred - target).sum(), SGD, plan.lr_of(0), cbs=script)
    about = {"seed": plan.seed, "experiment_name": plan.experiment_name, "hooks": hooks}
    publishing = RuntimeInfoCallback(outputs=lambda learn: learn.xb[0].outputs, test=2, **about)
    with publishing.publish(learn), learn.no_logging(), learn.no_bar():
        if plan.val_before:
            learn.validate()
        learn.fit(plan.max_epochs)
        if plan.val_after:
            learn.validate()
        if plan.test_batches is not None:
            learn.validate(ds_idx=2)


capabilities = {"val", "val_before", "val_after", "test", "outputs", "metrics", "metainfo", "scheduler"}
capabilities |= {"accumulation", "early_stop", "share"}
test_conformance = conformance(Subject("fastai", fastai.__version__, run=run, capabilities=capabilities))
