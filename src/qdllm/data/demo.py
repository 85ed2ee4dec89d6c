"""The three demonstration tasks, read from fetched assets."""

import bz2
import csv
import email
import email.header
import io
import re
from collections.abc import Callable
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

from qdllm.data.assets import asset_path
from qdllm.data.dataset import MAX_TEXT_CHARS, TextDataset, deduplicate
from qdllm.errors import ConfigError

__all__ = ["DEMO_TASKS", "load_demo"]


def load_demo(task: str) -> TextDataset:
    """Return the texts and labels of a demonstration task, each text once.

    - "reviews": snippets of film reviews, fresh or rotten; groups are the films (plots are left out).
    - "news": BBC articles, title and body, in five topics.
    - "spam": e-mails, ham or spam, as subject and body. All other headers are left out, because they give the
      class away (the route, the mail program, the checker's verdict). Of the body the plain text is kept, or
      where there is none the HTML without its tags; attachments are left out. What mailing lists write into
      subjects and bodies stays. Longer e-mails are cut at `MAX_TEXT_CHARS` characters.

    Raises
    ------
    ConfigError
        If there is no such task.
    RequestError
        If its asset has not been fetched; the message gives the command.
    """
    if task not in _READERS:
        raise ConfigError(f"no demonstration task {task!r}; there are {', '.join(DEMO_TASKS)}")
    dataset, _ = deduplicate(_READERS[task](asset_path(task)))
    return dataset


def _read_reviews(folder: Path) -> TextDataset:
    content = bz2.decompress((folder / "rotten_tomatoes_corpus_full.csv.bz2").read_bytes()).decode()
    rows = [row for row in csv.DictReader(io.StringIO(content, newline="")) if row["category"] != "plot"]
    return TextDataset.from_lists(
        [row["text"] for row in rows],
        [row["category"] for row in rows],
        [row["movie_name"] for row in rows],
        name="reviews",
    )


def _read_news(folder: Path) -> TextDataset:
    files = sorted(folder.glob("*/*.txt"))
    texts = [_decode(file.read_bytes(), "utf-8").strip() for file in files]
    return TextDataset.from_lists(texts, [file.parent.name for file in files], name="news")


def _read_spam(folder: Path) -> TextDataset:
    texts: list[str] = []
    labels: list[str] = []
    for file in sorted(folder.glob("*/*.txt")):
        text = _email_text(email.message_from_bytes(file.read_bytes()))
        if text:
            texts.append(text[:MAX_TEXT_CHARS])
            labels.append("spam" if file.parent.name.startswith("spam") else "ham")
    return TextDataset.from_lists(texts, labels, name="spam")


_READERS: dict[str, Callable[[Path], TextDataset]] = {
    "reviews": _read_reviews,
    "news": _read_news,
    "spam": _read_spam,
}

DEMO_TASKS: tuple[str, ...] = tuple(_READERS)
"""The tasks of `load_demo`."""


def _email_text(message: Message) -> str:
    bodies = {"text/plain": "", "text/html": ""}
    for part in message.walk():
        kind = part.get_content_type()
        if kind in bodies and part.get_content_disposition() != "attachment":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                bodies[kind] += _decode(payload, part.get_content_charset() or "utf-8") + "\n"
    body = bodies["text/plain"] if bodies["text/plain"].strip() else _without_tags(bodies["text/html"])
    text = f"{_subject(message)}\n{body}".replace("\0", " ")
    return re.sub(r"[ \t\r\f\v\xa0]*\n\s*", "\n", text).strip()


def _subject(message: Message) -> str:
    words = email.header.decode_header(message.get("Subject", ""))
    return "".join(
        word if isinstance(word, str) else _decode(word, charset or "utf-8") for word, charset in words
    )


def _decode(content: bytes, charset: str) -> str:
    """Decode by the stated character set or, where that is wrong or unknown, as Western Windows."""
    try:
        return content.decode(charset)
    except (LookupError, UnicodeError):
        return content.decode("cp1252", errors="replace")


def _without_tags(html: str) -> str:
    parser = _TextOfHtml()
    parser.feed(html)
    parser.close()
    return "".join(parser.pieces)


class _TextOfHtml(HTMLParser):
    _HIDDEN = frozenset({"script", "style", "title"})
    _INLINE = frozenset(
        {"a", "b", "big", "em", "font", "i", "small", "span", "strong", "sub", "sup", "tt", "u"}
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in self._HIDDEN:
            self._hidden = tag
        elif tag not in self._INLINE:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        elif tag not in self._INLINE:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)
