"""A small reward model from scratch on real people's choices: which answer does less harm (HH, harmless).

    prefjax train --config=configs/reward_hh.py[:seed] --workdir=runs/reward_hh

PREFJAX_DATA names the folder that holds hh_harmless_test and tokenizers/gpt2. Minutes on two CPU cores. Accuracy on
the 445 pairs of held-out prompts goes from 0.510 to 0.584, 95 % interval by prompt 0.538 to 0.630: so few texts do not
teach much, and more steps only learn them by heart. Of the 2,303 usable pairs the 535 that are longer than 256 tokens
are dropped; 1,323 are left to train on.
"""

import json
import os
from pathlib import Path

from ml_collections import ConfigDict

from prefjax.config import base
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError

PAIRS = "hh(path='$PREFJAX_DATA/hh_harmless_test/harmless-base_test.jsonl.gz', bad_rows=9)"
TRAIN, HELD_OUT = (f"split(source={PAIRS!r}, part={part!r}, fraction=0.25)" for part in ("train", "held_out"))
TURNS = (
    "{% for turn in messages %}{{ '\n\nHuman:' if turn.role == 'user' else '\n\nAssistant:' }} {{ turn.content }}"
    "{% endfor %}{{ '\n\nAssistant:' if add_generation_prompt }}"
)


def get_config(seed: str = "0") -> ConfigDict:
    c = base()
    c.seed = int(seed)
    c.steps = 60
    c.batch_size = 32
    c.algorithm = "reward"
    c.loss = "bradley_terry_loss(centering=0.01)"
    c.model = "llama(width=64, layers=2, heads=2)"
    c.tokenizer = "configs.reward_hh:tokenizer()"
    c.data.train = TRAIN
    c.data.max_length = 256
    c.optim.lr = 1e-3
    c.optim.schedule = "cosine(warmup=10)"
    c.evals.held_out = f"held_out(source={HELD_OUT!r}, batch_size=32)"
    return c


def tokenizer() -> Tokenizer:
    """That of GPT-2, with turns written as in transcripts of HH."""
    source = Path(os.path.expandvars("$PREFJAX_DATA/tokenizers/gpt2/tokenizer.json"))
    if not source.is_file():
        raise ConfigError(f"{source}: not found; PREFJAX_DATA should name the folder of real data")
    settings = {"eos_token": "<|endoftext|>", "chat_template": TURNS}
    files = {source.name: source.read_bytes(), "tokenizer_config.json": json.dumps(settings).encode()}
    return Tokenizer(files, str(source.parent))
