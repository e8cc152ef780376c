from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.board import FOLDER_VARIABLE, make_board_folder
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance.command_line import _cli, _export_command

from .test_cli import without

Export = Callable[..., tuple[int, str, str]]


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Export:
    """Return a function that runs the command here, and returns its exit code, its output and its errors."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "boards"))

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runtimeinfo", "export", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            _cli.main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return run


def test_once_prints_the_runs(export: Export) -> None:
    hub = MessageHub("once", runtime_info={"experiment_name": "digits", "epoch": 3})
    hub.share()
    try:
        code, out, errors = export("--once")
    finally:
        hub.unshare()
    assert (code, errors) == (0, "")
    assert re.search(r'^runtimeinfo_run_epoch\{experiment="digits",.*\} 3\.0$', out, re.MULTILINE)


def test_the_rules_and_the_dashboard_are_printed(export: Export) -> None:
    code, rules, errors = export("--rules")
    assert (code, errors) == (0, "")
    assert "alert: RuntimeinfoRunDead" in rules
    code, dashboard, errors = export("--dashboard")
    assert (code, errors) == (0, "")
    assert json.loads(dashboard)["title"] == "runtimeinfo"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--once", "--rules"), "--once excludes --rules: give one of them"),
        (("--textfile", ".", "--otlp", "http://a"), "--textfile excludes --otlp"),
        (("--otlp", "http://a", "--port", "0", "--tls-key", "k"), "--otlp excludes --port, --tls-key"),
        (("--otlp", "nowhere"), "'nowhere' is not the URL of a collector"),
        (("--tls-certificate", "none.pem"), "TLS needs both a certificate and its key"),
        (("--password-file", "none"), "the password file none cannot be read"),
        (("--port", "65536"), "less than or equal to 65535"),
        (("--max-runs", "-1"), "greater than or equal to 0"),
        (("--interval", "nan", "--textfile", "."), "greater than or equal to 0.1"),
        (("--stalled-after", "inf"), "finite"),
    ],
)
def test_impossible_combinations_are_refused(export: Export, words: tuple[str, ...], message: str) -> None:
    code, out, errors = export(*words)
    assert (code, out) == (64, "")
    assert message in errors
    assert "Traceback" not in errors


def test_a_folder_that_is_open_to_others_is_refused(export: Export) -> None:
    folder = make_board_folder()
    folder.chmod(0o777)
    code, out, errors = export("--once")
    assert (code, out) == (1, "")
    assert errors.startswith("runtimeinfo: ")
    assert str(folder) in errors


def test_all_users_takes_root(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    code, _, errors = export("--once", "--all-users")
    assert code == 1
    assert "can be read by root alone" in errors


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("prometheus_client", ("export", "--once"), "export"),
        ("typer", ("export", "--once"), "export"),
        ("opentelemetry", ("export", "--otlp", "http://localhost:4318"), "otlp"),
    ],
)
def test_the_extra_that_is_missing_is_named(in_process: Any, package: str, words: tuple[str, ...], extra: str) -> None:
    ran = in_process(*without([package], *words))
    assert (ran.returncode, ran.stdout) == (64, "")
    assert f"({package} is not installed): pip install 'runtimeinfo[{extra}]'\n" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_defaults_are_those_of_the_help(export: Export) -> None:
    code, out, _ = export("--help")
    assert code == 0
    assert _export_command.DEFAULT_ADDRESS in out
    assert str(_export_command.DEFAULT_PORT) in out
