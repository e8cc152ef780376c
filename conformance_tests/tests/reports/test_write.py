from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtimeinfo_conformance import Subject
from runtimeinfo_conformance._verdict import Report
from runtimeinfo_conformance.reports import ReportError, check_folder, report_data, write_reports

FILES = ["report.json", "report.html", "report.md", "badge.svg", "badge.json"]


def named(report: Report, name: str) -> Report:
    return replace(report, subject=Subject(name, "1", run=lambda plan, hooks: None))


def test_one_report_goes_into_the_folder(each_report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    assert write_reports(each_report, folder) == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name in ("report.json", "badge.json"):
        json.loads((folder / name).read_text(encoding="utf-8"))


def test_a_list_of_one_is_as_one(conformant: Report, tmp_path: Path) -> None:
    assert write_reports([conformant], str(tmp_path)) == [tmp_path / name for name in FILES]


def test_plain_data_is_written_as_the_report_that_it_was_made_of(failing: Report, hub: Report, tmp_path: Path) -> None:
    now = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
    data = [report_data(failing, now), report_data(hub, now)]
    pairs = [(write_reports(failing, tmp_path / "a", now), write_reports(data[0], tmp_path / "b"))]
    pairs.append((write_reports([failing, hub], tmp_path / "c", now), write_reports(data, tmp_path / "d")))
    for made, copied in pairs:
        assert [path.read_bytes() for path in made] == [path.read_bytes() for path in copied]


def test_the_same_report_is_written_the_same(failing: Report, tmp_path: Path) -> None:
    now = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
    first, second = write_reports(failing, tmp_path / "a", now), write_reports(failing, tmp_path / "b", now)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert '"2025-03-04T05:06:07+00:00"' in first[0].read_text(encoding="utf-8")


def test_several_reports_get_folders_with_safe_names(conformant: Report, tmp_path: Path) -> None:
    names = ["myfw", "MyFW", "../../etc/passwd", "<script>", "", "...", "CON", "com1.x", "κ", "a/b", "x" * 300]
    written = write_reports([named(conformant, name) for name in names], tmp_path)
    assert written[0] == tmp_path / "index.html"
    assert len(written) == 1 + len(names) * len(FILES)
    folders = sorted({path.parent.name for path in written[1:]})
    assert {path.parent.parent for path in written[1:]} == {tmp_path}
    assert len({folder.casefold() for folder in folders}) == len(names)
    for folder in folders:
        assert folder.strip("-.") == folder
        assert folder.isascii()
        assert len(folder) <= 70
    assert {"myfw", "MyFW-2", "etc-passwd", "script", "subject-CON", "a-b"} <= set(folders)


def test_a_name_is_not_taken_twice(conformant: Report, tmp_path: Path) -> None:
    names = ["a", "a-2", "a", "a"]
    written = write_reports([named(conformant, name) for name in names], tmp_path)
    assert len(set(written)) == len(written)


def test_writing_again_replaces(conformant: Report, failing: Report, tmp_path: Path) -> None:
    write_reports(failing, tmp_path)
    write_reports(conformant, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["verdict"] == "conformant"


def test_reports_on_several_leave_no_report_on_one_beside_them(
    conformant: Report, failing: Report, tmp_path: Path
) -> None:
    write_reports(failing, tmp_path)
    (tmp_path / "notes.md").touch()
    write_reports([conformant, conformant], tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"index.html", "notes.md"}


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"schema_version": 1}'])
def test_a_report_of_somebody_else_stays_beside_those_on_several(conformant: Report, tmp_path: Path, text: str) -> None:
    for name in ("report.json", "badge.svg"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_reports([conformant, conformant], tmp_path)
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in ("report.json", "badge.svg")} == {text}


def test_no_report_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no report to write"):
        write_reports([], tmp_path)


def test_a_file_in_place_of_the_folder(conformant: Report, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(ReportError) as caught:
            write_reports(conformant, folder)
        assert str(caught.value) == (
            f"the reports cannot be written to the folder {str(folder)!r}: report.json: "
            "there is a file in its place, or in place of a folder above it. Give another folder"
        )
        assert caught.value.folder == folder


def test_a_folder_in_place_of_a_file(conformant: Report, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ReportError, match=r"report\.html: Is a directory"):
        write_reports(conformant, tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(conformant: Report, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReportError, match="Permission denied"):
        write_reports(conformant, tmp_path)


def test_a_full_disk(conformant: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ReportError, match="No space left on device"):
        write_reports(conformant, tmp_path)


def test_a_path_that_cannot_be(conformant: Report) -> None:
    with pytest.raises(ReportError, match="null"):
        write_reports(conformant, "a\0b")


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "out")
    assert list((tmp_path / "new" / "out").iterdir()) == []


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    check_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_noticed_beforehand(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(ReportError) as caught:
            check_folder(folder)
        assert str(caught.value) == (
            f"the reports cannot be written to the folder {str(folder)!r}: "
            "there is a file in its place, or in place of a folder above it. Give another folder"
        )
        assert caught.value.folder == folder
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_noticed_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReportError, match="Permission denied"):
        check_folder(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_folder_in_which_not_even_root_can_write_is_noticed_beforehand() -> None:
    for folder in (Path("/proc"), Path("/proc/out")):
        with pytest.raises(ReportError, match=f"the reports cannot be written to the folder '{folder}': No such file"):
            check_folder(folder)


def test_a_path_that_cannot_be_is_noticed_beforehand() -> None:
    with pytest.raises(ReportError, match="null"):
        check_folder(Path("a\0b"))
