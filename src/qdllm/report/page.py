"""report.json as a page: one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from qdllm.circuits import Circuit
from qdllm.pages import Catalogue, templates
from qdllm.report import charts
from qdllm.report.numbers import FORMATS, Figure, Formatter, resolve

__all__ = ["TEXTS", "render"]

TEXTS = Path(__file__).with_name("texts")
"""The catalogues of the report."""

_TEMPLATES = Path(__file__).with_name("templates")
_PARETO = {"bytes": "bytes", "time": "microseconds_256"}


def render(figures: Mapping[str, Any], circuit: Circuit, language: str) -> str:
    """Write the page.

    Parameters
    ----------
    figures : mapping
        What `make_figures` returned: every number of the page names its field in it.
    circuit : Circuit
        To be drawn.
    language : str
        "en" or "ja".

    Raises
    ------
    ConfigError
        If there is no such language.
    """
    words = _Words(figures, Catalogue(TEXTS, language))
    environment = templates(_TEMPLATES)
    environment.filters |= {name: words.format_as(name) for name in FORMATS}
    environment.filters["interval"] = words.numbers.interval
    page = environment.get_template("report.html")
    return page.render(
        f=words.root,
        t=words.say,
        sentence=words.sentence,
        model=words.model,
        names=words.names,
        gates=words.gates,
        as_=words.numbers.number,
        language=language,
        charts=_charts(words, circuit),
        style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
    )


class _Words:
    """Texts of one language around the figures of one report."""

    def __init__(self, figures: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.root = Figure(figures)
        self.catalogue = catalogue
        self.say = catalogue.say
        self.numbers = Formatter(catalogue.say("missing"))

    def format_as(self, name: str) -> Any:
        return lambda figure: self.numbers.number(figure, name)

    def model(self, name: Figure | str) -> Markup:
        """Return what a model is called in this language, or its own name where it has no other."""
        label = self.label(name)
        return label if isinstance(label, Markup) else Markup("{}").format(name)

    def label(self, name: Figure | str) -> str:
        """Return the same without an element around it, for a chart."""
        raw = str(name.raw if isinstance(name, Figure) else name)
        return self.say(f"model.{raw}") if f"model.{raw}" in self.catalogue else raw

    def sentence(self, told: Figure) -> Markup:
        """Write a sentence that names its figures."""
        places = {name: self._place(place["from"], place["as"]) for name, place in told.raw["places"].items()}
        return self.say(told.raw["key"], **places)

    def names(self, group: str, keys: Figure) -> Markup:
        """Write several names of the catalogue as a list in a sentence."""
        return self.say("list.comma").join(self.say(f"{group}.{key}") for key in keys.raw)

    def gates(self, keys: Figure) -> Markup:
        """Write the names of gates as a list in a sentence, each with what became of it."""
        status = {gate["key"]: gate["status"] for gate in self.root.raw["gates"]}
        told = [(self.say(f"gate.name.{key}"), self.say(f"status.{status[key]}")) for key in keys.raw]
        several = [self.say("gate.with_status", name=name, status=became) for name, became in told]
        return self.say("list.comma").join(several)

    def _place(self, pointer: str, form: str) -> Markup:
        figure = Figure(resolve(self.root.raw, pointer), pointer)
        if form == "interval":
            return self.numbers.interval(figure)
        if form == "points" and isinstance(figure.raw, Mapping):
            return self.numbers.interval(figure, "points")
        if form == "model":
            return self.model(figure)
        return Markup("{}").format(figure) if form == "text" else self.numbers.number(figure, form)


def _charts(words: _Words, circuit: Circuit) -> dict[str, Markup | None]:
    """Draw what there are figures for."""
    say, f = words.say, words.root
    found: dict[str, Markup | None] = {
        "circuit": charts.draw_circuit(circuit, title=say("circuit.drawing")),
        "differences": None,
        "calibration": None,
        "sensitivity": None,
        **dict.fromkeys(_PARETO),
    }
    if f.comparison:
        found |= {kind: _pareto(words, kind, cost) for kind, cost in _PARETO.items()}
        rows = [(m.difference, words.label(m.name)) for m in f.comparison.models if m.difference]
        if rows:
            title = say("comparison.differences")
            found["differences"] = charts.intervals(rows, title=title, x_label=say("axis.points"))
    if f.calibration and (series := _reliability(words)):
        found["calibration"] = charts.reliability(
            series,
            title=say("calibration.title"),
            x_label=say("axis.confidence"),
            y_label=say("axis.accuracy"),
        )
    if f.costs.sensitivity and (series := _sensitivity(words)):
        found["sensitivity"] = charts.lines(
            series,
            title=say("costs.sensitivity"),
            x_label=say("axis.teacher_factor"),
            y_label=say("axis.break_even"),
        )
    return found


def _pareto(words: _Words, kind: str, cost: str) -> Markup | None:
    points = []
    for model in words.root.comparison.models:
        whole = model.costs[cost].whole
        if model.accuracy and whole:
            style = "student" if model.name == "student" else str(model.group.raw)
            points.append(charts.Point(whole, model.accuracy.value, style, words.label(model.name)))
    if not points:
        return None
    return charts.scatter(
        points,
        title=words.say(f"comparison.pareto_{kind}"),
        x_label=words.say(f"axis.{kind}"),
        y_label=words.say("axis.accuracy"),
    )


def _reliability(words: _Words) -> list[charts.Series]:
    several = []
    for name in ("student", "teacher"):
        if (found := words.root.calibration[name]) and found.bins:
            label = words.label(name)
            points = [charts.Point(b.confidence, b.accuracy.value, name) for b in found.bins]
            several.append(charts.Series(points, label, name))
    return several


def _sensitivity(words: _Words) -> list[charts.Series]:
    several = []
    for place, one in enumerate(words.root.costs.sensitivity):
        label = words.say("costs.project_factor", factor=f"×{one.project_factor.raw:g}")
        points = [
            charts.Point(point.teacher_factor, point.texts, f"s{place}")
            for point in one.points
            if point.texts
        ]
        if points:
            several.append(charts.Series(points, label, f"s{place}"))
    return several
