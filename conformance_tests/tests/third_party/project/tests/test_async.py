from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("pytest_asyncio", reason="this environment has no plugins")


@pytest.mark.asyncio
async def test_something_is_awaited() -> None:
    await asyncio.sleep(0)
    assert asyncio.get_running_loop().is_running()
