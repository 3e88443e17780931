"""Pictures for the documentation: boxes and lines, as SVG that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROW = 17
"""Height of a line of text, in pixels."""

HEAD = 24
_PADDING = 6
_CHARACTER = 6.7
_INK, _FAINT, _PAPER, _HEADING = "#1f2733", "#5b6675", "#ffffff", "#e9edfb"
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


@dataclass(frozen=True)
class Box:
    """A heading with lines of text below it."""

    title: str
    rows: Sequence[str]
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        """From its top to its bottom."""
        return height(len(self.rows))

    def svg(self) -> str:
        """Its elements."""
        lines = [
            self._rectangle(self.height, _PAPER),
            self._rectangle(HEAD, _HEADING),
            _text(self.x + 8, self.y + 16, self.title, _INK, bold=True),
        ]
        lines += [
            _text(self.x + 8, self.y + HEAD + ROW * (number + 1) - 4, row, _FAINT)
            for number, row in enumerate(self.rows)
        ]
        return "\n".join(lines)

    def _rectangle(self, high: float, fill: str) -> str:
        place = f'x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{high:g}"'
        return f'<rect {place} rx="4" fill="{fill}" stroke="{_INK}"/>'


def height(rows: int) -> float:
    """That of a box with so many rows."""
    return HEAD + ROW * rows + (_PADDING if rows else 0)


def width(texts: Iterable[str]) -> float:
    """That of a box that holds these texts."""
    return max(len(text) for text in texts) * _CHARACTER + 18


def curve(
    start: tuple[float, float], end: tuple[float, float], colour: str, bends: tuple[float, float]
) -> str:
    """A line with an arrow at its end.

    Args:
        start: Where it begins.
        end: Where it ends.
        colour: Of the line, `#rrggbb`.
        bends: How far to the right it first goes, and from how far to the right it arrives;
            negative: to the left.
    """
    (x, y), (to_x, to_y), (leaves, arrives) = start, end, bends
    back = 6 if arrives > 0 else -6
    return (
        f'<path d="M{x:g} {y:g} C{x + leaves:g} {y:g} {to_x + arrives:g} {to_y:g} '
        f'{to_x:g} {to_y:g}" fill="none" stroke="{colour}" stroke-width="1.3"/>\n'
        f'<path d="M{to_x:g} {to_y:g} l{back:g} -3.5 v7 z" fill="{colour}"/>'
    )


def drop(start: tuple[float, float], end: tuple[float, float], colour: str, bend: float) -> str:
    """A line that goes down to an arrow, by `bend` straight at both ends."""
    (x, y), (to_x, to_y) = start, end
    return (
        f'<path d="M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}" '
        f'fill="none" stroke="{colour}" stroke-width="1.3"/>\n'
        f'<path d="M{to_x:g} {to_y:g} l-3.5 -6 h7 z" fill="{colour}"/>'
    )


def picture(title: str, size: tuple[float, float], parts: Iterable[str]) -> str:
    """The document, on white, so that it can be read on dark pages too."""
    wide, high = size
    extent = f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {extent} role="img">',
            f'<g font-family="{_FONT}" font-size="11">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{wide:g}" height="{high:g}" fill="{_PAPER}"/>',
            *parts,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, text: str, colour: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{weight}>{escape(text)}</text>'
