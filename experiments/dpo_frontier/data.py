"""Passages of IMDb reviews, the beginnings of some of them, and a tokenizer: what the language model lives on.

A passage is a few whole sentences, so that a completion can end by itself. PREFJAX_DATA names the folder that holds
imdb/{train,test,unsup}.jsonl.gz (Maas et al. 2011).
"""

import gzip
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prefjax.data.prompts import digest
from prefjax.errors import ConfigError

WORDS = (2, 8)  # of a beginning, least and most; Rafailov et al. 2023 take 2 to 8 tokens
SHORTEST = 40  # characters of a passage
END = "<|end|>"
_BREAKS, _SENTENCE = re.compile(r"\s*(?:<br />\s*)+|\s+"), re.compile(r"(?<=[.!?])\s+")


def passages(review: str, chars: int) -> list[str]:
    """A review as runs of whole sentences, as long as `chars` lets them be; sentences that are longer are left out."""
    found, last = [], ""
    for sentence in _SENTENCE.split(_BREAKS.sub(" ", review).strip()):
        longer = f"{last} {sentence}" if last else sentence
        if len(longer) > chars:
            found.append(last)
            longer = sentence
        last = longer
    return [text for text in [*found, last] if SHORTEST <= len(text) <= chars]


def rows(split: str) -> list[dict[str, Any]]:
    """The reviews of "train", "test" or "unsup": `text`, and in the first two `label`, 1 for praise."""
    path = Path(os.path.expandvars(f"$PREFJAX_DATA/imdb/{split}.jsonl.gz"))
    if not path.is_file():
        raise ConfigError(f"{path}: not found; PREFJAX_DATA should name the folder that holds imdb/{path.name}")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def reviews(split: str, limit: int) -> list[str]:
    """`limit` reviews, evenly spaced: the files have the good ones after the bad ones."""
    found = rows(split)
    return [row["text"] for row in found[:: max(len(found) // limit, 1)][:limit]]


def texts(split: str, limit: int, chars: int) -> Iterator[dict[str, str]]:
    """Every passage of `limit` reviews, to learn whole."""
    for review in reviews(split, limit):
        for text in passages(review, chars):
            yield {"response": text}


def beginnings(split: str, limit: int, chars: int) -> Iterator[dict[str, str]]:
    """The first 2 to 8 words of the first passage of each of `limit` reviews, each beginning once."""
    seen: set[str] = set()
    least, most = WORDS
    for review in reviews(split, limit):
        for text in passages(review, chars)[:1]:
            words = text.split()
            beginning = " ".join(words[: least + digest(text) % (most - least + 1)])
            if len(words) > most and beginning not in seen:
                seen.add(beginning)
                yield {"prompt": beginning}


def write_tokenizer(folder: Path, texts: Iterable[str], vocab: int) -> None:
    """Learns a byte-level BPE and writes it as files of a Hugging Face folder; the token that ends a text begins it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": END, "eos_token": END, "pad_token": END, "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
