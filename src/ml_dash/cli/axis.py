"""Axes: from numbers to dots, and which numbers stand beside them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

_FAR = 1e300
"""Beyond it values stand at the end of the axis: the difference of the largest floats overflows."""
_NEAR = 1e-290
"""Smaller ones are taken for 0: their differences are lost to rounding."""
_LITTLE = 0.15
"""Share of an axis that may stay empty for the sake of a round number at its end."""
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Axis:
    """The span of `values` (finite, at least one) over `dots` dots, 0 to dots - 1. `log` takes positive values only."""

    def __init__(self, values: Iterable[float], dots: int, *, log: bool = False, whole: bool = False) -> None:
        scaled = [math.log10(value) if log else min(max(value, -_FAR), _FAR) for value in values]
        self.low, self.high = min(scaled), max(scaled)
        greatest = max(abs(self.low), abs(self.high))
        if self.high - self.low <= max(1e-12 * greatest, _NEAR):
            margin = 0.5 if whole else 1.0 if log or greatest < _NEAR else greatest * 0.1
            self.low, self.high = self.low - margin, self.high + margin
        if log:
            self.low, self.high = max(self.low, -323.0), min(self.high, 308.0)  # where powers of ten end
        self.dots = dots
        self.log = log
        self.whole = whole

    def widened(self, most: int) -> Axis:
        """This axis, begun and ended at round numbers where that takes little room. `most`: see `ticks`."""
        if self.log:
            return self
        step, little = self._step(most), (self.high - self.low) * _LITTLE
        low, high = math.floor(self.low / step) * step, math.ceil(self.high / step) * step
        self.low = low if self.low - low < little else self.low
        self.high = high if high - self.high < little else self.high
        return self

    def place(self, value: float) -> int:
        """The dot of a value; below the axis or not positive on a logarithmic one: the lowest."""
        if self.log:
            if value <= 0:
                return 0
            value = math.log10(value)
        share = (min(max(value, -_FAR), _FAR) - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * (self.dots - 1))

    def ticks(self, most: int) -> list[tuple[int, str]]:
        """(dot, text) of round numbers, about `most` of them."""
        values = self._decades(most) if self.log else _multiples(self.low, self.high, self._step(most))
        # Beside a logarithmic axis each number says its own size; elsewhere all have the same decimals.
        texts = [labels([value])[0] for value in values] if self.log else labels(values)
        return [(self.place(value), text) for value, text in zip(values, texts, strict=True)]

    def _step(self, most: int) -> float:
        step = round_step((self.high - self.low) / max(most, 1))
        return max(step, 1.0) if self.whole else step

    def _decades(self, most: int) -> list[float]:
        """Powers of ten; where these are few, numbers between them as well."""
        low, high = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        if high - low >= 2:
            every = max(1, math.ceil((high - low + 1) / max(most, 1)))
            return [10.0**i for i in range(low, high + 1, every)]
        between = [m * 10.0**e for e in range(low - 1, high + 1) for m in (1, 2, 5)]
        # Below the least float there is a 0, which has no logarithm.
        inside = [value for value in between if value and self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9]
        if len(inside) > 1:
            return inside
        low_value, high_value = 10.0**self.low, 10.0**self.high
        return _multiples(low_value, high_value, round_step((high_value - low_value) / max(most, 1)))


def _multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of `step` from `low` to `high`."""
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if not step > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= step * (1 - 1e-9)), 10.0 * power)


def labels(values: list[float]) -> list[str]:
    """The values in as few digits as tell them apart, large ones as k, M, G, T."""
    if not values:
        return []
    for digits in range(17):
        texts = [_label(value, digits, max(map(abs, values))) for value in values]
        if len(set(texts)) == len(values) and all(_read(t, v) for t, v in zip(texts, values, strict=True)):
            return texts
    return [repr(value) for value in values]


def _label(value: float, digits: int, greatest: float) -> str:
    if value == 0:
        return "0"
    if 1e-4 <= greatest < 1e4:
        return f"{value:.{digits}f}"
    for unit, letter in _UNITS:
        if unit <= greatest < 1e15:
            return f"{value / unit:.{digits}f}{letter}"
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def _read(text: str, value: float) -> bool:
    """Whether the text says the value, but for what rounding left of it."""
    unit = next((unit for unit, letter in _UNITS if text.endswith(letter)), 1.0)
    said = float(text.rstrip("kMGT")) * unit
    return math.isclose(said, value, rel_tol=1e-9, abs_tol=0.0)
