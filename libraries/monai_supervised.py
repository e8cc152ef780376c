# /// script
# dependencies = ["monai==1.6.1", "pytorch-ignite==0.5.5", "torch==2.13.0"]
# ///
"""The SupervisedTrainer of MONAI, an engine of Ignite, with its ValidationHandler."""

import torch
from compare import MODE, Comparison
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MeanSquaredError, ValidationHandler, from_engine
from monai.inferers import SimpleInferer

comparison = Comparison(iterations_per_epoch=5)


class Count(SimpleInferer):
    def __call__(self, inputs, network, *args, **kwargs):
        comparison.ask([group["lr"] for group in optimizer.param_groups])
        return super().__call__(inputs, network, *args, **kwargs)


def loss_function(prediction, label):
    loss = torch.nn.functional.mse_loss(prediction, label)
    comparison.finished(loss.detach())
    return loss


torch.manual_seed(0)
data = Dataset([{"image": torch.randn(4), "label": torch.randn(1)} for _ in range(10)])
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters(), 0.01)
evaluator = SupervisedEvaluator(
    device=torch.device("cpu"),
    val_data_loader=DataLoader(data, batch_size=5),
    network=model,
    key_val_metric={"mse": MeanSquaredError(output_transform=from_engine(["pred", "label"]))},
)
trainer = SupervisedTrainer(
    device=torch.device("cpu"),
    max_epochs=2,
    train_data_loader=DataLoader(data, batch_size=2, shuffle=True),
    network=model,
    optimizer=optimizer,
    loss_function=loss_function,
    inferer=Count(),
    train_handlers=[ValidationHandler(1, evaluator)],
)
if MODE == "attached":
    from runtimeinfo_adapters.ignite import attach

    attach(trainer, evaluators={"val": evaluator}, optimizer=optimizer)
trainer.run()
