from __future__ import annotations

import warnings

import pytest

from runtimeinfo import SkippedOutputWarning
from runtimeinfo_adapters import ResumeWarning
from runtimeinfo_adapters.autopublish._silence import Silence


def test_warnings_of_adapters_are_silent_within_and_not_after() -> None:
    silence = Silence()
    with silence, silence, warnings.catch_warnings(record=True) as caught:
        warnings.warn("a resume", ResumeWarning, stacklevel=1)
        warnings.warn("an output", SkippedOutputWarning, stacklevel=1)
    assert not caught
    with pytest.warns(ResumeWarning, match="a resume"):
        warnings.warn("a resume", ResumeWarning, stacklevel=1)


def test_filters_of_the_script_stay() -> None:
    silence = Silence()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ResumeWarning)
        before = list(warnings.filters)
        with silence:
            warnings.filterwarnings("ignore", message="set within")
        assert list(warnings.filters[1:]) == before
        assert warnings.filters[0][0] == "ignore"


def test_other_warnings_are_shown_within() -> None:
    with Silence(), pytest.warns(UserWarning, match="of the script"):
        warnings.warn("of the script", UserWarning, stacklevel=1)
