from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runtimeinfo_adapters import MessageHub


class PlainRunner:
    """A runner with all that the protocol asks for, and nothing else."""

    def __init__(self, hub: Any) -> None:
        self.cfg = SimpleNamespace(pretty_text="lr = 0.1")
        self.seed: Any = 7
        self.experiment_name: Any = "tests"
        self.framework_name: Any = "plain"
        self.framework_version: Any = "1.2.3"
        self.message_hub = hub
        self.epoch: Any = 0
        self.iter: Any = 0
        self.max_epochs: Any = 3
        self.max_iters: Any = 30
        self.train_dataloader: Any = SimpleNamespace(dataset=[])
        self.rates: Any = {"lr": [0.1]}
        self.optim_wrapper: Any = SimpleNamespace(get_lr=lambda: self.rates)

    def without_train_state(self) -> PlainRunner:
        for member in ("epoch", "iter", "max_epochs", "max_iters", "train_dataloader", "optim_wrapper"):
            delattr(self, member)
        return self


@pytest.fixture
def hub() -> MessageHub:
    return MessageHub("tests")


@pytest.fixture
def runner(hub: MessageHub) -> PlainRunner:
    return PlainRunner(hub)
