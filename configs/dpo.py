"""DPO straight from the raters' pairs, with the SFT model as its start and its reference.

    prefjax train --config=configs/dpo.py --workdir=runs/dpo --config.model=runs/sft

Two CPU cores, under a minute.
"""

from ml_collections import ConfigDict

from prefjax.config import base


def get_config() -> ConfigDict:
    c = base()
    c.steps = 200
    c.batch_size = 64
    c.algorithm = "dpo"
    c.loss = "dpo_loss(beta=0.1)"
    c.model = "runs/sft"
    c.frozen.reference = c.get_ref("model")
    c.data.train = "prefjax.worlds.desk:pairs(split='train', n=12000)"
    c.data.max_length = 80
    c.optim.lr = 3e-4
    c.optim.schedule = "cosine(warmup=20)"
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=512)\")"
    return c
