"""A drawing of dots in a terminal: two by four to a character, each with the colour of what was drawn last. Pure.

Coordinates are dots, (0, 0) at the lower left. Where a line is known by its mark and not by its colour, or where there is no
Unicode, a character is that mark.
"""

from __future__ import annotations

ACROSS = 2
UP = 4
"""Dots of a character."""

_BITS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Of the dot (x, y) of a character, y from below."""
_BRAILLE = 0x2800


class Canvas:
    """`width` × `height` characters."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._dots = [[0] * width for _ in range(height)]
        self._inks = [[-1] * width for _ in range(height)]

    def dot(self, x: int, y: int, ink: int) -> None:
        """One dot; outside of the canvas, nothing."""
        column, row = x // ACROSS, y // UP
        if 0 <= column < self.width and 0 <= row < self.height:
            self._dots[row][column] |= _BITS[x % ACROSS][y % UP]
            self._inks[row][column] = ink

    def line(self, start: tuple[int, int], stop: tuple[int, int], ink: int) -> None:
        """The dots from one to the other, both included."""
        (x0, y0), (x1, y1) = start, stop
        steps = max(abs(x1 - x0), abs(y1 - y0))
        for i in range(steps + 1):
            self.dot(x0 + _share(x1 - x0, i, steps), y0 + _share(y1 - y0, i, steps), ink)

    def blot(self, x: int, y: int, ink: int) -> None:
        """A dot large enough to be found when it is the only one."""
        x, y = x // ACROSS * ACROSS, y // UP * UP + min(y % UP, UP - 2)
        for place in ((x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)):
            self.dot(*place, ink)

    def rows(self, marks: str | None = None) -> list[list[tuple[str, int]]]:
        """From the top, each row as (text, ink) pieces; ink -1 is blank. `marks` has a character for each ink, instead of dots."""
        return [self._row(row, marks) for row in range(self.height - 1, -1, -1)]

    def _row(self, row: int, marks: str | None) -> list[tuple[str, int]]:
        pieces: list[tuple[str, int]] = []
        for dots, ink in zip(self._dots[row], self._inks[row], strict=True):
            char = " " if not dots else chr(_BRAILLE + dots) if marks is None else marks[ink % len(marks)]
            if pieces and pieces[-1][1] == ink:
                pieces[-1] = (pieces[-1][0] + char, ink)
            else:
                pieces.append((char, ink))
        return pieces


def _share(distance: int, part: int, parts: int) -> int:
    return (2 * distance * part + parts) // (2 * parts) if parts else 0
