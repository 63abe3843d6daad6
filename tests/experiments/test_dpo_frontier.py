"""The reward-KL frontier: its data, its gold reward, envelopes and claims, and all stages on a few made-up reviews."""

import gzip
import itertools
import json

import numpy as np
import pytest

from experiments.dpo_frontier import __main__ as command
from experiments.dpo_frontier import claims, data, enumerable, gold, points, recipes, stages, tables
from experiments.dpo_frontier.points import Points
from prefjax import together
from prefjax.config import base, validate
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError
from prefjax.evals.stats import Interval
from prefjax.worlds import exact

WORDS = {1: ("great", "lovely", "moving"), 0: ("awful", "boring", "empty")}


@pytest.fixture
def imdb(tmp_path, monkeypatch):
    """A folder of real data whose reviews are made up."""
    kinds = list(itertools.product(WORDS, range(3), ("film", "story", "cast", "plot"), ("truly", "really")))
    (tmp_path / "imdb").mkdir()
    for split in ("train", "test", "unsup"):
        with gzip.open(tmp_path / "imdb" / f"{split}.jsonl.gz", "wt") as lines:
            for at, (label, word, thing, how) in enumerate(kinds * 2):
                words = f"{WORDS[label][word]} {split[at % 2 :]}{at}"
                text = f"This {thing} was {how} {words} for me to see.<br />So the {thing} is {words} again, I say! "
                lines.write(json.dumps({"id": at, "text": text, "label": label}) + "\n")
    monkeypatch.setenv("PREFJAX_DATA", str(tmp_path))
    return tmp_path


def test_passages_are_whole_sentences():
    review = "A short one. A second sentence, somewhat longer.<br /><br />Here is a third sentence of the same length."
    both = "A short one. A second sentence, somewhat longer."
    assert data.passages(review, 60) == [both, "Here is a third sentence of the same length."]
    assert data.passages(review, 45) == ["Here is a third sentence of the same length."]  # the others are too short
    assert data.passages(review, 30) == []


def test_beginnings_are_cut_between_words_and_come_once(imdb):
    found = [row["prompt"] for row in data.beginnings("train", 40, 100)]
    texts = [text for review in data.reviews("train", 40) for text in data.passages(review, 100)[:1]]
    assert len(set(found)) == len(found) > 10
    assert {len(prompt.split()) for prompt in found} <= {*range(2, 9)}
    assert all(any(text.startswith(prompt + " ") for text in texts) for prompt in found)
    labels = [row["label"] for row in data.rows("train")]
    assert [row in data.reviews("train", 48) for row in data.reviews("train", 2)] == [True, True] and len(labels) == 96


def test_without_the_data_one_message_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("PREFJAX_DATA", "/nowhere")
    with pytest.raises(ConfigError, match="/nowhere/imdb/train.jsonl.gz: not found; PREFJAX_DATA should name"):
        data.rows("train")


def test_a_completion_goes_on_where_its_beginning_ends(tmp_path):
    data.write_tokenizer(tmp_path, ["This film was great, I say."] * 3, 280)
    tokenizer = Tokenizer.load(tmp_path)
    prompt, response, apart = tokenizer.encode_response("This film", " was great, I say.")
    assert not apart and response[-1] == tokenizer.eos_id and prompt[0] == tokenizer.bos_id
    assert prompt == tokenizer.encode_prompt("This film")
    assert tokenizer.decode(response) == " was great, I say."


def test_gold_tells_praise_from_blame_and_reads_beginning_and_completion(imdb):
    pytest.importorskip("sklearn")
    assert gold.fit(imdb / "gold.npz") == 1.0
    judged = lambda prompt, text: gold.judge([{"prompt": prompt}], [text], path=str(imdb / "gold.npz"))["gold"][0]
    assert judged("This film was", " lovely") > 0.5 > judged("This film was", " boring")
    assert judged("This lovely film", " was") == pytest.approx(judged("This", " lovely film was"), abs=0.05)


def test_every_recipe_is_one_that_a_run_can_start_from(tmp_path):
    for p in recipes.PROFILES.values():
        for c in (recipes.language_model(p, tmp_path), recipes.reward(p, tmp_path, 100)):
            validate(c)
        found = recipes.runs(p, tmp_path)
        assert tuple(found) == recipes.METHODS
        counts = {method: len(runs) for method, runs in found.items()}
        assert counts["DPO"] == len(p.betas) * p.seeds and counts["PPO"] == len(p.targets) * p.ppo_seeds
        for run in itertools.chain(*found.values()):
            validate(run.config)


def made(method, kl, golden, seeds=2, prompts=40, noise=0.0):
    """Points whose means are given."""
    rng = np.random.default_rng(len(method))
    spread = lambda x: np.broadcast_to(np.array(x, float)[:, None, None], (len(x), seeds, prompts))
    values = {"kl": spread(kl), "gold": spread(golden) + noise * rng.normal(size=(len(kl), seeds, prompts))}
    values |= {"proxy": values["gold"], "length": values["kl"]}
    return Points(method, [(0.1, step) for step in range(len(kl))], values)


def test_the_envelope_is_the_best_within_a_kl():
    curve = claims.envelope(made("DPO", [0, 2, 4], [0.5, 0.9, 0.7]), claims.draws(40, 10), np.array([0, 1.9, 2, 9]))
    np.testing.assert_allclose(curve, np.broadcast_to([0.5, 0.5, 0.9, 0.9], (11, 4)))


def test_more_draws_of_the_same_do_not_make_an_envelope_better():
    """The best of 60 points of noise, chosen on one half of the prompts, is worth the mean on the other."""
    drawn = claims.draws(400, 50)
    curve = claims.envelope(made("DPO", [1.0] * 60, [0.5] * 60, prompts=400, noise=0.5), drawn, np.array([5.0]))
    assert curve[0, 0] == pytest.approx(0.5, abs=0.05)
    low, high = claims.interval(curve[:, 0])[1:]
    assert low < 0.5 < high


def test_claims_hold_for_a_better_method_and_fail_for_a_worse_one():
    good, bad = ([0, 2, 5], [0.5, 0.8, 0.9]), ([0, 2, 5], [0.5, 0.6, 0.7])
    for mine, theirs, holds in ((good, bad, True), (bad, good, False), (good, good, False)):
        found = {"DPO": made("DPO", *mine, noise=0.01), "Preferred-FT": made("Preferred-FT", *theirs, noise=0.01)}
        first, *_ = [claim for claim in claims.claims(found, None) if claim.should.startswith("> 0, 95 %")]
        assert first.passes is holds
        assert isinstance(first.got, Interval) and first.got.low <= first.got.mean <= first.got.high
    told = {claim.should: claim.passes for claim in claims.claims(found, excess=2.5)}
    assert told["<= 2"] is False
    assert "**MISS**" in claims.table(claims.claims(found, excess=2.5))


@pytest.mark.parametrize(("kls", "holds"), [((9.0, 4.0, 1.0), True), ((4.0, 9.0, 1.0), False)])
def test_the_final_kl_has_to_fall_with_beta(kls, holds):
    values = made("DPO", [0, kls[0], 0, kls[1], 0, kls[2]], [0.5] * 6).values
    where = [(beta, step) for beta in (0.1, 1.0, 5.0) for step in (0, 100)]
    (claim,) = [x for x in claims.claims({"DPO": Points("DPO", where, values)}, None) if "final KL" in x.what]
    assert claim.passes is holds


def test_best_of_n_stands_at_its_bound_and_has_no_win_rate():
    scores = np.array([[1.0, 2.0], [4.0, 3.0]])
    found = points.best_of([{"proxy": scores, "gold": scores / 10, "length": scores}], [1, 2])
    np.testing.assert_allclose(found.mean("kl"), [0, np.log(2) - 0.5])
    np.testing.assert_allclose(found.values["gold"][:, 0], [[0.15, 0.35], [0.2, 0.4]])
    assert {row["win_rate"] for row in points.lines(found, np.zeros(2))} == {None}


def test_the_tilted_optimum_is_on_the_frontier_and_what_is_above_is_seen():
    rng = np.random.default_rng(0)
    probs, rewards = rng.dirichlet(np.ones(6)), rng.normal(size=6)
    best = exact.optimum(probs, rewards, 0.7)
    drawn = rng.choice(6, size=4000, p=best.policy)
    kl = np.full(4000, float(best.kl))
    at = enumerable.stand(0.7, kl, rewards[drawn], probs, rewards)
    assert at.frontier == pytest.approx(float(best.reward), abs=1e-6)
    assert abs(enumerable.excess([at])) < 3
    assert enumerable.excess([at, enumerable.stand(0.7, kl, rewards[drawn] + 0.5, probs, rewards)]) > 3


def test_points_are_what_all_seeds_have_reached(tmp_path):
    p = recipes.PROFILES["tiny"]._replace(betas=(0.1, 1.0), seeds=2)
    runs = recipes.runs(p, tmp_path)["DPO"]
    for run in runs:
        last = 1 if run.changes == {"loss.beta": 1.0, "seed": 1} else 2  # this one was cut
        rows = [
            {"step": step, "record": record, "kl_exact": step, "gold": 0.1 * record, "reward": 0.0, "length": 3}
            for step in range(last + 1)
            for record in (1, 0)
        ]
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = points.read("DPO", runs, tmp_path)
    assert found.where == [(0.1, 0), (0.1, 1), (0.1, 2), (1.0, 0), (1.0, 1)]
    np.testing.assert_allclose(found.values["gold"][0], [[0.0, 0.1]] * 2)
    assert points.read("DPO", runs, tmp_path / "none") is None
    assert tables.ends({"DPO": found}).count("| DPO |") == 2


def test_a_stage_that_is_cut_has_its_seconds_told(tmp_path, monkeypatch):
    clock = iter([0.0, 5.0, 10.0, 12.0])
    monkeypatch.setattr(stages.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt):
        stages.timed(tmp_path, "PPO", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    stages.timed(tmp_path, "PPO", lambda: None)
    assert stages.seconds(tmp_path) == {"PPO": 7.0}


def one_device():
    c = base()
    c.mesh.data = 1
    return c


@pytest.mark.slow
def test_all_stages(imdb, monkeypatch, capsys):
    """The profile `tiny`, whole and a second time, when nothing is left to do."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(recipes, "base", one_device)
    folder = imdb / "study"
    argv = ["--profile=tiny", f"--workdir={folder}"]
    assert command.main(argv) == 0
    told = capsys.readouterr().out
    assert "0 runs are missing" in told
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} == {*recipes.METHODS, points.BEST}
    assert all(row["kl"] == 0 for row in rows if row["step"] == 0 and row["setting"] != 2)
    assert (folder / "fig.png").exists()
    for module in (stages, together):
        monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    assert command.main(argv) == 0
