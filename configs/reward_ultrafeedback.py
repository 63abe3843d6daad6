"""A small reward model from scratch on the choices of an AI judge (UltraFeedback, binarised).

    prefjax train --config=configs/reward_ultrafeedback.py[:seed] --workdir=runs/reward_ultrafeedback

PREFJAX_DATA names the folder that holds ultrafeedback_slice and tokenizers/gpt2; its two files share no prompt. Minutes
on two CPU cores. Accuracy on the 97 held-out pairs whose sides are not rated equal goes from 0.474 to 0.660, 95 %
interval by prompt 0.564 to 0.756. Texts are long: of 994 usable pairs to train on the 447 longer than 512 tokens are
dropped, and 88 of the 199 held-out ones.
"""

from ml_collections import ConfigDict

from configs import reward_hh

FILES = "$PREFJAX_DATA/ultrafeedback_slice"
TRAIN = f"ultrafeedback(path='{FILES}/train.jsonl.gz', bad_rows=6)"
HELD_OUT = f"ultrafeedback(path='{FILES}/eval.jsonl.gz', bad_rows=1)"


def get_config(seed: str = "0") -> ConfigDict:
    c = reward_hh.get_config(seed)
    c.steps = 50
    c.batch_size = 16
    c.data.train = TRAIN
    c.data.max_length = 512
    c.evals.held_out = f"held_out(source={HELD_OUT!r}, batch_size=16)"
    return c
