"""Puts the figures of README.md into the page on performance: they stand in one file, and are written there."""

from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]

_BEGIN, _END = "<!-- figures:begin -->", "<!-- figures:end -->"


def _between(text: str) -> tuple[str, str, str]:
    head, _, rest = text.partition(_BEGIN)
    inside, _, tail = rest.partition(_END)
    return head, inside, tail


def insert_figures(_app: Sphinx, page: str, content: list[str]) -> None:
    """Replace what stands between the marks of the page by what stands between those of README.md."""
    if page == "performance":
        head, _, tail = _between(content[0])
        _, figures, _ = _between((ROOT / "README.md").read_text(encoding="utf-8"))
        content[0] = f"{head}{figures}{tail}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.connect("source-read", insert_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
