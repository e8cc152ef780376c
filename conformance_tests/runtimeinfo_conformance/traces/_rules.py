"""Which requirements can be decided from a trace, and how far."""

from __future__ import annotations

from types import MappingProxyType

_BEGIN = "what a run begins with is taken from its before_train"
_STAGE = "at the events only, not between them"

RULES = MappingProxyType(
    {
        "LIFE-01": "",
        "LIFE-02": "",
        "LIFE-05": "only where the end is in the trace; a hook that raises at after_run hides it",
        "LIFE-08": "",
        "STAGE-01": _STAGE,
        "STAGE-02": _STAGE,
        "STAGE-03": _STAGE,
        "STAGE-04": _STAGE,
        "STAGE-05": _STAGE,
        "STAGE-06": _STAGE,
        "COUNT-01": _BEGIN,
        "COUNT-02": "",
        "COUNT-03": _BEGIN,
        "COUNT-04": "",
        "COUNT-05": "",
        "COUNT-06": "",
        "COUNT-11": "",
        "FAIL-02": "only that none is announced twice",
        "FAIL-03": "but for a close at which another hook may have raised",
        "FAIL-04": "only that nothing is counted from on_exception on",
    }
)
"""The requirements that a trace decides, in the order of the spec, each with what limits that."""
