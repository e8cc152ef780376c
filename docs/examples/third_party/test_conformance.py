import myfw

from runtimeinfo_conformance import Subject, conformance


def run(plan, hooks):  # a fresh runner each call
    val = plan.val_dataloader() if plan.val_batches is not None else None
    about = {"seed": plan.seed, "experiment_name": plan.experiment_name, "hooks": hooks}
    trainer = myfw.Trainer(lambda batch: batch.outputs, plan.train_dataloader(), plan.max_epochs, val, **about)
    trainer.fit()


capabilities = {"val", "outputs", "metainfo", "share", "unsized"}
test_conformance = conformance(Subject("myfw", myfw.__version__, run=run, capabilities=capabilities))
