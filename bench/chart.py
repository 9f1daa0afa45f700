"""A horizontal bar chart on a logarithmic scale, as SVG written by hand: no library, and a file that diffs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 960, 190, 300, 84, 34, 20
INK, FAINT, GRID, FILL, OWN = "#1f2933", "#616e7c", "#e4e7eb", "#9fb3c8", "#2563eb"


@dataclass(frozen=True)
class Bar:
    """One contestant: its name, its value, the value as text, and a remark in grey behind it."""

    title: str
    value: float
    label: str
    note: str = ""
    highlighted: bool = False


def bars(title: str, remark: str, values: list[Bar], unit: str = "µs") -> str:
    """The picture. Powers of ten are marked; the axis begins at the one below the smallest value."""
    low = math.floor(math.log10(min((bar.value for bar in values), default=1.0)))
    high = math.ceil(math.log10(max((bar.value for bar in values), default=10.0)))
    height = TOP + ROW * len(values) + 34

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / max(high - low, 1) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="14" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(24, 34, title, size=17, weight=600),
        text(24, 56, remark, size=13, colour=FAINT),
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {TOP - 6}V{height - 30}" stroke="{GRID}"/>')
        parts.append(text(at, height - 12, f"{10.0**power:,g} {unit}", anchor="middle", colour=FAINT, size=12))
    for row, bar in enumerate(values):
        parts += one_bar(bar, TOP + row * ROW, x(bar.value))
    return "\n".join([*parts, "</svg>", ""])


def one_bar(bar: Bar, y: float, end: float) -> list[str]:
    middle, fill, weight = y + BAR / 2 + 5, OWN if bar.highlighted else FILL, 600 if bar.highlighted else 400
    return [
        text(LEFT - 12, middle, bar.title, anchor="end", weight=weight),
        f'<rect x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="{BAR}" rx="2" fill="{fill}"/>',
        f'<text x="{end + 8:.1f}" y="{middle}" fill="{INK}" font-weight="{weight}">{escape(bar.label)}'
        f'<tspan dx="10" fill="{FAINT}" font-weight="400" font-size="12">{escape(bar.note)}</tspan></text>',
    ]


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: int = 14, weight: int = 400
) -> str:
    style = f'text-anchor="{anchor}" fill="{colour}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:g}" {style}>{escape(words)}</text>'
