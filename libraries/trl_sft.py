# /// script
# dependencies = ["trl==1.16.0", "transformers==5.24.0", "accelerate==1.15.0", "datasets==5.2.0", "torch==2.13.0"]
# ///
"""TRL's SFTTrainer: a subclass of the Trainer of Transformers."""

from compare import MODE, Comparison
from datasets import Dataset
from tiny import text_model, tokenizer
from trl import SFTConfig, SFTTrainer

comparison = Comparison(iterations_per_epoch=6)


class Trainer(SFTTrainer):
    def training_step(self, *args, **kwargs):
        comparison.ask([group["lr"] for group in self.optimizer.param_groups])
        loss = super().training_step(*args, **kwargs)
        comparison.finished(loss)
        return loss


data = Dataset.from_dict({"text": [f"the cat number {n} sat on the mat" for n in range(12)]})
trainer = Trainer(
    text_model(),
    SFTConfig("out", per_device_train_batch_size=2, num_train_epochs=2, report_to=[], save_strategy="no", use_cpu=True),
    train_dataset=data,
    processing_class=tokenizer(),
)
if MODE == "attached":
    from runtimeinfo_adapters.transformers import attach

    attach(trainer)
trainer.train()
