"""Figures that know where they come from: every number of the page names its field of report.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from markupsafe import Markup

__all__ = ["FORMATS", "Figure", "Formatter", "resolve"]


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) points at.

    Examples
    --------
    >>> resolve({"a": [{"b": 3}]}, "/a/0/b")
    3
    """
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


class Figure:
    """A part of report.json, and its JSON pointer.

    Parts are reached as attributes or items, elements by iterating. A figure is true where its value is. In a
    page it writes itself as text, isolated from the direction of what stands around it; a number has to be
    given a format.
    """

    __slots__ = ("_pointer", "_value")

    def __init__(self, value: Any, pointer: str = "") -> None:
        self._value = value
        self._pointer = pointer

    @property
    def raw(self) -> Any:
        """The value itself."""
        return self._value

    @property
    def pointer(self) -> str:
        """Where in report.json it stands."""
        return self._pointer

    def __getitem__(self, key: str | int) -> Figure:
        name = str(key).replace("~", "~0").replace("/", "~1")
        return Figure(self._value[key], f"{self._pointer}/{name}")

    def __getattr__(self, name: str) -> Figure:
        if isinstance(self._value, Mapping) and name in self._value:
            return self[name]
        raise AttributeError(f"{self._pointer or 'the report'} has no {name!r}")

    def __iter__(self) -> Iterator[Figure]:
        keys = self._value if isinstance(self._value, Mapping) else range(len(self._value))
        return (self[key] for key in keys)

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return bool(self._value == (other._value if isinstance(other, Figure) else other))

    def __hash__(self) -> int:
        return hash(self._pointer)

    def __html__(self) -> Markup:
        if not isinstance(self._value, str):
            raise TypeError(f"{self._pointer} is {self._value!r}: give it a format")
        return Markup('<bdi data-from="{}">{}</bdi>').format(self._pointer, self._value)

    def __str__(self) -> str:
        return self.__html__()


def _plain(scale: float, spec: str) -> Callable[[float], str]:
    def written(value: float) -> str:
        # 0 is added after rounding, so that what rounds to 0 from below is not shown as -0
        digits = int(spec.split(".")[1][0]) if "." in spec else 0
        return format(round(scale * value, digits) + 0.0, spec)

    return written


def _significant(value: float) -> str:
    """Three significant digits, thousands apart: 0.0123, 4.56, 1,230."""
    rounded = float(f"{value:.3g}")
    if rounded == 0 or abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    digits = 2 - int(f"{rounded:e}".split("e")[1])
    return f"{rounded:,.{digits}f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


FORMATS: dict[str, Callable[[float], str]] = {
    "percent": _plain(100, ".1f"),
    "points": _plain(100, "+.1f"),
    "count": _plain(1, ",.0f"),
    "decimal": _plain(1, ".3f"),
    "significant": _significant,
    "p": _p,
}
"""How a number is written: shares in percent, differences in points, whole numbers, and so on."""


class Formatter:
    """Writes figures into a page.

    Parameters
    ----------
    missing : str
        What stands in the place of a figure that is not known: "not measured".
    """

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def number(self, figure: Figure, name: str) -> Markup:
        """Write a number in the format of this name, with its source and its exact value."""
        if figure.raw is None:
            return Markup('<span class="missing" data-from="{}">{}</span>').format(
                figure.pointer, self.missing
            )
        text = FORMATS[name](figure.raw).replace("-", "−")
        return Markup('<data value="{}" data-from="{}" data-as="{}">{}</data>').format(
            json.dumps(figure.raw), figure.pointer, name, text
        )

    def interval(self, figure: Figure, name: str = "percent", value: str = "value") -> Markup:
        """Write an estimate and its 95 % interval where it is known: 98.1 [96.2, 99.1]."""
        if figure.raw is None:
            return self.number(figure, name)
        estimate = self.number(figure[value], name)
        if figure.raw.get("low") is None:
            return estimate
        low, high = (self.number(figure[end], name) for end in ("low", "high"))
        return Markup('{} <span class="interval">[{}, {}]</span>').format(estimate, low, high)
