"""More SFT on the chosen side of the pairs of the desk world: what DPO has to beat.

    prefjax train --config=configs/sft_chosen.py[:seed] --workdir=runs/sft_chosen --config.model=runs/sft

The argument is the seed of the run and of its data, which are the pairs of `configs/dpo.py`. For pairs of your own:
--config.data.train="chosen(source=\\"pairs(path='pairs.jsonl')\\")".
"""

from ml_collections import ConfigDict

from configs import dpo, sft


def get_config(seed: str = "0") -> ConfigDict:
    pairs, c = dpo.get_config(seed), sft.get_config(seed)
    c.steps = pairs.steps
    c.batch_size = pairs.batch_size
    c.model, c.tokenizer = "runs/sft", ""
    c.data.train = f"chosen(source={pairs.data.train!r})"
    c.optim.lr = 1e-3
    c.evals = {"answers": pairs.evals.answers}
    return c
