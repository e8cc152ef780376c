from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtimeinfo.board.process import is_alive, pid_namespace, started


def test_this_process_is_alive_and_its_start_tells_it_from_another_one() -> None:
    since = started(os.getpid())
    assert since > 0
    assert is_alive(os.getpid(), since)
    assert not is_alive(os.getpid(), since + 1)  # the id is the same, the process is not
    assert is_alive(os.getpid(), since=0)  # where the system does not say when one began


def test_ended_process_is_not_alive_even_before_it_is_reaped() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = started(process.pid)
    assert is_alive(process.pid, since)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid, since)  # a zombie
    process.communicate()
    assert not is_alive(process.pid, since)
    assert not is_alive(process.pid, since=0)
    assert started(process.pid) == 0


def test_invalid_process_ids_are_not_alive() -> None:
    for pid in (0, -1, -(2**63), 2**63 - 1):
        assert not is_alive(pid, since=0)
        assert not is_alive(pid, since=1)


def test_another_name_space_has_another_number() -> None:
    assert pid_namespace() == Path("/proc/self/ns/pid").stat().st_ino


def test_process_is_not_sent_a_signal_where_signal_0_is_not_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")  # as on Windows
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("that is Ctrl-C"))
    assert is_alive(4711, since=0)
    assert not is_alive(0, since=0)
