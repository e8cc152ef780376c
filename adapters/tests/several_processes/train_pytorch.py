"""Plain PyTorch under DistributedDataParallel, in two processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from recording import ACCUMULATION, EPOCHS, Data, Model, Script
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop


def loader(length: int) -> DataLoader[Any]:
    return DataLoader(Data(length), batch_size=2, sampler=DistributedSampler(Data(length), shuffle=False))


def train(script: Script, name: str, *, epochs: int = EPOCHS, resume: bool = False) -> None:
    hub = MessageHub(name)
    with script.phase(name, hub) as phase:
        model = DistributedDataParallel(Model())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        train_loader, val_loader = loader(18), loader(6)
        loop = Loop(optimizer, train_loader, max_epochs=epochs, seed=3, hub=hub, hooks=phase.hooks)
        path = script.folder / "checkpoint.pt"
        if resume:
            saved = torch.load(path)
            model.module.load_state_dict(saved["model"])
            scheduler.load_state_dict(saved["scheduler"])
            optimizer.load_state_dict(saved["optimizer"])
            loop.load_state_dict(saved["loop"])
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    phase.step(batch, optimizer.param_groups[0]["lr"])
                    index = loop.iter % len(train_loader)
                    is_last = index % ACCUMULATION == ACCUMULATION - 1 or index == len(train_loader) - 1
                    with torch.enable_grad() if is_last else model.no_sync():
                        loss = model(batch)
                        (loss / ACCUMULATION).backward()
                    phase.computed(loss)
                    if is_last:
                        optimizer.step()
                        optimizer.zero_grad()
                    loop.log(loss=loss)
                    if name == "train" and script.rank == 0 and loop.iter == 6:  # in the middle of the second epoch
                        states = {"model": model.module, "scheduler": scheduler, "optimizer": optimizer, "loop": loop}
                        torch.save({part: holder.state_dict() for part, holder in states.items()}, path)
                scheduler.step()
                with loop.val() as val, torch.no_grad():
                    mean = torch.stack([model(batch) for batch in val.batches(val_loader)]).mean()
                    own = mean.item()
                    dist.all_reduce(mean)  # the user's own: nothing of ours does it
                    val.log_metrics(own=own, mean=mean / dist.get_world_size())


class Synchronizes:
    """A hook which does what nothing of ours does."""

    def before_run(self, runner: Any) -> None:
        dist.barrier()


def break_the_rule(script: Script) -> None:
    """Start a collective from inside our code, so that the test sees that it would be found."""
    hub = MessageHub("control")
    with script.phase("control", hub), Loop(hub=hub, hooks=[Synchronizes()]).run():
        pass


def main() -> None:
    script = Script()
    dist.init_process_group("gloo")
    try:
        train(script, "train")
        dist.barrier()  # rank 0 has written the checkpoint
        train(script, "resume", epochs=EPOCHS + 1, resume=True)
        break_the_rule(script)
        train(script, "raise")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
