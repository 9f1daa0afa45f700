"""A series in one line of text. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"


def sparkline(values: Sequence[float], blocks: str = BLOCKS) -> str:
    """One character a value, the least lowest, the greatest highest; equal values in the middle, a blank where there is none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    # Quarters, exactly: the difference of the largest floats overflows.
    span = high / 4 - low / 4
    top = len(blocks) - 1
    text = ""
    for value in values:
        if not math.isfinite(value):
            text += " "
        elif span == 0:
            text += blocks[top // 2]
        else:
            text += blocks[round((value / 4 - low / 4) / span * top)]
    return text
