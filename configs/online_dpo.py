"""Online DPO on prompts of the desk world: in each step a pair of samples of the present policy, judged by the reward.

    prefjax train --config=configs/online_dpo.py[:variant[,seed]] --workdir=runs/online_dpo --config.model=runs/sft \
        --config.frozen.reward=runs/reward

The argument is a variant below and the seed of the run. Of the answers with seed 0, gold utility is 0.7 before; after,
with the KL to the reference in nats: online_dpo 1.9 (0.7), xpo 0.9 (0.8).

    online_dpo      Guo et al. 2024: the better of two samples is chosen
    best_of_4       the best of four against the worst
    xpo             Xie et al. 2024: a sample of the policy against one of the reference, with a bonus for exploring
    moving          a reference that follows the policy: iterative DPO without rounds
    ipo             another loss on the same pairs
"""

from typing import Any

from ml_collections import ConfigDict

from configs.grpo import read

VARIANTS: dict[str, dict[str, Any]] = {
    "online_dpo": {},
    "best_of_4": {"rollout.n": 4},
    "xpo": {"algorithm": "xpo", "loss": "xpo_loss(beta=0.5, alpha=1e-5)", "rollout.n": 1},
    "moving": {"reference": "sync(alpha=1.0, steps=20)"},
    "ipo": {"loss": "ipo_loss(tau=0.5)"},
}


def get_config(variant: str = "online_dpo") -> ConfigDict:
    settings, c = read(variant, VARIANTS)
    c.algorithm = "online_dpo"
    c.loss = "dpo_loss(beta=0.5)"
    c.batch_size = 32
    c.rollout.n = 2
    c.rl.epochs = 1
    c.update_from_flattened_dict(settings)
    return c
