"""PPO on prompts of the desk world: policy, reference and critic start from the SFT model and the reward model.

    prefjax train --config=configs/ppo.py[:seed] --workdir=runs/ppo --config.model=runs/sft \
        --config.frozen.reward=runs/reward

The argument is the seed of the run. A minute and a half on two CPU cores. Of the answers, gold utility 0.5 before, 1.9
after, at a KL of 1.3 nats to the reference; the reward model's score -0.3 before, 1.1 after. With `rl.kl_coef` 0.05 the
score is higher, 1.5, and gold utility falls to 0.3 at a KL of 5.8: the reward model is a proxy.
"""

from ml_collections import ConfigDict

from prefjax.config import base

PROMPTS = "prefjax.worlds.desk:prompts(split='validation')"
GOLD = "gold(function='prefjax.worlds.desk:judge', key='gold')"


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 60
    c.batch_size = 64
    c.log_every = 5
    c.algorithm = "ppo"
    c.loss = "ppo_policy_loss(epsilon=0.2)"
    c.reward = "model()"
    c.model = "runs/sft"
    c.frozen.reference = c.get_ref("model")
    c.frozen.reward = "runs/reward"
    c.trained.value = c.frozen.get_ref("reward")
    c.data.train = "prefjax.worlds.desk:prompts(split='train')"
    c.data.rows = "prompts()"
    c.data.max_length = 80
    c.rollout.max_new = 48
    c.rl.kl_coef = 0.2
    c.optim.lr = 2e-4
    c.optim.schedule = "linear(warmup=3)"
    c.evals.answers = f"samples(source={PROMPTS!r}, judge='prefjax.worlds.desk:judge', max_new=48)"
    c.evals.refusal = f"refusal(source={PROMPTS!r}, max_new=48)"
    c.evals.diversity = f"diversity(source={PROMPTS!r}, max_new=48)"
    c.evals.skill = f"skill(source={PROMPTS!r}, extract='prefjax.worlds.desk:claim', max_new=48)"
    c.evals.wins = f"win_rate(source={PROMPTS!r}, judge={GOLD!r}, max_new=48)"
    return c
