"""The alert rules for Prometheus and the dashboard for Grafana that are part of this package."""

from __future__ import annotations

from importlib.resources import files

RULES = "alert_rules.yml"
"""The name of the file with the alert rules for Prometheus."""

DASHBOARD = "dashboard.json"
"""The name of the file with the dashboard for Grafana."""


def shipped_text(name: str) -> str:
    """Return one of the files, `RULES` or `DASHBOARD`.

    Example:
        >>> "RuntimeinfoRunDead" in shipped_text(RULES)
        True
    """
    return files("runtimeinfo_adapters.export").joinpath(name).read_text(encoding="utf-8")
