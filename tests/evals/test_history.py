"""Files of evaluations: what is added, and what a resumed run forgets."""

import json

from prefjax.evals import history


def write(workdir, step, *names):
    for name in names:
        history.add(workdir, step, {name: {"x": {"mean": float(step)}}})


def metrics(workdir, *rows):
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_evaluations_of_a_step_are_one_file(tmp_path):
    write(tmp_path, 2, "a", "b")
    write(tmp_path, 10, "a")
    history.mark(tmp_path, 10, ["kl-budget"], {"kl": -1.5})
    assert history.read(tmp_path) == [
        {"step": 2, "evals": {"a": {"x": {"mean": 2.0}}, "b": {"x": {"mean": 2.0}}}, "train": {}},
        {"step": 10, "evals": {"a": {"x": {"mean": 10.0}}}, "train": {}, "over": ["kl-budget"], "left": {"kl": -1.5}},
    ]
    assert [entry["step"] for entry in history.read(tmp_path, 2)] == [2]


def test_call_strings_stay_with_what_they_measured(tmp_path):
    history.add(tmp_path, 2, {"a": {}})
    assert "calls" not in history.read(tmp_path)[0]
    history.add(tmp_path, 2, {"few": {}, "more": {}}, {"few": "samples()", "more": "skill()"})
    history.add(tmp_path, 2, {"few": {}}, {"few": "samples(n=2)"})
    assert history.read(tmp_path)[0]["calls"] == {"few": "samples(n=2)", "more": "skill()"}
    history.add(tmp_path, 2, {"asked": {}}, {"asked": "win_rate(judge=\"url(address='https://me:secret@host')\")"})
    assert (
        "secret" not in history.path(tmp_path, 2).read_text()
        and "REDACTED@host" in history.path(tmp_path, 2).read_text()
    )


def test_training_is_averaged_since_the_evaluation_before(tmp_path):
    lines = [{"step": s, "train/loss": float(s), "train/kl": 1.0} for s in range(3)]
    lines += [{"step": s, "train/loss": 9.0} for s in (3, 4)]
    metrics(tmp_path, *lines, {"step": 4, "eval/a/x": 5.0}, {"step": 6, "train/loss": 8.0})
    write(tmp_path, 0, "a")
    write(tmp_path, 4, "a")
    assert [entry["train"] for entry in history.read(tmp_path)] == [
        {"loss": 0.0, "kl": 1.0},
        {"loss": (1 + 2 + 9 + 9) / 4, "kl": 1.0},
    ]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path):
    for step in (0, 4, 8, 12):
        write(tmp_path, step, "whole", "cut", "added")
    before = history.path(tmp_path, 8).read_bytes()
    history.forget(tmp_path, 8, {"cut"})
    assert [(e["step"], list(e["evals"])) for e in history.read(tmp_path)] == [
        (0, ["whole", "cut", "added"]),
        (4, ["whole", "cut", "added"]),
        (8, ["whole", "added"]),
    ]
    write(tmp_path, 8, "cut")
    assert json.loads(history.path(tmp_path, 8).read_bytes()) == json.loads(before)
    history.forget(tmp_path, 0, {"whole", "cut", "added"})
    assert history.read(tmp_path) == []
