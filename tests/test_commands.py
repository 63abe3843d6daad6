"""`prefjax best-of-n` and `prefjax pairs`, from their flags to what they write."""

import json
import shutil

import numpy as np
import pytest

from prefjax import checkpoint
from prefjax.cli import main
from prefjax.commands import per_query
from prefjax.data import load
from prefjax.data.check import check
from prefjax.train import train

SOURCE = "prefjax.worlds.desk:prompts(split='test')"
RATER = "text(function='prefjax.worlds.desk:rate(rater=\"expert\")')"
LONGER = "tests.test_commands:longer"
GOLD = "gold(function='prefjax.worlds.desk:rate(rater=\"expert\")', tie=0.1)"


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    """A tiny policy of the desk world, and a tiny reward model."""
    from configs import reward, sft

    folder = tmp_path_factory.mktemp("commands")
    for name, recipe in (("sft", sft), ("reward", reward)):
        c = recipe.get_config()
        c.steps, c.batch_size, c.model, c.evals = 1, 4, "llama(width=16, layers=1, heads=2)", {}
        c.tokenizer, c.mesh.data = "prefjax.worlds.desk:tokenizer()", 1
        c.data.train = f"prefjax.worlds.desk:{'demos' if name == 'sft' else 'pairs'}(n=16)"
        train(c, folder / name)
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def longer(prompt, a, b):
    return "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


def call(workdirs, *words):
    command, *flags = words
    return main([command, f"--model={workdirs / 'sft'}", *flags])


def test_best_of_n_writes_the_best_and_prints_a_line_for_each_n(workdirs, tmp_path, capsys):
    out = tmp_path / "best.jsonl"
    flags = [f"--reward={workdirs / 'reward'}", f"--gold={RATER}", f"--source={SOURCE}", "--n=4", "--max_new=8"]
    assert call(workdirs, "best-of-n", *flags, "--texts", f"--out={out}") == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()[:4]] == ["n", "1", "2", "4"]
    assert "gold [95 %]" in told
    assert "seconds a prompt at n = 4" in told
    assert "108 of 432 completions" in told
    found = rows(out)
    assert [row["prompt"] for row in found] == [record["prompt"] for record in load.records(SOURCE)]
    for row in found:
        best = row["scores"].index(row["score"])
        assert row["score"] == max(row["scores"])
        assert row["response"] == row["texts"][best]
        assert (row["n"], len(row["lengths"]), row["kl_bound"]) == (4, 4, pytest.approx(0.636294, abs=1e-6))
    assert call(workdirs, "best-of-n", *flags, "--texts", f"--out={tmp_path / 'again'}") == 0
    assert rows(tmp_path / "again") == found
    demos = load.records(f"demos(path={str(out)!r})")
    assert [demo["meta"] for demo in demos] == [record["meta"] for record in load.records(SOURCE)]


def test_rejection_sampling_keeps_all_from_a_threshold_on(workdirs, tmp_path, capsys):
    out = tmp_path / "kept.jsonl"
    reward = f"--reward=model() + 0.5 * length(target=40) - {RATER.replace('expert', 'polite')}"
    flags = [reward, "--frozen", f"reward={workdirs / 'reward'}", f"--source={SOURCE}", "--n=4", "--max_new=44"]
    assert call(workdirs, "best-of-n", *flags, "--keep=above", "--threshold=0", "--finished", f"--out={out}") == 0
    assert "cut at max_new" in capsys.readouterr().out
    found = rows(out)
    assert found
    assert all(row["score"] >= 0 and row["stopped"] and "kl_bound" not in row for row in found)


def test_best_of_n_prints_the_best_without_a_file(workdirs, capsys):
    flags = ["--reward=length(target=4)", "--prompt=Why?", "--n=2", "--max_new=4", "--times"]
    assert call(workdirs, "best-of-n", *flags) == 0
    told = capsys.readouterr().out
    assert "\n> Why?\n[" in told
    head, one, two = told.splitlines()[:3]
    assert head.endswith("seconds")
    assert all(0 < float(row.split()[-1]) < 60 for row in (one, two))  # one query: not the compilation


@pytest.mark.parametrize(
    "label", [["--label={}"], [f"--label={RATER}"], [f"--judge={LONGER}"], [f"--judge={GOLD}"]], ids=str
)
def test_pairs_of_the_policy_are_pairs_of_our_schema(workdirs, tmp_path, label, capsys):
    out = tmp_path / "pairs.jsonl"
    words = [word.replace("{}", str(workdirs / "reward")) for word in label]
    assert (
        call(workdirs, "pairs", *words, f"--source={SOURCE}", "--max_new=6", "--cut", "--seed=5", f"--out={out}") == 0
    )
    told, found = capsys.readouterr().out, rows(out)
    assert told.startswith(f"{len(found)} pairs in {out}")
    report = check(str(out), None)
    assert (report.refused, report.usable) == ([], len(found))
    for row in found:
        sampled = row["meta"]["sampled"]
        assert sampled["model"] == f"{workdirs / 'sft'}@1"
        assert (sampled["temperature"], sampled["seed"], sampled["n"]) == (1.0, 5, 2)
        assert sampled["scores"] == [row["score_chosen"], row["score_rejected"]]
        assert row["score_chosen"] > row["score_rejected"]
    if LONGER in label[0]:
        assert all(len(row["chosen"]) > len(row["rejected"]) for row in found)


def test_rankings(workdirs, tmp_path):
    out = tmp_path / "rankings.jsonl"
    flags = [f"--judge={LONGER}", f"--source={SOURCE}", "--n=4", "--max_new=6", "--cut", "--ranking", f"--out={out}"]
    assert call(workdirs, "pairs", *flags) == 0
    found = rows(out)
    assert {len(row["ranking"]) for row in found} <= {2, 3, 4}
    assert len(load.records(f"jsonl(path={str(out)!r})")) == len(found)


def test_rewrites_become_pairs(tmp_path, capsys):
    file, out = tmp_path / "rewrites.jsonl", tmp_path / "pairs.jsonl"
    texts = [("a", "b", "c"), ("d", "e", "e"), ("f", "g", "h")]
    file.write_text("".join(json.dumps({"request": p, "bad": b, "good": g}) + "\n" for p, b, g in texts))
    argv = ["pairs", f"--rewrites={file}", "--field=prompt=request", f"--out={out}"]
    assert main(argv) == 0
    assert capsys.readouterr().out == f"2 pairs in {out}; 1 identical\n"
    assert rows(out)[0] == {"prompt": "a", "chosen": "c", "rejected": "b"}
    file.write_text(file.read_text() + "{}\n")
    assert main(argv) == 3
    assert f"1 rows refused, such as {file}:4: request: missing field" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["best-of-n", "--reward=length(target=4)"], 2, "nothing to complete: give --prompt=TEXT or --source=CALL"),
        (["best-of-n", "--reward=x()", "--prompt=x"], 2, "no 'x' in prefjax.rewards"),
        (["best-of-n", "--reward=model()", "--prompt=x"], 2, "frozen.reward is not set; it should be a reward model"),
        (["best-of-n", "--reward={}/sft", "--prompt=x", "--max_new=4"], 2, "frozen.score has no score head"),
        (["best-of-n", "--reward=nowhere", "--prompt=x"], 5, "nowhere: no such folder"),
        (["best-of-n", "--reward=x()", "--keep=above", "--prompt=x"], 2, "--keep=above needs --threshold=SCORE"),
        (["best-of-n", "--reward=length(target=4)", "--prompt=x", "--temperature=0"], 2, "it should be above 0"),
        (["best-of-n", "--reward=length(target=4)", "--prompt=x", "--out=/no/where"], 2, "--out=/no/where: No such"),
        (["best-of-n", "--reward=x()", "--prompt=x", "--frozen=y"], 2, "--frozen takes NAME=REF"),
        (
            ["best-of-n", f"--reward={RATER}", "--prompt=x", "--max_new=4"],
            3,
            "only records made by prefjax.worlds.desk can be judged by it",
        ),
        (["pairs", "--prompt=x", "--out={}/x"], 2, "give --label=REF_OR_CALL"),
        (["pairs", "--prompt=x", "--out={}/x", "--n=1", "--label=x()"], 2, "--n is 1; a pair needs 2 or more"),
        (
            ["pairs", "--prompt=x", "--out={}/x", "--max_new=2", "--label=length(target=4)"],
            3,
            "no pairs; 2 cut at max_new; 1 prompts with fewer than two completions left",
        ),
    ],
)
def test_mistakes_are_one_message(workdirs, argv, code, message, capsys):
    assert call(workdirs, *(word.replace("{}", str(workdirs)) for word in argv)) == code
    err = capsys.readouterr().err
    assert err.startswith(f"prefjax {argv[0]}: ")
    assert message in err
    assert not list(workdirs.glob("x*"))  # nothing half written is left behind


@pytest.mark.parametrize("flags", [[], ["--model=m", "--rewrites=r"]])
def test_pairs_are_made_of_a_model_or_of_rewrites(flags, tmp_path, capsys):
    assert main(["pairs", *flags, f"--out={tmp_path / 'x'}"]) == 2
    assert "give --model=REF or --rewrites=FILE" in capsys.readouterr().err


def test_the_batch_that_compiles_is_left_out_of_the_time():
    assert per_query([9.0, 2.0, 2.0], [8, 8, 8], 4) == "1.000 seconds"
    assert per_query([4.0], [8], 4) == "2.000 seconds, compilation included,"


def test_a_reward_model_is_normalised_by_what_a_policy_writes(workdirs, tmp_path, capsys):
    reward = tmp_path / "reward"
    shutil.copytree(workdirs / "reward", reward)
    raw = checkpoint.load(str(reward))[1]
    flags = [f"--reward={reward}", f"--source={SOURCE}", "--n=4", "--max_new=8"]
    for _ in range(2):  # again gives the same: it scores without what is stored
        assert call(workdirs, "normalize", *flags) == 0
        assert "432 samples" in capsys.readouterr().out
    stored = json.loads((reward / "model" / checkpoint.MOMENTS).read_text())["1"]
    assert stored["samples"] == 432 and stored["policy"].endswith("sft@1")
    out = tmp_path / "scored.jsonl"
    assert call(workdirs, "best-of-n", *flags, f"--out={out}") == 0
    scores = np.array([score for row in rows(out) for score in row["scores"]])
    assert scores.mean() == pytest.approx(0, abs=1e-4) and scores.std() == pytest.approx(1, abs=1e-4)
    assert "moments" not in raw and set(checkpoint.load(str(reward))[1]) == {"params", "moments"}


def test_moments_are_those_of_a_step(workdirs, tmp_path):
    shutil.copytree(workdirs / "reward", tmp_path / "reward")
    checkpoint.save_moments(str(tmp_path / "reward"), 1.0, 2.0, {})
    file = tmp_path / "reward" / "model" / checkpoint.MOMENTS
    file.write_text(file.read_text().replace('"1"', '"7"'))
    assert "moments" not in checkpoint.load(str(tmp_path / "reward"))[1]
