"""Horizontal bars as SVG, readable on light and dark pages: text and grid follow the reader's colour scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL_WIDTH, ROW_HEIGHT, BAR_HEIGHT, TOP = 890, 345, 34, 20, 70
STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 } .small { font-size: 12px; fill: #57606a }
.ours { fill: #0969da } .theirs { fill: #a8b1bb } .bold { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .ours { fill: #4493f8 } .theirs { fill: #59636e }
}
"""


@dataclass(frozen=True)
class Bar:
    """One bar; `remark` stands behind its number."""

    label: str
    value: float | None
    remark: str = ""
    ours: bool = False


def draw(title: str, subtitle: str, unit: str, bars: Sequence[Bar]) -> str:
    """The picture as SVG text, the longest bar first; bars without a value are left out."""
    values = {bar: bar.value for bar in bars if bar.value}
    bars = sorted(values, key=lambda bar: -values[bar])
    height = TOP + ROW_HEIGHT * len(bars) + 12
    longest = max(values.values(), default=1.0)
    room = WIDTH - LABEL_WIDTH - 210
    rows = [_row(number, bar, values[bar], room / longest, unit) for number, bar in enumerate(bars)]
    summary = "; ".join(f"{bar.label}: {values[bar]:.0f} {unit}" for bar in bars)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="{escape(f"{title}. {summary}")}">',
            f"<style>{STYLE}</style>",
            f'<text class="title" x="0" y="22">{escape(title)}</text>',
            f'<text class="small" x="0" y="44">{escape(subtitle)}</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _row(number: int, bar: Bar, found: float, scale: float, unit: str) -> str:
    y = TOP + number * ROW_HEIGHT
    base, bold = y + 15, ' class="bold"' if bar.ours else ""
    value, length = f"{found:.0f}" if found >= 10 else f"{found:.1f}", max(found * scale, 2)
    end = LABEL_WIDTH + length
    return (
        f'<text{bold} x="{LABEL_WIDTH - 12}" y="{base}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{"ours" if bar.ours else "theirs"}" x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" '
        f'height="{BAR_HEIGHT}" rx="3"/>'
        f'<text{bold} x="{end + 8:.1f}" y="{base}">{value} {escape(unit)}'
        f'<tspan class="small" dx="8">{escape(bar.remark)}</tspan></text>'
    )
