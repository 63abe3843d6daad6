"""A reward model finds the rule by which real texts were labelled, and none where there is none."""

import json

import pytest
from scipy.stats import binomtest

from configs.reward_planted import MODEL, get_config, parts
from prefjax.data import load

CONFIG = "configs/reward_planted.py"
FEW = "configs.reward_planted:pairs(limit=109)"  # of which 64 fit


@pytest.fixture
def accuracy(prefjax, tmp_path):
    """Trains a reward model with some flags; returns the last accuracy of its evaluation."""

    def accuracy(*flags):
        prefjax("train", f"--workdir={tmp_path}", *flags)
        last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
        return last["eval/held_out/rewards/accuracy"]

    return accuracy


def test_a_planted_rule_is_recovered_on_other_stories(accuracy):
    assert accuracy(f"--config={CONFIG}") >= 0.9


def test_the_labels_of_a_coin_teach_nothing(accuracy):
    share = accuracy(f"--config={CONFIG}:permuted")
    rows, _ = load.load(parts("permuted")[1], "pairs()", load.tokenizer(MODEL), get_config().data.max_length)
    found = binomtest(round(share * rows.size), rows.size).proportion_ci(0.95)
    assert found.low < 0.5 < found.high  # a coin a pair: the pairs are independent


def test_64_pairs_are_learnt_by_heart(accuracy):
    rows, _ = load.load(FEW, "pairs()", load.tokenizer(MODEL), get_config().data.max_length)
    assert rows.size == 64
    evaluation = f"--config.evals.held_out=held_out(source={FEW!r}, batch_size=16, allow_overlap=True)"
    assert accuracy(f"--config={CONFIG}", f"--config.data.train={FEW}", evaluation) >= 0.95
