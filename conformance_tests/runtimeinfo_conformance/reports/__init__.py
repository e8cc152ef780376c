"""Reports of a check: JSON with a published schema, a page, a step summary, a badge, and lines for a terminal.

The plain data of `_data` is made once; everything else is rendered from it.
"""

from __future__ import annotations

from runtimeinfo_conformance.reports._data import ReportData, RequirementData, report_data, schema
from runtimeinfo_conformance.reports._write import ReportError, check_folder, write_reports

__all__ = ["ReportData", "ReportError", "RequirementData", "check_folder", "report_data", "schema", "write_reports"]
