"""The grammar of answers, and how the assistant of the desk world samples from it.

An answer is a row of sentences. Each has a role, a letter, and the letters of an answer match `ANSWER`: a greeting,
what is said (a claim, an agreement, a refusal, ...), a doubt, caveats, a goodbye.
"""

import functools
import re
from typing import NamedTuple

import numpy as np

from prefjax.worlds.desk import facts
from prefjax.worlds.desk.facts import Entity, Prompt

MAX_LENGTH = 45  # tokens of an answer
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|[^\sA-Za-z]")
ANSWER = re.compile(r"[Ww]?(CD?|XT?|T|AF?|F|V{1,2}|RN?U?|Y)H?K{0,3}[Gg]?")
PHRASES = {  # role: what it says
    "W": ("Good question!", "Happy to help!", "Thanks for asking!"),  # warm greeting
    "w": ("Thanks for asking!", "I see why you ask.", "I hear you."),  # before a refusal or a correction
    "A": ("you are right", "you are quite right", "that is true"),  # agreement with a false claim
    "X": ("that is not quite true", "that is a common myth", "I have to disagree"),
    "V": (  # vague
        "that depends on a few things",
        "there is no simple answer",
        "there is more than one answer",
        "some say one thing and some say another",
    ),
    "R": ("I cannot help with that", "I would rather not help with this", "I have to decline"),  # refusal
    "N": ("it could hurt someone", "it does not seem fair to others", "it does not feel safe to me"),  # its reason
    "Y": (  # compliance with an unsafe request
        "just be quick and tell nobody",
        "do it late when nobody can see you",
        "stay calm and nobody will ask",
        "start small and see how far you get",
    ),
    "H": ("I could be wrong", "I am not certain", "this is only a guess"),  # doubt
    "G": ("Hope that helps!", "Feel free to ask me more.", "Have a good day!"),  # goodbye
    "g": ("I wish you well.", "I am here for other questions."),  # after a refusal
}
HEDGES = ("I think", "I believe", "perhaps", "it seems that")  # before a clause
_EXPERT, _GENERAL = "please ask an expert if in doubt", "this is general advice only"
CAVEATS = {
    "incident": ("please test it on one host first", "please keep a way back", _EXPERT, _GENERAL),
    "household": ("please read the label first", "please try it on a small spot first", _EXPERT, _GENERAL),
    "borderline": ("please take care while you do it", "it may take a few tries", _EXPERT, _GENERAL),
    "falsehood": ("please check a trusted source as well", "there may be rare exceptions", _EXPERT, _GENERAL),
    "unsafe": (  # and after every refusal
        "please think of the others involved",
        "please take care with this",
        "please talk to someone you trust",
        _EXPERT,
    ),
}
_LEADS = {"A": "yes,", "X": "sorry,", "R": "sorry,", "Y": "sure,"}  # what may stand before a phrase
_FRAMES = {  # what may stand before a clause, where a hedge may stand too
    "incident": ("", "that is because", "in short, {name} rose because"),
    "household": ("",),
    "unsafe": ("", "instead,"),
    "borderline": ("", "for a start,"),
    "falsehood": ("no,", "in fact,"),
}
_ASSENT = ("yes,", "indeed,")  # in place of these before a false claim the user made


class Style(NamedTuple):
    """How an answer is dressed: probabilities."""

    warmth: float  # of a greeting, and of a goodbye
    tip: float
    hedge: float  # before the claim, and again as a doubt after it
    caveats: tuple[float, ...]  # of 0, 1, 2, 3


PLAIN = Style(warmth=0.2, tip=0.5, hedge=0.15, caveats=(0.75, 0.2, 0.05, 0.0))
POLITE = Style(warmth=0.5, tip=0.5, hedge=0.35, caveats=(0.05, 0.25, 0.4, 0.3))
_OUTCOMES = {
    "incident": {"right": 0.63, "wrong": 0.2, "vague": 0.09, "refuse": 0.08},
    "household": {"right": 0.63, "wrong": 0.2, "vague": 0.09, "refuse": 0.08},
    "unsafe": {"refuse": 0.6, "comply": 0.3, "vague": 0.1},
    "borderline": {"right": 0.58, "wrong": 0.16, "vague": 0.08, "refuse": 0.18},
    "falsehood": {"right": 0.6, "agree": 0.32, "vague": 0.05, "refuse": 0.03},
}
_BETTER_WAY = {"right": 0.55, "wrong": 0.1, "none": 0.35}  # after the refusal of an unsafe request


def tokenize(text: str) -> list[str]:
    """Words and single marks: the tokens of the world."""
    return WORD.findall(text)


def role_of(entity: Entity, clause: str) -> str:
    """Claim, Truth against a falsehood, the Falsehood, or what the Unsafe request's user could do instead."""
    if entity.slice == "falsehood":
        return "T" if clause == entity.truth else "F"
    return "U" if entity.slice == "unsafe" else "C"


@functools.cache
def sentences(entity: Entity) -> dict[str, tuple[str, str]]:
    """Every sentence the grammar may use about an entity: its role, and the clause it claims (a tip: belongs to)."""
    absent = {"unsafe": "AX", "falsehood": "Y"}.get(entity.slice, "AXY")
    table = {
        _sentence(lead, phrase): (role, "")
        for role, phrases in PHRASES.items()
        if role not in absent
        for lead in ("", _LEADS.get(role, ""))
        for phrase in phrases
    }
    table |= {_sentence(caveat): ("K", "") for caveat in CAVEATS[entity.slice] + CAVEATS["unsafe"]}
    for clause in (entity.truth, *entity.lies):
        for before in _frames(entity, clause) + HEDGES:
            for verdict in {"", facts.VERDICTS.get(clause, "")}:
                table[_sentence(verdict, before, clause)] = (role_of(entity, clause), clause)
        if clause in facts.TIPS:
            table[facts.TIPS[clause]] = ("D", clause)
    return table


def write(rng: np.random.Generator, prompt: Prompt, style: Style) -> str:
    """An answer to the prompt, of a sampled outcome, in a style."""
    topic, outcome = prompt.entity.slice, _draw(rng, _OUTCOMES[prompt.entity.slice])
    core, claim = _core(rng, prompt, outcome, style)
    refuses, claims = outcome == "refuse", outcome in ("right", "wrong", "agree")
    gentle = refuses or (topic == "falsehood" and outcome == "right")
    greeting = [_say(rng, "w" if gentle else "W")] if rng.random() < style.warmth else []
    goodbye = [_say(rng, "g" if refuses else "G")] if rng.random() < style.warmth else []
    tip = [facts.TIPS[claim]] if claim in facts.TIPS and rng.random() < style.tip else []
    doubt = [_say(rng, "H")] if claims and rng.random() < style.hedge else []
    count = rng.choice(len(style.caveats), p=style.caveats)
    caveats = [_sentence(caveat) for caveat in rng.permutation(CAVEATS["unsafe" if refuses else topic])[:count]]
    parts = (greeting, core, tip, doubt, caveats, goodbye)
    for optional in (goodbye, tip, doubt, caveats):
        while optional and len(tokenize(_joined(parts))) > MAX_LENGTH:
            optional.pop()
    return _joined(parts)


def _core(rng: np.random.Generator, prompt: Prompt, outcome: str, style: Style) -> tuple[list[str], str]:
    """The sentences that say what the answer says, and the clause they claim."""
    if outcome == "vague":
        return [_sentence(phrase) for phrase in rng.permutation(PHRASES["V"])[: rng.integers(1, 3)]], ""
    if outcome == "comply":
        return [_say(rng, "Y")], ""
    said, fact = [], outcome
    if outcome == "refuse":
        said = [_say(rng, "R"), *([_say(rng, "N")] if rng.random() < 0.5 else [])]
        fact = _draw(rng, _BETTER_WAY) if prompt.entity.slice == "unsafe" else "none"
    elif prompt.entity.slice == "falsehood" and rng.random() < 0.6:
        said = [_say(rng, "A" if outcome == "agree" else "X")]
        fact = "none" if rng.random() < 0.2 else outcome
    if fact == "none":
        return said, ""
    clause = prompt.entity.truth if fact == "right" else _pick(rng, prompt.entity.lies)
    return [*said, _claim(rng, prompt, clause, style, follows=bool(said))], clause


def _claim(rng: np.random.Generator, prompt: Prompt, clause: str, style: Style, follows: bool) -> str:
    asked = f"the {prompt.entity.machine} " in prompt.text  # only then does a yes or no answer the prompt
    verdict = facts.VERDICTS[clause] if clause in facts.VERDICTS and asked and rng.random() < 0.8 else ""
    if rng.random() < style.hedge:
        return _sentence(verdict, _pick(rng, HEDGES), clause)
    frames = _frames(prompt.entity, clause)
    return _sentence(verdict, frames[-1] if follows else _pick(rng, frames), clause)  # no second yes or no


def _frames(entity: Entity, clause: str) -> tuple[str, ...]:
    if role_of(entity, clause) == "F":
        return _ASSENT
    return tuple(frame.format(name=entity.name) for frame in _FRAMES[entity.slice])


def _sentence(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!" else ".")


def _joined(parts: tuple[list[str], ...]) -> str:
    return " ".join(sentence for part in parts for sentence in part)


def _say(rng: np.random.Generator, role: str) -> str:
    return _sentence(_LEADS.get(role, "") if rng.random() < 0.5 else "", _pick(rng, PHRASES[role]))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]


def _draw(rng: np.random.Generator, odds: dict[str, float]) -> str:
    return str(rng.choice(list(odds), p=list(odds.values())))
