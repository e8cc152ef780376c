"""Print the traceback of each error that a plain PyTorch loop can meet, and what it can see of PyTorch itself."""

import copy
import inspect
import pickle
import signal
import traceback

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset


class Data(Dataset):
    def __init__(self, bad):
        self.bad = bad

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == self.bad:
            raise KeyError("item")
        return torch.ones(1) * index


class Unsized(IterableDataset):
    def __repr__(self):  # without an address
        return "Unsized()"

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([1, 2, 3])


class Bad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return tensor

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("backward")


def tell(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except BaseException:
        traceback.print_exc()


def fail(error):
    raise error("of the user")


def train(loader, body=None):
    for batch in loader:
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()
        if body is not None:
            body()


model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

tell(train, DataLoader(Data(bad=2)))
tell(train, DataLoader(Data(bad=2), num_workers=1))
tell(train, DataLoader(Data(bad=None)), body=lambda: fail(ValueError))
tell(train, DataLoader(Data(bad=None)), body=lambda: fail(StopIteration))
tell(train, DataLoader(Data(bad=None)), body=lambda: signal.raise_signal(signal.SIGINT))
tell(next, iter(DataLoader(Data(bad=0))))
tell(lambda: Bad.apply(model(torch.ones(1))).sum().backward())
tell(lambda: torch.ones(1).backward())
tell(torch.autograd.backward, None)
tell(optimizer.step, lambda: fail(ValueError))
tell(optimizer.step, lambda: fail(KeyboardInterrupt))
tell(torch.optim.LBFGS(model.parameters()).step, lambda: fail(ValueError))
tell(torch.optim.SGD, [], lr=0.1)
tell(torch.optim.SGD, model.parameters(), lr=-1)

# Warnings point at the line of their caller.
torch.optim.lr_scheduler.StepLR(torch.optim.SGD(model.parameters(), lr=0.1), 1).step()
unsized = DataLoader(Unsized())
print(len(unsized), list(unsized))
DataLoader(Data(bad=None), num_workers=50)

for function in (torch.autograd.backward, DataLoader.__iter__, torch.optim.SGD.step, torch.amp.GradScaler.scale):
    print(function.__module__, function.__qualname__, inspect.signature(function))
loader, scaler = DataLoader(Data(bad=None)), torch.amp.GradScaler("cpu")
train(loader)
scaler.scale(model(torch.ones(1)).sum()).backward()
scaler.step(optimizer)
scaler.update()
print([sorted(vars(each)) for each in (optimizer, loader, scaler)])
pickled = pickle.dumps(copy.deepcopy(optimizer))  # its length differs from run to run
print(b"runtimeinfo" in pickled, sorted(vars(pickle.loads(pickled))), optimizer._optimizer_step_pre_hooks)
train(DataLoader(Data(bad=1)))
