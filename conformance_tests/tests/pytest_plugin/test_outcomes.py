from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimeinfo_conformance.pytest_plugin._outcomes import Outcome, OutcomeData, Outcomes

HOLDER = """
import sys, time
from pathlib import Path
from runtimeinfo_conformance.pytest_plugin._outcomes import Outcomes

def make():
    print("making", flush=True)
    time.sleep(600)

Outcomes(Path(sys.argv[1])).get("key", make)
"""


def outcome(spec: str) -> Outcome:
    data: OutcomeData = {"spec": spec, "items": {}, "summary": ["κ \u2028"], "report": None}
    return Outcome(data)


def never() -> Outcome:
    raise AssertionError("it is there already")


@pytest.fixture(params=["alone", "shared"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "made by whoever comes first" if request.param == "shared" else None


def test_each_is_made_once(folder: Path | None) -> None:
    outcomes = Outcomes(folder)
    assert outcomes.get("a[1]", lambda: outcome("0.1")).data["spec"] == "0.1"
    assert outcomes.get("a[2]", lambda: outcome("0.2")).data["spec"] == "0.2"
    assert outcomes.get("a[1]", never).data == outcome("0.1").data


def test_each_is_made_once_where_several_threads_want_it(folder: Path | None) -> None:
    outcomes = Outcomes(folder)
    made: list[int] = []
    both_are_there = threading.Barrier(2)

    def make() -> Outcome:
        made.append(threading.get_ident())
        time.sleep(0.05)  # time for the other one, which waits
        return outcome("0.1")

    def want() -> None:
        both_are_there.wait()
        assert outcomes.get("key", make).data == outcome("0.1").data

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(want) for _ in range(2)]:
            each.result()
    assert len(made) == 1


def test_all_are_in_the_order_of_their_keys(folder: Path | None) -> None:
    outcomes = Outcomes(folder)
    assert outcomes.all() == []
    for spec in ("0.2", "0.1", "0.3"):
        outcomes.get(f"key {spec}", lambda spec=spec: outcome(spec))  # type: ignore[misc]
    assert [data["spec"] for data in outcomes.all()] == ["0.1", "0.2", "0.3"]


def test_one_that_could_not_be_made_is_made_by_the_next(folder: Path | None) -> None:
    outcomes = Outcomes(folder)

    def interrupted() -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes.get("key", interrupted)
    assert outcomes.all() == []
    assert outcomes.get("key", lambda: outcome("0.1")).data["spec"] == "0.1"


def test_others_read_what_one_has_made(tmp_path: Path) -> None:
    made = Outcomes(tmp_path).get("key", lambda: outcome("0.1"))
    other = Outcomes(tmp_path)
    assert other.get("key", never).data == made.data
    assert other.all() == [made.data]
    # In a folder further down, as for workers that are to be compared, it is another; who reads all finds both.
    Outcomes(tmp_path / "gw0").get("key", lambda: outcome("0.2"))
    assert len(other.all()) == 2


def test_half_written_entries_are_absent(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.get("key", lambda: outcome("0.1"))
    (file,) = tmp_path.glob("*.json")
    half = file.with_suffix(".half")
    half.write_text(file.read_text(encoding="utf-8")[:10], encoding="utf-8")
    file.unlink()
    assert outcomes.all() == []
    assert Outcomes(tmp_path).get("key", lambda: outcome("0.2")).data["spec"] == "0.2"
    assert json.loads(file.read_text(encoding="utf-8"))[0] == "key"


def test_one_that_dies_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "making\n"
        holder.kill()
    begin = time.monotonic()
    assert Outcomes(tmp_path).get("key", lambda: outcome("0.1")).data["spec"] == "0.1"
    assert time.monotonic() - begin < 30
