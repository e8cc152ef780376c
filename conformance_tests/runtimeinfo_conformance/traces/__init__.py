"""Traces: a run that happened anywhere, written down by a hook and judged later.

runner_or_loop(hooks=[TraceHook("run.jsonl")])
runtimeinfo check-trace run.jsonl
"""

from runtimeinfo_conformance.traces._check import check_trace
from runtimeinfo_conformance.traces._command import run_check_trace
from runtimeinfo_conformance.traces._format import FORMAT_VERSION, TraceError, TraceHeader
from runtimeinfo_conformance.traces._hook import TraceHook
from runtimeinfo_conformance.traces._report import Note, RuleVerdict, TraceReport, Violation
from runtimeinfo_conformance.traces._rules import RULES
from runtimeinfo_conformance.traces._writer import TraceWarning

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
