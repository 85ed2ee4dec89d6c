"""Charts and the circuit as inline SVG, coloured by the page's style sheet: they follow light and dark.

A mark names the fields of report.json that it stands for. The numbers along an axis are no figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qdllm.circuits import Circuit
from qdllm.circuits.drawing import columns
from qdllm.compare.report import pareto_front
from qdllm.report.numbers import Figure

__all__ = ["Point", "Series", "draw_circuit", "intervals", "lines", "reliability", "scatter"]

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 16, 48
_LOG_FROM = 3  # times the smallest cost: above that, a cost is drawn on a logarithmic axis
_LINE = 14  # height of a label


@dataclass(frozen=True)
class Point:
    """A mark: where it stands, by two figures, its class in the style, and what is written beside it."""

    x: Figure
    y: Figure
    kind: str
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points that a line joins."""

    points: Sequence[Point]
    label: str
    kind: str


@dataclass(frozen=True)
class _Axis:
    """From values to places along an axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def over(
        cls, values: Iterable[float], start: float, end: float, *, log: bool, pad: float = 0.06
    ) -> _Axis:
        known = [math.log10(value) if log else value for value in values]
        low, high = min(known), max(known)
        margin = pad * (high - low) or abs(low) * 0.05 or 1.0
        return cls(low - margin, high + margin, start, end, log)

    def place(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        return self.start + (at - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            several = [10.0**power for power in whole]
            if len(several) >= 2:
                return several
            steps = [
                m * 10.0**p for p in range(math.floor(self.low), math.ceil(self.high) + 1) for m in (1, 2, 5)
            ]
            return [value for value in steps if self.low <= math.log10(value) <= self.high]
        step = 10 ** math.floor(math.log10(self.high - self.low))
        while (self.high - self.low) / step < 3:
            step /= 2
        while (self.high - self.low) / step > 7:
            step *= 2
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]


def scatter(points: Sequence[Point], *, title: Markup, x_label: Markup, y_label: Markup) -> Markup:
    """Draw points by a cost and a share; a line joins those that no other beats in both."""
    costs = [p.x.raw for p in points]
    x = _Axis.over(costs, _LEFT, _WIDTH - _RIGHT, log=max(costs) > _LOG_FROM * min(costs))
    y = _Axis.over((p.y.raw for p in points), _HEIGHT - _BOTTOM, _TOP, log=False)
    parts = _frame(x, y, x_label, y_label, _si, _percent)
    front = pareto_front([(p.x.raw, p.y.raw) for p in points])
    path = " ".join(f"{x.place(cost):.1f},{y.place(share):.1f}" for cost, share in front)
    parts.append(Markup('<polyline class="front" points="{}"/>').format(path))
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: -p.y.raw):
        at_x, at_y = x.place(point.x.raw), y.place(point.y.raw)
        label_y = _free(taken, at_x, at_y + 4)
        parts.append(_mark(at_x, at_y, point.kind, point.x, point.y))
        parts.append(
            Markup('<line class="leader" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
                at_x, at_y, at_x + 8, label_y - 4
            )
        )
        parts.append(_text(at_x + 10, label_y, point.label))
    return _svg(parts, title)


def lines(series: Sequence[Series], *, title: Markup, x_label: Markup, y_label: Markup) -> Markup:
    """Draw lines on two logarithmic axes, each named at its end."""
    points = [point for one in series for point in one.points]
    x = _Axis.over((p.x.raw for p in points), _LEFT, _WIDTH - _RIGHT, log=True, pad=0.02)
    y = _Axis.over((p.y.raw for p in points), _HEIGHT - _BOTTOM, _TOP, log=True)
    parts = _frame(x, y, x_label, y_label, _si, _si)
    parts += _joined(series, x, y)
    return _svg(parts, title)


def reliability(series: Sequence[Series], *, title: Markup, x_label: Markup, y_label: Markup) -> Markup:
    """Draw accuracy against confidence, both shares, with the diagonal where they are equal."""
    low = min(min(p.x.raw, p.y.raw) for one in series for p in one.points)
    x = _Axis(low - 0.03, 1.03, _LEFT, _WIDTH - _RIGHT, log=False)
    y = _Axis(low - 0.03, 1.03, _HEIGHT - _BOTTOM, _TOP, log=False)
    parts = _frame(x, y, x_label, y_label, _percent, _percent)
    ends = (x.place(low), y.place(low), x.place(1), y.place(1))
    parts.append(
        Markup('<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(*ends)
    )
    parts += _joined(series, x, y)
    return _svg(parts, title)


def intervals(rows: Sequence[tuple[Figure, str]], *, title: Markup, x_label: Markup) -> Markup:
    """Draw differences with their intervals, one under the other, and the line where there is none."""
    height = _TOP + 26 * len(rows) + _BOTTOM
    values = [row[end].raw for row, _ in rows for end in ("low", "high")]
    x = _Axis.over([*values, 0.0], 190, _WIDTH - 24, log=False)
    bottom = height - _BOTTOM
    parts = [_tick_x(x.place(value), bottom, _points(value)) for value in x.ticks()]
    parts.append(
        Markup('<line class="zero" x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}"/>').format(
            x.place(0.0), _TOP, bottom
        )
    )
    for place, (row, label) in enumerate(rows):
        y = _TOP + 26 * place + 14
        low, value, high = (x.place(row[name].raw) for name in ("low", "value", "high"))
        parts.append(_text(180, y + 4, label, anchor="end"))
        parts.append(
            Markup('<line class="whisker" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(low, y, high, y)
        )
        parts.append(_mark(value, y, "student", row["low"], row["value"], row["high"]))
    parts.append(_text((190 + _WIDTH - 24) / 2, height - 8, x_label, anchor="middle"))
    return _svg(parts, title, height)


def draw_circuit(circuit: Circuit, *, title: Markup) -> Markup:
    """Draw the gates of a circuit on its wires, from left to right."""
    placed = columns(circuit)
    step, rise, left = 30, 26, 34
    width, height = left + step * len(placed) + 12, rise * circuit.n_qubits + 8

    def at(qubit: int) -> float:
        return rise * (qubit + 0.5) + 4

    parts = []
    for qubit in range(circuit.n_qubits):
        parts.append(_text(4, at(qubit) + 4, Markup("q{}").format(qubit)))
        parts.append(
            Markup('<line class="wire" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                left - 6, at(qubit), width - 6, at(qubit)
            )
        )
    for place, column in enumerate(placed):
        x = left + step * (place + 0.5)
        for gate in column:
            ends = (at(min(gate.qubits)), at(max(gate.qubits)))
            if len(gate.qubits) > 1:
                parts.append(
                    Markup('<line class="link" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(x, *ends)
                )
            for number, qubit in enumerate(gate.qubits):
                parts.append(_gate(gate.name, number, x, at(qubit)))
    return Markup(
        '<svg class="circuit" role="img" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}{3}</svg>'
    ).format(width, height, Markup("<title>{}</title>").format(title), Markup("").join(parts))


def _gate(name: str, number: int, x: float, y: float) -> Markup:
    """Draw what a gate shows on its qubit of this number."""
    if name in ("CNOT", "CZ") and (number == 0 or name == "CZ"):
        return Markup('<circle class="control" cx="{}" cy="{}" r="4"/>').format(x, y)
    if name == "CNOT":
        ring = Markup('<circle class="target" cx="{0}" cy="{1}" r="8"/>').format(x, y)
        return ring + Markup('<path class="link" d="M{} {}v16"/>').format(x, y - 8)
    kind = "two" if name in ("RZZ", "RXX", "RYY", "SWAP") else "one"
    box = Markup('<rect class="gate {}" x="{}" y="{}" width="26" height="18" rx="3"/>').format(
        kind, x - 13, y - 9
    )
    return box + _text(x, y + 4, name, anchor="middle")


def _joined(series: Sequence[Series], x: _Axis, y: _Axis) -> list[Markup]:
    """Draw lines with their points, each named at its end."""
    parts, taken = list[Markup](), list[tuple[float, float]]()
    for one in series:
        places = [(x.place(p.x.raw), y.place(p.y.raw)) for p in one.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(one.kind, path))
        parts += [_mark(*place, p.kind, p.x, p.y) for p, place in zip(one.points, places, strict=True)]
        end_x, end_y = places[-1]
        parts.append(_text(end_x + 10, _free(taken, end_x, end_y + 4), one.label))
    return parts


def _frame(
    x: _Axis,
    y: _Axis,
    x_label: Markup,
    y_label: Markup,
    write_x: Callable[[float], str],
    write_y: Callable[[float], str],
) -> list[Markup]:
    """Draw grid, ticks and the names of the axes."""
    bottom = _HEIGHT - _BOTTOM
    parts = [_tick_x(x.place(value), bottom, write_x(value)) for value in x.ticks()]
    for value in y.ticks():
        at = y.place(value)
        parts.append(
            Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(
                _LEFT, at, _WIDTH - _RIGHT, at
            )
        )
        parts.append(_text(_LEFT - 6, at + 4, write_y(value), anchor="end", kind="tick"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 8, x_label, anchor="middle"))
    turned = Markup('<g transform="translate(14 {}) rotate(-90)">{}</g>')
    parts.append(turned.format((_TOP + bottom) / 2, _text(0, 0, y_label, anchor="middle")))
    return parts


def _tick_x(at: float, bottom: float, written: str) -> Markup:
    grid = Markup('<line class="grid" x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}"/>').format(at, _TOP, bottom)
    return grid + _text(at, bottom + 16, written, anchor="middle", kind="tick")


def _mark(x: float, y: float, kind: str, *figures: Figure) -> Markup:
    """Draw a dot that names the figures it stands for."""
    sources = " ".join(figure.pointer for figure in figures)
    mark = Markup('<circle class="mark {}" cx="{:.1f}" cy="{:.1f}" r="5" data-from="{}"/>')
    return mark.format(kind, x, y, sources)


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "name") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, text
    )


def _svg(parts: Sequence[Markup], title: Markup, height: int = _HEIGHT) -> Markup:
    return Markup('<svg class="chart" role="img" viewBox="0 0 {} {}"><title>{}</title>{}</svg>').format(
        _WIDTH, height, title, Markup("").join(parts)
    )


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """Return the height at or below y where a label stands on no other, and take it."""
    for other_x, other_y in sorted(taken, key=lambda place: place[1]):
        if abs(other_x - x) < 110 and abs(other_y - y) < _LINE:
            y = other_y + _LINE
    taken.append((x, y))
    return y


def _si(value: float) -> str:
    """Write a cost along an axis: 1, 10, 2k, 5M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:g}"


def _percent(value: float) -> str:
    return f"{100 * value:.4g}"


def _points(value: float) -> str:
    return f"{100 * value:+.3g}".replace("-", "−") if abs(value) > 1e-12 else "0"
