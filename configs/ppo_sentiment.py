"""PPO on a real small model: stories that a classifier of film reviews takes for praise.

    prefjax train --config=configs/ppo_sentiment.py[:seed] --workdir=runs/ppo_sentiment

The prompts are the first words of real stories; the reward is the log-odds of a classifier of reviews (scikit-learn:
pip install 'prefjax[sklearn]') that has never seen a story. PREFJAX_DATA names the folder that holds
models/stories260K, tinystories_1000 and rt_polarity. Four and a half minutes of processor
time on two cores. On held-out beginnings the reward rises
by 1.66 standard deviations of the reference's samples, at a KL of 3.9 nats. Of the words written 97 % occur in the real
stories, as before, where 98 % did; distinct-2 goes from 0.60 to 0.56. The same beginning before and after:

    Mia and Leo are friends. They like to play outside. They have many cookies. Mia wants to watch and make her feel ...
    Mia and Leo are friends. They like to play outside. They have many many ways to the earthquakes and play with their
    toys. They have fun together

The best of 16 of the reference, by `prefjax best-of-n` with the reward below and `--max_new=48`: 1.16, 95 % interval by
prompt 1.02 to 1.29, at a KL of at most 1.84 nats (n = 1: -0.38, 2: 0.11, 4: 0.51, 8: 0.84). PPO reaches about the same
reward with every single sample.
"""

import functools
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from prefjax.config import base
from prefjax.data.readers import demos

MODEL = "$PREFJAX_DATA/models/stories260K"
STORIES = "$PREFJAX_DATA/tinystories_1000/tinystories_1000.jsonl.gz"
REVIEWS = "$PREFJAX_DATA/rt_polarity/rt_polarity.jsonl.gz"
TRAIN, HELD_OUT = (
    f"split(source='configs.ppo_sentiment:beginnings()', part={part!r})" for part in ("train", "held_out")
)


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 40
    c.batch_size = 128
    c.log_every = 5
    c.algorithm = "ppo"
    c.loss = "ppo_policy_loss(epsilon=0.2)"
    c.reward = "text(function='configs.ppo_sentiment:sentiment')"
    c.model = MODEL
    c.frozen.reference = c.get_ref("model")
    c.trained.value = c.get_ref("model")
    c.data.train = TRAIN
    c.data.rows = "prompts()"
    c.data.max_length = 96
    c.rollout.max_new = 48
    c.rl.minibatches = 2
    c.rl.critic_warmup = 4
    c.rl.value_coef = 0.5
    c.rl.truncated = "keep"  # the model has never seen its stop token: all completions are cut
    c.rl.kl_coef = 0.2
    c.optim.lr = 2e-4
    c.optim.schedule = "linear(warmup=3)"
    c.evals.stories = f"samples(source={HELD_OUT!r}, limit=64, n=4, max_new=48, batch_size=128)"
    return c


def beginnings(words: int = 8) -> Iterator[dict[str, str]]:
    """The first words of every story, each beginning once."""
    seen: set[str] = set()
    for record in demos(path=STORIES, text="text"):
        beginning = " ".join(record["response"].split()[:words])
        if beginning not in seen:
            seen.add(beginning)
            yield {"prompt": beginning}


def sentiment(records: Sequence[dict[str, Any]], texts: Sequence[str]) -> np.ndarray:
    """Log-odds `[B]` that a text praises."""
    del records
    return classifier().decision_function(texts)


@functools.cache
def classifier() -> Any:
    """Logistic regression on the words and pairs of words of reviews."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    with gzip.open(os.path.expandvars(REVIEWS), "rt") as lines:
        reviews = [json.loads(line) for line in lines]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(C=4.0))
    return model.fit([review["text"] for review in reviews], [review["label"] for review in reviews])
