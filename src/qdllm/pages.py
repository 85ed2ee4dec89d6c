"""Pages for people: templates, and texts by key, one TOML file a language with the same keys in each."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from qdllm.errors import ConfigError

__all__ = ["Catalogue", "templates"]


class Catalogue:
    """The texts of one language.

    Parameters
    ----------
    folder : Path
        Holds a file LANGUAGE.toml for each language, with tables of texts. ``{name}`` in a text is a place
        to fill.
    language : str
        "en" or "ja".

    Raises
    ------
    ConfigError
        If there is no such language.

    Examples
    --------
    >>> from qdllm.report import TEXTS
    >>> Catalogue(TEXTS, "en").say("part.test")
    Markup('test')
    """

    def __init__(self, folder: Path, language: str) -> None:
        known = self.languages(folder)
        if language not in known:
            raise ConfigError(f"language {language!r}: there are {', '.join(known)}")
        self.language = language
        self.texts = _flat(tomllib.loads((folder / f"{language}.toml").read_text(encoding="utf-8")))

    @staticmethod
    def languages(folder: Path) -> list[str]:
        """Return the languages of a folder, sorted."""
        return sorted(path.stem for path in folder.glob("*.toml"))

    def __contains__(self, key: str) -> bool:
        return key in self.texts

    def say(self, key: str, **places: object) -> Markup:
        """Return a text with its places filled, safe to put into HTML: what is filled in is escaped."""
        return Markup(escape(self.texts[key])).format(**places)  # noqa: S704 - escaped, and so are the places


def templates(folder: Path) -> Environment:
    """Return the templates of a folder: what is filled in is escaped, and nothing may be missing."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _flat(tables: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Join the names of nested tables and texts by dots."""
    found: dict[str, str] = {}
    for name, value in tables.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: str(value)}
    return found
