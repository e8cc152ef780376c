from __future__ import annotations

import pickle

from runtimeinfo_conformance.guards import SubjectMisbehaved


def test_it_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SubjectMisbehaved("hang", "it did not come back")))
    assert (error.kind, str(error)) == ("hang", "it did not come back")
