from __future__ import annotations

import myfw

from runtimeinfo_conformance import Subject, conformance


class CountsFromOne(myfw.Trainer):
    """Its epochs begin with 1."""

    @property
    def epoch(self):
        return self.completed + 1

    @epoch.setter
    def epoch(self, value):
        self.completed = value if value == 0 else value - 1

    def fit(self):
        with self.scope("run"), self.scope("train"):
            while self.epoch <= self.max_epochs:
                with self.scope("train_epoch"):
                    self.train_epoch()
                self.epoch += 1


def run(plan, hooks):
    about = {"seed": plan.seed, "experiment_name": plan.experiment_name, "hooks": hooks}
    CountsFromOne(lambda batch: batch.outputs, plan.train_dataloader(), plan.max_epochs, **about).fit()


test_broken = conformance(Subject("broken", myfw.__version__, run=run, capabilities={"outputs", "test"}, spec="0.1"))
