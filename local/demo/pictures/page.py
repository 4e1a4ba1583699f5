"""What the pages share: their frame, their colours in light and dark, and tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f7f9; --card: #ffffff; --ink: #1b2430; --muted: #566374; --line: #d5dbe3; --edge: #8e9aa9;
  --first: #7f93ab; --second: #c2410c; --good: #1a7f4b; --bad: #b3261e; --good-tint: #e6f4ec; --bad-tint: #fbeae8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12171e; --card: #1b222b; --ink: #e7ecf2; --muted: #a3afbe; --line: #34404d; --edge: #6d7a8a;
    --first: #60758e; --second: #ff9b63; --good: #5ecb92; --bad: #ff8a80; --good-tint: #17362a; --bad-tint: #45211e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 8px; }
h2 { font-size: 1.2rem; margin: 0; }
p { margin: 0 0 8px; max-width: 75ch; }
.muted { color: var(--muted); }
section, figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section, figure { margin: 24px 0 0; padding: 20px 24px; }
figure { overflow-x: auto; }
section > h2 + *, figure > h2 + * { margin-top: 8px; }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
svg { display: block; font-family: system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .muted { fill: var(--muted); }
.badge { display: inline-block; border-radius: 999px; padding: 1px 12px; font-size: 0.9rem; font-weight: 600; }
.badge.good { color: var(--good); background: var(--good-tint); }
.badge.bad { color: var(--bad); background: var(--bad-tint); }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--muted); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin-top: 8px; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; }
"""


def safe(text: object) -> str:
    """Text for HTML, between tags or in a quoted attribute; what cannot be printed becomes a replacement sign."""
    return html.escape("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text)))


def page(title: str, lead: Iterable[str], body: Iterable[str], style: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        lead: HTML of the paragraphs below it.
        body: HTML of what follows.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{safe(title)}</title>",
            f"<style>{STYLE}{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            "<header>",
            f"<h1>{safe(title)}</h1>",
            *(f"<p>{paragraph}</p>" for paragraph in lead),
            "</header>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    """A table of plain texts; the columns in `numbers` are aligned to the right."""

    def cells(opening: str, texts: Sequence[str], closing: str) -> str:
        classes = (' class="number"' if at in numbers else "" for at in range(len(texts)))
        return "".join(f"<{opening}{of}>{safe(text)}{closing}" for of, text in zip(classes, texts, strict=True))

    head = "<tr>" + cells('th scope="col"', header, "</th>") + "</tr>"
    body = "".join("<tr>" + cells("td", row, "</td>") + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def folded(title: str, content: str) -> str:
    return f"<details><summary>{safe(title)}</summary>{content}</details>"
