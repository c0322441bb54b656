"""Bars on a logarithmic axis, as an SVG file that looks right on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

_ROW, _LEFT, _PLOT, _RIGHT, _HEAD = 18, 250, 520, 110, 44
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.n{text-anchor:end}.h{font-weight:600;font-size:14px}"
    ".q{fill:#59636e}.a{stroke:#d1d9e0}.m{stroke:#1f2328;stroke-dasharray:4 3}.g{fill:#2f7d5b}.b{fill:#c0392b}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.q{fill:#9198a1}.a{stroke:#3d444d}.m{stroke:#e6edf3}"
    ".g{fill:#4fb286}.b{fill:#f0776a}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A name, a value above 0, and a note behind the bar."""

    name: str
    value: float
    note: str


def svg(title: str, groups: Sequence[tuple[str, Sequence[Bar]]], *, mark: float) -> str:
    """Return a picture of groups of bars; those below the marked value stand out."""
    values = [bar.value for _, bars in groups for bar in bars if bar.value > 0] or [mark]
    low, high = floor(log10(min(*values, mark))), max(ceil(log10(max(*values, mark))), floor(log10(mark)) + 1)

    def x(value: float) -> float:
        position = log10(max(value, 10.0**low)) - low
        return round(_LEFT + position / max(1, high - low) * _PLOT, 1)

    rows: list[str] = []
    y = _HEAD
    for heading, bars in groups:
        rows.append(f'<text class="h" x="12" y="{y + 14}">{escape(heading)}</text>')
        y += _ROW + 6
        for bar in bars:
            kind, end = "b" if bar.value < mark else "g", x(bar.value)
            label = f"{bar.value:.3g}, {bar.note}"
            rows.append(
                f'<text class="n" x="{_LEFT - 8}" y="{y + 13}">{escape(bar.name)}</text>'
                f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{max(1.0, round(end - _LEFT, 1))}" height="12"/>'
                f'<text class="q" x="{end + 6}" y="{y + 13}">{escape(label)}</text>'
            )
            y += _ROW
        y += 10
    axis = "".join(
        f'<line class="a" x1="{x(10.0**n)}" x2="{x(10.0**n)}" y1="{_HEAD}" y2="{y}"/>'
        f'<text class="q" text-anchor="middle" x="{x(10.0**n)}" y="{_HEAD - 6}">{10.0**n:g}</text>'
        for n in range(low, high + 1)
    )
    line = f'<line class="m" x1="{x(mark)}" x2="{x(mark)}" y1="{_HEAD}" y2="{y}"/>'
    width = _LEFT + _PLOT + _RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f'<text class="h" x="12" y="18">{escape(title)}</text>{axis}{"".join(rows)}{line}</svg>\n'
    )
