"""What sampling asks of a tokenizer, in worlds whose tokens are numbers and spell no text."""

from typing import NamedTuple


class Tokens(NamedTuple):
    """Stands for the tokenizer of an on-policy algorithm, whose samples are never text."""

    vocab_size: int
    eos_id: int  # ends a response; -1, which is no token, where nothing does
