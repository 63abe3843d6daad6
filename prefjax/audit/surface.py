"""What can be seen of a text without reading it: its length, its format, how it begins and ends."""

import re
from typing import NamedTuple

_SHOUTED = re.compile(r"\b[A-Z]{4,}\b")
_EMOJI = re.compile("[\u2600-\u27bf\u2b50\U0001f300-\U0001faff]")
_HEADING, _BULLET, _NUMBER = (re.compile(p, re.M) for p in (r"^#{1,6} ?\S", r"^[-*•+] ", r"^\d{1,2}[.)]"))
_MACHINE = re.compile(
    r"\b(?:as|i am|i'm|i’m) (?:just )?an? (?:ai\b|artificial|large language|language model|assistant)"
)
_REGRET = re.compile(r"\b(?:sorry|apologi[sz]e|apologies|unfortunately)\b")
_REFUSAL = re.compile(  # how an answer that declines begins; a mark of format here, not a measure of refusals
    r"\W*(?:(?:sorry|unfortunately|apologies)\b\W*)?(?:but )?(?:no\b\W*)?(?:i(?:['’]m| am) "
    r"(?:(?:very|so|really|truly|deeply) )?(?:sorry|afraid|unable|not (?:able|going|comfortable|willing))"
    r"|i (?:can ?not|can['’]?t|couldn['’]?t|will not|won['’]?t|must decline|refuse|decline)\b"
    r"|i do(?: not|n['’]t) (?:think|feel)\b"
    r"|i(?:['’]d| would) (?:rather|prefer) not|(?:as|being) an? (?:ai|language)\b)"
)
_ENDS = tuple(".!?…\"'”’)]}`*。！？:;|>")  # a text may end in these

FLAGS = (
    "bold",
    "heading",
    "bullets",
    "numbered list",
    "code",
    "link",
    "quotation",
    "paragraphs",
    "emoji",
    "exclamation mark",
    "question mark",
    "ends in an exclamation mark",
    "ends in a question mark",
    "no punctuation at the end",
    "starts in lower case",
    "word in capitals",
    "space at an end",
    "regret in the opening",
    "refusal in the opening",
    "speaks of being an AI",
)
EDGES = ("first word", "first two words", "last word", "last two words")


class Surface(NamedTuple):
    """A text from outside."""

    characters: int
    words: int
    flags: int  # bit i: FLAGS[i] holds
    edges: tuple[str, str, str, str]  # as EDGES, in lower case


def surface(text: str) -> Surface:
    """Describes a text, in time that is small beside that of reading it from a file."""
    words = text.split()
    starts = "\n".join(line.lstrip()[:8] for line in text.splitlines())
    opening = text[:160].casefold()
    shown = text.strip()
    held = (
        "**" in text,
        _HEADING.search(starts),
        _BULLET.search(starts),
        _NUMBER.search(starts),
        "`" in text,
        "http://" in text or "https://" in text or "](" in text,
        '"' in text or "“" in text,
        "\n\n" in text,
        not text.isascii() and _EMOJI.search(text),
        "!" in text,
        "?" in text,
        shown.endswith("!"),
        shown.endswith("?"),
        not shown.endswith(_ENDS),
        shown[:1].islower(),
        _SHOUTED.search(text),
        len(shown) < len(text),
        _REGRET.search(opening),
        _REFUSAL.match(opening),
        _MACHINE.search(opening),
    )
    first, last = (" ".join(part).casefold()[:80] for part in (words[:2], words[-2:]))
    edges = (first.partition(" ")[0], first, last.rpartition(" ")[2], last)
    return Surface(len(text), len(words), sum(1 << i for i, flag in enumerate(held) if flag), edges)
