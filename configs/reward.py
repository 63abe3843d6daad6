"""A reward model on pairs labelled by raters who overvalue polite caveats and length.

    prefjax train --config=configs/reward.py --workdir=runs/reward --config.model=runs/sft

Two CPU cores, under a minute.
"""

from ml_collections import ConfigDict

from prefjax.config import base


def get_config() -> ConfigDict:
    c = base()
    c.steps = 200
    c.batch_size = 64
    c.algorithm = "reward"
    c.loss = "bradley_terry_loss(centering=0.01)"
    c.model = "runs/sft"
    c.data.train = "prefjax.worlds.desk:pairs(split='train', n=12000)"
    c.data.max_length = 80
    c.optim.lr = 1e-3
    c.optim.schedule = "cosine(warmup=20)"
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=1000)\")"
    return c
