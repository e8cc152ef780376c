from __future__ import annotations

from pathlib import Path

import pytest

from runtimeinfo_adapters.sinks._line_file import LineFile


def test_the_folders_are_made_and_what_is_there_is_kept(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a" / "b" / "lines")
    assert file.open()
    file.append("first\n")
    assert not file.open()
    file.append("second\n")
    assert file.path.read_text() == "first\nsecond\n"


def test_half_a_line_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\nsec")
    LineFile(path).open()
    assert path.read_bytes() == b"first\nsec\n"


def test_half_a_character_is_written_as_its_code(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines")
    file.append("loss ä \ud800\n")
    assert file.path.read_text(encoding="utf-8") == "loss ä \\ud800\n"


def test_a_full_disk_raises() -> None:
    with pytest.raises(OSError, match="No space left"):
        LineFile(Path("/dev/full")).append("line\n")
