"""SFT of a real model on texts of its own kind starts from the loss it has, and does not harm it."""

import json

import jax
import numpy as np
import pytest
import tokenizers

from configs.sft_tinystories import HELD_OUT
from prefjax import models
from prefjax.data import load


@pytest.fixture(scope="module")
def losses(prefjax, tmp_path_factory):
    """Held-out nats a token, before and after."""
    folder = tmp_path_factory.mktemp("roads") / "sft"
    prefjax("train", "--config=configs/sft_tinystories.py", f"--workdir={folder}")
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["eval/held_out/loss"] for row in metrics if "eval/held_out/loss" in row]


def test_the_first_loss_counts_every_token_after_bos_and_the_eos_of_texts_that_fit(losses, real_data):
    folder = real_data / "models" / "stories260K"
    encode = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode
    model, params = models.load(folder)
    bos, eos, longest = 1, 2, model.config.positions
    logits_of = jax.jit(model.apply)
    nats = []
    for record in load.records(HELD_OUT):
        ids = [*encode(record["response"]).ids, eos]
        assert ids[0] == bos
        if len(ids) <= longest:
            tokens = np.pad(np.int32(ids), (0, longest - len(ids)))
            logits = np.asarray(logits_of(params, tokens[None])[0, : len(ids) - 1], np.float64)
            nats += list(np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(ids) - 1), ids[1:]])
    assert losses[0] == pytest.approx(np.mean(nats), abs=1e-4)


def test_held_out_texts_get_no_less_likely(losses):
    assert losses[1] < losses[0] + 0.02
