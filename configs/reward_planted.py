"""A reward model on real texts whose labels are planted: the next paragraph of a story should have dialogue.

    prefjax train --config=configs/reward_planted.py[:permuted] --workdir=runs/reward_planted

The prompt is how a real story begins, the two sides are later paragraphs of the same story. With the argument
`permuted` a fair coin says which is chosen, and there is nothing to learn. PREFJAX_DATA names the folder that holds
models/stories260K and tinystories_1000. Under a minute on two CPU cores. On the 56 pairs of held-out stories the
accuracy goes from 0.59 to 1.00, and with `permuted` from 0.48 to 0.54, 95 % interval 0.40 to 0.67.
"""

import random

from ml_collections import ConfigDict

from prefjax.config import base
from prefjax.data.readers import demos

MODEL = "$PREFJAX_DATA/models/stories260K"
STORIES = "$PREFJAX_DATA/tinystories_1000/tinystories_1000.jsonl.gz"


def get_config(labels: str = "planted") -> ConfigDict:
    c = base()
    c.steps = 20
    c.batch_size = 16
    c.algorithm = "reward"
    c.loss = "bradley_terry_loss(centering=0.01)"
    c.model = MODEL
    c.data.train, held_out = parts(labels)
    c.data.max_length = 192
    c.optim.lr = 1e-3
    c.optim.schedule = "cosine(warmup=5)"
    c.evals.held_out = f"held_out(source={held_out!r}, batch_size=16)"
    return c


def parts(labels: str) -> list[str]:
    """The sources to train on and to judge by, split by story."""
    source = f"configs.reward_planted:pairs(labels={labels!r})"
    return [f"split(source={source!r}, part={part!r}, fraction=0.2)" for part in ("train", "held_out")]


def pairs(labels: str = "planted", limit: int | None = None) -> list[dict[str, str]]:
    """A pair from every story that has, after its first paragraph, one with quotation marks and one without."""
    coin = random.Random(0)
    found = []
    for story in demos(STORIES, text="text"):
        first, *rest = (paragraph.strip() for paragraph in story["response"].split("\n\n"))
        sides = [next((text for text in rest if text and ('"' in text) is spoken), "") for spoken in (True, False)]
        if labels == "permuted":
            coin.shuffle(sides)
        if all(sides):
            found.append({"prompt": f"{first}\n\n", "chosen": sides[0], "rejected": sides[1]})
    return found[:limit]
