"""Horizontal bars as SVG, readable on light and dark pages: text and grid follow the reader's colour scheme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LABEL_WIDTH, ROW_HEIGHT, BAR_HEIGHT, TOP = 890, 345, 34, 20, 70
STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 } .small { font-size: 12px; fill: #57606a }
.ours { fill: #0969da } .theirs { fill: #a8b1bb } .bold { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .ours { fill: #4493f8 } .theirs { fill: #59636e }
}
"""


class Bar(NamedTuple):
    """One bar; `remark` stands behind its number."""

    label: str
    value: float | None
    remark: str = ""
    ours: bool = False


def draw(title: str, subtitle: str, unit: str, bars: Sequence[Bar]) -> str:
    """The picture as SVG text, the longest bar first; bars without a value are left out."""
    values = sorted(((bar.value, bar) for bar in bars if bar.value), key=lambda one: -one[0])
    height, room = TOP + ROW_HEIGHT * len(values) + 12, WIDTH - LABEL_WIDTH - 210
    rows = [_row(place, bar, value, room / values[0][0], unit) for place, (value, bar) in enumerate(values)]
    summary = "; ".join(f"{bar.label}: {value:.0f} {unit}" for value, bar in values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(f"{title}. {summary}")}">\n<style>{STYLE}</style>\n'
        f'<text class="title" x="0" y="22">{escape(title)}</text>\n'
        f'<text class="small" x="0" y="44">{escape(subtitle)}</text>\n' + "\n".join([*rows, "</svg>\n"])
    )


def _row(place: int, bar: Bar, value: float, scale: float, unit: str) -> str:
    y, length, bold = TOP + place * ROW_HEIGHT, max(value * scale, 2), ' class="bold"' if bar.ours else ""
    return (
        f'<text{bold} x="{LABEL_WIDTH - 12}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{"ours" if bar.ours else "theirs"}" x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" '
        f'height="{BAR_HEIGHT}" rx="3"/>'
        f'<text{bold} x="{LABEL_WIDTH + length + 8:.1f}" y="{y + 15}">{value:.{0 if value >= 10 else 1}f} '
        f'{escape(unit)}<tspan class="small" dx="8">{escape(bar.remark)}</tspan></text>'
    )
