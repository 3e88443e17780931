"""The picture of the rooms of `tap_stripe_conn/` and who calls whom: `python -m tools.house`.

It is drawn from the imports of the code; a line that follows from others is left out.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools import drawing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "tap_stripe_conn"
PICTURE = ROOT / "docs" / "house.svg"

_ACROSS, _DOWN, _MARGIN = 26, 46, 24
_COLOURS = ("#3b5bdb", "#2b8a3e", "#c2255c", "#e8590c", "#6741d9", "#0b7285")


def main() -> int:
    """Write the picture, or with `--check` only say whether that would change it."""
    drawn = picture(calls())
    if "--check" in sys.argv[1:]:
        return int(drawn != PICTURE.read_text(encoding="utf-8"))
    PICTURE.write_text(drawn, encoding="utf-8")
    return 0


def calls() -> dict[str, set[str]]:
    """The rooms that each room imports when it runs, itself left out."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        room = file.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
        if not room.startswith("__"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found.setdefault(room, set()).update(set(_imported(tree)) - {room})
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    """The rooms of this package that are imported below a node, but for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{PACKAGE}."):
            yield str(node.module).split(".")[1]
        else:
            yield from _imported(node)


def picture(called: Mapping[str, set[str]]) -> str:
    """The rooms as SVG, each above all that it calls.

    Args:
        called: Room -> the rooms that it calls.
    """
    boxes = _boxes(called)
    above = sorted(boxes, key=lambda room: boxes[room].y)
    lines = [
        _line(boxes[room], boxes[other], _COLOURS[at % len(_COLOURS)])
        for at, room in enumerate(above)
        for other in sorted(_directly(room, called))
    ]
    size = (
        max(box.x + box.width for box in boxes.values()) + _MARGIN,
        max(box.y + box.height for box in boxes.values()) + _MARGIN,
    )
    return drawing.picture(
        f"The rooms of {PACKAGE}, each above all that it calls",
        size,
        [*lines, *(box.svg() for box in boxes.values())],
    )


def _directly(room: str, called: Mapping[str, set[str]]) -> set[str]:
    """What a room calls and does not reach through another."""
    return {
        other
        for other in called[room]
        if not any(other in _reached(via, called) for via in called[room] - {other})
    }


def _reached(room: str, called: Mapping[str, set[str]]) -> set[str]:
    return called[room].union(*(_reached(other, called) for other in called[room]))


def _boxes(called: Mapping[str, set[str]]) -> dict[str, drawing.Box]:
    levels: dict[int, list[str]] = {}
    for room in sorted(called):
        levels.setdefault(_depth(room, called), []).append(room)
    boxes: dict[str, drawing.Box] = {}
    y = float(_MARGIN)
    for depth in sorted(levels, reverse=True):
        rooms = sorted(levels[depth], key=lambda room: _middle(room, called, boxes))
        x = float(_MARGIN)
        for room in rooms:
            boxes[room] = drawing.Box(room, (), x, y, drawing.width([room]) + 8)
            x += boxes[room].width + _ACROSS
        y += drawing.HEAD + _DOWN
    return _centred(boxes)


def _depth(room: str, called: Mapping[str, set[str]]) -> int:
    """How many floors are below a room."""
    return 1 + max((_depth(other, called) for other in called[room]), default=-1)


def _middle(room: str, called: Mapping[str, set[str]], boxes: Mapping[str, drawing.Box]) -> float:
    """Where the rooms stand that call a room."""
    places = [box.x + box.width / 2 for other, box in boxes.items() if room in called[other]]
    return sum(places) / len(places) if places else 0.0


def _centred(boxes: Mapping[str, drawing.Box]) -> dict[str, drawing.Box]:
    widest = max(box.x + box.width for box in boxes.values())
    floors: dict[float, float] = {}
    for box in boxes.values():
        floors[box.y] = max(floors.get(box.y, 0.0), box.x + box.width)
    return {
        room: drawing.Box(
            box.title, box.rows, box.x + (widest - floors[box.y]) / 2, box.y, box.width
        )
        for room, box in boxes.items()
    }


def _line(caller: drawing.Box, other: drawing.Box, colour: str) -> str:
    start = (caller.x + caller.width / 2, caller.y + caller.height)
    end = (other.x + other.width / 2, other.y)
    return drawing.drop(start, end, colour, _DOWN * 0.8)


if __name__ == "__main__":
    sys.exit(main())
