"""What was on the screen, and when: frames of a film of the page, and what pixels tell of charts. Knows no contestant and no
browser: lines are what is coloured, whoever drew them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

COLOURED = 32
"""How far apart a pixel's channels are in a line; axes, grids and their numbers are greyer. Dark lines, slate say, have less:"""
COLOURED_DARK, SHARE_DARK = 24, 0.27
"""this, if it is so large a share of the brightest channel."""
SAME = 48
"""How far a channel may be off in pixels that count as the same."""
LEAST = 60
"""Coloured pixels that a chart with a line has at least."""
DRAWN, BEGUN = 0.95, 0.2
"""Share of the lines' last pixels that are there in a chart that is drawn, and in one that has begun to be."""
TALL = 0.4
"""Share of a chart's height by which a spike stands out at least."""
CHANGED = 0.002
"""Share of pixels by which two pictures differ at least that show something else."""

Pixels = np.ndarray


@dataclass(frozen=True)
class Box:
    """A rectangle of the screen, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, screen: Pixels) -> Pixels:
        return screen[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True)
class Frame:
    """A picture of the page and when it was on the screen, in Unix seconds."""

    at: float
    data: bytes

    def pixels(self) -> Pixels:
        return decoded(self.data)


def decoded(data: bytes) -> Pixels:
    """Rows × columns × red, green, blue."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def lines_in(chart: Pixels) -> Pixels:
    """Which pixels belong to lines."""
    brightest = chart.max(axis=2).astype(np.int16)
    apart = brightest - chart.min(axis=2)
    found: Pixels = (apart > COLOURED) | ((apart > COLOURED_DARK) & (apart > SHARE_DARK * brightest))
    return found


def has_line(chart: Pixels) -> bool:
    return int(lines_in(chart).sum()) >= LEAST


def there(chart: Pixels, last: Pixels) -> float:
    """The share of the lines' last pixels that this picture of the same chart has."""
    if chart.shape != last.shape:
        return 0.0
    wanted = lines_in(last)
    if not wanted.any():
        return 0.0
    off = np.abs(chart.astype(np.int16) - last.astype(np.int16)).max(axis=2)
    return float((off <= SAME)[wanted].mean())


def differs(one: Pixels, other: Pixels) -> bool:
    """Whether two pictures show something else."""
    if one.shape != other.shape:
        return True
    off = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2)
    return bool((off > SAME).mean() > CHANGED)


def reached(
    film: Sequence[Frame], boxes: Sequence[Box], share: float, last: Pixels, since: float = 0.0
) -> float | None:
    """When, from a moment on, all charts had this share of their last lines for the first time; None if there is no such time. What
    flickers later, as pages do that fetch all anew every few seconds, does not count against it."""
    goals = [box.of(last) for box in boxes]
    if not boxes or not all(has_line(goal) for goal in goals):
        return None
    for frame in film:
        if frame.at < since:
            continue
        screen = frame.pixels()
        if all(there(box.of(screen), goal) >= share for box, goal in zip(boxes, goals, strict=True)):
            return frame.at
    return None


def first_line(film: Sequence[Frame], boxes: Sequence[Box], last: Pixels) -> float | None:
    """When any of the charts had a good part of its last lines for the first time. What is coloured in its place before, as a logo
    while the page loads, is no line."""
    return next(
        (
            frame.at
            for frame in film
            for screen in [frame.pixels()]
            if any(there(box.of(screen), box.of(last)) >= BEGUN for box in boxes)
        ),
        None,
    )


def first_change(film: Sequence[Frame], box: Box, before: Pixels, since: float) -> float | None:
    """When the chart first looked otherwise than before, from a moment on."""
    goal = box.of(before)
    for frame in film:
        if frame.at >= since and differs(box.of(frame.pixels()), goal):
            return frame.at
    return None


@dataclass(frozen=True)
class Peak:
    """The highest place of a chart's lines: its column and row in pixels, where that is as a share of the lines' width, how far it is
    above their usual level as a share of the chart's height, and how many columns reach above half of that."""

    x: int
    top: int
    place: float
    height: float
    width: int


def peak(chart: Pixels) -> Peak | None:
    """None where no line is."""
    lines = lines_in(chart)
    columns = np.flatnonzero(lines.any(axis=0))
    if len(columns) < 2:
        return None
    tops = lines[:, columns].argmax(axis=0)
    top, level = int(tops.min()), float(np.median(tops))
    x = int(np.median(columns[tops <= top + 1]))
    place = (x - int(columns[0])) / (int(columns[-1]) - int(columns[0]))
    return Peak(x, top, place, (level - top) / lines.shape[0], int((tops < (level + top) / 2).sum()))


def spike_is_seen(chart: Pixels, place: float, near: float = 0.02) -> bool:
    """Whether the lines rise over a good part of the chart's height where the spike is, and only there."""
    found = peak(chart)
    return (
        found is not None
        and found.height > TALL
        and abs(found.place - place) <= near
        and found.width < chart.shape[1] / 4
    )
