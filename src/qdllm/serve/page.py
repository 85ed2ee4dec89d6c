"""The page to try texts on, in the languages of its catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qdllm.pages import Catalogue, templates

__all__ = ["LANGUAGES", "STATIC", "page"]

_HERE = Path(__file__).parent
_TEXTS = _HERE / "texts"
STATIC = _HERE / "static"
"""Folder of the page's script and style sheet."""
LANGUAGES = Catalogue.languages(_TEXTS)
"""What the page can be read in."""


def page(name: str, models: Sequence[str], language: str, *, max_texts: int, needs_token: bool) -> str:
    """Write the page.

    Parameters
    ----------
    name : str
        What the run is called.
    models : sequence of str
        Those that can be asked.
    language : str
        One of `LANGUAGES`.
    max_texts : int
        Of one request.
    needs_token : bool
        Whether the page asks for a bearer token.
    """
    return (
        templates(_HERE / "templates")
        .get_template("page.html")
        .render(
            t=Catalogue(_TEXTS, language).say,
            name=name,
            models=models,
            language=language,
            languages=LANGUAGES,
            max_texts=max_texts,
            needs_token=needs_token,
        )
    )
