"""HTML and SVG by construction: what is no markup made here is escaped."""

from html import escape
from typing import Any

_VOID = {"meta", "input"}
_EMPTY = {*_VOID, "line", "rect", "path"}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(*children: Any) -> Html:
    """Markup as it is, sequences in order, None as nothing, all else escaped."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, list | tuple):
            parts.append(text(*child))
        elif child is not None:
            parts.append(escape(str(child), quote=True))
    return Html("".join(parts))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element; a trailing underscore of an attribute is dropped, others become hyphens, None leaves it out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not children:
        return Html(f"<{name}{told}>" if name in _VOID else f"<{name}{told}/>")
    return Html(f"<{name}{told}>{text(*children)}</{name}>")
