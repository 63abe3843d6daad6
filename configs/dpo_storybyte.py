"""DPO of a real small model on real pairs: stories with dialogue are preferred to stories without.

    prefjax train --config=configs/dpo_storybyte.py[:seed] --workdir=runs/dpo_storybyte

PREFJAX_DATA names the folder that holds models/storybyte-nano (445,440 parameters) and storybyte_pairs (113 pairs).
Under a minute on two CPU cores. Of 252 stories on 43 requests 59 % have dialogue before and 87 % after, with the same
noise: +27 points, 95 % interval +19 to +34 by request, and +22 (+9 to +36) on the 19 requests of no pair. The stories
are 3.6 nats from the reference, 159 tokens long instead of 138, 97 % end by themselves instead of 99 %, and their
English, broken before, is a little more so: stories260K gives them 2.67 nats a token instead of 2.52. At beta=0.1,
lr=1e-4 and 40 steps 99.6 % have dialogue, but at 27 nats, and 69 % end.
"""

from typing import Any

from ml_collections import ConfigDict

from prefjax.config import base

MODEL = "$PREFJAX_DATA/models/storybyte-nano"
PAIRS = "pairs(path='$PREFJAX_DATA/storybyte_pairs/preference_pairs.jsonl.gz', prompt='request')"
REQUESTS = "prompts(path='$PREFJAX_DATA/storybyte_pairs/requests_val.jsonl.gz', prompt='request')"


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 24
    c.batch_size = 16
    c.algorithm = "dpo"
    c.loss = "dpo_loss(beta=0.3)"
    c.model = MODEL
    c.frozen.reference = c.get_ref("model")
    c.data.train = PAIRS
    c.data.max_length = 224
    c.optim.lr = 5e-5
    c.optim.schedule = "cosine(warmup=5)"
    c.evals.stories = (
        f"samples(source={REQUESTS!r}, judge='configs.dpo_storybyte:dialogue', n=4, max_new=208, batch_size=64)"
    )
    return c


def dialogue(records: list[dict[str, Any]], texts: list[str]) -> dict[str, list[bool]]:
    """The judge: whether a story has words in quotation marks."""
    return {"dialogue": [text.count('"') >= 2 for text in texts]}
