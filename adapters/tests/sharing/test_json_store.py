from __future__ import annotations

from typing import Any

import pytest

from runtimeinfo.board.text import decode
from runtimeinfo_adapters.sharing._json_store import JsonStore

TEXT = "a text " * 10


@pytest.fixture
def store() -> JsonStore:
    store = JsonStore()
    store.put("key", TEXT)
    return store


def held(store: JsonStore) -> dict[str, Any]:
    pairs, *_ = decode(store.fit(10_000))
    return dict(pairs)


def test_a_text_that_is_put_twice_changes_nothing(store: JsonStore) -> None:
    store.is_changed = False
    store.put("key", TEXT)
    assert not store.is_changed
    assert held(store) == {"key": TEXT}


@pytest.mark.parametrize("leave", [JsonStore.leave_out, JsonStore.remove, lambda store, key: store.put(key, [1])])
def test_a_text_that_was_replaced_comes_back(store: JsonStore, leave: Any) -> None:
    leave(store, "key")
    assert held(store) != {"key": TEXT}
    store.is_changed = False
    store.put("key", TEXT)
    assert store.is_changed
    assert held(store) == {"key": TEXT}


def test_another_text_replaces_one(store: JsonStore) -> None:
    store.put("key", TEXT + "b")
    assert held(store) == {"key": TEXT + "b"}
