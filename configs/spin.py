"""Self-play fine-tuning on demonstrations of the desk world: they against the policy's own answers, without a rater.

    prefjax train --config=configs/spin.py[:seed] --workdir=runs/spin --config.model=runs/sft

The argument is the seed of the run and of its data, which are the chosen sides of the pairs of `configs/dpo.py`. Chen
et al. 2024 (https://arxiv.org/abs/2401.01335). An iteration of the paper is 50 steps, after which the policy is its own
opponent. Of the answers with seed 0, gold utility 0.7 before, 0.9 after, and 13 % do not end by themselves.
"""

from ml_collections import ConfigDict

from configs import dpo


def get_config(seed: str = "0") -> ConfigDict:
    c = dpo.get_config(seed)
    c.algorithm = "spin"
    c.loss = "dpo_loss(beta=0.1)"
    c.reference = "sync(alpha=1.0, steps=50)"
    c.data.train = f"chosen(source={c.data.train!r})"
    c.data.rows = "demos()"
    c.rollout.max_new = 48
    c.rl.epochs = 1
    del c.evals.held_out
    return c
