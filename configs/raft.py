"""RAFT on prompts of the desk world: in each step imitate the best of the present policy's samples by the reward.

    prefjax train --config=configs/raft.py[:seed] --workdir=runs/raft --config.model=runs/sft \
        --config.frozen.reward=runs/reward

The argument is the seed of the run. Dong et al. 2023 (https://arxiv.org/abs/2304.06767). In rounds
instead, with the samples on disk: `python -m experiments.rounds --way=expert`. Of the answers with seed 0, the reward
model's score is -0.2 before and 0.7 after, and gold utility 0.7 and 0.4, at a KL of 3.8 nats: there is no KL penalty,
and the best by the reward model are what its raters overvalue.
"""

from ml_collections import ConfigDict

from configs import ppo


def get_config(seed: str = "0") -> ConfigDict:
    c = ppo.get_config(seed)
    c.trained = ConfigDict()  # no critic
    c.algorithm = "raft"
    c.loss = "sft_loss()"
    c.batch_size = 16
    c.rollout.n = 8
    c.rl.epochs = 1
    c.rl.kl_coef = 0.0
    return c
