from __future__ import annotations

import pytest

from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import ExitCode, Verdict
from runtimeinfo_conformance.subjects import mmengine, pytorch, reference_hub

SUBJECTS = {
    "pytorch": pytorch.subject,
    "mmengine": mmengine.subject,
    "mmengine with the reference hub": mmengine.subject_with_reference_hub,
    "reference hub": reference_hub.subject,
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_bundled_subject_is_conformant(name: str) -> None:
    subject: AnySubject = SUBJECTS[name]()
    report = check(subject, PROFILES["quick"])
    assert subject.name == name
    assert report.of(Verdict.FAIL, Verdict.WARN, Verdict.NOT_EXECUTED) == []
    assert report.crash is None
    assert report.survivors == ()
    assert report.exit_code is ExitCode.CONFORMANT
