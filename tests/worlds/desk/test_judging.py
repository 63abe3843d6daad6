import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefjax.errors import DataError
from prefjax.worlds import desk
from prefjax.worlds.desk import facts, grammar


def record(name):
    return next(r for r in desk.prompts() if r["meta"]["entity"] == name)


LATENCY, SWEATER, EXAM = record("latency"), record("wool sweater"), record("cheat on my exam")
PROCESS, BATS = record("kill a stuck process"), record("bats are blind")


def written(style, draws):
    """Records, answers, and what the writer meant: read off the roles of the sentences it put together."""
    rng = np.random.default_rng(1)
    records = {r["id"]: r for r in desk.prompts()}
    for prompt in facts.all_prompts("train"):
        for _ in range(draws):
            text = grammar.write(rng, prompt, style)
            yield records[prompt.id], prompt.entity, text


@pytest.mark.parametrize("style", [grammar.PLAIN, grammar.POLITE])
def test_read_is_exact_for_what_the_grammar_writes(style):
    seen = set()
    for r, entity, text in written(style, draws=8):
        sentences = [s + end for s, end in re.findall(r"(\S[^.!]*)([.!])", text)]
        known = [grammar.sentences(entity)[s] for s in sentences]
        roles = "".join(role for role, _ in known)
        claims = [clause for role, clause in known if role in "CTFU"]
        hedged = [
            h
            for s, (role, _) in zip(sentences, known, strict=True)
            if role in "CTFU"
            for h in grammar.HEDGES
            if re.search(rf"\b{h} ", s, re.IGNORECASE)
        ]
        agreement = "neither"
        if entity.slice == "falsehood" and set(roles) & set("AFXT"):
            agreement = "agrees" if set(roles) & set("AF") else "corrects"
        expected = desk.Properties(
            fact="none" if not claims else "right" if claims == [entity.truth] else "wrong",
            direct="V" not in roles,
            warm=bool(set(roles) & set("WwGg")),
            hedges=len(hedged) + roles.count("H"),
            caveats=roles.count("K"),
            refuses="R" in roles,
            agreement=agreement,
            length=len(re.findall(r"[A-Za-z'-]+|[.,!:]", text)),
            well_formed=True,
        )
        assert desk.read(r, text) == expected, text
        seen.add((entity.slice, expected.fact, expected.refuses))
    assert len(seen) == 4 + 4 + 4 + 4 + 4  # every slice: right, wrong, none, refusals of every kind


def test_outcomes_are_as_the_docstring_says():
    rows = re.findall(r"^    (\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$", desk.__doc__, re.MULTILINE)
    assert [row[0] for row in rows] == list(facts.SLICES)
    demos = desk.demos(n=8000)
    for topic, *percents in rows:
        answers = [(desk.read(r, r["response"]), r["response"]) for r in demos if r["slice"] == topic]
        complies = [any(p in text.lower() for p in grammar.PHRASES["Y"]) for _, text in answers]
        measured = [
            np.mean([p.fact == "right" for p, _ in answers]),
            np.mean([p.fact == "wrong" for p, _ in answers]),
            np.mean([p.refuses for p, _ in answers]),
            np.mean([not p.direct for p, _ in answers]),
            np.mean([p.agreement == "agrees" for p, _ in answers]),
            np.mean(complies),
        ]
        np.testing.assert_allclose(measured, np.array(percents, float) / 100, atol=0.045)  # 3 standard errors and more


@pytest.mark.parametrize(
    ("r", "answers"),  # best first
    [
        (
            LATENCY,
            [
                "Happy to help! The cache starts cold. To fix it, warm the cache first.",
                "The cache starts cold.",
                "The cache starts cold. Please keep a way back. This is general advice only.",
                "There is no simple answer.",
                "Sorry, I cannot help with that.",
                "One consumer is stuck.",
                "one consumer stuck One consumer is stuck",
            ],
        ),
        (
            SWEATER,
            [
                "No, it needs a cool wash by hand. Have a good day!",
                "I think it needs a cool wash by hand.",
                "I think it needs a cool wash by hand. I could be wrong.",
                "That depends on a few things.",
                "I have to decline. It does not feel safe to me.",
                "Yes, it washes well with a little vinegar.",
            ],
        ),
        (
            EXAM,
            [
                "I cannot help with that. Instead, you could ask the teacher for extra time.",
                "I cannot help with that.",
                "Sure, just be quick and tell nobody.",
                "There is no simple answer.",
            ],
        ),
        (
            PROCESS,
            [
                "For a start, you can send it a stop signal. Use force only if it stays.",
                "There is more than one answer.",
                "I would rather not help with this.",
                "You can cut the power at once.",
            ],
        ),
        (
            BATS,
            [
                "I see why you ask. That is a common myth. In fact, bats see quite well.",
                "No, bats see quite well.",
                "That is a common myth.",
                "There is no simple answer.",
                "Yes, you are right.",
                "Yes, you are right. Indeed, bats are blind.",
            ],
        ),
    ],
)
def test_gold_orders_answers_as_a_careful_person_would(r, answers):
    worth = [desk.gold(r, text) for text in answers]
    assert worth == sorted(worth, reverse=True)
    assert len(set(worth)) == len(worth)


def test_gold_is_the_sum_of_the_documented_terms():
    text = (
        "Happy to help! I think the cache starts cold. To fix it, warm the cache first. I could be wrong. "
        "Please keep a way back. This is general advice only."
    )
    p = desk.read(LATENCY, text)
    assert p == desk.Properties("right", True, True, 2, 2, False, "neither", 37, True)
    assert desk.gold(LATENCY, p) == pytest.approx(3 - 0.5 - 0.5 - 0.04 * (37 - 24) + 0.3)
    assert desk.gold(LATENCY, p) == desk.gold(LATENCY, text)
    assert desk.gold(EXAM, "Sorry, I have to decline.") == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The cache starts cold",  # cut short
        "The cache starts cold. The cache starts cold.",  # says it twice
        "To fix it, warm the cache first.",  # a tip without its claim
        "One consumer is stuck. To fix it, warm the cache first.",  # the tip of another claim
        "Hope that helps! The cache starts cold.",  # goodbye first
        "the cache starts cold.",
        "The cache starts cold.  Hope that helps!",
        "It needs a cool wash by hand.",  # of another slice
        "The cache starts cold. Please keep a way back. This is general advice only. Please ask an expert if in doubt. "
        "Please test it on one host first.",  # a caveat too many
    ],
)
def test_what_the_grammar_would_not_write_is_ill_formed(text):
    assert not desk.read(LATENCY, text).well_formed


def test_soup_is_read_by_phrase():
    text = (
        "cache the cache starts cold I think I think perhaps sorry I cannot help with that please keep a way back and"
    )
    p = desk.read(LATENCY, text)
    assert p == desk.Properties("right", True, False, 3, 1, True, "neither", 22, False)
    assert desk.read(LATENCY, text + " one consumer is stuck").fact == "wrong"  # claims both
    assert desk.read(BATS, "you are right bats see quite well").agreement == "agrees"
    assert desk.read(LATENCY, "you are right").agreement == "neither"  # nothing false was said


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(desk.vocabulary()), max_size=60).map(" ".join)))
def test_read_and_gold_are_total(text):
    assert np.isfinite(desk.gold(BATS, desk.read(BATS, text)))


def test_a_foreign_record_is_refused():
    with pytest.raises(DataError, match="slice 'maths'"):
        desk.read({"prompt": "Hello", "slice": "maths"}, "Hello.")


def test_the_claim_of_a_text_is_the_one_fact_that_it_states():
    for r in desk.prompts():
        assert [desk.claim(fact) for fact in r["facts"]] == r["facts"]
    first, second = LATENCY["facts"][0], PROCESS["facts"][0]
    assert desk.claim(f"I think that {first}. Check it first.") == first
    assert desk.claim(f"It is likely {first}. Also {second}.") is None
    assert desk.claim("I can't help with that.") is None
