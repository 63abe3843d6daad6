"""A guideline in Markdown as HTML that can do nothing: everything is escaped before anything is marked up.

Headings, paragraphs, lists, quotes, rules and fenced code, with tables left as they are written; within a line `code`,
*emphasis*, **strong** and [links](https://...) to http and https alone.
"""

import html
import re

_ITEM = re.compile(r"(?P<indent> *)(?:[-*+]|(?P<number>\d+)[.)]) +(?P<text>.*)")
_HEADING = re.compile(r"(#{1,6}) +(.*?)#*$")
_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^\s()<>]+)\)")
_TAG = "<[^>]*>"  # of escaped text: one of ours; what it holds, an address, is not marked up
_MARKS = (
    ("strong", re.compile(rf"({_TAG})|\*\*(?=\S)((?:{_TAG}|[^<])+?)(?<=\S)\*\*")),
    ("em", re.compile(rf"({_TAG})|(?<![\w*])[*_](?=\S)((?:{_TAG}|[^*_<])+?)(?<=\S)[*_](?![\w*])")),
)


def render(text: str) -> str:
    """The HTML of a Markdown text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n")
    out: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.lstrip().startswith("```"):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == "```"), len(lines))
            out.append(f"<pre><code>{html.escape(chr(10).join(lines[at + 1 : end]))}</code></pre>")
            at = end + 1
        elif heading := _HEADING.match(line):
            level = min(len(heading[1]) + 1, 6)  # the page has its own first heading
            out.append(f"<h{level}>{inline(heading[2].strip())}</h{level}>")
            at += 1
        elif re.fullmatch(r" *([-*_])( *\1){2,} *", line):
            out.append("<hr>")
            at += 1
        else:
            kind = _kind(line)
            end = at + 1
            while end < len(lines) and lines[end].strip() and _goes_on(kind, lines[end]):
                end += 1
            out.append(_block(kind, lines[at:end]))
            at = end
    return "\n".join(out)


def inline(text: str) -> str:
    """The HTML of a line: code first, in which nothing else is marked up."""
    parts = re.split(r"`([^`]+)`", text)
    for at, part in enumerate(parts):
        part = html.escape(part)
        if at % 2:
            part = f"<code>{part}</code>"
        else:
            part = _LINK.sub(r'<a href="\2" target="_blank" rel="noopener noreferrer">\1</a>', part)
            for tag, pattern in _MARKS:
                part = pattern.sub(lambda found, tag=tag: found[1] or f"<{tag}>{found[2]}</{tag}>", part)
        parts[at] = part
    return "".join(parts)


def _kind(line: str) -> str:
    return "list" if _ITEM.match(line) else "quote" if line.startswith(">") else "table" if line[:1] == "|" else "text"


def _goes_on(kind: str, line: str) -> bool:
    """Whether a line belongs to the block before it: a list takes what is indented, and a paragraph plain text."""
    if line.lstrip().startswith("```") or _HEADING.match(line):
        return False
    return _kind(line) == kind or (kind in ("list", "quote") and _kind(line) == "text")


def _block(kind: str, lines: list[str]) -> str:
    if kind == "list":
        return _list(lines)
    if kind == "quote":
        return f"<blockquote>{render(chr(10).join(re.sub(r'^> ?', '', line) for line in lines))}</blockquote>"
    if kind == "table":
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
    return f"<p>{'<br>'.join(inline(line.strip()) for line in lines)}</p>"


def _list(lines: list[str]) -> str:
    """A list, whose items may hold lists that are indented further."""
    first = _ITEM.match(lines[0])
    assert first
    items: list[list[str]] = []
    for line in lines:
        item = _ITEM.match(line)
        if item and len(item["indent"]) <= len(first["indent"]):
            items.append([item["text"]])
        else:
            items[-1].append(line)
    tag = "ol" if first["number"] else "ul"
    return f"<{tag}>{''.join(f'<li>{_item(item)}</li>' for item in items)}</{tag}>"


def _item(lines: list[str]) -> str:
    at = next((i for i, line in enumerate(lines[1:], 1) if _ITEM.match(line)), len(lines))
    words = inline(" ".join(line.strip() for line in lines[:at]))
    return words + (_list(lines[at:]) if at < len(lines) else "")
