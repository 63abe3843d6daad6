"""What a config's strings name: tokenizers, records, rows."""

import logging
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from prefjax.data import rows
from prefjax.data.records import Record
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError, DataError
from prefjax.resolve import is_call, resolve

MODEL_FOLDER = "model"  # of a workdir: config.json and the tokenizer, as a Hugging Face folder without weights
_log = logging.getLogger(__name__)


def tokenizer(reference: str) -> Tokenizer:
    """The tokenizer of a Hugging Face folder, of a workdir, or that a call string makes."""
    if is_call(reference):
        return resolve(reference)()
    folder = Path(os.path.expandvars(re.sub(r"(@\d+)?(:ema)?$", "", reference))).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"tokenizer: {folder} is no folder")
    return Tokenizer.load(folder / MODEL_FOLDER if (folder / MODEL_FOLDER).is_dir() else folder)


def stream(source: str) -> Iterable[Record]:
    """The records of a source, one at a time: `pairs(path='pairs.jsonl')`, `prefjax.worlds.desk:pairs(n=4000)`.

    Raises:
      ConfigError: no such source.
      DataError: on the way, a file or rows that cannot be used.
    """
    return resolve(source, "prefjax.data.readers")()


def records(source: str, limit: int | None = None) -> list[Record]:
    """The first `limit` records of a source, or all; raises DataError if there are none."""
    found = list(islice(stream(source), limit))
    if not found:
        raise DataError(f"{source}: no records")
    return found


def load(source: str, kind: str, tokenizer: Tokenizer, max_length: int) -> tuple[rows.Rows, rows.Counts]:
    """The rows of a source, and counts of what was dropped, which is logged too.

    Args:
      source: as in `records`.
      kind: call string of `prefjax.data.rows`: "pairs()", "demos()" or "prompts()".
      tokenizer, max_length: as there.
    """
    table, counts = resolve(kind, "prefjax.data.rows")(stream(source), tokenizer, max_length)
    warn(source, counts, max_length)
    return table, counts


def warn(source: str, counts: rows.Counts, max_length: int) -> None:
    """Logs what was dropped of the rows of a source, if anything was."""
    dropped = {what: n for what, n in counts.items() if what.startswith("dropped")}
    if dropped:
        told = ", ".join(f"{n} {what}" for what, n in dropped.items())
        _log.warning("%s: %d rows, and %s (data.max_length is %d)", source, counts["rows"], told, max_length)
