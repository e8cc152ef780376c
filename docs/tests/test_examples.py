"""The examples train on real data, and their components see what they should."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits"


SCRIPTS = sorted(script.name for script in DIGITS.glob("train_*.py"))

# Each script as the main program, one after the other: to load PyTorch takes longer than to train.
ONE_AFTER_THE_OTHER = """
import runpy
import sys

for script in sys.argv[1:]:
    print(f"== {script}", flush=True)
    runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="module")
def printed():
    """What each script printed; the first of them alone, as its reader calls it."""
    first, *others = SCRIPTS
    alone, together = (
        subprocess.run([sys.executable, *arguments], cwd=DIGITS, capture_output=True, text=True, check=False)
        for arguments in ([first], ["-c", ONE_AFTER_THE_OTHER, *others])
    )
    assert alone.returncode == together.returncode == 0, alone.stderr + together.stderr
    parts = re.split(r"^== (\S+)$", together.stdout, flags=re.MULTILINE)
    return {first: alone.stdout, **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_digits_are_learned_and_the_metric_sees_the_stage(script, printed):
    seen = re.findall(r"stage (\w+), iter (\d+): accuracy ([\d.]+)", printed[script])
    assert [(stage, int(iteration)) for stage, iteration, _ in seen] == [("val", 44 * epoch) for epoch in range(1, 6)]
    assert float(seen[-1][2]) > 0.85
    first, last = re.search(r"220 iterations, loss ([\d.]+) -> ([\d.]+)", printed[script]).groups()
    assert float(last) < float(first) / 3


@pytest.fixture
def components(monkeypatch):
    monkeypatch.syspath_prepend(DIGITS)
    import components

    return components


def hub_with(**infos):
    from runtimeinfo_adapters import MessageHub

    hub = MessageHub("test-examples")
    hub.update_info_dict(infos)
    return hub


def test_the_loss_follows_the_progress(components):
    import torch

    from runtimeinfo import use_hub

    logits, labels = torch.tensor([[4.0, 0.0]]), torch.tensor([0])
    losses = []
    for iteration in (0, 50, 100):
        with use_hub(hub_with(iter=iteration, max_iters=100)):
            losses.append(components.WarmedUpLoss()(logits, labels).item())
    assert losses[0] > losses[1] > losses[2] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())


def test_the_sampler_shuffles_by_epoch_and_repeatably(components):
    from runtimeinfo import use_hub

    def order(epoch):
        with use_hub(hub_with(epoch=epoch, seed=0)):
            return list(components.EpochSampler(50))

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(1)) == list(range(50))
