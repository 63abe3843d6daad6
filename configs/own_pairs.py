"""DPO of a model of your own on pairs of your own, a tenth of the prompts held out.

    prefjax train --config=configs/own_pairs.py:PAIRS.jsonl --workdir=runs/own --config.model=FOLDER

FOLDER is a Hugging Face folder; `prefjax check PAIRS.jsonl` says first what is wrong with the pairs, and `--dry_run`
how much memory a step takes. The time is that of your model: `timing.jsonl` has the seconds of a step.
The first training loss is log 2 = 0.6931; the held-out `rewards/accuracy` should rise from 0.5. For more than one run
on the same pairs, `--config.reference=cached` computes the log-probs of the reference once.
"""

from ml_collections import ConfigDict

from prefjax.config import base


def get_config(pairs: str = "pairs.jsonl") -> ConfigDict:
    source = f"pairs(path={pairs!r})"
    train, held_out = (f"split(source={source!r}, part={part!r})" for part in ("train", "held_out"))
    c = base()
    c.steps = 1000
    c.batch_size = 64
    c.algorithm = "dpo"
    c.loss = "dpo_loss(beta=0.1)"
    c.model = "FOLDER"
    c.frozen.reference = c.get_ref("model")
    c.dtype = "bfloat16"
    c.data.train = train
    c.data.max_length = 512
    c.optim.lr = 1e-6
    c.optim.accumulate = 8
    c.optim.clip = 10.0
    c.optim.schedule = "constant(warmup=150)"
    c.evals.held_out = f"held_out(source={held_out!r}, batch_size=8)"
    c.eval_every = 100
    c.checkpoint_every = 100
    return c
