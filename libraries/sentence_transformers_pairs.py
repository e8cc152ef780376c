# /// script
# dependencies = [
#     "sentence-transformers==6.2.0", "transformers==5.24.0", "accelerate==1.15.0", "datasets==5.2.0", "torch==2.13.0",
# ]
# ///
"""The trainer of sentence-transformers, which draws from two data sets in turn."""

from compare import MODE, Comparison
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny import tokenizer

comparison = Comparison(iterations_per_epoch=8)


class Trainer(SentenceTransformerTrainer):
    def training_step(self, *args, **kwargs):
        comparison.ask([group["lr"] for group in self.optimizer.param_groups])
        loss = super().training_step(*args, **kwargs)
        comparison.finished(loss)
        return loss


def pairs(word):
    return Dataset.from_dict(
        {"anchor": [f"the {word} {n} sat" for n in range(16)], "positive": [f"a {word} {n} stood" for n in range(16)]}
    )


model = SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_dim=8)], device="cpu")
trainer = Trainer(
    model=model,
    args=SentenceTransformerTrainingArguments(
        "out", per_device_train_batch_size=4, num_train_epochs=2, report_to=[], save_strategy="no", use_cpu=True
    ),
    train_dataset={"cats": pairs("cat"), "dogs": pairs("dog")},
    loss=MultipleNegativesRankingLoss(model),
)
if MODE == "attached":
    from runtimeinfo_adapters.transformers import attach

    attach(trainer)
trainer.train()
