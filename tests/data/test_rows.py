"""Rows: prompts shared, over-long dropped, twins dropped, labels as targets and margins."""

import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from prefjax.data import readers, rows
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError, DataError


def byte_tokenizer(**config):
    """One token a byte, and an eos."""
    tok = tokenizers.Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(["</s>"])
    config["eos_token"] = "</s>"
    return Tokenizer({"tokenizer.json": tok.to_str().encode(), "tokenizer_config.json": json.dumps(config).encode()})


TOK = byte_tokenizer()


def pair(prompt, chosen, rejected, **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_a_pair_is_its_prompt_once_and_two_responses_with_their_eos():
    built, counts = rows.pairs([pair("ab", "c", "de"), pair("f", "gh", "i")], TOK, 8)
    assert (built.size, built.responses, counts) == (2, 2, {"rows": 2})
    assert [[TOK.decode(built.part(i, j), special=True) for j in range(3)] for i in range(2)] == [
        ["ab", "c</s>", "de</s>"],
        ["f", "gh</s>", "i</s>"],
    ]
    assert built.offsets.tolist() == [[0, 2, 4, 7], [7, 8, 11, 13]]
    assert (built.tokens.dtype, built.records.tolist(), built.target, built.margin) == (np.int32, [0, 1], None, None)


def test_judgements_of_any_form_become_single_responses_good_or_bad():
    records = [
        {"prompt": "a", "response": "b", "label": True},
        {"prompt": "a", "response": "c", "label": False},
        pair("a", "d", "e"),
        pair("a", "f", "g", grade=-2),
        pair("a", "h", "i", votes=[1, 1, 3], grade=3),  # a tie
        {"prompt": "a", "ranking": [["j", "k"], "l", ["m"]]},
        pair("a", "n", "o" * 9),
        {"prompt": "a", "ranking": [["p", "q"]]},  # of one rank
    ]
    built, counts = rows.unpaired(records, TOK, 8)
    labels = dict(zip((TOK.decode(built.part(i, 1)) for i in range(built.size)), built.target.tolist(), strict=True))
    assert labels == {"b": 1, "c": 0, "d": 1, "e": 0, "g": 1, "f": 0, "j": 1, "k": 1, "m": 0, "n": 1}
    assert counts == {"rows": 10, "good responses": 6, "bad responses": 4, rows.BETWEEN: 5, rows.TOO_LONG: 1}
    assert built.records.tolist() == [0, 1, 2, 2, 3, 3, 5, 5, 5, 6]


def test_judged_responses_keep_their_target_where_all_are_good_and_say_what_they_lack():
    built, _ = rows.unpaired([{"prompt": "a", "response": "b", "label": True}], TOK, 8)
    assert built.target.tolist() == [1]
    with pytest.raises(DataError, match=r"unpaired\(\): record 0 has no 'label'; it has prompt, response"):
        rows.unpaired([{"prompt": "a", "response": "b"}], TOK, 8)
    with pytest.raises(DataError, match=r"unpaired\(\): record 0 has no 'chosen'"):
        rows.unpaired([{"prompt": "a"}], TOK, 8)


def test_steps_are_labelled_at_their_last_tokens_the_last_one_at_the_stop_token():
    records = [{"prompt": "ab", "steps": ["c", "de", "f"], "labels": [True, False, True]}]
    built, counts = rows.steps(records, TOK, 12)
    assert counts == {"rows": 1, "steps": 3}
    assert TOK.decode(built.part(0, 1), special=True) == "c\nde\nf</s>"
    assert built.steps.tolist() == [-1, -1, 1, -1, -1, 0, -1, -1, 1]
    assert rows.steps([records[0] | {"steps": ["c" * 9, "d", "e"]}, records[0]], TOK, 12)[1][rows.TOO_LONG] == 1
    with pytest.raises(DataError, match=r"steps\(\): record 0 has no 'labels'"):
        rows.steps([{"prompt": "a", "steps": ["b"]}], TOK, 8)


def test_over_long_rows_are_dropped_never_cut_and_counted():
    records = [pair("a" * 8, "b", "c"), pair("a" * 7, "b", "c"), pair("a", "b" * 8, "c"), pair("a", "b", "c" * 6)]
    built, counts = rows.pairs(records, TOK, 8)
    assert counts == {"rows": 1, rows.PROMPT_FILLS: 1, rows.TOO_LONG: 2}
    assert built.records.tolist() == [3]


def test_sides_of_equal_tokens_are_dropped_and_counted():
    state = json.loads(TOK.files["tokenizer.json"]) | {"normalizer": {"type": "Lowercase"}}
    lower = Tokenizer(TOK.files | {"tokenizer.json": json.dumps(state).encode()})
    built, counts = rows.pairs([pair("a", "Yes", "yES"), pair("a", "yes", "no")], lower, 9)
    assert (built.size, counts) == (1, {"rows": 1, rows.TWINS: 1})


def test_merges_across_the_boundary_are_counted_and_leave_the_prompt_alone(real_data):
    tok = Tokenizer.load(real_data / "models/stories260K")
    built, counts = rows.pairs([pair("Once up", "on a time", " there was")], tok, 32)
    assert counts == {"rows": 1, rows.APART: 1}
    assert built.part(0, 0).tolist() == tok.encode("Once up")


def test_votes_and_grades_become_targets():
    records = [
        pair("a", "b", "c", **label) for label in ({"votes": [2, 0, 1]}, {"grade": 0}, {"grade": -2}, {}, {"grade": 3})
    ]
    built, _ = rows.pairs(records, TOK, 8)
    np.testing.assert_array_equal(built.target, np.float32([(2 + 1 / 2) / 3, 0.5, 0, 1, 1]))
    assert rows.pairs(records, TOK, 8, soft=False)[0].target is None
    built, _ = rows.pairs(records, TOK, 8, margin_per_grade=0.5)
    np.testing.assert_array_equal(built.margin, np.float32([0, 0, -1, 0, 1.5]))
    assert built.grade is None
    built, _ = rows.pairs([records[1], records[2], records[4]], TOK, 8, grades=True)
    assert built.target is None and built.grade.tolist() == [0, -2, 3]
    assert rows.pairs([records[1]], TOK, 8, grades=True)[0].grade.tolist() == [0]
    with pytest.raises(DataError, match=r"pairs\(\): record 0 has no 'grade'"):
        rows.pairs(records, TOK, 8, grades=True)


def test_rankings_become_pairs_only_on_request():
    record = {"prompt": "p", "ranking": ["a", ["b", "c"], "d"]}
    with pytest.raises(ConfigError, match="expand_rankings=True"):
        rows.pairs([record], TOK, 8)
    built, _ = rows.pairs([record], TOK, 8, expand_rankings=True)
    sides = {tuple(TOK.decode(built.part(i, j)) for j in (1, 2)) for i in range(built.size)}
    assert sides == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    assert built.records.tolist() == [0] * 5


def test_rankings_of_any_length_are_rows():
    texts = ["a", ["b", "c"], "d"], ["x", "y"], ["a", "bcdefghi", "a"], ["abcdefghi", "abcdefghij"]
    records = [{"prompt": "p", "ranking": ranking} for ranking in texts]
    built, counts = rows.rankings([records[1], records[0], *records[2:]], TOK, 8)
    assert counts == {"rows": 2, rows.ABSENT: 3, rows.AGAIN: 1, rows.FEW: 2}
    assert (built.responses, built.records.tolist()) == (4, [0, 1])
    np.testing.assert_array_equal(built.ranks, [[0, 1, -1, -1], [0, 1, 1, 2]])
    assert ["".join(TOK.decode(built.part(i, j)) for j in range(5)) for i in (0, 1)] == ["pxy", "pabcd"]
    assert built.part(0, 3).size == 0
    left, _ = rows.rankings([{"prompt": "p", "ranking": ["abcdefghi", "a", "bcdefghij", "c"]}], TOK, 8)
    assert left.ranks.tolist() == [[0, 1]], "0 is the best of those that are left"
    only, _ = rows.rankings(records[:1], TOK, 8)
    assert only.offsets.shape == (1, 6) and only.ranks.tolist() == [[0, 1, 1, 2]]
    with pytest.raises(DataError, match=r"rankings\(\): record 0 has no 'ranking'"):
        rows.rankings([pair("a", "b", "c")], TOK, 8)


def test_demonstrations_texts_and_prompts():
    built, _ = rows.demos([{"prompt": "ab", "response": "c"}, {"response": "xyz"}], TOK, 8)
    assert [[TOK.decode(built.part(i, j), special=True) for j in (0, 1)] for i in range(2)] == [
        ["ab", "c</s>"],
        ["x", "yz</s>"],
    ]
    built, counts = rows.prompts([{"prompt": "abc"}, {"prompt": "abcd"}, {"prompt": "z", "chosen": "y"}], TOK, 3)
    assert counts == {"rows": 2, rows.PROMPT_FILLS: 1}
    assert (built.responses, built.records.tolist()) == (0, [0, 2])


def test_no_usable_rows_and_refusing_templates_are_data_errors():
    with pytest.raises(DataError, match="no usable rows with max_length=2"):
        rows.pairs([pair("abc", "d", "e")], TOK, 2)
    with pytest.raises(DataError, match="no records"):
        rows.demos([], TOK, 2)
    picky = byte_tokenizer(chat_template="{% if messages[0].content == 'x' %}{{ raise_exception('no x') }}{% endif %}")
    with pytest.raises(DataError, match=r"record 1: .*no x"):
        rows.pairs([pair("a", "b", "c"), pair("x", "b", "c")], picky, 9)


words = st.text(st.sampled_from("ab </s>é\n"), min_size=1, max_size=8)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=5), st.integers(2, 20))
def test_every_row_fits_holds_one_eos_last_and_is_no_twin(triples, max_length):
    try:
        built, counts = rows.pairs([pair(*triple) for triple in triples], TOK, max_length)
    except DataError:
        return
    assert counts["rows"] + sum(n for what, n in counts.items() if what.startswith("dropped")) == len(triples)
    for i in range(built.size):
        prompt, *responses = (built.part(i, j).tolist() for j in range(3))
        assert TOK.decode(prompt) == triples[built.records[i]][0]
        assert [TOK.decode(r) for r in responses] == list(triples[built.records[i]][1:])
        assert responses[0] != responses[1]
        for response in responses:
            assert len(prompt) + len(response) <= max_length
            assert response.count(TOK.eos_id) == 1 and response[-1] == TOK.eos_id
        assert TOK.eos_id not in prompt


def test_storybyte_pairs_under_the_models_template(real_data):
    tok = Tokenizer.load(real_data / "models/storybyte-nano")
    records = list(readers.pairs(str(real_data / "storybyte_pairs/preference_pairs.jsonl.gz"), prompt="request"))
    built, counts = rows.pairs(records, tok, 256)
    assert tok.pad_id == tok.eos_id
    assert sum(n for what, n in counts.items() if what != rows.APART) == len(records) == 113
    for i in range(built.size):
        record = records[built.records[i]]
        assert built.part(i, 0).tolist() == tok.encode(f"<|req|> {record['prompt']} <|story|>")
        for j, side in ((1, "chosen"), (2, "rejected")):
            assert built.part(i, j).tolist() == [*tok.encode(f" {record[side]}"), tok.eos_id]
            assert built.part(i, j).tolist().count(tok.eos_id) == 1


def test_oasst_rankings_imply_754_pairs(real_data):
    records = list(readers.oasst(str(real_data / "oasst_rankings/ranked_groups.jsonl.gz")))
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    assert rows.pairs(records, byte_tokenizer(chat_template=template), 10**6, expand_rankings=True)[0].size == 754


@pytest.mark.parametrize(
    ("kind", "record", "message"),
    [
        (rows.pairs, {"prompt": "a", "response": "b"}, r"pairs\(\): record 1 has no 'chosen'; it has prompt, response"),
        (rows.demos, pair("a", "b", "c"), r"demos\(\): record 1 has no 'response'; it has prompt, chosen, rejected"),
        (rows.prompts, {"response": "b"}, r"prompts\(\): record 1 has no 'prompt'; it has response"),
    ],
)
def test_records_of_another_kind_are_named_with_what_they_lack(kind, record, message):
    with pytest.raises(DataError, match=message):
        kind([pair("a", "b", "c") | {"response": "d"}, record], TOK, 9)


def test_pairs_judged_in_attributes_have_a_target_for_each():
    judged = [{"kind": 2, "short": -1}, {"short": 0}, {"other": 1}, {}]
    records = [pair("a", "b", "c", attributes=each) for each in judged] + [pair("a", "b", "c")]
    built, counts = rows.attributes(records, TOK, 8, names=("short", "kind"))
    np.testing.assert_array_equal(built.attributes, np.float32([[0, 1], [0.5, np.nan]]))
    assert built.names == ("short", "kind") and built.target is None and built.records.tolist() == [0, 1]
    assert counts == {"rows": 2, rows.UNJUDGED: 3, "judged in short": 2, "judged in kind": 1}
    assert rows.pairs(records, TOK, 8)[0].names == ()
    with pytest.raises(DataError, match="no record is judged in 'shrt'; did you mean 'short'"):
        rows.attributes(records, TOK, 8, names=("kind", "shrt"))
    np.testing.assert_array_equal(
        rows.attributes(records, TOK, 8, names=["short", "kind"])[0].attributes, built.attributes
    )
    for names in ((), ("kind", "kind"), "kind"):
        with pytest.raises(ConfigError, match="one attribute or more, each once"):
            rows.attributes(records, TOK, 8, names=names)


def test_pairs_judged_in_one_attribute_are_pairs_with_its_target():
    records = [pair("a", "b", "c", attributes=each) for each in ({"kind": 2, "short": -1}, {"short": 0}, {"kind": 1})]
    built, counts = rows.attributes(records, TOK, 8, names=("short",))
    assert built.names == () and built.attributes is None and built.target.tolist() == [0, 0.5]
    assert counts == {"rows": 2, rows.UNJUDGED: 1, "judged in short": 2}
