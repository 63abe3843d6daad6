"""Prompts as keys, for two sets of records to share none of them."""

import hashlib
import json
from typing import Any

from prefjax.data.warn import normalised


def prompt_key(record: dict[str, Any]) -> int:
    """64 bits of the hash of a record's prompt, in any case, width or spacing; of a text without one, of the text."""
    return digest(prompt_text(record))


def prompt_text(record: dict[str, Any]) -> str:
    """The normalised prompt, or text without one; a single message of the user is the same as its text."""
    prompt = record.get("prompt", record.get("response", ""))
    if isinstance(prompt, list) and [turn["role"] for turn in prompt] == ["user"]:
        prompt = prompt[0]["content"]
    return normalised(prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False))


def last_turn(prompt: str | list[dict[str, str]]) -> str:
    """What was asked last: a prompt that is a text, or the content of its last message."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def digest(text: str) -> int:
    """The first 64 bits of a text's sha256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
