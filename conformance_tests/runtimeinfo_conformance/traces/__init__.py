"""Traces: a hook writes the events of a run into a file, which is judged later, and on any machine.

runner_or_loop(hooks=[TraceHook("run.jsonl")])
runtimeinfo check-trace run.jsonl
"""

from runtimeinfo_conformance.traces._check import check_trace, run_check_trace
from runtimeinfo_conformance.traces._format import FORMAT_VERSION, TraceError, TraceHeader
from runtimeinfo_conformance.traces._hook import TraceHook, TraceWarning
from runtimeinfo_conformance.traces._report import RULES, Note, RuleVerdict, TraceReport, Violation

__all__ = [
    "FORMAT_VERSION",
    "RULES",
    "Note",
    "RuleVerdict",
    "TraceError",
    "TraceHeader",
    "TraceHook",
    "TraceReport",
    "TraceWarning",
    "Violation",
    "check_trace",
    "run_check_trace",
]
