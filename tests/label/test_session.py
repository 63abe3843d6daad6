"""A sitting: what comes next, undo, resuming, overlap and agreement."""

import json
from pathlib import Path

import pytest

from prefjax.data.check import check
from prefjax.data.readers import pairs
from prefjax.label import session as sessions
from prefjax.label.merge import merge
from prefjax.label.session import Taken
from prefjax.label.store import judgements, opened


def test_a_sitting_from_end_to_end(tmp_path, sit, judge, items):
    with sit() as session:
        shown = [judge(session, best="good") for _ in items]
        assert {one["prompt"] for one in shown} == {item.prompt for item in items}
        state = session.state()
        assert state["item"] is None
        assert (state["judged"], state["left"], state["pace"]) == (6, 0, "2 s each")
    found = [*pairs(path=str(tmp_path / "labels.jsonl"))]
    assert all(row["chosen"] == f"good {row['id']}" and row["slice"] == "s" for row in found)
    assert [f"prompt {row['id']}" for row in found] == [one["prompt"] for one in shown]
    assert {row["meta"]["order"][0] for row in found} == {0, 1}
    report = check(tmp_path / "labels.jsonl")
    assert (report.usable, report.refused, report.warned) == (6, [], [])


def test_answers_that_echo_their_prompt_come_back_as_they_were_shown(tmp_path, sit, judge, make_item):
    echo, other = make_item("2+2=", ("2+2=4", "2+2=5")), make_item("q", ("good", "bad"))
    path = str(tmp_path / "labels.jsonl")
    with sit(found=[echo]) as session:
        judge(session, best="2+2=4")
    with sit("bob", found=[echo, other]) as session:
        for _ in range(2):
            judge(session, 1)
    with sit(found=[echo, other]) as session:
        assert session.state()["judged"] == 1
        assert len(session.store.earlier) == 3
        assert {*session.counts()} == {echo.key, other.key}
    found = [*pairs(path=path)]
    assert (found[0]["chosen"], found[0]["rejected"]) == ("2+2=4", "2+2=5")
    assert [json.loads(line) for line in Path(path).read_text().splitlines()] == found
    merged = merge([path]).pairs
    (tmp_path / "votes.txt").write_text("".join(json.dumps(row) + "\n" for row in merged))
    assert merged[0]["chosen"].startswith("2+2=")
    assert [*pairs(path=str(tmp_path / "votes.txt"))] == merged


def test_the_page_learns_nothing_of_the_label(sit, make_item):
    item = make_item("p", ("x", "y"), slice="secret", tag="secret", grade=3, meta={"models": "secret"})
    with sit(found=[item]) as session:
        assert "secret" not in str(session.state())
        assert session.state()["item"].keys() == {"key", "prompt", "answers"}


def test_the_same_command_goes_on(sit, judge):
    with sit() as session:
        judge(session, 1)
        judge(session, None)
        following = session.state()["item"]
    with sit() as session:
        state = session.state()
        assert (state["item"], state["judged"], state["left"], state["undo"]) == (following, 2, 4, False)
    with sit("bob") as session:
        assert session.state()["judged"] == 0


def test_undo_shows_the_item_again_with_what_was_said(tmp_path, sit, judge):
    with sit() as session:
        with pytest.raises(Taken, match="nothing to undo"):
            session.undo()
        first = judge(session, 1)
        second = judge(session, None, flags=["unclear"], comment="hm")
        session.undo()
        state = session.state()
        assert state["item"] == second
        assert state["again"] == {"value": None, "seconds": 2.0, "flags": ["unclear"], "comment": "hm"}
        assert state["judged"] == 1
        session.undo()
        assert session.state()["item"] == first
        judge(session, -1)
        assert session.state()["again"] is None
    [row] = pairs(path=str(tmp_path / "labels.jsonl"))
    assert row["prompt"] == first["prompt"]
    assert row["chosen"] == first["answers"][1]


def test_a_second_tab_judges_nothing_twice(sit, judge):
    with sit() as session:
        shown = judge(session, 1)
        with pytest.raises(Taken, match="judged already"):
            session.judge(shown["key"], {"value": 1, "seconds": 1, "flags": [], "comment": ""})
        with pytest.raises(ValueError, match="value"):
            judge(session, 9)
        assert session.state()["judged"] == 1


def test_agreement_grows_with_what_two_have_judged(sit, judge):
    with sit() as session:
        for _ in range(6):
            judge(session, best="good")
        assert session.state()["agreement"] is None
    with sit("bob") as session:
        for _ in range(5):
            judge(session, best="good")
        agreement = session.state()["agreement"]
        assert agreement == {"words": "α 1.00 [1.00, 1.00] of 2 annotators on 5 pairs", "low": False}
        judge(session, 0)
        assert "α 1.00" not in session.state()["agreement"]["words"]
    with sit("eve") as session:
        for _ in range(6):
            judge(session, best="bad")
        assert session.state()["agreement"]["low"]


def test_files_of_their_own_are_followed_as_they_grow(tmp_path, sit, judge):
    with sit("ada", out="ada.jsonl") as ada:
        judge(ada, best="good")
        with sit("bob", out="bob.jsonl", others=[str(tmp_path / "*.jsonl")]) as bob:
            for _ in range(3):
                judge(bob, best="good")
            assert bob.state()["agreement"] is None  # one pair in common, and one value
            judge(ada, best="good")
            judge(ada, best="good")
            assert bob.state()["agreement"] is None or "on 3 pairs" in bob.state()["agreement"]["words"]
            ada.undo()
            judge(ada, best="bad")
            assert "of 2 annotators on 3 pairs" in bob.state()["agreement"]["words"]
            with (tmp_path / "ada.jsonl").open("a") as file:
                file.write('{"prompt": "half a li')
            assert "on 3 pairs" in bob.state()["agreement"]["words"]


def test_overlap_asks_so_many_annotators_and_no_more(sit, judge):
    def sitting(annotator, n):
        with sit(annotator, overlap=2) as session:
            return [judge(session, 1)["key"] for _ in range(min(n, session.state()["left"]))]

    first = sitting("ada", 4)
    second = sitting("bob", 6)
    assert set(second[:4]) == set(first)  # what one has judged comes first
    third = sitting("eve", 6)
    assert set(third) == set(second) - set(first)
    assert sitting("dan", 6) == []


def test_what_others_judge_meanwhile_throws_no_verdict_away(tmp_path, sit, judge, make_item):
    found = [make_item(f"prompt {i}") for i in range(2)]
    knobs = {"found": found, "overlap": 1}
    with sit("ada", out="ada.jsonl", **knobs) as ada:
        shown = ada.state()["item"]
        with sit("bob", out="bob.jsonl", found=[item for item in found if item.key == shown["key"]]) as bob:
            judge(bob, 1)
        with sit("eve", out="eve.jsonl", others=[str(tmp_path / "bob.jsonl")], **knobs) as eve:
            assert eve.state()["item"]["key"] != shown["key"]
            sent = {"value": 1, "seconds": 1, "flags": [], "comment": ""}
            eve.judge(shown["key"], sent)
            with pytest.raises(Taken):
                eve.judge(shown["key"], sent)
            with pytest.raises(Taken):
                eve.judge("of no item", sent)
    assert [row["prompt"] for row in pairs(path=str(tmp_path / "eve.jsonl"))] == [shown["prompt"]]


def test_files_of_others_are_read_once_and_what_is_wrong_with_them_is_told(tmp_path, sit, judge, monkeypatch):
    path = tmp_path / "ada.jsonl"
    with sit("ada", out="ada.jsonl") as ada:
        judge(ada, 1)
    read = []
    monkeypatch.setattr(sessions, "judgements", lambda path, **knobs: read.append(path) or judgements(path, **knobs))
    with sit("bob", out="bob.jsonl", others=[str(path)]) as bob:
        assert bob.state()["trouble"] == bob.state()["trouble"] == ""
        assert read == [str(path)]
        text = path.read_text()
        path.write_text(text + "notes\n")
        for _ in range(2):
            assert f"{path}:2: not JSON" in bob.state()["trouble"]
        assert len(bob.counts()) == 1
        path.unlink()
        assert "No such file" in bob.state()["trouble"]
        path.write_text(text + text)
        assert bob.state()["trouble"] == ""


def test_rankings_agree_pair_by_pair(tmp_path, sit, judge, make_item):
    found = [make_item(f"prompt {i}", (f"x{i}", f"y{i}", f"z{i}")) for i in range(3)]

    def ranked(session):
        answers = session.state()["item"]["answers"]
        return [[place] for place in sorted(range(3), key=lambda place: answers[place], reverse=True)]

    for annotator in ("ada", "bob"):
        with sit(annotator, "ranked", found=found) as session:
            judge(session, ranked(session))
            judge(session, ranked(session))
            judge(session, [[0, 1, 2]] if annotator == "bob" else ranked(session))
            agreement = session.state()["agreement"]
    assert agreement["words"] == "α 1.00 [1.00, 1.00] of 2 annotators on 6 pairs"
    rows = [row["ranking"] for row in pairs(path=str(tmp_path / "labels.jsonl"))]
    assert len(rows) == 5
    assert all(row == sorted(row, reverse=True) for row in rows)
    with opened(tmp_path / "labels.jsonl", "bob", "ranked") as store:
        assert [event["event"] for event in store.skipped.values()] == ["all equal"]
