"""An audit in words and tables, for the terminal and the page alike."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from prefjax.audit.findings import Audit, count, is_uneven, percent, within

_MARKS = 12  # rows of the table of marks
_MODELS = ("length", "marks", "words", "words and marks")


class Section(NamedTuple):
    """A part of the report."""

    title: str
    words: list[str]  # sentences; alarms begin with "ALARM: "
    rows: list[list[str]]  # a table whose first row is its head; empty for none


def sections(audit: Audit) -> list[Section]:
    """The report on an audit, as `prefjax.audit.audit` returns it or `audit.json` holds it."""
    found = [
        ("set", "The set", _set),
        ("values", "What the labels encode", _values),
        ("margins", "Hard pairs and obvious ones", _margins),
        ("length", "Length", _length),
        ("marks", "Format and wording", _marks),
        ("shortcuts", "What can be told without reading", _shortcuts),
        ("repeats", "Repeats and contradictions", _repeats),
        ("tokens", "Tokens", _tokens),
        ("prompts", "Prompts", _prompts),
        ("eval", "Prompts of the evaluation", _eval),
        ("agreement", "Agreement", _agreement),
    ]
    parts = []
    for name, title, tell in found:
        words, *rows = tell(audit)
        words = [words] if words else []
        for finding in audit["findings"]:
            if finding["section"] == name:
                alarm = "ALARM: " if finding["severity"] == "alarm" else ""
                words.append(f"{alarm}{finding['words']} {finding['advice']}")
        if words or rows:
            parts.append(Section(title, words, rows if len(rows) > 1 else []))
    return parts


def _set(audit: Audit) -> Iterator[Any]:
    parts = [
        count(audit["records"], "record"),
        count(audit["pairs"], "pair"),
        count(audit["prompts"]["number"], "prompt"),
    ]
    refused = audit["form"]["refused"]
    apart, rows = refused.get("prompts differ", 0), audit["records"] + sum(refused.values())
    yield (
        f"{audit['file']}: {', '.join(parts)}; {count(audit['ties'], 'tie')}. "
        f"The sides share their prompt in {percent(1 - apart / rows)} of {count(rows, 'row')}. {_verdict(audit)}"
    )
    yield ["problem", "rows", "such as"]
    for kind in ("refused", "warned", "fixed"):
        for what, number in audit["form"][kind].items():
            yield [f"{kind}: {what}", f"{number:,}", (audit["form"]["shown"].get(what) or [""])[0]]


def _verdict(audit: Audit) -> str:
    names = {kind: [f["name"] for f in audit["findings"] if f["severity"] == kind] for kind in ("alarm", "note")}
    told = [f"{count(len(found), kind)}: {', '.join(found)}" for kind, found in names.items() if found]
    return "; ".join(told) + "." if told else "Nothing stands against training on it."


def _values(audit: Audit) -> Iterator[Any]:
    facts, named = audit["facts"], []
    if facts["pairs"]:
        told = f"; where one side alone states the fact, it wins in {within(facts['right_wins'])}"
        named.append(f"{count(facts['pairs'], 'pair')} carry facts" + told * bool(facts["right_wins"]["n"]) + ".")
    if audit["annotators"]["number"]:
        named.append(f"{count(audit['annotators']['number'], 'annotator')}.")
    yield " ".join(named)
    groups = [(kind, group) for kind in ("tag", "slice", "annotator") for group in audit[f"{kind}s"]["largest"]]
    if groups:
        yield ["", "pairs", "longer wins"]
    for kind, group in groups:
        few = " (few)" if group["few"] else ""
        yield [f"{kind}: {group['name']}", f"{group['pairs']:,}{few}", within(group["longer_wins"])]


def _margins(audit: Audit) -> Iterator[Any]:
    told = {
        "grades": "Grades: hard is a 1 of 3, obvious a 3.",
        "votes": "Votes, where there are several: hard is a lead of less than half of them, obvious all for one side.",
        "scores": "Scores: hard is a gap up to a quarter of the widest (its 99 % quantile), obvious from three on.",
        "reward": "Reward: hard is under ln 3 nats (75 %), obvious over ln 19 (95 %).",
    }
    words = [told[scale] for scale in audit["margins"]]
    if unscored := audit["margins"].get("reward", {}).get("unscored"):
        words.append(f"The reward gave {count(unscored, 'pair')} more no score.")
    yield " ".join(words) or "No grades, votes or scores say how hard the pairs are."
    if audit["margins"]:
        yield ["by", "pairs", "hard", "obvious", "ties", "opposed to the label", "gap: median [10 %, 90 %]"]
    for scale, found in audit["margins"].items():
        if found["pairs"]:
            shares = [percent(found[name]) for name in ("hard", "obvious", "ties")]
            quantiles = found.get("quantiles")
            gap = "" if quantiles is None else "{2:.2f} [{1:.2f}, {3:.2f}]".format(*quantiles)
            yield [scale, f"{found['pairs']:,}", *shares, f"{found['opposed']:,}", gap]


def _length(audit: Audit) -> Iterator[Any]:
    yield "Ties count half; an interval clusters pairs by prompt; AUC compares winners with losers of all prompts."
    yield ["in", "longer wins", "AUC", "median of winners", "of losers"]
    for unit, found in audit["length"].items():
        if found["median"]:
            medians = [f"{found['median'][side]:.0f}" for side in ("won", "lost")]
            yield [unit, within(found["longer_wins"]), f"{found['auc']:.3f}", *medians]


def _marks(audit: Audit) -> Iterator[Any]:
    marks = audit["artifacts"]
    dropped, rare = audit["edges_dropped"], ""
    if dropped:
        rare = f" Of first and last words the {dropped:,} rarest were forgotten to make room for others."
    yield (
        f"{len(marks)} marks tested by the sign over prompts, corrected by Holm; the {min(_MARKS, len(marks))} least "
        f"likely by chance. Odds: prompts where winners bear the mark more often by those where losers do.{rare}"
    )
    yield ["mark", "winners", "losers", "odds", "p"]
    for mark in marks[:_MARKS]:
        odds = "-" if not mark["more"] + mark["less"] else f"{mark['more']:,} : 0" if mark["odds"] is None else ""
        star = " *" if is_uneven(mark) else ""
        rates = percent(mark["won"]), percent(mark["lost"])
        yield [mark["mark"] + star, *rates, odds or f"{mark['odds']:.2f}", f"{mark['p']:.2g}"]


def _shortcuts(audit: Audit) -> Iterator[Any]:
    found = audit["classifiers"]
    if not found:
        yield "Too few pairs or prompts to fit classifiers."
        return
    yield (
        f"Rankers fitted to {found['pairs']:,} of {count(found['of'], 'pair')} (whole prompts drawn by hash), 5-fold; "
        "held out once by prompt, once at random."
    )
    yield ["ranker of", "held-out prompts", "held-out pairs", "inflation of a random split"]
    for name in _MODELS:
        model = found["models"][name]
        gain = model["inflation"]
        told = "-" if gain["low"] is None else f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        yield [name, within(model["by_prompt"]), within(model["random"]), told]
    for example in found["examples"]:
        yield [
            f"opposed: {_short(example['at'])}",
            example["chosen"],
            example["rejected"],
            f"{example['log_odds']:.1f} nats",
        ]


def _repeats(audit: Audit) -> Iterator[Any]:
    found, rankings = audit["repeats"], audit["rankings"]
    lengths = ", ".join(f"{n:,} of {length}" for length, n in rankings.items())
    yield f"Rankings by their answers: {lengths}." if rankings else ""
    yield ["", "number", "such as"]
    yield ["duplicates to the letter", f"{found['exact']:,}", ""]
    yield ["duplicates after normalising", f"{found['normalised']:,}", ""]
    yield ["sides equal after normalising", f"{found['equal_sides']:,}", ""]
    yield ["contradictions", f"{found['contradictions']:,}", ", ".join(map(_short, found["contradictions_at"][:2]))]
    yield ["cycles", f"{audit['cycles']['number']:,}", ", ".join(map(_short, (audit["cycles"]["at"] or [[]])[0][:3]))]


def _short(place: str) -> str:
    return place.rpartition("/")[2]


def _tokens(audit: Audit) -> Iterator[Any]:
    found = audit["tokens"]
    if found:
        yield f"The longest pair has {found['longest']:,} tokens, half of them have {found['median']:.0f} or more."
    else:
        yield ""


def _prompts(audit: Audit) -> Iterator[Any]:
    found = audit["prompts"]
    yield (
        f"{count(found['number'], 'prompt')} of {count(audit['pairs'], 'pair')}, at most {found['most_pairs']:,} "
        f"of one. Of a random tenth of the pairs {percent(found['shared_by_random_tenth'])} would share theirs with "
        "the rest."
    )


def _eval(audit: Audit) -> Iterator[Any]:
    found = audit["eval"]
    if not found:
        yield ""
        return
    refused = "".join(f", {n:,} refused ({what})" for what, n in found["refused"].items())
    part = "" if found["sought_near"] == found["prompts"] else f" (near ones sought for {found['sought_near']:,})"
    yield (
        f"{count(found['records'], 'record')}{refused}, {count(found['prompts'], 'prompt')}{part}; "
        f"{found['records_met']:,} have a prompt that is trained on, in {count(found['trained_on'], 'record')}."
    )


def _agreement(audit: Audit) -> Iterator[Any]:
    position = audit["position"]
    yield f"The answer shown first wins in {within(position)} of {position['n']:,}." if position else ""
    number = "{:.3f}".format
    known = {who: found for who, found in audit["agreement"].items() if found}
    if known:
        yield ["by", "pairs", "unanimous", "two agree", "alpha, nominal", "alpha, ordinal", "one errs"]
    for who, found in known.items():
        alphas = ["-" if found[level] is None else within(found[level], number) for level in ("nominal", "ordinal")]
        error = "-" if found["error"] is None else percent(found["error"])
        shares = percent(found["unanimous"]), percent(found["agreeing"])
        yield [who, f"{found['pairs']:,}", *shares, *alphas, error]
