from __future__ import annotations

import pytest

from runtimeinfo_adapters.top._shown_scalars import learning_rates, shown_scalars


@pytest.mark.parametrize(
    ("keys", "rates"),
    [
        (["train/loss", "train/lr"], {"train/lr"}),
        (["train/lr/head", "train/lr_1", "train/clr_loss"], {"train/lr/head", "train/lr_1"}),
        (["train/head.lr", "train/loss", "lr/loss"], {"train/head.lr"}),
        (["lr", "loss"], {"lr"}),
        ([], set()),
    ],
)
def test_what_is_a_learning_rate(keys: list[str], rates: set[str]) -> None:
    assert learning_rates(keys) == rates


def test_the_order_is_that_of_the_stages_losses_first_and_then_that_of_the_run() -> None:
    keys = ["b", "a", "test/acc", "val/z", "val/loss", "train/z", "train/a", "train/aux_loss", "train/lr"]
    shown = ["train/lr", "train/aux_loss", "train/z", "train/a", "val/loss", "val/z", "test/acc", "b", "a"]
    assert shown_scalars(keys) == shown
