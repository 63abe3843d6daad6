"""What judges know prompts and answers by."""

import json
from collections.abc import Sequence
from typing import Any

from prefjax.errors import DataError


def key(prompt: Any) -> str:
    """A prompt, of text or of messages, as one text; a single message of the user is the same as its text."""
    if isinstance(prompt, list) and [turn["role"] for turn in prompt] == ["user"]:
        prompt = prompt[0]["content"]
    return plain(prompt) if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)


def plain(text: str) -> str:
    """A text as it comes back from a spreadsheet or an editor: LF line ends, no space around it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def by_prompt(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The record of each prompt.

    Raises:
      DataError: two records have one prompt and different facts, slices or meta data.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        first = found.setdefault(key(record["prompt"]), record)
        for field in ("slice", "facts", "meta"):
            if first.get(field) != record.get(field):
                raise DataError(f"two records have the prompt {record['prompt']!r} and a different {field}")
    return found
