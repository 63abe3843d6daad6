"""What the numbers of an audit mean for training, and what to do about it.

A finding is {"name", "severity", "section", "words", "advice"}; "alarm" says that training on the set as it is would
mislead or be misjudged, "note" that it should be known.
"""

from collections.abc import Iterator
from typing import Any

from prefjax.evals.agreement import LOW

Audit = dict[str, Any]
Finding = dict[str, str]

_BY_PROMPT = "split by prompt: split(source=..., part='train') and part='held_out' share none"


def findings(audit: Audit) -> list[Finding]:
    """Every finding, alarms first."""
    rules = (_form, _values, _margins, _length, _marks, _shortcuts, _repeats, _tokens, _prompts, _leaks, _agreement)
    found = [finding for rule in rules for finding in rule(audit)]
    return sorted(found, key=lambda finding: finding["severity"] != "alarm")


def percent(share: float) -> str:
    """A share in words, never rounded to none or all.

    >>> percent(0.5), percent(0.0004), percent(0.9999)
    ('50.0 %', 'under 0.1 %', 'over 99.9 %')
    """
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return "over 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def within(found: dict[str, Any], form: Any = percent) -> str:
    """An estimate with its interval, in words."""
    if found["mean"] is None:
        return "-"
    if found["low"] is None:
        return form(found["mean"])
    low, high = (max(0, found["low"]), min(1, found["high"])) if form is percent else (found["low"], found["high"])
    return f"{form(found['mean'])} [{form(low)}, {form(high)}]"


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "pair"), count(1200, "pair")
    ('1 pair', '1,200 pairs')
    """
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _finding(name: str, section: str, words: str, advice: str, alarm: bool = False) -> Finding:
    severity = "alarm" if alarm else "note"
    return {"name": name, "severity": severity, "section": section, "words": words, "advice": advice}


def _form(audit: Audit) -> Iterator[Finding]:
    form = audit["form"]
    if refused := sum(form["refused"].values()):
        told = ", ".join(f"{n:,} {what}" for what, n in form["refused"].items())
        words, alarm = f"{count(refused, 'row')} cannot be used: {told}.", refused > 0.05 * (refused + audit["records"])
        yield _finding("refused", "set", words, "Mend or drop them.", alarm)


def _values(audit: Audit) -> Iterator[Finding]:
    tags, slices, facts = audit["tags"], audit["slices"], audit["facts"]
    if not tags["number"]:
        words = "No record says which value its label encodes, so one preference cannot be traded against another."
        yield _finding("no-tags", "values", words, "Relabel with a rubric, and give each record its `tag`.")
    for kind, groups in (("tag", tags), ("slice", slices)):
        if groups["few"]:
            words = f"Of {count(groups['number'], kind)} {groups['few']:,} with fewer than 30 pairs."
            yield _finding(f"few-pairs-{kind}", "values", words, "Collect more of them, or report them together.")
    if not facts["pairs"]:
        words = "No record carries facts: whether an answer is true is judged by its label alone, together with taste."
        yield _finding("no-facts", "values", words, "Measure factuality by an evaluation outside the reward.")
    elif (right := facts["right_wins"])["high"] is not None and right["high"] < 0.9:
        words = f"Where one side alone states the fact, it wins in {within(right)}: the labels reward wrong answers."
        advice = "Relabel these pairs, and measure factuality outside the reward."
        yield _finding("wrong-answers-win", "values", words, advice, right["high"] < 0.7)


def _margins(audit: Audit) -> Iterator[Finding]:
    for scale, found in audit["margins"].items():
        if not found["pairs"]:
            continue
        strongly = found.get("strongly_opposed")
        # A reward model errs: it speaks against a label only where it is sure.
        opposed = strongly if scale == "reward" else found["opposed"]
        if opposed:
            told = "" if strongly is None else f", {strongly:,} of them strongly"
            words = f"By their {scale} the side that the label does not prefer is better in "
            words += f"{count(found['opposed'], 'pair')}{told}."
            yield _finding(
                f"opposed-{scale}", "margins", words, "Relabel or drop them.", opposed / found["pairs"] > 0.05
            )
        if found["hard"] + found["ties"] > 0.5:
            words = f"By their {scale} {percent(found['hard'] + found['ties'])} of the pairs are hard or tied."
            advice = "Smooth the labels (label_smoothing=0.1), or collect clearer pairs."
            yield _finding(f"hard-{scale}", "margins", words, advice)
        elif found["obvious"] > 0.5:
            words = f"By their {scale} {percent(found['obvious'])} of the pairs are obvious wins, which teach little."
            yield _finding(f"obvious-{scale}", "margins", words, "Drop some of them, or collect harder pairs.")
    grades = audit["margins"].get("grades", {"counts": {}})["counts"]
    if sum(grades.get(level, 0) > 0 for level in ("1", "2", "3")) > 1:
        words = "The grades say by how much an answer is better."
        yield _finding("grades", "margins", words, "Use them as a margin: pairs(margin_per_grade=0.5).")


def _length(audit: Audit) -> Iterator[Finding]:
    longer = audit["length"]["words"]["longer_wins"]
    if longer["low"] is None or longer["low"] <= 0.5 <= longer["high"] or abs(longer["mean"] - 0.5) < 0.03:
        return
    what = "longer" if longer["mean"] > 0.5 else "shorter"
    share = max(longer["mean"], 1 - longer["mean"])
    words = f"The {what} answer wins in {percent(share)} (longer wins: {within(longer)}): the labels encode length too."
    advice = "Compare win rates at equal length, watch the length ratio, and drop pairs until lengths balance."
    yield _finding("length", "length", words, advice, share >= 0.65)


def _marks(audit: Audit) -> Iterator[Finding]:
    uneven = [mark for mark in audit["artifacts"] if is_uneven(mark)]
    models = (audit["classifiers"] or {"models": {}})["models"]
    surface = models.get("marks")
    told = surface is not None and surface["by_prompt"]["low"] is not None and surface["by_prompt"]["low"] > 0.65
    if uneven or told:
        names = "; ".join(
            f"{mark['mark']} ({percent(mark['won'])} of winners, {percent(mark['lost'])} of losers)"
            for mark in uneven[:5]
        )
        words = f"Winners and losers differ in their marks: {names}." if uneven else ""
        if told:
            words += f" Without reading, marks and lengths find the winner in {within(surface['by_prompt'])}."
        advice = "Rewrite or drop pairs until both sides bear the marks alike, or the marks will be learnt."
        yield _finding("pair-artifacts", "marks", words.strip(), advice, told)


def is_uneven(mark: dict[str, Any]) -> bool:
    """Whether a mark tells sides apart beyond chance, by twice the odds and two points in a hundred, at least."""
    odds = mark["odds"] if mark["odds"] is not None else float("inf")
    return mark["p"] < 0.01 and not 0.5 < odds < 2 and abs(mark["won"] - mark["lost"]) >= 0.02


def _shortcuts(audit: Audit) -> Iterator[Finding]:
    found = audit["classifiers"]
    if found and (found["models"]["words"]["by_prompt"]["low"] or 0) > 0.85:
        words = f"Words without their order find the winner in {within(found['models']['words']['by_prompt'])}."
        advice = "A rule of wording may be all that is learnt: collect harder pairs, or know that it is what is wanted."
        yield _finding("wording", "shortcuts", words, advice)
    if found and found["flips"]["number"]:
        number, n = found["flips"]["number"], found["pairs"]
        words = f"The labels of {count(number, 'pair')} of {n:,} oppose what words and marks of the others say."
        yield _finding("flips", "shortcuts", words, "Look at them, and relabel or drop.", number > 0.02 * n)


def _repeats(audit: Audit) -> Iterator[Finding]:
    found, n = audit["repeats"], audit["pairs"]
    if twice := found["exact"] + found["normalised"]:
        words = f"{count(twice, 'pair')} came before, {found['exact']:,} to the letter."
        yield _finding("duplicates", "repeats", words, "Drop them.", twice > 0.05 * n)
    if found["equal_sides"]:
        words = f"The sides of {count(found['equal_sides'], 'pair')} differ in case, width or spacing alone."
        yield _finding("equal-sides", "repeats", words, "Drop them.")
    if found["contradictions"]:
        words = f"Of {count(found['contradictions'], 'couple')} of answers each was preferred to the other."
        advice = "Relabel them, or drop both rows; if they stay, smooth the labels."
        yield _finding("contradictions", "repeats", words, advice, found["contradictions"] > 0.02 * n)
    if audit["cycles"]["number"]:
        number, rows = audit["cycles"]["number"], audit["cycles"]["rows"]
        words = f"{count(number, 'cycle')} of preference over {count(rows, 'row')}: no order of the answers agrees."
        yield _finding("cycles", "repeats", words, "Relabel one row of each, or drop them.", rows > 0.02 * n)


def _tokens(audit: Audit) -> Iterator[Finding]:
    found = audit["tokens"]
    if found and found["equal"]:
        words = f"The sides of {count(found['equal'], 'pair')} are the same tokens."
        yield _finding("token-twins", "tokens", words, "Training drops them.")
    if found and found["equal_when_cut"]:
        words = f"Cut at {found['max_length']} tokens, {count(found['equal_when_cut'], 'pair')} would have equal sides."
        yield _finding(
            "cut-twins", "tokens", words, "prefjax drops what is longer; a trainer that cuts needs more room."
        )
    if found and found["longer"]:
        words = f"{count(found['longer'], 'pair')} are longer than {found['max_length']} tokens and would be dropped."
        alarm = found["longer"] > 0.1 * audit["pairs"]
        yield _finding("too-long", "tokens", words, "Raise data.max_length, or know that they are not learnt.", alarm)


def _prompts(audit: Audit) -> Iterator[Finding]:
    shared = audit["prompts"]["shared_by_random_tenth"]
    models = (audit["classifiers"] or {"models": {}})["models"]
    inflated = {name: model["inflation"] for name, model in models.items() if (model["inflation"]["low"] or 0) > 0}
    worst = max(inflated, key=lambda name: inflated[name]["mean"], default=None)
    if worst is not None and inflated[worst]["mean"] > 0.02:
        model = models[worst]
        words = (
            f"A ranker of {worst} reaches {percent(model['random']['mean'])} on held-out pairs and "
            f"{percent(model['by_prompt']['mean'])} on held-out prompts: a random split overrates it by "
            f"{within(inflated[worst])}."
        )
        yield _finding("split-inflation", "prompts", words, f"{_BY_PROMPT}.".capitalize(), True)
    elif shared > 0.05:
        words = f"{percent(shared)} of a random tenth of the pairs would share their prompt with the rest."
        yield _finding("shared-prompts", "prompts", words, f"{_BY_PROMPT}.".capitalize())


def _leaks(audit: Audit) -> Iterator[Finding]:
    found = audit["eval"]
    if found and (met := found["exact"] + found["normalised"] + found["near"]):
        words = (
            f"{met:,} of {count(found['prompts'], 'prompt')} of the evaluation are trained on: {found['exact']:,} to "
            f"the letter, {found['normalised']:,} in another case or spacing, {found['near']:,} nearly the same."
        )
        yield _finding("leakage", "eval", words, f"Drop them from training, or {_BY_PROMPT}.", True)


def _agreement(audit: Audit) -> Iterator[Finding]:
    for who, found in audit["agreement"].items():
        if found is None or found["ordinal"] is None:
            continue
        low, error = found["ordinal"]["mean"] < LOW, found["error"]
        if low or (error or 0) > 0.1:
            alpha = within(found["ordinal"], "{:.2f}".format)
            words = f"By their {who} people agree with alpha {alpha}" + (f", below {LOW}." if low else ".")
            words += "" if error is None else f" One judgement is wrong in about {percent(error)}."
            advice = "Relabel with a clearer guideline, doubt every win rate on such labels, and " + (
                "train on the votes as soft targets, as is the default."
                if who == "votes"
                else f"smooth the labels: label_smoothing={min(0.45, round(error or 0.1, 2))}."
            )
            yield _finding("label-noise", "agreement", words, advice, low)
    if (first := audit["position"]) and first["low"] is not None and not first["low"] <= 0.5 <= first["high"]:
        words = f"The answer shown first wins in {within(first)}."
        advice = "Shuffle the order for each judgement, and relabel in both orders."
        yield _finding("position", "agreement", words, advice)
