"""What a page must be, whatever it shows: well-formed, self-contained, and readable for those who do not see it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

_VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
_SVG = re.compile(r"<svg .*?</svg>", re.DOTALL)


class Page(HTMLParser):
    """A parsed page. Parsing fails at the first tag that is closed out of order, or never."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def svgs(self) -> list[ET.Element]:
        """The pictures; an XML parser is stricter than a browser."""
        return [ET.fromstring(found) for found in _SVG.findall(self.source)]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)


def must_be_a_good_page(source: str) -> Page:
    page = Page(source)
    names = [tag for tag, _ in page.tags]
    assert source.startswith("<!DOCTYPE html>")
    assert {"script", "link", "img", "iframe", "object", "foreignobject"}.isdisjoint(names)
    outside = [
        value for _, attrs in page.tags for name, value in attrs.items() if name in {"src", "href", "xlink:href"}
    ]
    assert outside == []
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert re.findall(r"url\((?!#)|@import|https?:", source) == []
    assert "prefers-color-scheme: dark" in source
    must_have_text_alternatives(page)
    return page


def must_have_text_alternatives(page: Page) -> None:
    html = next(attrs for tag, attrs in page.tags if tag == "html")
    assert html["lang"] == "en"
    assert [tag for tag, _ in page.tags].count("h1") == 1
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for svg in page.svgs():
        if svg.get("aria-hidden") == "true":
            continue
        assert svg.get("role") == "img"
        told = {each.get("id"): each.text for each in svg if each.tag in {"title", "desc"}}
        by = (svg.get("aria-labelledby") or "").split()
        assert by
        assert all(told[name] for name in by)
