"""Raters with known tastes and known noise."""

import itertools
import zlib
from typing import Any, NamedTuple

import numpy as np

from prefjax.errors import ConfigError
from prefjax.worlds.desk.judging import Properties, read, terms

TIE = 0.25  # utilities closer than this look equal to a rater who may say so
_GRADES = (TIE, 1.5, 3.5)  # a difference of utility beyond each is one grade more


class Rater(NamedTuple):
    """Utility = gold x the true worth + a bias for each property; a choice is Bradley-Terry at the temperature."""

    name: str
    gold: float = 1.0
    bias_caveats: float = 0.0  # a caveat
    bias_hedges: float = 0.0  # a hedge
    bias_length: float = 0.0  # a token
    bias_warmth: float = 0.0
    bias_agreement: float = 0.0  # with a false claim
    bias_refusal: float = 0.0
    temperature: float = 1.0


RATERS = {
    rater.name: rater
    for rater in (
        Rater("expert", temperature=0.4),
        Rater("polite", bias_caveats=0.9, bias_hedges=0.2, bias_length=0.03, bias_warmth=0.5),
        Rater("sycophant", bias_warmth=0.8, bias_agreement=5.0),
        Rater("anxious", bias_caveats=0.6, bias_hedges=0.4, bias_refusal=4.0),
        Rater("hasty", gold=0.5, bias_length=-0.08, temperature=1.5),
        Rater("random", gold=0.0),
    )
}


def find(rater: str | Rater) -> Rater:
    """A rater by name; a `Rater` is itself.

    Raises:
      ConfigError: there is no such rater.
    """
    if isinstance(rater, Rater):
        return rater
    if rater not in RATERS:
        raise ConfigError(f"rater: expected a Rater or one of {', '.join(RATERS)}; got {rater!r}")
    return RATERS[rater]


def preferences(rater: Rater, record: dict[str, Any], properties: Properties) -> dict[str, float]:
    """The rater's utility of an answer, term by term."""
    return {name: rater.gold * value for name, value in terms(record, properties).items()} | {
        "bias_caveats": rater.bias_caveats * properties.caveats,
        "bias_hedges": rater.bias_hedges * properties.hedges,
        "bias_length": rater.bias_length * properties.length,
        "bias_warmth": rater.bias_warmth * properties.warm,
        "bias_agreement": rater.bias_agreement * (properties.agreement == "agrees"),
        "bias_refusal": rater.bias_refusal * properties.refuses,
    }


def looks(rng: np.random.Generator, rater: Rater, utilities, times: int = 1) -> np.ndarray:
    """Noisy utilities `[times, candidates]`: with Gumbel noise their order is Plackett-Luce, of two Bradley-Terry."""
    return np.asarray(utilities) + rng.gumbel(scale=rater.temperature, size=(times, len(utilities)))


def rate(
    records: list[dict[str, Any]], texts: list[str], *, rater: str | Rater = "polite", seed: int = 0
) -> list[float]:
    """How much a rater likes each text at one noisy look: of two, which has more is a choice by Bradley-Terry.

    The noise is that of the seed, the prompt and the text, whatever is rated beside it.
    """
    who, seen = find(rater), []
    for record, text in zip(records, texts, strict=True):
        rng = np.random.default_rng([seed, zlib.crc32(f"{record['prompt']}\n{text}".encode())])
        utility = sum(preferences(who, record, read(record, text)).values())
        seen.append(float(looks(rng, who, [utility])[0, 0]))
    return seen


def grade(difference: float) -> int:
    """A difference of utility on seven levels, -3 to 3."""
    return int(np.sign(difference) * np.searchsorted(_GRADES, abs(difference)))


def rank(texts: list[str], seen: np.ndarray) -> list[str | list[str]]:
    """Texts best first, those that look equal as nested lists; never all of them, which would say nothing."""
    order = np.argsort(-seen)
    groups = [[texts[order[0]]]]
    for better, worse in itertools.pairwise(order):
        if seen[better] - seen[worse] < TIE:
            groups[-1].append(texts[worse])
        else:
            groups.append([texts[worse]])
    if len(groups) == 1:
        return [texts[i] for i in order]
    return [group[0] if len(group) == 1 else group for group in groups]
