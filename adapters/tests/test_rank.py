from __future__ import annotations

import subprocess
import sys

import pytest
import torch.distributed

from runtimeinfo_adapters._rank import global_rank


@pytest.mark.parametrize(("said", "rank"), [(None, 0), ("3", 3), (" 3 ", 3), ("", 0), ("-1", 0), ("first", 0)])
def test_rank_of_the_launcher(said: str | None, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if said is not None:
        monkeypatch.setenv("RANK", said)
    assert global_rank() == rank


def test_rank_of_the_process_group_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert global_rank() == 0
    finally:
        torch.distributed.destroy_process_group()
    assert global_rank() == 3


def test_global_rank_does_not_load_pytorch() -> None:
    code = (
        "import sys; from runtimeinfo_adapters._rank import global_rank as rank; rank(); print('torch' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "False\n"
