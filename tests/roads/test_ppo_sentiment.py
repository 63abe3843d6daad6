"""PPO and best-of-n on a real model, for a reward that a well-kept library learnt from real reviews."""

import itertools
import json
import re

import numpy as np
import pytest

from configs.ppo_sentiment import HELD_OUT, MODEL, STORIES, TRAIN, get_config, sentiment
from prefjax.cli import main
from prefjax.data import load
from prefjax.evals.best_of_n import curve
from prefjax.evals.stats import interval
from prefjax.sampling.best_of_n import expected_gold

pytest.importorskip("sklearn")
pytestmark = pytest.mark.usefixtures("real_data")
REWARD = get_config().reward


def best_of_n(tmp_path, n, *flags):
    """The rows that `prefjax best-of-n` writes."""
    out = tmp_path / f"best{len(list(tmp_path.iterdir()))}.jsonl"
    flags = [f"--model={MODEL}", f"--reward={REWARD}", f"--n={n}", f"--out={out}", "--texts", *flags]
    assert main(["best-of-n", *flags]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def by_brute_force(scores, n):
    """The mean, over all subsets of n, of the best score `[P]`."""
    subsets = np.array(list(itertools.combinations(range(scores.shape[1]), n)))
    return scores[:, subsets].max(axis=-1).mean(axis=-1)


def test_the_two_parts_share_no_beginning():
    train, held_out = ([record["prompt"] for record in load.records(source)] for source in (TRAIN, HELD_OUT))
    assert len(train) > 500 and len(held_out) > 40
    assert len({*train, *held_out}) == len(train) + len(held_out)


def test_the_classifier_tells_praise_from_blame():
    praise, blame = sentiment([], ["a warm, funny and moving film", "a dull, lifeless mess without a single laugh"])
    assert praise > 1 and blame < -1


def test_best_of_n_by_the_classifier(tmp_path):
    prompts = [f"--prompt={record['prompt']}" for record in itertools.islice(load.records(HELD_OUT), 4)]
    found = best_of_n(tmp_path, 5, "--max_new=12", *prompts)
    scores = np.array([row["scores"] for row in found])
    np.testing.assert_allclose(scores, [sentiment([], row["texts"]) for row in found], rtol=1e-5)
    for n, estimate in zip(range(1, 6), expected_gold(scores, scores).T, strict=True):
        np.testing.assert_allclose(estimate, by_brute_force(scores, n), rtol=1e-9)


@pytest.mark.slow
def test_the_best_of_16(tmp_path, capsys):
    found = best_of_n(tmp_path, 16, f"--source={HELD_OUT}", "--max_new=48")
    print(capsys.readouterr().out)
    scores, prompts = np.array([row["scores"] for row in found]), [row["prompt"] for row in found]
    points = {point.n: point.values["score"] for point in curve({"score": scores}, scores, prompts)}
    assert [points[n].mean for n in (1, 2, 4, 8, 16)] == sorted(points[n].mean for n in (1, 2, 4, 8, 16))
    for n in (1, 2, 4, 16):
        assert points[n].mean == pytest.approx(by_brute_force(scores, n).mean(), rel=1e-9)
    again = best_of_n(tmp_path, 4, f"--source={HELD_OUT}", "--max_new=48", "--seed=1")  # samples of their own
    better = expected_gold(scores, scores, [4])[:, 0] - [row["score"] for row in again]
    change = interval(better.tolist(), prompts)
    assert change.low < 0 < change.high


@pytest.mark.slow
def test_ppo_raises_the_reward_and_the_stories_stay_readable(prefjax, tmp_path):
    prefjax("train", "--config=configs/ppo_sentiment.py", f"--workdir={tmp_path}")
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    before, after = ([row for row in rows if row["step"] == step] for step in (0, get_config().steps))
    rewards = [np.array([row["reward"] for row in part]) for part in (before, after)]
    np.testing.assert_allclose(rewards[1], sentiment([], [row["response"] for row in after]), rtol=1e-4, atol=1e-5)
    rise, kl = (rewards[1].mean() - rewards[0].mean()) / rewards[0].std(), np.mean([row["kl"] for row in after])
    told = [(known_words(part), distinct_2(part)) for part in (before, after)]
    print(f"rise {rise:.2f} standard deviations, KL {kl:.2f} nats, known words and distinct-2 {told}")
    for old, new in zip(before[::32], after[::32], strict=True):
        print(f"{old['prompt']}\n  before: {old['response']!r}\n  after:  {new['response']!r}")
    assert rise >= 1
    assert kl < 10
    assert told[1][0] > told[0][0] - 0.03  # it writes no more words that no story has
    assert told[1][1] > 0.8 * told[0][1]  # nor repeats itself much more


def words(text):
    return re.findall(r"[a-z]+", text.lower())


def known_words(rows):
    """Share of the words, without a last one that may be cut, that occur in real stories."""
    known = {
        word for record in load.records(f"demos(path={STORIES!r}, text='text')") for word in words(record["response"])
    }
    written = [word for row in rows for word in words(row["response"])[:-1]]
    return sum(word in known for word in written) / len(written)


def distinct_2(rows):
    pairs = [pair for row in rows for pair in itertools.pairwise(words(row["response"]))]
    return len(set(pairs)) / len(pairs)
