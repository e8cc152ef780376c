"""What a run is drawn on."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from runtimeinfo_adapters.top._glyphs import ASCII, UNICODE, Glyphs


@dataclass(frozen=True)
class Canvas:
    """What a run is drawn on.

    Attributes:
        width: Its columns.
        glyphs: What to draw with.
    """

    width: int
    glyphs: Glyphs = UNICODE

    @property
    def is_ascii(self) -> bool:
        """Whether nothing but ASCII can be shown."""
        return self.glyphs is ASCII

    def fitted(self, line: Text, width: int | None = None, *, pad: bool = False) -> Text:
        """Return a line that is cut to a width, the whole one if none is given.

        Args:
            line: The line. It is not changed.
            width: The width.
            pad: Whether to fill it up with blanks.
        """
        width = max(self.width if width is None else width, 0)
        result = line.copy()
        if result.cell_len > width:
            result.truncate(max(width - 1, 0), overflow="crop")
            result.append(self.glyphs.ellipsis[:width])
        if pad:
            result.append(" " * (width - result.cell_len))
        return result

    def spread(self, left: Text, right: Text) -> Text:
        """Return two texts at both ends of a line; where there is no place for both, the left one is cut."""
        right = self.fitted(right)
        left = self.fitted(left, self.width - right.cell_len - 2, pad=True)
        return self.fitted(Text.assemble(left, "  ", right)) if left.cell_len else right

    def bar(self, part: float, width: int) -> Text:
        """Return a bar.

        Args:
            part: Which part is done, from 0 to 1.
            width: Its width.
        """
        done = int(part * width)
        bar = Text(self.glyphs.done * done, style="cyan")
        return bar.append(self.glyphs.left * (width - done), style="bright_black")
