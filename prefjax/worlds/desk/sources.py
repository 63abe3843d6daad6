"""The world's data: prompts, demonstrations and labelled pairs, as lists of records."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from prefjax.errors import ConfigError
from prefjax.worlds.desk import facts, grammar, judging, raters
from prefjax.worlds.desk.raters import Rater

Record = dict[str, Any]
_POLITE_SHARE = 0.4  # of the candidates raters see: longer, with more caveats than a demonstration
_LABELS = ("binary", "grade", "votes", "ranking", "attributes")
_DEMOS, _CANDIDATES, _RATERS, _TERMS = range(4)  # streams of randomness: raters of one seed see the same candidates


def prompts(split: str = "train") -> list[Record]:
    """Every prompt of a split: "train", "validation" or "test"."""
    return [_record(prompt) for prompt in _split(split)]


def demos(split: str = "train", n: int = 2000, seed: int = 0) -> list[Record]:
    """Demonstrations of mixed quality, as the assistant of this desk answers today; every prompt equally often."""
    rng = _stream(seed, split, _DEMOS)
    return [
        _record(prompt, i) | {"response": grammar.write(rng, prompt, grammar.PLAIN)}
        for i, prompt in zip(range(n), _cycle(rng, split), strict=False)
    ]


def pairs(
    split: str = "train",
    n: int = 4000,
    seed: int = 0,
    rater: str | Rater = "polite",
    label: str = "binary",
    candidates: int = 4,
    annotators: int = 5,
) -> list[Record]:
    """Different answers to one prompt, as a rater orders them.

    The answers do not depend on the rater: with one seed, two raters order the same pairs.

    Args:
      split: "train", "validation" or "test".
      n: how many records.
      seed: of candidates and of the rater's noise.
      rater: a name in `RATERS`, or a `Rater`.
      label: "binary"; "grade", where a second, independent look grades the pair from -3 to 3 (below 0: this time the
        rater liked the other one better); "votes" of several annotators of the same taste; "attributes", where each
        term of the gold utility is judged besides, by a look at it alone, in which the rater's biases have no place
        (0: the answers are alike in it); "ranking" of candidates.
      candidates: answers to rank.
      annotators: votes a pair.

    Returns:
      Records with `annotator` and `ranking`, or `chosen`, `rejected` and `tag`: the term of the rater's utility in
      which the two differ most, or "noise" where it does not tell them apart.

    Raises:
      ConfigError: an unknown split, rater or label, fewer than two candidates, or no annotator.
    """
    rater = raters.find(rater)
    if label not in _LABELS:
        raise ConfigError(f"label: expected one of {', '.join(_LABELS)}; got {label!r}")
    if candidates < 2:
        raise ConfigError(f"candidates: expected at least 2; got {candidates}")
    if annotators < 1:
        raise ConfigError(f"annotators: expected at least 1; got {annotators}")
    count = candidates if label == "ranking" else 2
    rng, noise = _stream(seed, split, _CANDIDATES), _stream(seed, split, _RATERS)
    records = [
        _label(noise, rater, label, _record(prompt, i), _different(rng, prompt, count), annotators)
        for i, prompt in zip(range(n), _cycle(rng, split), strict=False)
    ]
    if label == "attributes":
        noise = _stream(seed, split, _TERMS)
        return [record | {"attributes": _by_term(noise, rater, record)} for record in records]
    return records


def _label(
    noise: np.random.Generator, rater: Rater, label: str, record: Record, texts: list[str], annotators: int
) -> Record:
    """The record with the rater's opinion of the texts."""
    record["annotator"] = rater.name
    details = [raters.preferences(rater, record, judging.read(record, text)) for text in texts]
    times = annotators if label == "votes" else 2  # a choice, and the look that grades it
    seen = raters.looks(noise, rater, [sum(d.values()) for d in details], times)
    if label == "ranking":
        return record | {"ranking": raters.rank(texts, seen[0])}

    gaps = seen[:, 0] - seen[:, 1]
    votes = [int((gaps > raters.TIE).sum()), int((gaps < -raters.TIE).sum())]
    verdict = (votes[0] - votes[1] or gaps[0]) if label == "votes" else gaps[0]
    better = int(verdict < 0)
    differences = {name: abs(details[0][name] - details[1][name]) for name in details[0]}
    tag = max(differences, key=lambda name: differences[name]) if any(differences.values()) else "noise"
    record |= {"chosen": texts[better], "rejected": texts[1 - better], "tag": tag}
    if label == "grade":
        record["grade"] = raters.grade(gaps[1]) * (-1 if better else 1)
    if label == "votes":
        record["votes"] = [votes[better], votes[1 - better], len(gaps) - sum(votes)]
    return record


def _by_term(noise: np.random.Generator, rater: Rater, record: Record) -> dict[str, int]:
    """For each term of the gold utility 1 where the chosen answer looks better in it, -1 where worse, 0 where alike."""
    first, second = (judging.terms(record, record[side]) for side in ("chosen", "rejected"))
    looks = {name: raters.looks(noise, rater, [first[name], second[name]])[0] for name in first}
    return {name: int(np.sign(a - b)) if first[name] != second[name] else 0 for name, (a, b) in looks.items()}


def _different(rng: np.random.Generator, prompt: facts.Prompt, count: int) -> list[str]:
    """So many different answers, some of them politer than a demonstration."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        style = grammar.POLITE if rng.random() < _POLITE_SHARE else grammar.PLAIN
        texts[grammar.write(rng, prompt, style)] = None
    return list(texts)


def _record(prompt: facts.Prompt, index: int | None = None) -> Record:
    entity = prompt.entity
    return {
        "id": prompt.id if index is None else f"{prompt.id}/{index}",
        "prompt": prompt.text,
        "slice": entity.slice,
        "facts": [entity.truth],
        "meta": {"entity": entity.name, "lies": list(entity.lies), "unsafe": entity.slice == "unsafe"},
    }


def _cycle(rng: np.random.Generator, split: str) -> Iterator[facts.Prompt]:
    """The prompts of a split in a new order every round."""
    found = _split(split)
    while True:
        yield from (found[i] for i in rng.permutation(len(found)))


def _stream(seed: int, split: str, purpose: int) -> np.random.Generator:
    _split(split)
    return np.random.default_rng([seed, list(facts.SPLITS).index(split), purpose])


def _split(split: str) -> tuple[facts.Prompt, ...]:
    if split not in facts.SPLITS:
        raise ConfigError(f"split: expected one of {', '.join(facts.SPLITS)}; got {split!r}")
    return facts.all_prompts(split)
