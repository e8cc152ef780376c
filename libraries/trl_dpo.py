# /// script
# dependencies = ["trl==1.16.0", "transformers==5.24.0", "accelerate==1.15.0", "datasets==5.2.0", "torch==2.13.0"]
# ///
"""TRL's DPOTrainer, with gradient accumulation: an iteration is a batch, and the loss is that of the batch."""

from compare import MODE, Comparison
from datasets import Dataset
from tiny import text_model, tokenizer
from trl import DPOConfig, DPOTrainer

comparison = Comparison(iterations_per_epoch=6)
ACCUMULATION = 2


class Trainer(DPOTrainer):
    def training_step(self, *args, **kwargs):
        comparison.ask([group["lr"] for group in self.optimizer.param_groups])
        loss = super().training_step(*args, **kwargs)
        comparison.finished(loss * ACCUMULATION)  # it was divided for the gradients
        return loss


data = Dataset.from_dict(
    {
        "prompt": [f"the cat number {n} sat" for n in range(12)],
        "chosen": [" on the mat"] * 12,
        "rejected": [" under a tree"] * 12,
    }
)
text_model().save_pretrained("model")  # DPOTrainer loads its reference model from there
model = type(text_model()).from_pretrained("model")
trainer = Trainer(
    model,
    args=DPOConfig(
        "out",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=ACCUMULATION,
        num_train_epochs=2,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    ),
    train_dataset=data,
    processing_class=tokenizer(),
)
if MODE == "attached":
    from runtimeinfo_adapters.transformers import attach

    attach(trainer)
trainer.train()
