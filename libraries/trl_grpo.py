# /// script
# dependencies = ["trl==1.16.0", "transformers==5.24.0", "accelerate==1.15.0", "datasets==5.2.0", "torch==2.13.0"]
# ///
"""TRL's GRPOTrainer: the model writes the completions that it is trained on."""

from compare import MODE, Comparison
from datasets import Dataset
from tiny import text_model, tokenizer
from trl import GRPOConfig, GRPOTrainer

comparison = Comparison(iterations_per_epoch=4)


class Trainer(GRPOTrainer):
    def training_step(self, *args, **kwargs):
        comparison.ask([group["lr"] for group in self.optimizer.param_groups])
        loss = super().training_step(*args, **kwargs)
        comparison.finished(loss)
        return loss


def reward(completions, **_):
    return [float(len(each.split())) for each in completions]


trainer = Trainer(
    text_model(),
    reward_funcs=reward,
    args=GRPOConfig(
        "out",
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=4,
        num_train_epochs=2,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    ),
    train_dataset=Dataset.from_dict({"prompt": [f"the cat number {n} sat" for n in range(4)]}),
    processing_class=tokenizer(),
)
if MODE == "attached":
    from runtimeinfo_adapters.transformers import attach

    attach(trainer)
trainer.train()
