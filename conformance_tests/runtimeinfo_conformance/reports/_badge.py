"""A badge: a picture drawn by us, and the data from which shields.io draws its own."""

from __future__ import annotations

from html import escape

from runtimeinfo_conformance.reports._data import SUMMARIES_BY_NAME, ReportData

_LABEL = "runtimeinfo"

# A message and a colour; the colours are dark enough for white text.
_BADGES = {
    "conformant": ("conformant {spec}", "#1a7f37"),
    "violated": ("not conformant {spec}", "#c0291c"),
    "waiver trouble": ("waiver trouble", "#8a5a00"),
    "vacuous": ("not exercised", "#8a5a00"),
    "subject broke": ("broken", "#5b6475"),
}

# Of the fonts below at 11 px, roughly; the text is then fitted to it exactly.
_CHARACTER = 6.6
_PADDING = 6
_FONT = "Verdana,Geneva,DejaVu Sans,sans-serif"


def badge_data(report: ReportData) -> dict[str, object]:
    """Return the badge as a shields.io endpoint.

    Source: the endpoint badge of shields.io, schema version 1.
    """
    message, colour = _message(report)
    return {
        "schemaVersion": 1,
        "label": _LABEL,
        "message": message,
        "color": colour.removeprefix("#"),
        "isError": report["verdict"] != "conformant",
    }


def badge_svg(report: ReportData) -> str:
    """Return the badge as a picture."""
    message, colour = _message(report)
    subject = report["subject"]
    summary = SUMMARIES_BY_NAME[report["verdict"]]
    title = f"{subject['name']} {subject['version']}: {summary} (spec {report['spec']})"
    return drawn(_LABEL, message, colour, title)


def drawn(label: str, message: str, colour: str, title: str) -> str:
    """Return a badge that says something of something; the title is for those who cannot see it."""
    label_width, message_width = _width(label), _width(message)
    width = label_width + message_width
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-labelledby="title">
  <title id="title">{escape(title)}</title>
  <clipPath id="round"><rect width="{width}" height="20" rx="3"/></clipPath>
  <g clip-path="url(#round)">
    <rect width="{label_width}" height="20" fill="#3c4454"/>
    <rect x="{label_width}" width="{message_width}" height="20" fill="{colour}"/>
  </g>
  <g fill="#fff" font-family="{_FONT}" font-size="11" aria-hidden="true">
    {_text(label, 0, label_width)}
    {_text(message, label_width, message_width)}
  </g>
</svg>
"""


def _message(report: ReportData) -> tuple[str, str]:
    message, colour = _BADGES[report["verdict"]]
    waived = report["counts"].get("waived", 0)
    let_pass = f", {waived} waived" if waived and report["verdict"] == "conformant" else ""
    return f"{message.format(spec=report['spec'])}{let_pass}", colour


def _width(text: str) -> int:
    return round(len(text) * _CHARACTER) + 2 * _PADDING


def _text(text: str, left: int, width: int) -> str:
    place = f'x="{left + _PADDING}" y="14" textLength="{width - 2 * _PADDING}"'
    return f'<text {place} lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
