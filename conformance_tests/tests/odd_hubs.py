"""Hubs that are odd, but legal: each stores what is published in another way."""

from __future__ import annotations

import ast
import copy
import pickle
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from simple_hub import SimpleHistory, SimpleHub, checked_entries

from runtimeinfo.authoring import is_scalar, scalar_value


class View:
    """A history that asks its hub each time that it is read.

    Args:
        read: Returns its values and counts.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[float, int]]]) -> None:
        self._read = read

    @property
    def data(self) -> tuple[Any, Any]:
        entries = list(self._read())
        return np.array([value for value, _ in entries], float), np.array([count for _, count in entries], int)

    def current(self) -> float:
        return self.data[0][-1]

    def mean(self, window_size: int | None = None) -> float:
        values, counts = (part[-(window_size or 0) :] for part in self.data)
        return values.sum() / counts.sum()

    def min(self, window_size: int | None = None) -> float:
        return self.data[0][-(window_size or 0) :].min()

    def max(self, window_size: int | None = None) -> float:
        return self.data[0][-(window_size or 0) :].max()

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return {"mean": self.mean, "min": self.min, "max": self.max, "current": self.current}[method_name](
            *args, **kwargs
        )


class LockedHub(SimpleHub):
    """One lock around all updates."""

    def __init__(self, name: str = "odd") -> None:
        super().__init__(name)
        self._lock = threading.RLock()

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        with self._lock:
            super().update_info(key, value, resumed)

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        with self._lock:
            super().update_info_dict(info_dict, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        with self._lock:
            super().update_scalars(log_dict, resumed)

    def load_state_dict(self, state_dict: Any) -> None:
        with self._lock:
            super().load_state_dict(state_dict)


class CopiesWhatIsRead(LockedHub):
    """Hands out copies, each made under the lock that updates take."""

    def get_info(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return copy.deepcopy(super().get_info(key, default))

    def get_scalar(self, key: str) -> SimpleHistory:
        with self._lock:
            return copy.deepcopy(super().get_scalar(key))

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in {"runtime_info", "log_scalars"} and "_lock" in super().__getattribute__("__dict__"):
            return _OnceCopied(value)
        return value


class _OnceCopied(dict[str, Any]):
    """A copy for readers; what the hub's own methods write to it goes into the original."""

    def __init__(self, original: dict[str, Any]) -> None:
        super().__init__(original)
        self._original = original

    def __setitem__(self, key: str, value: Any) -> None:
        self._original[key] = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._original.update(*args, **kwargs)

    def setdefault(self, key: str, default: Any = None) -> Any:
        return self._original.setdefault(key, default)

    def pop(self, *args: Any) -> Any:
        return self._original.pop(*args)


class StoredElsewhere:
    """A hub that keeps nothing itself: what is published goes into a store, which a subclass has.

    A store has `put(key, value)`, `infos()`, `drop(key)`, `append(key, value, count)`, `histories()`,
    `entries(key)` and `cut(key, entries)`, which replaces the entries of a key.
    """

    make_store: Callable[[], Any]

    def __init__(self, name: str = "odd") -> None:
        self.name = name
        self._store: Any = type(self).make_store()
        self._flags: dict[str, bool] = {}
        self._lock = threading.RLock()

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self.update_info_dict({key: value}, resumed)

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        with self._lock:
            self._flag(info_dict, resumed)
            for key, value in info_dict.items():
                self._store.put(key, value)

    def get_info(self, key: str, default: Any = None) -> Any:
        return self.runtime_info.get(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        with self._lock:
            value = self.get_info(key, default)
            self._store.drop(key)
            return value

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self.update_scalars({key: {"value": value, "count": count}}, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        entries = checked_entries(log_dict)
        with self._lock:
            self._flag(entries, resumed)
            for key, entry in entries.items():
                self._store.append(key, float(scalar_value(entry["value"])), entry.get("count", 1))

    def get_scalar(self, key: str) -> View:
        return self.log_scalars[key]

    def pop_scalar(self, key: str) -> None:
        with self._lock:
            self._store.cut(key, [])

    def drop_latest(self, key: str) -> None:
        with self._lock:
            self._store.cut(key, list(self._store.entries(key))[:-1])

    @property
    def runtime_info(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._store.infos())

    @property
    def log_scalars(self) -> dict[str, View]:
        with self._lock:
            return {key: View(lambda key=key: self._entries(key)) for key in self._store.histories()}

    def state_dict(self) -> dict[str, Any]:
        with self._lock:
            infos = {key: copy.deepcopy(value) for key, value in self._store.infos().items() if self._flags[key]}
            scalars = {key: list(self._store.entries(key)) for key in self._store.histories() if self._flags[key]}
        return {"infos": infos, "scalars": scalars}

    def load_state_dict(self, state_dict: Any) -> None:
        infos = dict(copy.deepcopy(state_dict["infos"]))
        scalars = {
            key: [(float(one), int(other)) for one, other in each] for key, each in state_dict["scalars"].items()
        }
        with self._lock:
            self._flags.update(dict.fromkeys([*infos, *scalars], True))
            for key, value in infos.items():
                self._store.put(key, value)
            for key, entries in scalars.items():
                self._store.cut(key, entries)

    def _entries(self, key: str) -> list[tuple[float, int]]:
        with self._lock:
            return list(self._store.entries(key))

    def _flag(self, keys: Iterable[str], resumed: bool) -> None:
        for key in keys:
            if self._flags.get(key, resumed) != resumed:
                raise ValueError(f"{key}: resumed cannot change")
        self._flags.update(dict.fromkeys(keys, resumed))


class _Database:
    def __init__(self) -> None:
        self._base = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._base.execute("CREATE TABLE info (key TEXT PRIMARY KEY, value BLOB)")
        self._base.execute("CREATE TABLE scalar (place INTEGER PRIMARY KEY, key TEXT, value BLOB, count INTEGER)")

    def put(self, key: str, value: Any) -> None:
        self._base.execute("INSERT OR REPLACE INTO info VALUES (?, ?)", (key, pickle.dumps(value)))

    def infos(self) -> dict[str, Any]:
        return {key: pickle.loads(value) for key, value in self._base.execute("SELECT key, value FROM info")}

    def drop(self, key: str) -> None:
        self._base.execute("DELETE FROM info WHERE key = ?", (key,))

    def append(self, key: str, value: float, count: int) -> None:
        # As text: SQLite makes NULL of a NaN.
        self._base.execute("INSERT INTO scalar (key, value, count) VALUES (?, ?, ?)", (key, repr(value), count))

    def histories(self) -> list[str]:
        return [key for (key,) in self._base.execute("SELECT DISTINCT key FROM scalar")]

    def entries(self, key: str) -> list[tuple[float, int]]:
        rows = self._base.execute("SELECT value, count FROM scalar WHERE key = ? ORDER BY place", (key,))
        return [(float(value), count) for value, count in rows]

    def cut(self, key: str, entries: list[tuple[float, int]]) -> None:
        self._base.execute("DELETE FROM scalar WHERE key = ?", (key,))
        for value, count in entries:
            self.append(key, value, count)


class KeepsADatabase(StoredElsewhere):
    """Keeps all in SQLite, infos pickled and numbers as text."""

    make_store = _Database


class _Arrays:
    def __init__(self) -> None:
        self._infos: dict[str, Any] = {}
        self._arrays: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        self._infos[key] = value

    def infos(self) -> dict[str, Any]:
        return self._infos

    def drop(self, key: str) -> None:
        self._infos.pop(key, None)

    def append(self, key: str, value: float, count: int) -> None:
        self._arrays[key] = np.append(self._arrays.get(key, self._array([])), self._array([(value, count)]))

    def histories(self) -> Iterable[str]:
        return list(self._arrays)

    def entries(self, key: str) -> list[tuple[float, int]]:
        return [(float(value), int(count)) for value, count in self._arrays.get(key, ())]

    def cut(self, key: str, entries: list[tuple[float, int]]) -> None:
        self._arrays.pop(key, None)
        if entries:
            self._arrays[key] = self._array(entries)

    @staticmethod
    def _array(entries: list[tuple[float, int]]) -> Any:
        return np.array(entries, [("value", "f8"), ("count", "i8")])


class KeepsArrays(StoredElsewhere):
    """Keeps histories as structured arrays, and makes a new one for each value."""

    make_store = _Arrays


class _Deques(_Arrays):
    def append(self, key: str, value: float, count: int) -> None:
        self._arrays.setdefault(key, deque()).append((value, count))

    @staticmethod
    def _array(entries: list[tuple[float, int]]) -> Any:
        return deque(entries)


class KeepsDeques(StoredElsewhere):
    """Keeps histories as deques of tuples."""

    make_store = _Deques


class _Log:
    """All that was ever done, from which each answer is computed."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, ...]] = []

    def put(self, key: str, value: Any) -> None:
        self._done.append(("put", key, value))

    def infos(self) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for name, key, *rest in self._done:
            if name == "put":
                infos[key] = rest[0]
            elif name == "drop":
                infos.pop(key, None)
        return infos

    def drop(self, key: str) -> None:
        self._done.append(("drop", key))

    def append(self, key: str, value: float, count: int) -> None:
        self._done.append(("append", key, (value, count)))

    def histories(self) -> list[str]:
        return [key for key, entries in self._all().items() if entries]

    def entries(self, key: str) -> list[tuple[float, int]]:
        return self._all().get(key, [])

    def cut(self, key: str, entries: list[tuple[float, int]]) -> None:
        self._done.append(("cut", key, tuple(entries)))

    def _all(self) -> dict[str, list[tuple[float, int]]]:
        found: dict[str, list[tuple[float, int]]] = {}
        for name, key, *rest in self._done:
            if name == "append":
                found.setdefault(key, []).append(rest[0])
            elif name == "cut":
                found[key] = list(rest[0])
        return found


class ReplaysALog(StoredElsewhere):
    """Keeps nothing but a log of its updates."""

    make_store = _Log


class SavesJson(KeepsDeques):
    """Saves a state that JSON can hold: infos as literals, and histories as lists."""

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        infos = {key: repr(value) for key, value in state["infos"].items()}
        return {"infos": infos, "scalars": {key: [list(each) for each in one] for key, one in state["scalars"].items()}}

    def load_state_dict(self, state_dict: Any) -> None:
        infos = {key: ast.literal_eval(value) for key, value in state_dict["infos"].items()}
        super().load_state_dict({"infos": infos, "scalars": state_dict["scalars"]})


@cache
def _server() -> ThreadPoolExecutor:
    """Return the thread that serves all such hubs of this process."""
    return ThreadPoolExecutor(1, "hub server")


class AsksAServer:
    """Passes each call on to a thread that owns the hub, and waits for the answer."""

    def __init__(self, name: str = "odd") -> None:
        self._hub = SimpleHub(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of a hub that is being copied
            raise AttributeError(name)
        if name in {"runtime_info", "log_scalars"}:
            return self._ask(lambda: dict(getattr(self._hub, name)))
        return lambda *args, **kwargs: self._ask(lambda: getattr(self._hub, name)(*args, **kwargs))

    def _ask(self, question: Callable[[], Any]) -> Any:
        return _server().submit(question).result()


class IsADict(dict[str, Any]):
    """Is the dictionary of its infos, and so is false as long as it has none, and equal to others."""

    def __init__(self, name: str = "odd") -> None:
        super().__init__()
        self.name = name
        self._lock = threading.Lock()
        self._hub = SimpleHub(name)
        self._hub.runtime_info = self
        for member in ("update_info", "update_info_dict", "update_scalar", "update_scalars", "load_state_dict"):
            setattr(self, member, self._locked(getattr(self._hub, member)))

    def _locked(self, method: Callable[..., None]) -> Callable[..., None]:
        def locked(*args: Any, **kwargs: Any) -> None:
            with self._lock:
                method(*args, **kwargs)

        return locked

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        return MappingProxyType(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._hub, name)


class HasSlots:
    """Has no attribute but the members of the protocol, and cannot be referred to weakly."""

    __slots__ = ("_flags", "_histories", "_infos", "_lock")

    def __init__(self, _name: str = "odd") -> None:
        self._infos: dict[str, Any] = {}
        self._histories: dict[str, tuple[tuple[float, int], ...]] = {}
        self._flags: dict[str, bool] = {}
        self._lock = threading.RLock()

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        with self._lock:
            self._set_flags([key], resumed)
            self._infos = {**self._infos, key: value}

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        with self._lock:
            self._set_flags(info_dict, resumed)
            self._infos = {**self._infos, **info_dict}

    def get_info(self, key: str, default: Any = None) -> Any:
        return self._infos.get(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        with self._lock:
            value = self._infos.get(key, default)
            self._infos = {name: each for name, each in self._infos.items() if name != key}
            return value

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self.update_scalars({key: {"value": value, "count": count}}, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        entries = {key: each if isinstance(each, dict) else {"value": each} for key, each in log_dict.items()}
        if not all(is_scalar(each["value"]) for each in entries.values()):
            raise TypeError(f"not all of {log_dict!r} are scalars")
        with self._lock:
            self._set_flags(entries, resumed)
            for key, each in entries.items():
                entry = float(scalar_value(each["value"])), each.get("count", 1)
                self._histories[key] = (*self._histories.get(key, ()), entry)

    def get_scalar(self, key: str) -> View:
        entries = self._histories[key]
        return View(lambda: entries)

    def pop_scalar(self, key: str) -> None:
        self._histories.pop(key, None)

    def drop_latest(self, key: str) -> None:
        with self._lock:
            if key in self._histories:
                self._histories[key] = self._histories[key][:-1]

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        return MappingProxyType(self._infos)

    @property
    def log_scalars(self) -> Mapping[str, Any]:
        return MappingProxyType({key: self.get_scalar(key) for key in self._histories})

    def state_dict(self) -> dict[str, Any]:
        infos = {key: copy.deepcopy(value) for key, value in self._infos.items() if self._flags[key]}
        return {"state": (infos, {key: each for key, each in self._histories.items() if self._flags[key]})}

    def load_state_dict(self, state_dict: Any) -> None:
        infos, histories = copy.deepcopy(state_dict["state"])
        infos, histories = (
            dict(infos),
            {key: tuple((each[0], each[1]) for each in one) for key, one in histories.items()},
        )
        with self._lock:
            self._flags.update(dict.fromkeys([*infos, *histories], True))
            self._infos = {**self._infos, **infos}
            self._histories.update(histories)

    def _set_flags(self, keys: Iterable[str], resumed: bool) -> None:
        for key in keys:
            if self._flags.get(key, resumed) != resumed:
                raise ValueError(f"{key}: resumed cannot change")
        self._flags.update(dict.fromkeys(keys, resumed))


ODD_HUBS: tuple[type[Any], ...] = (
    CopiesWhatIsRead,
    KeepsADatabase,
    KeepsArrays,
    KeepsDeques,
    ReplaysALog,
    SavesJson,
    AsksAServer,
    IsADict,
    HasSlots,
)
"""The hubs; each deliberately odd, all of them legal."""
