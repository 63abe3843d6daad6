"""What a path names: JSON lines, Parquet, CSV, or a folder that `datasets.save_to_disk` wrote.

CSV is known by its name, all else by its bytes.
"""

import csv
import glob
import json
import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from prefjax.data import lines
from prefjax.data.lines import Fixes, Refused, clean
from prefjax.errors import ConfigError, DataError

_ARROW, _PARQUET = b"\xff\xff\xff\xff", b"PAR1"
_ROWS = 256  # of a Parquet file decoded at a time


def expand(path: str | os.PathLike) -> str:
    """The path with its environment variables filled in."""
    return os.path.expandvars(os.path.expanduser(path))


def files(path: str | os.PathLike) -> list[str]:
    """The files a path names, in order: itself, what matches its wildcards, or the parts of a saved data set.

    Raises:
      DataError: there are none.
    """
    full = expand(path)
    if os.path.isdir(full):
        return _saved(full)
    found = [full] if os.path.isfile(full) else sorted(filter(os.path.isfile, glob.glob(full, recursive=True)))
    if not found:
        unset = re.findall(r"\$\{?\w+\}?", full)
        hint = f"; the environment variable in {unset[0]} is not set" if unset else ""
        raise DataError(clean(f"{full}: no such file{hint}"))
    return found


def objects(path: str, fixes: Fixes, *, empty: Collection[str] = ()) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """The objects of a file with their line or row numbers, from 1, a few in memory at a time.

    One that cannot be used comes as the `Refused` that says why.

    Args:
      path: of the file.
      fixes: counts what JSON lines leave to fix.
      empty: fields that are empty texts where a CSV has nothing; others are absent there.

    Raises:
      DataError: the file cannot be read.
    """
    if path.lower().endswith(".csv"):
        return _csv_rows(path, empty)
    with open(path, "rb") as file:
        start = file.read(4)
    return _arrow_rows(path, start) if start in (_ARROW, _PARQUET) else lines.objects(path, fixes)


def _saved(folder: str) -> list[str]:
    """The Arrow files of a data set in the order its `state.json` gives them."""
    there = {name: os.path.join(folder, name) for name in ("state.json", "dataset_dict.json", "features.json")}
    there = {name: path for name, path in there.items() if os.path.isfile(path)}
    try:
        if "state.json" in there:
            with open(there["state.json"]) as file:
                parts = [os.path.basename(part["filename"]) for part in json.load(file)["_data_files"]]
            return [os.path.join(folder, part) for part in parts]
        if "dataset_dict.json" in there:
            with open(there["dataset_dict.json"]) as file:
                splits = json.load(file)["splits"]
            raise DataError(clean(f"{folder}: holds the splits {', '.join(splits)}: name one, {folder}/{splits[0]}"))
    except (ValueError, KeyError, TypeError, IndexError):
        raise DataError(clean(f"{folder}: damaged: {', '.join(there)} should list its files")) from None
    if "features.json" in there:
        raise DataError(clean(f"{folder}: a TensorFlow dataset: read it with tfds(path=...)"))
    raise DataError(clean(f"{folder}: no such file, but a folder: name its files, as in {folder}/*.jsonl"))


def _csv_rows(path: str, empty: Collection[str]) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """Rows under a line of names with the line each ends on, all of them texts; an empty one may be absent."""
    csv.field_size_limit(lines.MAX_LINE)  # of characters; the library's own limit is below what a text may have
    number = 0
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            number = table.line_num if table.fieldnames else 0
            for row in table:
                number = table.line_num
                whole = None not in row and None not in row.values()
                kept = {name: text for name, text in row.items() if text or name in empty}
                yield (
                    number,
                    kept if whole else Refused("", "not a row", "it has more or fewer fields than the first line"),
                )
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(clean(f"{path}:{number + 1}: damaged: {error}")) from None


def _arrow_rows(path: str, start: bytes) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise ConfigError(f"{clean(path)}: needs pyarrow: pip install 'prefjax[arrow]'") from None

    number = 0
    try:
        with pyarrow.memory_map(path) as file:
            packed = start == _PARQUET
            for batch in parquet.ParquetFile(file).iter_batches(_ROWS) if packed else ipc.open_stream(file):
                for i in range(batch.num_rows):
                    number += 1
                    yield number, _row(batch, i)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(clean(f"{path}:{number + 1}: damaged: {str(error).splitlines()[0]}")) from None


def _row(batch: Any, i: int) -> dict[str, Any] | Refused:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[i].as_py()
        except UnicodeDecodeError as error:
            return Refused(
                name, "invalid UTF-8", f"byte {error.start} of the text is 0x{error.object[error.start]:02x}"
            )
    return row
