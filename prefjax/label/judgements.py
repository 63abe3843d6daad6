"""Judgements as records that every reader of pairs takes, and back."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from prefjax.data.records import Record
from prefjax.evals.agreement import Comparison, alpha, shared
from prefjax.evals.stats import Interval
from prefjax.label.items import Item

FLAGS = {"unsafe": "S", "unclear": "N", "both bad": "D"}  # and their keys
MAX_COMMENT = 10_000  # characters
MAX_SECONDS = 86_400.0
_MOST = {"binary": 1, "graded": 3}


class Verdict(NamedTuple):
    """What the page sends. Answers are named by their place on it, from 0."""

    value: Any  # -3..3, positive: the first is better; ranks of places, best first; None: cannot judge
    seconds: float
    flags: list[str]
    comment: str


def verdict(sent: Any, scale: str, n: int) -> Verdict:
    """Judges what a page sent; raises ValueError with words for what is wrong."""
    if not isinstance(sent, dict):
        raise ValueError("expected an object")
    value, seconds, flags, comment = (sent.get(name) for name in ("value", "seconds", "flags", "comment"))
    if value is not None and scale == "ranked":
        places = [place for rank in value for place in rank] if _is_lists(value) else []
        if any(type(place) is not int for place in places) or sorted(places) != list(range(n)) or [] in value:
            raise ValueError(f"value: expected every one of the places 0 to {n - 1} once, in ranks")
    elif value is not None and (type(value) is not int or abs(value) > _MOST[scale]):
        raise ValueError(f"value: expected a whole number from {-_MOST[scale]} to {_MOST[scale]}")
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"seconds: expected a number from 0 to {MAX_SECONDS:.0f}")
    if not isinstance(flags, list) or not all(flag in [*FLAGS] for flag in flags):
        raise ValueError(f"flags: expected some of {', '.join(FLAGS)}")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise ValueError(f"comment: expected a text of at most {MAX_COMMENT} characters")
    try:
        comment.encode()
    except UnicodeEncodeError:
        raise ValueError("comment: half of a character, which no text can hold") from None
    return Verdict(value, round(float(seconds), 1), sorted(set(flags)), comment.strip())


def _is_lists(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(rank, list) for rank in value)


def record(item: Item, shown: list[int], given: Verdict, scale: str, about: Record) -> Record | None:
    """The judgement as a record; None where it prefers nothing that a record could hold.

    `meta.source` says which answers of the file those of the record are, best first, and `meta.order` which of the
    record's stood at each place of the page: [1, 0] in a pair means that the rejected one was shown first. What the
    file itself said of its answers is `meta.before`, in the file's order. A tie keeps that order.

    Args:
      item: what was judged.
      shown: its answers in the order they were shown, as indices.
      given: the verdict.
      scale: "binary" gives `votes`, that of one voter, "graded" a `grade` from 0 to 3, "ranked" a `ranking`.
      about: what goes into `annotator` and `meta` besides.
    """
    if given.value is None or (scale == "ranked" and len(given.value) < 2):
        return None
    label: Record = {}
    if scale == "ranked":
        ranks = [sorted(shown[place] for place in rank) for rank in given.value]
        source = [at for rank in ranks for at in rank]
        texts = [[item.answers[at] for at in rank] for rank in ranks]
        label = {"ranking": [rank[0] if len(rank) == 1 else rank for rank in texts]}
    else:
        source = shown if given.value > 0 else shown[::-1] if given.value < 0 else [0, 1]
        label = {"chosen": item.answers[source[0]], "rejected": item.answers[source[1]]}
        if scale == "graded":
            label["grade"] = abs(given.value)
        else:
            label["votes"] = [1, 0, 0] if given.value else [0, 0, 1]
    order = [source.index(at) for at in shown]
    return {"prompt": item.prompt} | label | item.carried | _about(item, given, scale, about, source, order)


def unlabelled(item: Item, shown: list[int], given: Verdict, scale: str, about: Record) -> Record:
    """What is kept of a verdict that is no label: cannot judge, or answers that are all equal in a ranking."""
    event = "cannot judge" if given.value is None else "all equal"
    source = [*range(len(item.answers))]
    rest = item.carried | _about(item, given, scale, about, source, shown)
    return {"event": event, "key": item.key, "prompt": item.prompt, "answers": item.answers} | rest


def _about(item: Item, given: Verdict, scale: str, about: Record, source: list[int], order: list[int]) -> Record:
    meta: Record = {"scale": scale, "source": source, "order": order, "seconds": given.seconds}
    meta |= {name: about[name] for name in about if name != "annotator"}
    meta |= {"flags": given.flags} if given.flags else {}
    meta |= {"comment": given.comment} if given.comment else {}
    meta |= {"before": item.before} if item.before else {}
    return {"annotator": about["annotator"], "meta": meta}


def agreement(told: Iterable[tuple[str, Comparison]], **knobs: Any) -> tuple[Interval | None, int, int]:
    """Ordinal alpha between annotators, with the pairs and the annotators it is of.

    Args:
      told: (annotator, what they said), in the order in which it was said.
      **knobs: of `alpha`, which is None where it cannot be measured.
    """
    columns = [*zip(*((one.pair, who, one.value, one.graded) for who, one in told), strict=True)]
    counts, people = shared(*columns or [()] * 4)
    return alpha(counts, "ordinal", **knobs), len(counts), people
