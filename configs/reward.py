"""A reward model on pairs of the desk world, labelled by raters who overvalue polite caveats and length.

    prefjax train --config=configs/reward.py[:seed] --workdir=runs/reward --config.model=runs/sft

The argument is the seed of the run and of its data. Half a minute on two CPU cores. Held-out accuracy: 0.81, on labels
whose rater is not always sure.
"""

from ml_collections import ConfigDict

from prefjax.config import base


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 200
    c.batch_size = 32
    c.algorithm = "reward"
    c.loss = "bradley_terry_loss(centering=0.01)"
    c.model = "runs/sft"
    c.data.train = f"prefjax.worlds.desk:pairs(split='train', n=8000, seed={seed})"
    c.data.max_length = 80
    c.optim.lr = 1e-3
    c.optim.schedule = "cosine(warmup=20)"
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=512)\")"
    return c
