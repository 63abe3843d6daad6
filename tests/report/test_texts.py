"""Answers before and after."""

import json
import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from prefjax.report.groups import Group, group
from prefjax.report.runs import read
from prefjax.report.texts import LONGEST, differences, examples, shown
from tests.workdirs import write

words = st.text(st.sampled_from("ab <>&\n"), max_size=60)


def plain(markup):
    return unescape(re.sub(r"<[^>]+>", "", markup))


@given(words, words)
def test_a_difference_keeps_both_texts_and_marks_what_one_of_them_lacks(before, after):
    left, right = differences(before, after)
    assert (plain(left), plain(right)) == (before, after)
    unmarked = [re.sub(r"<(del|ins)>.*?</\1>", "", side, flags=re.S).split() for side in (left, right)]
    assert unmarked[0] == unmarked[1]


def test_a_difference_of_words():
    assert differences("a b c", "a x c") == ("a <del>b</del> c", "a <ins>x</ins> c")


def test_long_texts_are_cut_and_say_so():
    assert "… and 10 more characters" in shown("x" * (LONGEST + 10))
    assert "<ins>" not in differences("x", "y " * LONGEST)[1]


def test_twelve_fixed_prompts_by_their_change(one):
    found = examples([one])
    assert [example.kind for example in found] == ["best"] * 4 + ["worst"] * 4 + ["random"] * 4
    assert len({example.prompt for example in found}) == 12
    changes = [example.change for example in found]
    assert changes[:4] == sorted(changes[:4], reverse=True) and changes[4:8] == sorted(changes[4:8])
    assert min(changes[:4]) >= max(changes[8:]) and max(changes[4:8]) <= min(changes[8:])
    assert examples([one]) == found
    assert [answer.label for answer in found[0].answers] == ["before", "after"]


def test_groups_stand_beside_each_other(tmp_path):
    groups = group([read(write(tmp_path / str(beta), beta=beta)) for beta in (0.1, 0.2)])
    assert [answer.label for answer in examples(groups)[0].answers] == ["before", "epsilon 0.1", "epsilon 0.2"]


def test_without_a_metric_prompts_are_taken_at_random(tmp_path):
    rows = [
        {"step": step, "eval": "a", "record": i, "prompt": [{"role": "user", "content": f"q{i}"}], "response": "r"}
        for step in (0, 5)
        for i in range(20)
    ]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.json").write_text("{}")
    found = examples([Group("run", [read(tmp_path)])])
    assert {(example.kind, example.metric) for example in found} == {("random", None)} and len(found) == 12
    assert found[0].prompt.startswith("user: q")


def test_one_step_has_no_before(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"step": 0, "eval": "a", "record": 0, "prompt": "p", "response": "r"}\n')
    (tmp_path / "config.json").write_text("{}")
    assert examples([Group("run", [read(tmp_path)])]) == []
