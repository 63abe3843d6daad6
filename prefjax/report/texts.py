"""Answers before and after, on a few fixed prompts, with the words that changed."""

import difflib
import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from prefjax.report.groups import Group
from prefjax.report.html import Html, tag, text
from prefjax.report.metrics import TASTE
from prefjax.report.runs import Run

EACH = 4  # prompts of a kind
LONGEST = 4000  # characters of a text that are shown
Rows = list[dict[str, Any]]
_WORDS = re.compile(r"\s+|[^\s]+")


class Answer(NamedTuple):
    """A completion, and what its row says of it."""

    label: str
    text: str
    row: dict[str, Any]


class Example(NamedTuple):
    """A prompt and its answers, the first of them from before."""

    kind: str  # "best", "worst" or "random"
    prompt: str
    slice: str | None
    metric: str | None  # that the kind is about
    change: float | None
    answers: list[Answer]


def examples(groups: Sequence[Group]) -> list[Example]:
    """The prompts that changed most for the better and for the worse, and others by the hash of their text.

    Of several groups the change is the mean over them; a group is shown by its first run, a prompt by its first answer.
    """
    metric, tables = _tables(groups)
    if not tables:
        return []
    before, afters = tables[0], tables[1:]
    shared = [key for key in before if all(key in after for after in afters)]
    change = {key: _change(before[key], [after[key] for after in afters], metric) for key in shared}
    ranked = sorted((key for key in shared if change[key] is not None), key=lambda key: change[key] or 0.0)
    count = min(EACH, len(ranked) // 3)
    worst, best = ranked[:count], ranked[len(ranked) - count :][::-1]
    rest = sorted((key for key in shared if key not in {*worst, *best}), key=_hashed)
    chosen = [("best", best), ("worst", worst), ("random", rest[: EACH if count else 3 * EACH])]
    labels = ["before", *([group.label for group in groups] if len(groups) > 1 else ["after"])]
    return [
        Example(
            kind,
            told(before[key].get("prompt", "")),
            before[key].get("slice"),
            metric,
            change[key],
            [
                Answer(label, told(table[key].get("response", "")), table[key])
                for label, table in zip(labels, tables, strict=True)
            ],
        )
        for kind, keys in chosen
        for key in keys
    ]


def _tables(groups: Sequence[Group]) -> tuple[str | None, list[dict[Any, dict[str, Any]]]]:
    """The metric that prompts are ranked by; prompt -> first answer, before of the first group, and after of every."""
    for metric in (*TASTE, None):
        pairs = [_ends(group.runs[0], metric) for group in groups]
        if all(_texts(before) for before, _ in pairs):
            return metric, [_first(pairs[0][0]), *(_first(after) for _, after in pairs)]
    return None, []


def _ends(run: Run, metric: str | None) -> tuple[Rows, Rows]:
    """The first and the last samples of a metric's home, or of any evaluation; nothing where they are not two."""
    homes = run.samples.values() if metric is None else [run.samples.get(str(run.home(metric)), {})]
    return next(((by_step[min(by_step)], by_step[max(by_step)]) for by_step in homes if len(by_step) > 1), ([], []))


def _texts(rows: Rows) -> bool:
    return any(row.get("response") is not None for row in rows)


def _first(rows: Rows) -> dict[Any, dict[str, Any]]:
    return {
        (row.get("record"), told(row.get("prompt", ""))): row
        for row in reversed(rows)
        if row.get("response") is not None
    }


def _change(before: dict[str, Any], afters: Sequence[dict[str, Any]], metric: str | None) -> float | None:
    values = [row.get(metric) for row in (before, *afters)] if metric else [None]
    if any(value is None or value != value for value in values):
        return None
    first, *rest = (float(value) for value in values if value is not None)
    return sum(rest) / len(rest) - first


def _hashed(key: Any) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


def told(prompt: Any) -> str:
    """A text, or the turns of a dialogue, as text."""
    if isinstance(prompt, list):
        return "\n".join(
            f"{turn.get('role', '?')}: {turn.get('content', '')}" for turn in prompt if isinstance(turn, dict)
        )
    return str(prompt)


def shown(words: str) -> Html:
    """A text as it is shown, cut where it is very long, which is said."""
    if len(words) <= LONGEST:
        return text(words)
    return text(words[:LONGEST], tag("em", f" … and {len(words) - LONGEST:,} more characters"))


def _marked(name: str, words: str) -> Html:
    """Words in an element, without the space around them."""
    inner = words.strip()
    if not inner:
        return text(words)
    at = words.index(inner)
    return text(words[:at], tag(name, inner), words[at + len(inner) :])


def differences(before: str, after: str) -> tuple[Html, Html]:
    """Both texts, with the words that only one of them has marked."""
    if max(len(before), len(after)) > LONGEST:
        return shown(before), shown(after)
    old, new = (_WORDS.findall(words) for words in (before, after))
    left: list[Any] = []
    right: list[Any] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[a:b]), "".join(new[c:d])
        left.append(gone if kind == "equal" else _marked("del", gone))
        right.append(come if kind == "equal" else _marked("ins", come))
    return text(left), text(right)
