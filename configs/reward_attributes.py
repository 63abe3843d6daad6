"""A reward model with a score for each thing that makes an answer good, on pairs of the desk world judged in each.

    prefjax train --config=configs/reward_attributes.py[:seed] --workdir=runs/attributes --config.model=runs/sft
    prefjax best-of-n --model=runs/sft --n=16 --source="prefjax.worlds.desk:prompts(split='test')" --out=best.jsonl \\
        --reward="model(weights={'fact': 1, 'refusal': 1, 'agreement': 1})" --frozen reward=runs/attributes

The raters who overvalue caveats and length are asked about one thing at a time. Half a minute on two CPU cores.
Held-out accuracy: fact 0.85, refusal 0.95, agreement 0.81, and less in what is worth less, which raters seldom tell
apart: warmth 0.50. The best of 16 test answers of the SFT model is worth 2.65 [2.25, 3.05] in gold by the sum of all
eight, 2.3 [1.9, 2.7] by the three above, 1.9 [1.4, 2.4] by the one score of configs/reward.py; the first answer 0.4.
"""

from ml_collections import ConfigDict

from configs import reward

NAMES = ("fact", "refusal", "agreement", "vagueness", "hedges", "caveats", "length", "warmth")


def get_config(seed: str = "0") -> ConfigDict:
    c = reward.get_config(seed)
    c.loss = "bradley_terry_loss()"
    c.data.train = f"prefjax.worlds.desk:pairs(split='train', n=8000, seed={seed}, label='attributes')"
    c.data.rows = f"attributes(names={NAMES})"
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=512, label='attributes')\")"
    return c
