"""Pictures of the page, kept small, and compared so that other fonts and another smoothing of edges make no difference.

A picture is compared as greys of some 90 × 56: what is told apart is where things lie and how much is drawn there, not letters.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Greys = npt.NDArray[np.float64]

KEPT = 3
"""A kept picture has a third of the page's width and height, in `COLORS` colours."""
COLORS = 128
CELL = 16
"""px of the page, wide and high, that are one grey."""
BLOCK = 8
"""Greys, wide and high, that are judged together."""
MOST = 4.5
"""Of 255: how much the greys of a block may differ from those that are kept, on average. Other fonts come to 3.4 at most, a panel that
is missing or a page that has moved by 40 px to 5.7 at least."""


def kept(png: bytes) -> bytes:
    """The picture as it is kept."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    small = picture.resize((picture.width // KEPT, picture.height // KEPT), Image.Resampling.BOX)
    out = io.BytesIO()
    small.quantize(COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def greys(png: bytes) -> Greys:
    """What is compared of a kept picture."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").convert("L")
    size = (round(picture.width * KEPT / CELL), round(picture.height * KEPT / CELL))
    return np.asarray(picture.resize(size, Image.Resampling.BOX).filter(ImageFilter.BoxBlur(1)), dtype=np.float64)


def difference(png: bytes, other: bytes) -> str:
    """Where two kept pictures differ most, "" where they are alike."""
    one, two = greys(png), greys(other)
    if one.shape != two.shape:
        return f"sizes differ: {one.shape} and {two.shape}"
    off = np.abs(one - two)
    worst, at = 0.0, (0, 0)
    for y in range(0, off.shape[0] - BLOCK // 2, BLOCK // 2):
        for x in range(0, off.shape[1] - BLOCK // 2, BLOCK // 2):
            found = float(off[y : y + BLOCK, x : x + BLOCK].mean())
            if found > worst:
                worst, at = found, (x * CELL, y * CELL)
    return f"{worst:.1f} of 255 around {at[0]}, {at[1]} px of the page; {MOST} is allowed" if worst > MOST else ""
