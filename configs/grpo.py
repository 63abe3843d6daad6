"""GRPO on prompts of the desk world, and its relatives: several samples of a prompt are compared, without a critic.

    prefjax train --config=configs/grpo.py[:variant[,seed]] --workdir=runs/grpo --config.model=runs/sft \
        --config.frozen.reward=runs/reward

The argument is a variant below and the seed of the run. Of the answers with seed 0, gold utility is 0.7 before; after,
with the KL to the reference in nats: grpo 1.1 (2.6), dr_grpo 1.8 (1.8), gspo 1.4 (1.4), cispo 1.6 (2.1), rloo 1.6
(0.9), remax 1.8 (0.8), reinforce_pp 2.0 (1.4). dapo, which has no KL, wins the reward model's score and nothing else:
-1.0 (24).

    grpo            Shao et al. 2024: divided by the standard deviation, the mean of a response, k3 in the loss
    dr_grpo         Liu et al. 2025: not divided, and the sum of a response over `rollout.max_new`
    dapo            Yu et al. 2025: clips higher above than below, leaves out prompts whose samples have one score,
                    weighs tokens alike, has no KL, and a price of the last tokens
    gspo            Zheng et al. 2025: clips the ratio of a response
    cispo           MiniMax 2025: weighs by the clipped ratio, and keeps the gradient of every token
    rloo            Ahmadian et al. 2024: against the mean of the others, without clipping
    remax           Li et al. 2023: against the greedy answer
    reinforce_pp    Hu 2025: normalised over the batch, the KL a token; with several samples less their mean
"""

from typing import Any

from ml_collections import ConfigDict

from configs import ppo
from prefjax.errors import ConfigError

SUMS = "policy_gradient_loss(per='sequence')"
VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {
        "loss": "ppo_policy_loss(epsilon=0.2, per='response')",
        "rl.kl": "k3",
        "rl.kl_in": "loss",
    },
    "dr_grpo": {"loss": "0.0208 * ppo_policy_loss(epsilon=0.2, per='sequence')", "rl.std": False},  # 1 / max_new
    "dapo": {
        "loss": "ppo_policy_loss(epsilon=0.2, epsilon_high=0.28)",
        "reward": "model() + overlong(longest=48, margin=12)",
        "rl.drop_equal": True,
        "rl.kl_coef": 0.0,
        "rl.truncated": "keep",  # what is cut has had its price
    },
    "gspo": {"loss": "gspo_loss(epsilon=3e-4, epsilon_high=4e-4)"},
    "cispo": {"loss": "cispo_loss(epsilon_high=4.0)"},
    "rloo": {"algorithm": "rloo", "loss": SUMS, "rl.epochs": 1},
    "remax": {"algorithm": "remax", "loss": SUMS, "rl.epochs": 1, "rollout.n": 1, "batch_size": 64},
    "reinforce_pp": {
        "algorithm": "reinforce_plus_plus",
        "loss": "ppo_policy_loss(epsilon=0.2)",
        "rl.whiten_advantages": True,
    },
}


def get_config(variant: str = "grpo") -> ConfigDict:
    settings, c = read(variant, VARIANTS)
    c.algorithm = "grpo"
    c.batch_size = 16
    c.rollout.n = 4
    c.rl.whiten_advantages = False
    c.update_from_flattened_dict(settings)
    return c


def read(text: str, variants: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], ConfigDict]:
    """The settings of `variant,seed`, and PPO's config of that seed, without its critic."""
    name, _, seed = text.partition(",")
    if name not in variants:
        raise ConfigError(f"variant {name!r}: it should be one of {', '.join(variants)}")
    c = ppo.get_config(seed or "0")
    c.trained = ConfigDict()
    return variants[name], c
