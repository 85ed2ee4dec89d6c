"""A page as a browser would read it: elements, and what stands in them."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input", "circle", "line", "rect", "path", "polyline"}


class Page(HTMLParser):
    """Elements in order, and every text with the elements around it."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(source)
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open[-1][0] == tag, (self._open[-1], tag, self.getpos())
        self._open.pop()

    def handle_data(self, data):
        if data.strip():
            self.texts.append((data, list(self._open)))

    def every(self, *tags):
        """Attributes of all elements of these tags."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    def said(self):
        """All text, spaces as one."""
        return " ".join(" ".join(data for data, around in self.texts if around[-1][0] != "style").split())
