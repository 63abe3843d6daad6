"""DPO on pairs of the desk world, with the SFT model as its start and its reference.

    prefjax train --config=configs/dpo.py[:seed] --workdir=runs/dpo --config.model=runs/sft

The argument is the seed of the run and of its data. A minute on two CPU cores. Held-out loss: 0.69 before, 0.40 after,
accuracy of the implicit rewards 0.84; of the answers, gold utility +1.0 to +1.3 and KL to the reference 2 nats.
"""

from ml_collections import ConfigDict

from prefjax.config import base

PROMPTS = "prefjax.worlds.desk:prompts(split='validation')"
GOLD = "gold(function='prefjax.worlds.desk:judge', key='gold')"


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 200
    c.batch_size = 32
    c.algorithm = "dpo"
    c.loss = "dpo_loss(beta=0.5)"
    c.model = "runs/sft"
    c.frozen.reference = c.get_ref("model")
    c.data.train = f"prefjax.worlds.desk:pairs(split='train', n=8000, seed={seed})"
    c.data.max_length = 80
    c.optim.lr = 2e-4
    c.optim.schedule = "cosine(warmup=20)"
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=512)\")"
    c.evals.answers = f"samples(source={PROMPTS!r}, judge='prefjax.worlds.desk:judge', max_new=48)"
    c.evals.refusal = f"refusal(source={PROMPTS!r}, max_new=48)"
    c.evals.diversity = f"diversity(source={PROMPTS!r}, max_new=48)"
    c.evals.skill = f"skill(source={PROMPTS!r}, extract='prefjax.worlds.desk:claim', max_new=48)"
    c.evals.wins = f"win_rate(source={PROMPTS!r}, judge={GOLD!r}, max_new=48)"
    return c
